use std::{collections::BTreeSet, time::Duration};

use rendezvous_core::{EndpointName, memory::Position};

/// The settings of a mapping, named as AWS names them.
#[derive(Clone, Debug)]
pub struct Mapping {
    pub batch_size: usize,
    pub maximum_batching_window: Duration,
    /// Lanes of each shard, 1 to 10.
    pub parallelization_factor: usize,
    pub bisect_batch_on_function_error: bool,
    /// How often a batch is tried again.
    pub maximum_retry_attempts: u32,
    pub maximum_record_age: Duration,
    pub starting_position: Position,
    /// Invoke the function only for messages of these endpoints: the filter
    /// `{ "data": { "envelope": { "endpoint": [ … ] } } }`.
    pub filter_by_endpoint: Option<BTreeSet<EndpointName>>,
    /// The function's own time-out: an invocation that takes longer has failed.
    pub function_timeout: Duration,
}

impl Default for Mapping {
    /// Lambda's defaults, except that bisecting is on and that retries and record age are limited.
    fn default() -> Self {
        Self {
            batch_size: 100,
            maximum_batching_window: Duration::ZERO,
            parallelization_factor: 1,
            bisect_batch_on_function_error: true,
            maximum_retry_attempts: 100,
            maximum_record_age: Duration::from_mins(1),
            starting_position: Position::Latest,
            filter_by_endpoint: None,
            function_timeout: Duration::from_secs(10),
        }
    }
}
