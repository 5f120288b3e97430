//! How wrong a value was, once the outcome is known. Lower is better.

/// The Brier score: the squared difference of value and outcome, both between 0 and 1. Between 0
/// and 1 itself. Brier 1950, "Verification of forecasts expressed in terms of probability", Monthly
/// Weather Review 78 (1).
pub fn brier(value: f64, outcome: f64) -> f64 {
    (value - outcome).powi(2)
}

/// The logarithmic loss in nats, not more than `clip`: value and outcome are between 0 and 1. A
/// value of 0 for what happens would otherwise cost infinitely much, and no interval would be
/// finite.
pub fn log_loss(value: f64, outcome: f64, clip: f64) -> f64 {
    let part = |share: f64, of: f64| if share > 0.0 { -share * of.ln() } else { 0.0 };
    (part(outcome, value) + part(1.0 - outcome, 1.0 - value)).min(clip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_of_a_certain_value_are_zero_or_greatest() {
        assert!((brier(1.0, 1.0), brier(0.0, 1.0)) == (0.0, 1.0));
        assert!((log_loss(1.0, 1.0, 5.0), log_loss(0.0, 1.0, 5.0)) == (0.0, 5.0));
        assert!((log_loss(0.0, 0.0, 5.0), log_loss(1.0, 0.0, 5.0)) == (0.0, 5.0));
        assert!((log_loss(0.5, 1.0, 5.0) - 2_f64.ln()).abs() < 1e-12);
    }
}
