//! Graphs made by hand: operators that exports have rarely, and files that are wrong.

use std::sync::Arc;

use prost::Message;
use rten::ThreadPool;

use super::{
    Batch, Data, File, Step, Table,
    proto::{
        Attribute, Dimension, GraphProto, Model, Node, OperatorSet, Shape, Tensor, TensorType,
        Type, ValueInfo, element,
    },
};

fn attribute(name: &str) -> Attribute {
    Attribute { name: name.to_owned(), ..Attribute::default() }
}

fn floats(name: &str, floats: &[f32]) -> Attribute {
    Attribute { floats: floats.to_vec(), ..attribute(name) }
}

fn ints(name: &str, ints: &[i64]) -> Attribute {
    Attribute { ints: ints.to_vec(), ..attribute(name) }
}

fn texts(name: &str, texts: &[&str]) -> Attribute {
    let strings = texts.iter().map(|text| text.as_bytes().to_vec().into()).collect();
    Attribute { strings, ..attribute(name) }
}

fn text(name: &str, text: &str) -> Attribute {
    Attribute { s: Some(text.as_bytes().to_vec().into()), ..attribute(name) }
}

fn int(name: &str, i: i64) -> Attribute {
    Attribute { i: Some(i), ..attribute(name) }
}

/// A node from `inputs` to `output`; an operator without a domain is of `ai.onnx.ml`.
fn node(operator: &str, inputs: &[&str], output: &str, attribute: Vec<Attribute>) -> Node {
    let (domain, op_type) = operator.split_once('/').unwrap_or(("ai.onnx.ml", operator));
    Node {
        domain: domain.to_owned(),
        op_type: op_type.to_owned(),
        input: inputs.iter().map(|&input| input.to_owned()).collect(),
        output: vec![output.to_owned()],
        attribute,
        ..Node::default()
    }
}

fn port(name: &str, element: i32) -> ValueInfo {
    let tensor = TensorType { element: Some(element), shape: None };
    ValueInfo {
        name: name.to_owned(),
        of_type: Some(Type { tensor: Some(tensor), sequence: None }),
    }
}

/// A file of a graph from `x` to `y`.
fn file(nodes: Vec<Node>, [x, y]: [i32; 2], constants: Vec<Tensor>) -> Vec<u8> {
    let graph = GraphProto {
        node: nodes,
        input: vec![port("x", x)],
        output: vec![port("y", y)],
        initializer: constants,
        value_info: Vec::new(),
    };
    let opset = OperatorSet { domain: None, version: Some(17) };
    Model { ir_version: Some(8), graph: Some(graph), opset_import: vec![opset] }.encode_to_vec()
}

fn run(file: Vec<u8>, table: Table) -> Result<Table, String> {
    let (graph, pool) = (File::read(file)?.graph(&[0])?, Arc::new(ThreadPool::with_num_threads(1)));
    let rows = match &table.data {
        Data::Floats(data) => data.len() / table.columns,
        Data::Whole(data) => data.len() / table.columns,
    };
    let batch = Batch { rows, sample: false, tables: vec![table] };
    Ok(graph.run(&pool, batch)?.remove(0))
}

/// What one operator of `ai.onnx.ml` makes of rows of two columns.
fn of_floats(operator: &str, attributes: Vec<Attribute>, x: &[f32]) -> Result<Vec<f32>, String> {
    let nodes = vec![node(operator, &["x"], "y", attributes)];
    let table = Table { columns: 2, data: Data::Floats(x.to_vec()) };
    match run(file(nodes, [element::FLOAT, element::FLOAT], Vec::new()), table)?.data {
        Data::Floats(y) => Ok(y),
        Data::Whole(y) => panic!("{y:?}"),
    }
}

#[test]
fn each_number_or_row_is_scaled_as_the_standard_says() {
    let x = [3.0, -4.0, 0.0, 0.0];
    let norm = |norm: &str| of_floats("Normalizer", vec![text("norm", norm)], &x).unwrap();
    assert_eq!(norm("L1"), [3.0 / 7.0, -4.0 / 7.0, 0.0, 0.0]);
    assert_eq!(norm("L2"), [0.6, -0.8, 0.0, 0.0]);
    assert_eq!(norm("MAX"), [1.0, -4.0 / 3.0, 0.0, 0.0]);
    let scaler = vec![floats("offset", &[1.0, 2.0]), floats("scale", &[2.0])];
    assert_eq!(of_floats("Scaler", scaler, &x).unwrap(), [4.0, -12.0, -2.0, -4.0]);
    let binarizer = vec![Attribute { f: Some(0.0), ..attribute("threshold") }];
    assert_eq!(of_floats("Binarizer", binarizer, &x).unwrap(), [1.0, 0.0, 0.0, 0.0]);
    let imputer = vec![floats("imputed_value_floats", &[7.0, 8.0])];
    assert_eq!(of_floats("Imputer", imputer, &x).unwrap(), [3.0, -4.0, 7.0, 8.0]);
}

