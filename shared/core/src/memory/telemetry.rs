use std::sync::Mutex;

use super::lock;
use crate::ports::Telemetry;

/// Keeps every report. For tests: it grows without bound.
#[derive(Debug)]
pub struct MemoryTelemetry<Report>(Mutex<Vec<Report>>);

impl<Report> Default for MemoryTelemetry<Report> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<Report: Clone> MemoryTelemetry<Report> {
    /// Every report so far, oldest first.
    pub fn reports(&self) -> Vec<Report> {
        lock(&self.0).clone()
    }

    /// The latest report.
    pub fn last(&self) -> Option<Report> {
        lock(&self.0).last().cloned()
    }
}

impl<Report: Clone + Send + 'static> Telemetry<Report> for MemoryTelemetry<Report> {
    fn record(&self, report: &Report) {
        lock(&self.0).push(report.clone());
    }
}
