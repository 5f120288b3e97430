use std::{
    fmt::{Debug, Display},
    sync::Arc,
};

use crate::{Actor, Trace, weather::Weather, witness::Witness};

/// Under which conditions a system runs. By default nothing goes wrong and nobody watches.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    /// Where every call of a port, every invocation and every answer is recorded.
    pub trace: Option<Arc<Trace>>,
    /// What goes wrong by chance.
    pub weather: Option<Arc<Weather>>,
    /// Who checks what the actors do.
    pub witness: Option<Arc<Witness>>,
}

impl Conditions {
    pub(crate) fn trace<D: Display>(&self, actor: &Actor, what: impl FnOnce() -> D) {
        if let Some(trace) = &self.trace {
            trace.add(actor, what());
        }
    }
}
