//! The questions of a client to one endpoint.

use std::time::Duration;

use rendezvous_core::{Configuration, EndpointName, ModelId, RequestId};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    Limits, MARK,
    api::{Api, Call, Reply},
    refused,
    report::{Report, Step},
};

/// How often an answer by a model is tried for. Functions that start take longer than most
/// deadlines.
const ATTEMPTS: usize = 5;
const PAUSE: Duration = Duration::from_millis(500);

/// What was asked of an endpoint.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) endpoint: EndpointName,
    pub(super) models: Vec<ModelId>,
    pub(super) payload: String,
    /// All of its requests.
    pub(super) requests: Vec<RequestId>,
    /// The request that was answered in time.
    pub(super) answered: Option<RequestId>,
    /// The request whose outcome was reported.
    pub(super) reported: Option<RequestId>,
}

/// A client of one endpoint.
pub(super) struct Client<'a, A> {
    api: &'a A,
    configuration: Configuration,
    /// No two runs have the same, so that none gets the answers of another.
    key: String,
    path: String,
    asked: Asked,
}

impl<'a, A: Api> Client<'a, A> {
    pub(super) fn new(
        api: &'a A,
        endpoint: EndpointName,
        configuration: Configuration,
        payload: String,
    ) -> Self {
        let key = format!("{MARK}{}", RequestId::random());
        let path = format!("/v1/endpoints/{endpoint}/requests");
        let models = configuration.models().cloned().collect();
        let asked = Asked {
            endpoint,
            models,
            payload,
            requests: Vec::new(),
            answered: None,
            reported: None,
        };
        Self { api, configuration, key, path, asked }
    }

    pub(super) async fn ask_everything(mut self, limits: Limits, report: &mut Report) -> Asked {
        let step = self.ask_without_waiting(limits.first_answer).await;
        report.add(step);
        let Some((answer, key)) = self.ask(report).await else {
            for step in ["read", "repeat", "outcome"] {
                report.add(Step::skipped(step, self.asked.endpoint.as_str()));
            }
            return self.asked;
        };
        self.read(&answer, report).await;
        self.repeat(&answer, &key, report).await;
        self.report_outcome(&answer, report).await;
        self.asked
    }

    /// A request with so late a deadline that functions have time to start, and that no model
    /// sheds.
    async fn ask_without_waiting(&mut self, limit: Duration) -> Step {
        const STEP: &str = "ask later";
        let (start, deadline) = (Instant::now(), limit.as_millis().min(900_000).to_string());
        let headers = [("prefer", "respond-async"), ("rendezvous-deadline-ms", &*deadline)];
        let reply = match self.post(&headers).await {
            Ok(reply) if reply.status == 202 => reply,
            other => return self.unexpected(STEP, other),
        };
        let Some(id) = self.note(&reply) else {
            return self.failed(STEP, "the answer names no request");
        };
        let path = format!("{}/{id}", self.path);
        loop {
            match self.api.get(&path).await {
                Ok(reply) if reply.status == 202 && start.elapsed() < limit + PAUSE * 10 => {
                    sleep(PAUSE).await;
                }
                Ok(reply) if is_by_model(&reply) => {
                    return Step::ok(STEP, self.name(), by(&reply)).took(start.elapsed());
                }
                Ok(reply) if reply.status == 200 => return self.without_model(STEP, &reply),
                other => return self.unexpected(STEP, other),
            }
        }
    }

    /// A request that is answered by a model, within the schedule's deadline; also the key under
    /// which it can be repeated.
    async fn ask(&mut self, report: &mut Report) -> Option<(Reply, String)> {
        let mut last = None;
        for attempt in 1..=ATTEMPTS {
            let key = format!("{}-{attempt}", self.key);
            let reply = match self.post(&[("idempotency-key", &key)]).await {
                Ok(reply) if reply.status == 200 || reply.status == 504 => reply,
                other => {
                    report.add(self.unexpected("ask", other));
                    return None;
                }
            };
            let id = self.note(&reply);
            if is_by_model(&reply) {
                let attempts =
                    if attempt == 1 { String::new() } else { format!(", attempt {attempt}") };
                let detail = format!("{}{attempts}", by(&reply));
                let step = if reply.body["settled"] == Value::Bool(true) {
                    Step::ok("ask", self.name(), detail)
                } else {
                    self.failed(
                        "ask",
                        format!("{detail}, but not settled: see the ledger's metrics"),
                    )
                };
                report.add(step.took(reply.took));
                self.tell_times(&reply, report);
                self.asked.answered = id;
                return Some((reply, key));
            }
            last = Some(reply);
            sleep(PAUSE).await;
        }
        let step = last.map(|reply| self.without_model("ask", &reply).took(reply.took));
        report.add(step.unwrap_or_else(|| Step::skipped("ask", self.name())));
        None
    }

