use std::time::Duration;

use rendezvous_core::{Arm, EndpointName, Kind, Reason, limits::LATE_AFTER};

/// The report of one request that was decided, or of a call in which none was.
///
/// A call of the Open Inference Protocol may hold several requests. Each is reported by itself. If the
/// call fails for another reason than one of their decisions, its own status is one more report.
#[derive(Clone, Debug)]
pub struct IngressReport {
    /// The HTTP status: that of the call, or the one that the request would have had in a call of its own.
    pub status: u16,
    /// Set when the request was decided, including that there is no answer.
    pub answered: Option<Answered>,
}

/// One request's answer as its client received it.
#[derive(Clone, Debug)]
pub struct Answered {
    pub endpoint: EndpointName,
    pub arm: Arm,
    pub kind: Kind,
    pub reason: Reason,
    pub settled: bool,
    /// The client sent the same idempotency key before and gets the answer of the first call.
    pub repeat: bool,
    /// From the receipt of this call to its answer.
    pub took: Duration,
    /// From the receipt to the deadline, and the part of that at whose end it is settled.
    pub allowed: Duration,
    pub margin: Duration,
}

impl Answered {
    /// The share of its time that it took; 1 is the last read before the deadline.
    pub fn share(&self) -> f64 {
        let usable = self.allowed.saturating_sub(self.margin).max(Duration::from_millis(1));
        self.took.div_duration_f64(usable)
    }

    /// Whether it left more than 5 ms after its deadline.
    pub fn late(&self) -> bool {
        self.took > self.allowed + LATE_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(took_us: u64, allowed_ms: u64) -> Answered {
        Answered {
            endpoint: "e".parse().unwrap(),
            arm: Arm::main(),
            kind: Kind::Champion,
            reason: Reason::Preferred,
            settled: true,
            repeat: false,
            took: Duration::from_micros(took_us),
            allowed: Duration::from_millis(allowed_ms),
            margin: Duration::from_millis(20),
        }
    }

    #[test]
    fn an_answer_is_late_that_leaves_more_than_5_ms_after_its_deadline() {
        assert!(!answered(105_000, 100).late());
        assert!(answered(105_001, 100).late());
        assert!(!answered(50_000, 100).late());
    }

    #[test]
    fn all_of_its_time_ends_a_margin_before_the_deadline() {
        let shares = [answered(40_000, 100).share(), answered(80_000, 100).share()];
        assert_eq!(shares.map(|share| share.to_string()), ["0.5", "1"]);
        let shorter_than_the_margin = answered(2_000, 10).share();
        assert_eq!(shorter_than_the_margin.to_string(), "2");
    }
}
