//! The HTTP interface, as a client calls it.

use std::{future::Future, time::Duration};

use serde_json::Value;

/// A call.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub method: &'static str,
    /// From `/` on.
    pub path: &'a str,
    pub headers: &'a [(&'static str, &'a str)],
    /// JSON, or empty.
    pub body: &'a str,
}

/// An answer, and how long it took.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    /// Null where it is not JSON.
    pub body: Value,
    /// The header `Server-Timing`, or nothing.
    pub server_timing: String,
    pub took: Duration,
}

/// Calls the system.
pub trait Api {
    /// Calls; an error says why there is no answer.
    fn call(&self, call: Call<'_>) -> impl Future<Output = Result<Reply, String>>;

    /// Reads what is at `path`.
    fn get(&self, path: &str) -> impl Future<Output = Result<Reply, String>> {
        self.call(Call { method: "GET", path, headers: &[], body: "" })
    }
}

impl Reply {
    /// Status and reason, for a person.
    pub fn told(&self) -> String {
        let Self { status, body, .. } = self;
        let text = |field: &str| body[field].as_str().unwrap_or_default();
        match (text("title"), text("detail")) {
            ("", "") => format!("the status is {status}"),
            (title, detail) => format!("the status is {status}: {title}. {detail}"),
        }
    }

    /// A text of the body; empty where there is none.
    pub fn text(&self, field: &str) -> &str {
        self.body[field].as_str().unwrap_or_default()
    }

    /// A duration of the header `Server-Timing`.
    pub fn timing(&self, name: &str) -> Option<Duration> {
        let mut entries = self.server_timing.split(',').map(|entry| entry.trim().split(';'));
        let mut parameters = entries.find(|entry| entry.clone().next() == Some(name))?;
        let millis = parameters.find_map(|parameter| parameter.trim().strip_prefix("dur="))?;
        Duration::try_from_secs_f64(millis.parse::<f64>().ok()? / 1e3).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_timing_is_read_by_name() {
        let server_timing = "send;dur=12.5, wait;dur=3, total;dur=15.75".to_owned();
        let reply = Reply { status: 200, body: Value::Null, server_timing, took: Duration::ZERO };
        assert_eq!(reply.timing("send"), Some(Duration::from_micros(12_500)));
        assert_eq!(reply.timing("total"), Some(Duration::from_micros(15_750)));
        assert_eq!(reply.timing("dur"), None);
    }
}