#[test]
fn a_sigmoid_of_what_is_made_here_needs_no_graph_of_standard_operators() {
    let binarizer = node("Binarizer", &["x"], "above", vec![]);
    let sigmoid = Node { domain: String::new(), ..node("Sigmoid", &["above"], "y", vec![]) };
    let own = file(vec![binarizer, sigmoid], [element::FLOAT, element::FLOAT], Vec::new());
    let graph = File::read(own.clone()).unwrap().graph(&[0]).unwrap();
    assert!(graph.steps.iter().all(|step| matches!(step, Step::Own(_))));
    let table = Table { columns: 2, data: Data::Floats(vec![1.0, -1.0]) };
    let expected = Data::Floats(vec![0.731_058_6, 0.5]);
    assert_eq!(run(own, table).unwrap().data, expected);
}

#[test]
fn labels_are_replaced_and_what_is_no_key_gets_the_default() {
    let encoder = vec![
        floats("keys_floats", &[3.0, f32::NAN]),
        floats("values_floats", &[0.5, 1.5]),
        Attribute { f: Some(9.0), ..attribute("default_float") },
    ];
    let y = of_floats("LabelEncoder", encoder, &[3.0, f32::NAN, 1.0, -0.0]).unwrap();
    assert_eq!(y, [0.5, 1.5, 9.0, 9.0]);
    let encoder = vec![ints("keys_int64s", &[1, 2]), ints("values_int64s", &[10, 20])];
    let nodes = vec![node("LabelEncoder", &["x"], "y", encoder)];
    let table = Table { columns: 1, data: Data::Whole(vec![2, 3, 1]) };
    let y = run(file(nodes, [element::INT64, element::INT64], Vec::new()), table).unwrap();
    assert_eq!(y.data, Data::Whole(vec![20, -1, 10]));
}

#[test]
fn an_encoder_that_knows_all_categories_refuses_others() {
    let encoder = vec![ints("cats_int64s", &[5, 6]), int("zeros", 0)];
    let hot = |x: i32| {
        let nodes = vec![
            node("OneHotEncoder", &["x"], "hot", encoder.clone()),
            node("ai.onnx/Squeeze", &["hot", "axis"], "y", Vec::new()),
        ];
        let axis = Tensor {
            name: "axis".to_owned(),
            dims: vec![1],
            data_type: Some(element::INT64),
            int64_data: vec![1],
            ..Tensor::default()
        };
        let table = Table { columns: 1, data: Data::Whole(vec![x]) };
        run(file(nodes, [element::INT64, element::FLOAT], vec![axis]), table)
    };
    assert_eq!(hot(6).unwrap(), Table { columns: 2, data: Data::Floats(vec![0.0, 1.0]) });
    assert!(hot(7).unwrap_err().contains("a value is none of its categories"));
}

#[test]
fn texts_are_compared_and_moved_as_codes() {
    let constant = Tensor {
        name: "home".to_owned(),
        dims: vec![1],
        data_type: Some(element::STRING),
        string_data: vec!["Rome".into()],
        ..Tensor::default()
    };
    let nodes = vec![
        node("/Equal", &["x", "home"], "is_home", Vec::new()),
        node("/Where", &["is_home", "home", "x"], "moved", Vec::new()),
        node(
            "LabelEncoder",
            &["moved"],
            "y",
            vec![texts("keys_strings", &["Oslo", "Rome"]), ints("values_int64s", &[1, 2])],
        ),
    ];
    let file = file(nodes, [element::STRING, element::INT64], vec![constant]);
    let graph = File::read(file.clone()).unwrap().graph(&[0]).unwrap();
    let codes = ["Rome", "Oslo", "Paris"].map(|text| graph.texts().code(text));
    let y = run(file, Table { columns: 1, data: Data::Whole(codes.to_vec()) }).unwrap();
    assert_eq!(y.data, Data::Whole(vec![2, 1, -1]));
}

