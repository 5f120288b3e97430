//! What the protocol says of the server and of its models.

use rendezvous_core::{Datatype, Endpoint, EndpointName, Tensor, Tensors, tensors::ROW_OUTPUTS};
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct Server {
    name: &'static str,
    version: &'static str,
    /// None: tensors are JSON only.
    extensions: [&'static str; 0],
}

impl Server {
    pub(super) const fn this() -> Self {
        Self { name: "rendezvous", version: env!("CARGO_PKG_VERSION"), extensions: [] }
    }
}

#[derive(Serialize)]
pub(super) struct Live {
    pub(super) live: bool,
}

#[derive(Serialize)]
pub(super) struct Ready {
    pub(super) ready: bool,
}

#[derive(Serialize)]
pub(super) struct ModelReady<'a> {
    pub(super) name: &'a EndpointName,
    pub(super) ready: bool,
}

#[derive(Serialize)]
pub(super) struct Model<'a> {
    name: &'a EndpointName,
    /// The versions that may be asked for.
    versions: [&'static str; 0],
    platform: &'static str,
    inputs: Vec<TensorMetadata<'a>>,
    outputs: Vec<TensorMetadata<'a>>,
}

#[derive(Serialize)]
struct TensorMetadata<'a> {
    name: &'a str,
    datatype: Datatype,
    shape: &'a [i64],
}

impl<'a> Model<'a> {
    pub(super) fn new(endpoint: &'a Endpoint) -> Self {
        let (inputs, outputs) = match endpoint.configuration.tensors() {
            None => (Vec::new(), Vec::new()),
            Some(Tensors { inputs, outputs }) => {
                let inputs = inputs.iter().map(TensorMetadata::new).collect();
                let of_rows = ROW_OUTPUTS.iter().map(|name| TensorMetadata {
                    name,
                    datatype: Datatype::Bytes,
                    shape: &[-1, 1],
                });
                (inputs, outputs.iter().map(TensorMetadata::new).chain(of_rows).collect())
            }
        };
        Self { name: &endpoint.name, versions: [], platform: "rendezvous", inputs, outputs }
    }
}

impl<'a> TensorMetadata<'a> {
    fn new(tensor: &'a Tensor) -> Self {
        let Tensor { name, datatype, shape, .. } = tensor;
        Self { name, datatype: *datatype, shape }
    }
}
