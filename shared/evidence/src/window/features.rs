use rendezvous_core::limits::MAX_FEATURES;
use serde::{Deserialize, Serialize};

use super::merge::Merge;
use crate::{counts::add, sketch::Sketch, texts::Texts};

/// The size of a feature's sketch: half of a value's, for a bound of about 2 %, since there are many.
const SIZE: u16 = 128;

/// The requests of a minute, and the distributions of those of their fields that the endpoint lists. An
/// endpoint that lists none has the number of its requests only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Features {
    requests: u64,
    /// Each with its JSON pointer.
    features: Vec<(String, FeatureWindow)>,
}

/// What a request has at a pointer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Feature<'a> {
    Number(f64),
    /// A string, or `true` or `false`.
    Text(&'a str),
    /// Nothing, `null`, an array or an object.
    Missing,
}

/// The distribution of one feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureWindow {
    missing: u64,
    numbers: Sketch,
    texts: Texts,
}

impl Features {
    /// For the pointers that the endpoint lists; those beyond [`MAX_FEATURES`] are left out. Windows that
    /// are merged have different seeds, see [`Sketch`].
    pub fn new<'a>(pointers: impl IntoIterator<Item = &'a str>, seed: u64) -> Self {
        let window = |(pointer, at): (&str, u64)| {
            // Seeds of the features are different, too.
            let numbers = Sketch::of_size(SIZE, seed.wrapping_add(at << 56));
            let window = FeatureWindow { missing: 0, numbers, texts: Texts::default() };
            (pointer.to_owned(), window)
        };
        let pointers = pointers.into_iter().take(MAX_FEATURES);
        Self { requests: 0, features: pointers.zip(0..).map(window).collect() }
    }

    /// Counts a request with its features, in the order of the pointers.
    pub fn push<'a>(&mut self, features: impl IntoIterator<Item = Feature<'a>>) {
        self.requests += 1;
        for ((_, window), feature) in self.features.iter_mut().zip(features) {
            match feature {
                Feature::Number(number) if !number.is_nan() => window.numbers.push(number),
                Feature::Text(text) => window.texts.push(text),
                _ => window.missing += 1,
            }
        }
    }

    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Each feature by its pointer.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &FeatureWindow)> {
        self.features.iter().map(|(pointer, window)| (pointer.as_str(), window))
    }

    pub fn get(&self, pointer: &str) -> Option<&FeatureWindow> {
        self.iter().find(|(other, _)| *other == pointer).map(|(_, window)| window)
    }
}

impl FeatureWindow {
    /// Requests without a number or a text there.
    pub fn missing(&self) -> u64 {
        self.missing
    }

    pub fn numbers(&self) -> &Sketch {
        &self.numbers
    }

    pub fn texts(&self) -> &Texts {
        &self.texts
    }
}

impl Merge for Features {
    fn merge(&mut self, other: &Self) {
        add(&mut self.requests, other.requests);
        for (pointer, window) in &other.features {
            match self.features.iter_mut().find(|(own, _)| own == pointer) {
                Some((_, own)) => {
                    add(&mut own.missing, window.missing);
                    own.numbers.merge(&window.numbers);
                    own.texts.merge(&window.texts);
                }
                // Of another version, which lists other features.
                None => self.features.push((pointer.clone(), window.clone())),
            }
        }
    }
}