#[test]
fn an_input_and_an_output_may_be_vectors() {
    let nodes = vec![node("Binarizer", &["x"], "y", Vec::new())];
    let mut model = Model::decode(&file(nodes, [element::FLOAT; 2], Vec::new())[..]).unwrap();
    let input = &mut model.graph.as_mut().unwrap().input[0];
    let tensor = input.of_type.as_mut().unwrap().tensor.as_mut().unwrap();
    tensor.shape = Some(Shape { dim: vec![Dimension { value: None }] });
    let table = Table { columns: 1, data: Data::Floats(vec![3.0, -5.0, 7.0]) };
    let y = run(model.encode_to_vec(), table).unwrap();
    assert_eq!(y, Table { columns: 1, data: Data::Floats(vec![1.0, 0.0, 1.0]) });
}

#[test]
fn an_output_of_texts_must_be_declared_as_such() {
    let encoder = vec![ints("keys_int64s", &[1]), texts("values_strings", &["a"])];
    let nodes = vec![node("LabelEncoder", &["x"], "y", encoder)];
    let labelled = file(nodes.clone(), [element::INT64, element::STRING], Vec::new());
    let graph = File::read(labelled.clone()).unwrap().graph(&[0]).unwrap();
    let y = run(labelled, Table { columns: 1, data: Data::Whole(vec![1, 2]) }).unwrap();
    let Data::Whole(codes) = y.data else { panic!("not of codes") };
    let labels: Vec<_> = codes.iter().map(|code| graph.texts().text(*code).unwrap()).collect();
    assert_eq!(labels, ["a", "_Unused"]);
    let wrong = file(nodes, [element::INT64; 2], Vec::new());
    let error = File::read(wrong).unwrap().graph(&[0]).err().unwrap();
    assert_eq!(error, "the output y is declared as whole numbers, and is not");
}

#[test]
fn an_output_without_a_name_is_left_out() {
    let classifier = |x: &str, y: &str| {
        let labels =
            vec![ints("classlabels_ints", &[0, 1]), floats("coefficients", &[1.0, 0.0, 0.0, 2.0])];
        let node = node("LinearClassifier", &[x], y, labels);
        Node { output: vec![String::new(), y.to_owned()], ..node }
    };
    let nodes = vec![classifier("x", "a"), classifier("a", "y")];
    let table = Table { columns: 2, data: Data::Floats(vec![3.0, 5.0]) };
    let y = run(file(nodes, [element::FLOAT, element::FLOAT], Vec::new()), table).unwrap();
    assert_eq!(y.data, Data::Floats(vec![3.0, 20.0]));
}

