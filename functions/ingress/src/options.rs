//! What a client may say about a request, and the envelope that it gives the request.

use std::time::Duration;

use rendezvous_core::{
    Endpoint, Envelope, Key, RequestId, Schedule, Timestamp,
    limits::{MAX_ASYNC_DEADLINE, MAX_DEADLINE},
};

use crate::Refusal;

/// What a client may say about one request beside its payload.
#[derive(Clone, Debug, Default)]
pub struct RequestOptions {
    /// A deadline of the client's own, from receipt.
    pub deadline: Option<Duration>,
    /// Return at once; the decision is read later.
    pub respond_async: bool,
    /// A repeat with the same key gets the same answer.
    pub idempotency_key: Option<String>,
    /// The partition key; by default the request's id.
    pub key: Option<Key>,
    /// W3C trace context.
    pub traceparent: Option<String>,
}

impl RequestOptions {
    /// A deadline of the client's own is at most 29 s, or 15 minutes for an asynchronous request.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let longest = if self.respond_async { MAX_ASYNC_DEADLINE } else { MAX_DEADLINE };
        match self.deadline {
            Some(deadline) if deadline > longest => Err(Refusal::Malformed(format!(
                "The deadline is {} ms; it must be at most {} ms, or {} ms with Prefer: respond-async.",
                deadline.as_millis(),
                MAX_DEADLINE.as_millis(),
                MAX_ASYNC_DEADLINE.as_millis(),
            ))),
            _ => Ok(()),
        }
    }

    /// Whether the mailbox is opened before the request is sent.
    pub(crate) fn opens(&self) -> bool {
        self.idempotency_key.is_some() || self.respond_async
    }

    /// How long after its receipt a request of a schedule is due.
    fn allowed(&self, schedule: &Schedule) -> Duration {
        let allowed = match self.deadline {
            // Nobody waits, so the client may allow the models more time than the schedule does.
            Some(deadline) if self.respond_async => deadline,
            Some(deadline) => deadline.min(schedule.deadline()),
            None => schedule.deadline(),
        };
        // `wait=0` means the shortest deadline.
        allowed.max(Duration::from_millis(1))
    }

    /// When a request is due at the earliest, whatever its arm is.
    pub(crate) fn earliest(&self, endpoint: &Endpoint, received: Timestamp) -> Timestamp {
        let arms = endpoint.configuration.arms();
        let earliest = arms.map(|(_, schedule)| self.allowed(schedule)).min();
        received + earliest.unwrap_or(MAX_DEADLINE)
    }

    /// The envelope of a request with these options.
    pub(crate) fn envelope(
        &self,
        id: RequestId,
        endpoint: &Endpoint,
        received: Timestamp,
    ) -> Envelope {
        let key = self.key.clone().unwrap_or_else(|| id.to_key());
        let Endpoint { name, version, configuration } = endpoint;
        let arm = configuration.assign(name, &key);
        let deadline = received + self.allowed(configuration.schedule(&arm));
        Envelope {
            id,
            endpoint: name.clone(),
            config: *version,
            arm,
            skip: configuration.skips(name, &key),
            key,
            received,
            deadline,
            traceparent: self.traceparent.clone(),
            replay: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use rendezvous_core::{Arm, ArmPlan, Configuration, Draft};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_deadline_is_at_most_29_seconds_or_15_minutes_when_nobody_waits() {
        let check = |seconds: u32, respond_async| {
            let deadline = Some(SECOND * seconds);
            RequestOptions { deadline, respond_async, ..RequestOptions::default() }.check()
        };
        assert_eq!(check(29, false), Ok(()));
        assert!(matches!(check(30, false), Err(Refusal::Malformed(_))));
        assert_eq!(check(15 * 60, true), Ok(()));
        assert!(matches!(check(15 * 60 + 1, true), Err(Refusal::Malformed(_))));
    }

    #[test]
    fn a_request_is_due_at_the_earliest_by_the_schedule_that_ends_first() {
        let schedule = |deadline_ms: u32| {
            let text = format!(r#"{{"choices":[{{"model":"a@1"}}],"deadline_ms":{deadline_ms}}}"#);
            serde_json::from_str::<Schedule>(&text).unwrap()
        };
        let mut draft = Draft::new(schedule(3_000));
        draft.arms.push(ArmPlan {
            name: "quick".parse().unwrap(),
            schedule: schedule(1_000),
            steps: vec![rendezvous_core::Share::ALL],
            step: 0,
            guard: None,
        });
        let configuration = Configuration::new(draft).unwrap();
        assert_eq!(configuration.schedule(&Arm::main()).deadline(), SECOND * 3);
        let endpoint = Endpoint { name: "e".parse().unwrap(), version: 1, configuration };
        let received = Timestamp::from_micros(5);
        let earliest = |deadline| {
            let options = RequestOptions { deadline, ..RequestOptions::default() };
            options.earliest(&endpoint, received)
        };
        assert_eq!(earliest(None), received + SECOND);
        assert_eq!(earliest(Some(SECOND / 2)), received + SECOND / 2);
        assert_eq!(earliest(Some(SECOND * 2)), received + SECOND);
    }
}
