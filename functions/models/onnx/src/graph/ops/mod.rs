//! The operators that are executed here: those of the domain `ai.onnx.ml`, `Cast` to text, and `Sigmoid` of
//! what they make.

mod encode;
mod forest;
mod linear;
mod scale;
mod scores;
mod trees;

use rten::Value;

use self::{
    encode::{LabelEncoder, OneHotEncoder, to_text},
    linear::{LinearClassifier, LinearRegressor},
    scale::{Binarizer, Imputer, Normalizer, Scaler, sigmoid},
    trees::{TreeClassifier, TreeRegressor},
};
use super::{attributes::Attributes, kind::Kind, proto::Node, texts::Texts};

/// An operator with one input. Its attributes have been checked, so that no input makes it panic.
#[derive(Debug)]
pub(super) enum Operator {
    Scaler(Scaler),
    Imputer(Imputer),
    Normalizer(Normalizer),
    Binarizer(Binarizer),
    OneHotEncoder(OneHotEncoder),
    LabelEncoder(LabelEncoder),
    LinearClassifier(LinearClassifier),
    LinearRegressor(LinearRegressor),
    TreeClassifier(TreeClassifier),
    TreeRegressor(TreeRegressor),
    Sigmoid,
    ToText,
}

/// An operator and the kinds of its tensors.
#[derive(Debug)]
pub(super) struct Typed {
    pub(super) operator: Operator,
    /// Whether its input must hold texts.
    pub(super) takes_text: bool,
    pub(super) outputs: Vec<Kind>,
}

impl Typed {
    /// The operator of a node of `ai.onnx.ml`, or none if there is no such operator here.
    pub(super) fn read(node: &Node, texts: &mut Texts) -> Result<Option<Self>, String> {
        let attributes = Attributes(node);
        let label = |text: bool| if text { Kind::Text } else { Kind::Whole };
        let number = |operator| (operator, false, vec![Kind::Float]);
        let (operator, takes_text, outputs) = match node.op_type.as_str() {
            "Scaler" => number(Operator::Scaler(Scaler::read(attributes)?)),
            "Normalizer" => number(Operator::Normalizer(Normalizer::read(attributes)?)),
            "Binarizer" => number(Operator::Binarizer(Binarizer::read(attributes))),
            "LinearRegressor" => {
                number(Operator::LinearRegressor(LinearRegressor::read(attributes)?))
            }
            "TreeEnsembleRegressor" => {
                number(Operator::TreeRegressor(TreeRegressor::read(attributes)?))
            }
            "Imputer" => {
                let imputer = Imputer::read(attributes)?;
                let kind = imputer.kind();
                (Operator::Imputer(imputer), false, vec![kind])
            }
            "OneHotEncoder" => {
                let (encoder, text) = OneHotEncoder::read(attributes, texts)?;
                (Operator::OneHotEncoder(encoder), text, vec![Kind::Float])
            }
            "LabelEncoder" => {
                let (encoder, [key, value]) = LabelEncoder::read(attributes, texts)?;
                (Operator::LabelEncoder(encoder), key == Kind::Text, vec![value])
            }
            "LinearClassifier" => {
                let (classifier, text) = LinearClassifier::read(attributes, texts)?;
                (Operator::LinearClassifier(classifier), false, vec![label(text), Kind::Float])
            }
            "TreeEnsembleClassifier" => {
                let (classifier, text) = TreeClassifier::read(attributes, texts)?;
                (Operator::TreeClassifier(classifier), false, vec![label(text), Kind::Float])
            }
            _ => return Ok(None),
        };
        Ok(Some(Self { operator, takes_text, outputs }))
    }
}

impl Operator {
    /// The outputs for an input, whose values are made up if it is a sample.
    pub(super) fn run(&self, x: &Value, texts: &Texts, sample: bool) -> Result<Vec<Value>, String> {
        match self {
            Self::Scaler(scaler) => Ok(vec![scaler.run(x)?]),
            Self::Imputer(imputer) => Ok(vec![imputer.run(x)?]),
            Self::Normalizer(normalizer) => Ok(vec![normalizer.run(x)?]),
            Self::Binarizer(binarizer) => Ok(vec![binarizer.run(x)?]),
            Self::OneHotEncoder(encoder) => Ok(vec![encoder.run(x, sample)?]),
            Self::LabelEncoder(encoder) => Ok(vec![encoder.run(x)?]),
            Self::LinearClassifier(classifier) => classifier.run(x),
            Self::LinearRegressor(regressor) => regressor.run(x),
            Self::TreeClassifier(classifier) => classifier.run(x),
            Self::TreeRegressor(regressor) => regressor.run(x),
            Self::Sigmoid => Ok(vec![sigmoid(x)?]),
            Self::ToText => Ok(vec![to_text(x, texts)?]),
        }
    }
}