#[test]
fn what_is_not_supported_is_named_with_what_to_do() {
    let number = [element::FLOAT, element::FLOAT];
    let from_text = [element::STRING, element::FLOAT];
    for (nodes, types, message) in [
        (
            vec![node("SVMRegressor", &["x"], "y", vec![])],
            number,
            "the operator SVMRegressor: of the domain ai.onnx.ml is not supported: export the model without it, or serve the model as a function of its own",
        ),
        (
            vec![node("TreeEnsemble", &["x"], "y", vec![])],
            number,
            "export the model with the target opset 3 of ai.onnx.ml",
        ),
        (
            vec![
                node("com.acme/Guess", &["x"], "z", vec![]),
                node("Binarizer", &["z"], "y", vec![]),
            ],
            number,
            "the operator Guess: of the domain com.acme is not supported",
        ),
        (
            vec![node("/StringNormalizer", &["x"], "y", vec![])],
            from_text,
            "the operator StringNormalizer: is not supported on texts",
        ),
        (
            vec![node(
                "Scaler",
                &["x"],
                "y",
                vec![floats("offset", &[0.0]), floats("scale", &[1.0])],
            )],
            from_text,
            "takes numbers, and gets texts",
        ),
        (
            vec![node("OneHotEncoder", &["x"], "y", vec![texts("cats_strings", &["a"])])],
            number,
            "takes texts, and gets numbers",
        ),
        (
            vec![node("/Cast", &["x"], "y", vec![int("to", 1)])],
            from_text,
            "from text to numbers is not supported",
        ),
    ] {
        let error = File::read(file(nodes, types, Vec::new())).unwrap().graph(&[0]).err().unwrap();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn nodes_that_do_not_fit_together_are_errors() {
    let binarizer = |x: &str, y: &str| node("Binarizer", &[x], y, vec![]);
    for (nodes, message) in [
        (vec![binarizer("z", "y"), binarizer("y", "z")], "takes z, which no node before it makes"),
        (vec![binarizer("x", "y"), binarizer("x", "y")], "makes y, which exists already"),
        (vec![binarizer("x", "z")], "the output y is made by no node"),
        (vec![node("Binarizer", &["x", "x"], "y", vec![])], "does not have one input"),
        (vec![node("Binarizer", &[], "y", vec![])], "does not have one input"),
        (vec![node("ZipMap", &[], "y", vec![])], "does not have one input and one output"),
        (vec![node("ArrayFeatureExtractor", &["x"], "y", vec![])], "does not have two inputs"),
        (vec![binarizer("c", "y")], "is not supported on a constant"),
    ] {
        let constant = Tensor { name: "c".to_owned(), ..Tensor::default() };
        let file = file(nodes, [element::FLOAT, element::FLOAT], vec![constant]);
        let error = File::read(file).unwrap().graph(&[0]).err().unwrap();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn attributes_that_do_not_fit_are_errors() {
    for (operator, attributes, message) in [
        ("Scaler", vec![], "has no offset or no scale"),
        (
            "Scaler",
            vec![floats("offset", &[0.0; 3]), floats("scale", &[1.0])],
            "has 3 offset for 2 columns",
        ),
        ("Imputer", vec![], "has no imputed values"),
        ("Normalizer", vec![text("norm", "L7")], "norm: L7 is not supported"),
        (
            "OneHotEncoder",
            vec![ints("cats_int64s", &[i64::MAX])],
            "cats_int64s: 9223372036854775807 needs more than 32 bits",
        ),
        (
            "LabelEncoder",
            vec![ints("keys_int64s", &[1]), ints("values_int64s", &[1, 2])],
            "has 1 keys and 2 values",
        ),
        (
            "LinearRegressor",
            vec![floats("coefficients", &[1.0; 3]), int("targets", 2)],
            "has 3 coefficients",
        ),
        ("LinearRegressor", vec![floats("coefficients", &[1.0; 3])], "takes 3 columns, and gets 2"),
        ("LinearRegressor", vec![int("targets", -1)], "targets: out of range"),
        ("LinearRegressor", vec![int("targets", i64::MAX)], "targets: out of range"),
        ("LinearClassifier", vec![], "has 0 class labels"),
        (
            "LinearClassifier",
            vec![ints("classlabels_ints", &[0, 1, 2]), floats("intercepts", &[0.0])],
            "has 1 intercepts for 3 classes",
        ),
        ("TreeEnsembleRegressor", vec![], "has no nodes"),
        ("TreeEnsembleRegressor", vec![int("n_targets", 1 << 40)], "n_targets: out of range"),
        (
            "TreeEnsembleRegressor",
            vec![text("post_transform", "PROBIT"), ints("nodes_nodeids", &[0])],
            "nodes_treeids has 0 entries, but nodes_nodeids has 1",
        ),
    ] {
        let error = of_floats(operator, attributes, &[1.0, 2.0]).unwrap_err();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn a_graph_that_grows_its_tensors_without_end_is_an_error() {
    let encoder = vec![ints("cats_int64s", &(0..1_000).collect::<Vec<_>>())];
    let names = ["x", "a", "b", "y"];
    let nodes =
        names.windows(2).map(|pair| node("OneHotEncoder", &pair[..1], pair[1], encoder.clone()));
    let file = file(nodes.collect(), [element::INT64, element::FLOAT], Vec::new());
    let error = run(file, Table { columns: 1, data: Data::Whole(vec![1]) }).unwrap_err();
    assert!(error.contains("makes more than 16777216 numbers"), "{error}");
}

#[test]
fn a_file_that_nests_deeper_than_any_export_is_an_error() {
    let mut graph = Vec::new();
    for _ in 0..2_000 {
        // A graph with a node with an attribute with the graph before.
        graph = field(1, &field(5, &field(6, &graph)));
    }
    let error = File::read(field(7, &graph)).err().unwrap();
    assert!(error.contains("recursion limit"), "{error}");
}

/// A field of a protocol buffer that is a message.
fn field(number: u8, message: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    prost::encode_length_delimiter(message.len(), &mut field).unwrap();
    field.extend_from_slice(message);
    field
}