    /// Where the time of a request went, as far as its answer says.
    fn tell_times(&self, reply: &Reply, report: &mut Report) {
        let (endpoint, elapsed) = (self.name(), reply.body["elapsed_ms"].as_f64());
        let decided = elapsed.and_then(|ms| Duration::try_from_secs_f64(ms / 1e3).ok());
        report.time(endpoint, "open and send", reply.timing("send"));
        report.time(endpoint, "wait for the decision", reply.timing("wait"));
        report.time(endpoint, "received to decided", decided);
        report.time(endpoint, "all of ingress", reply.timing("total"));
        report.time(endpoint, "HTTP, out and back", Some(reply.took));
    }

    async fn read(&self, answer: &Reply, report: &mut Report) {
        let path = format!("{}/{}", self.path, answer.text("request"));
        let step = match self.api.get(&path).await {
            Ok(reply) if reply.status == 200 && is_same(&reply, answer) => {
                Step::ok("read", self.name(), "the same decision").took(reply.took)
            }
            Ok(reply) if reply.status == 200 => self.failed("read", "another decision is read"),
            other => self.unexpected("read", other),
        };
        report.add(step);
    }

    async fn repeat(&self, answer: &Reply, key: &str, report: &mut Report) {
        let step = match self.post(&[("idempotency-key", key)]).await {
            Ok(reply) if reply.status == 200 && is_same(&reply, answer) => {
                Step::ok("repeat", self.name(), "the same answer").took(reply.took)
            }
            Ok(reply) if reply.status == 200 => self.failed("repeat", "another answer is given"),
            other => self.unexpected("repeat", other),
        };
        report.add(step);
    }

    /// Reports an outcome without a truth: no figure changes by it.
    async fn report_outcome(&mut self, answer: &Reply, report: &mut Report) {
        let outcome = outcome(self.configuration.outcome()).to_string();
        let path = format!("{}/{}/outcome", self.path, answer.text("request"));
        let call = Call { method: "PUT", path: &path, headers: &[], body: &outcome };
        let step = match self.api.call(call).await {
            Ok(reply) if reply.status == 204 => {
                self.asked.reported = self.asked.answered;
                Step::ok("outcome", self.name(), "reported").took(reply.took)
            }
            other => self.unexpected("outcome", other),
        };
        report.add(step);
    }

    async fn post(&self, headers: &[(&'static str, &str)]) -> Result<Reply, String> {
        let headers = [headers, &[("rendezvous-key", self.key.as_str())]].concat();
        let (path, body) = (self.path.as_str(), self.asked.payload.as_str());
        self.api.call(Call { method: "POST", path, headers: &headers, body }).await
    }

    /// Notes the id of a request.
    fn note(&mut self, reply: &Reply) -> Option<RequestId> {
        let id = reply.text("request").parse().ok()?;
        self.asked.requests.push(id);
        Some(id)
    }

    fn name(&self) -> &str {
        self.asked.endpoint.as_str()
    }

    fn failed(&self, step: &str, detail: impl Into<String>) -> Step {
        Step::failed(step, self.name(), detail)
    }

    fn unexpected(&self, step: &str, reply: Result<Reply, String>) -> Step {
        match reply {
            Ok(reply) => refused(step, self.name(), &reply),
            Err(error) => self.failed(step, error),
        }
    }

    /// A step that failed because no model answered.
    fn without_model(&self, step: &str, reply: &Reply) -> Step {
        let failures = reply.body["failures"].as_array().into_iter().flatten();
        let failures: Vec<String> = failures
            .map(|failure| {
                let text = |field: &str| failure[field].as_str().unwrap_or_default();
                format!("{} {} {}", text("model"), text("kind"), text("message")).trim().to_owned()
            })
            .collect();
        let detail = format!("no model answered: {}", failures.join("; "));
        self.failed(step, detail).advise(format!(
            "a model that fails: is the payload one that it accepts? Pass --payload {}=FILE. A silent \
             one: is it deployed, for this endpoint, and is its mapping enabled? See its logs",
            self.name()
        ))
    }
}

fn is_by_model(reply: &Reply) -> bool {
    reply.status == 200 && reply.body["model"].is_string()
}

fn by(reply: &Reply) -> String {
    format!("by {}, {}", reply.text("model"), reply.text("reason"))
}

/// Whether two answers tell the same decision.
fn is_same(one: &Reply, other: &Reply) -> bool {
    ["request", "score", "model", "kind", "reason", "config"]
        .iter()
        .all(|field| one.body[field] == other.body[field])
}

/// An outcome in which `pointer` leads to null.
fn outcome(pointer: Option<&str>) -> Value {
    let parts: Vec<&str> = pointer.unwrap_or_default().split('/').skip(1).collect();
    let mut outcome = if parts.is_empty() { json!("rendezvousctl verify") } else { Value::Null };
    for part in parts.into_iter().rev() {
        let name = part.replace("~1", "/").replace("~0", "~");
        outcome = json!({ name: outcome });
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_has_something_where_the_configuration_points() {
        for pointer in ["/late", "/a/b~1c", "/a/0"] {
            let outcome = outcome(Some(pointer));
            assert_eq!(outcome.pointer(pointer), Some(&Value::Null), "{outcome}");
        }
        assert_eq!(outcome(None), "rendezvousctl verify");
    }
}
