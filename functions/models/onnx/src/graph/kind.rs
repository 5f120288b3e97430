//! What a tensor holds.

use super::proto::element;

/// What the numbers of a tensor are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Float,
    Whole,
    Bool,
    /// The codes of texts.
    Text,
}

impl Kind {
    /// The kind of an element type of ONNX, if tensors of it are supported.
    pub(super) fn of_element(element: i32) -> Option<Self> {
        match element {
            element::FLOAT | element::FLOAT16 | element::DOUBLE => Some(Self::Float),
            element::INT32 | element::INT64 => Some(Self::Whole),
            element::BOOL => Some(Self::Bool),
            element::STRING => Some(Self::Text),
            _ => None,
        }
    }

    /// The element type that stands for it in the graphs of standard operators.
    pub(super) fn element(self) -> i32 {
        match self {
            Self::Float => element::FLOAT,
            Self::Whole | Self::Bool | Self::Text => element::INT32,
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Float => "floats",
            Self::Whole => "whole numbers",
            Self::Bool => "bools",
            Self::Text => "texts",
        })
    }
}
