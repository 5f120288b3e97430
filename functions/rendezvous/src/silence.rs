use std::{
    collections::{BinaryHeap, HashMap},
    time::Duration,
};

use rendezvous_core::{
    Envelope, ModelId, RequestId, Schedule, Timestamp,
    mutation::{Mutation, mutated},
};

use crate::recent::Recent;

/// How old the last message of a model is at least before the model is presumed silent.
const QUIET_FOR: Duration = Duration::from_secs(3);

/// What this instance has heard of the models, and which it presumes silent.
///
/// A model is presumed silent when `silent_after` requests that were received after its last message
/// and that others have scored have passed their deadlines, and that message is at least
/// [`QUIET_FOR`] old. A model of which nothing was heard counts from the first message of another.
///
/// All counts are of this instance alone. Lambda promises nothing about which instance gets which
/// batch, so that they can be too low; a new instance presumes nothing.
#[derive(Debug, Default)]
pub(crate) struct Silence {
    models: HashMap<ModelId, Heard>,
    /// So that each request counts once.
    requests: Recent<RequestId>,
}

#[derive(Debug)]
struct Heard {
    last: Timestamp,
    /// The earliest deadlines of requests that others have scored since then, as many as it takes.
    deadlines: BinaryHeap<Timestamp>,
}

impl Silence {
    /// Takes note of a message of `model`: it is not silent.
    pub(crate) fn hear(&mut self, model: &ModelId, now: Timestamp) {
        if let Some(heard) = self.models.get_mut(model) {
            heard.last = now;
            heard.deadlines.clear();
        }
    }

    /// Counts the request that a message of `model` is about, and whose schedule is `schedule`, for the
    /// other choices.
    pub(crate) fn count(
        &mut self,
        model: &ModelId,
        envelope: &Envelope,
        schedule: &Schedule,
        now: Timestamp,
    ) {
        let Some(enough) = schedule.silent_after() else { return };
        if !self.requests.insert(envelope.id) {
            return;
        }
        for choice in schedule.choices().iter().filter(|choice| choice.model != *model) {
            let heard = self.models.entry(choice.model.clone());
            let heard = heard.or_insert_with(|| Heard { last: now, deadlines: BinaryHeap::new() });
            // One that was received before the model's last message says nothing of its silence: a
            // slow model may still send scores of old requests.
            if envelope.received >= heard.last {
                heard.deadlines.push(envelope.deadline);
            }
            while heard.deadlines.len() > enough {
                heard.deadlines.pop();
            }
        }
    }

    /// The choices that are presumed silent at `now`, in order of preference.
    pub(crate) fn presumed(&self, schedule: &Schedule, now: Timestamp) -> Vec<ModelId> {
        let Some(enough) = schedule.silent_after() else { return Vec::new() };
        let silent = |model: &&ModelId| {
            self.models.get(*model).is_some_and(|Heard { last, deadlines }| {
                let passed = deadlines.peek().is_some_and(|latest| *latest <= now);
                let quiet = now.since(*last) >= QUIET_FOR || mutated(Mutation::PresumeEarly);
                deadlines.len() >= enough && passed && quiet
            })
        };
        let choices = schedule.choices().iter().map(|choice| &choice.model);
        choices.filter(silent).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use rendezvous_core::conformance::samples;

    use super::*;

    struct World {
        silence: Silence,
        schedule: Schedule,
        now: Timestamp,
    }

    fn world(silent_after: &str) -> World {
        let text = format!(
            r#"{{"choices":[{{"model":"a@1"}},{{"model":"b@1","after_ms":50}}],"deadline_ms":100{silent_after}}}"#
        );
        let schedule = serde_json::from_str(&text).unwrap();
        World { silence: Silence::default(), schedule, now: Timestamp::from_micros(1_000_000_000) }
    }

    impl World {
        /// A request of which these models send a message.
        fn request(&mut self, models: &[&str]) {
            let envelope = samples::envelope(&samples::endpoint());
            let deadline = self.now + Duration::from_millis(100);
            let envelope =
                Envelope { deadline, received: self.now, ..Arc::unwrap_or_clone(envelope) };
            for model in models {
                let model = model.parse().unwrap();
                self.silence.hear(&model, self.now);
                self.silence.count(&model, &envelope, &self.schedule, self.now);
            }
        }

        fn wait(&mut self, millis: u64) {
            self.now = self.now + Duration::from_millis(millis);
        }

        fn presumed(&self) -> Vec<String> {
            let presumed = self.silence.presumed(&self.schedule, self.now);
            presumed.iter().map(ToString::to_string).collect()
        }
    }

    #[test]
    fn a_model_is_presumed_silent_after_so_many_requests_and_three_seconds() {
        let mut world = world("");
        world.request(&["a@1", "b@1"]);
        for _ in 0..20 {
            world.request(&["b@1"]);
        }
        world.wait(2_999);
        assert!(world.presumed().is_empty(), "its last message is not old enough");
        world.wait(1);
        assert_eq!(world.presumed(), ["a@1"]);
        world.request(&["a@1"]);
        assert!(world.presumed().is_empty(), "its next message ends it");
    }

    #[test]
    fn fewer_requests_or_open_ones_do_not_count() {
        let mut world = world("");
        world.request(&["a@1", "b@1"]);
        for _ in 0..19 {
            world.request(&["b@1", "b@1"]);
        }
        world.wait(60_000);
        assert!(world.presumed().is_empty(), "a request counts once");
        world.request(&["b@1"]);
        assert!(world.presumed().is_empty(), "its deadline has not passed");
        world.wait(100);
        assert_eq!(world.presumed(), ["a@1"]);
    }

    #[test]
    fn a_message_of_a_model_ends_its_count_and_old_requests_do_not_begin_another() {
        let mut world = world("");
        for _ in 0..20 {
            world.request(&["b@1"]);
        }
        world.wait(3_000);
        world.request(&["a@1"]);
        world.wait(3_000);
        assert!(world.presumed().is_empty(), "all of them were before its last message");
        world.now = world.now - Duration::from_secs(4);
        for _ in 0..20 {
            world.request(&["b@1"]);
        }
        world.wait(8_000);
        assert!(world.presumed().is_empty(), "they were received before its last message");
    }

    #[test]
    fn a_model_that_was_never_heard_is_presumed_silent_too() {
        let mut world = world("");
        for _ in 0..20 {
            world.request(&["b@1"]);
        }
        assert!(world.presumed().is_empty(), "a new instance presumes nothing");
        world.wait(3_000);
        assert_eq!(world.presumed(), ["a@1"]);
    }

    #[test]
    fn the_schedule_says_after_how_many_requests_or_never() {
        let mut world = world(r#","silent_after":2"#);
        world.request(&["b@1"]);
        world.request(&["b@1"]);
        world.wait(3_000);
        assert_eq!(world.presumed(), ["a@1"]);
        let mut world = self::world(r#","silent_after":0"#);
        for _ in 0..100 {
            world.request(&["b@1"]);
        }
        world.wait(60_000);
        assert!(world.presumed().is_empty());
    }

    #[test]
    fn a_slow_model_that_still_sends_is_never_presumed_silent() {
        let mut world = world("");
        for second in 0..60 {
            for _ in 0..100 {
                world.request(&["b@1"]);
            }
            world.wait(1_000);
            if second % 2 == 0 {
                world.request(&["a@1"]);
            }
            assert!(world.presumed().is_empty());
        }
    }
}
