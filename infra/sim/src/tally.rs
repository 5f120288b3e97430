//! How often each fault met each step of the protocol.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::{fault::Fault, step::Step};

const FAULTS: usize = Fault::ALL.len();
const STEPS: usize = Step::ALL.len();

/// Counts steps, and faults at steps.
#[derive(Debug)]
pub struct Tally {
    steps: [AtomicU64; STEPS],
    met: [[AtomicU64; STEPS]; FAULTS],
}

impl Default for Tally {
    fn default() -> Self {
        let zeros = || std::array::from_fn(|_| AtomicU64::new(0));
        Self { steps: zeros(), met: std::array::from_fn(|_| zeros()) }
    }
}

impl Tally {
    pub(crate) fn step(&self, step: Step) {
        self.steps[step as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn met(&self, fault: Fault, step: Step) {
        self.met[fault as usize][step as usize].fetch_add(1, Relaxed);
    }

    /// How often the fault met the step.
    pub fn of(&self, fault: Fault, step: Step) -> u64 {
        self.met[fault as usize][step as usize].load(Relaxed)
    }

    /// How often the step was taken.
    pub fn taken(&self, step: Step) -> u64 {
        self.steps[step as usize].load(Relaxed)
    }

    /// Adds the counts of another.
    pub fn add(&self, other: &Self) {
        for step in Step::ALL {
            self.steps[*step as usize].fetch_add(other.taken(*step), Relaxed);
            for fault in Fault::ALL {
                let met = other.of(*fault, *step);
                self.met[*fault as usize][*step as usize].fetch_add(met, Relaxed);
            }
        }
    }
}

/// A line for each fault and a column for each step, `-` where they cannot meet.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in Step::ALL.iter().enumerate() {
            writeln!(f, "  {:2}  {:22}{:>12} times", number + 1, step.name(), self.taken(*step))?;
        }
        write!(f, "{:15}", "fault \\ step")?;
        for number in 1..=STEPS {
            write!(f, "{number:>8}")?;
        }
        for fault in Fault::ALL {
            write!(f, "\n{:15}", fault.name())?;
            for step in Step::ALL {
                if fault.can_meet(*step) {
                    write!(f, "{:>8}", self.of(*fault, *step))?;
                } else {
                    write!(f, "{:>8}", "-")?;
                }
            }
        }
        writeln!(f)
    }
}
