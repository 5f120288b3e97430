//! Which faults happen when: a function of the seed.

use std::{
    collections::HashMap,
    hash::{Hash, Hasher},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use foldhash::fast::FixedState;
use rendezvous_core::{memory::Trouble, random};
use siphasher::sip::SipHasher13;

use crate::{
    fault::{Fault, Shares},
    step::{Dependency, Step},
    tally::Tally,
};

const LONGEST_OUTAGE_MS: f64 = 8_000.0;

/// Which faults happen. Each draw is keyed by the step, by what the step is about, and by how often
/// that step was taken before, so that another share of one fault changes no other draw.
#[derive(Debug)]
pub struct Weather {
    key: (u64, u64),
    shares: Shares,
    calm: AtomicBool,
    troubles: Mutex<[Trouble; Dependency::ALL.len()]>,
    /// The current version of the configuration.
    version: AtomicU64,
    /// Looked up at every step.
    taken: Mutex<Taken>,
    tally: Tally,
}

/// How often each step was taken about each subject, and what of this was counted before the last
/// [`Weather::forget`].
#[derive(Debug, Default)]
struct Taken {
    counts: HashMap<(Step, u64), u32, FixedState>,
    before: HashMap<(Step, u64), u32, FixedState>,
}

impl Weather {
    /// The weather of this seed. Without a seed it is another each time.
    pub fn new(shares: Shares) -> Self {
        let key = |purpose| u64::from_le_bytes(random::bytes(purpose, "weather"));
        Self {
            key: (key("faults"), key("details")),
            shares,
            calm: AtomicBool::new(false),
            troubles: Mutex::default(),
            version: AtomicU64::new(0),
            taken: Mutex::default(),
            tally: Tally::default(),
        }
    }

    pub fn shares(&self) -> &Shares {
        &self.shares
    }

    /// From here on nothing goes wrong.
    pub fn calm_down(&self) {
        self.calm.store(true, Relaxed);
        for dependency in Dependency::ALL {
            self.set_trouble(*dependency, Trouble::None);
        }
    }

    pub fn is_calm(&self) -> bool {
        self.calm.load(Relaxed)
    }

    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Begins or ends an outage.
    pub fn set_trouble(&self, dependency: Dependency, trouble: Trouble) {
        if trouble == Trouble::None || !self.is_calm() {
            lock(&self.troubles)[dependency as usize] = trouble;
        }
    }

    pub fn trouble(&self, dependency: Dependency) -> Trouble {
        lock(&self.troubles)[dependency as usize]
    }

    /// Another version of the configuration is current.
    pub(crate) fn published(&self, version: u64) {
        self.version.store(version, Relaxed);
    }

    /// A request under this version of the configuration is handled.
    pub(crate) fn handles(&self, version: u64, step: Step) {
        if version < self.version.load(Relaxed) && Fault::Publication.can_meet(step) {
            self.tally.met(Fault::Publication, step);
        }
    }

    /// A step that is taken about `subject`.
    pub(crate) fn occasion(&self, step: Step, subject: u64) -> Occasion<'_> {
        let taken = {
            let Taken { counts, before } = &mut *lock(&self.taken);
            let known = |key: &_| before.get(key).copied().unwrap_or_default();
            let count = counts.entry((step, subject)).or_insert_with_key(known);
            *count += 1;
            *count
        };
        Occasion { weather: self, step, taken, bits: self.bits(&(step, subject, taken)) }
    }

    /// Forgets of every subject about which no step was taken since the last time.
    pub(crate) fn forget(&self) {
        let taken = &mut *lock(&self.taken);
        taken.before = std::mem::take(&mut taken.counts);
    }

    /// A draw about something that is no step, in [0, 1).
    pub(crate) fn draw(&self, subject: impl Hash) -> f64 {
        fraction(self.bits(&subject))
    }

    fn bits(&self, subject: &impl Hash) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.key.0, self.key.1);
        subject.hash(&mut hasher);
        hasher.finish()
    }
}

/// One step that is taken, with its draws.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Occasion<'a> {
    pub(crate) weather: &'a Weather,
    pub(crate) step: Step,
    taken: u32,
    bits: u64,
}

impl Occasion<'_> {
    /// How often this step was taken about its subject, this time included.
    pub(crate) fn attempt(&self) -> u32 {
        self.taken
    }

    /// Whether a fault happens now. It counts as met.
    pub(crate) fn meets(&self, fault: Fault) -> bool {
        let share = self.weather.shares.at(fault, self.step);
        let happens = share > 0.0
            && fault.can_meet(self.step)
            && !self.weather.is_calm()
            && self.draw(fault, 0) < share;
        if happens {
            self.weather.tally.met(fault, self.step);
        }
        happens
    }

    /// Whether an outage of what is called begins now. Whoever meets it counts it.
    pub(crate) fn begins_outage(&self) -> bool {
        self.step.may_begin_outage()
            && !self.weather.is_calm()
            && self.draw(Fault::Outage, 0) < self.weather.shares.at(Fault::Outage, self.step)
    }

    /// A draw in [0, 1) about a detail of a fault; 0 is whether it happens.
    pub(crate) fn draw(&self, fault: Fault, detail: u64) -> f64 {
        // SplitMix64's finalizer: the bits are already a good hash.
        let mut bits =
            self.bits ^ (((fault as u64) << 8 | detail) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        fraction(bits ^ (bits >> 31))
    }
}

/// An outage of a dependency.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outage {
    pub(crate) trouble: Trouble,
    pub(crate) length: Duration,
}

impl Outage {
    /// Two draws say of which kind and how long it is.
    pub(crate) fn of(kind: f64, length: f64) -> Self {
        let trouble = match kind {
            ..0.4 => Trouble::Down,
            ..0.7 => Trouble::Throttled,
            _ => Trouble::Hanging,
        };
        let ms = LONGEST_OUTAGE_MS.powf(0.4 + 0.6 * length);
        Self { trouble, length: Duration::from_secs_f64(ms / 1e3) }
    }
}

/// A poisoned lock is used all the same: every section under these locks is one operation.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One of the numbers from 0 to `count` - 1, where `draw` is in [0, 1).
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to a count")]
pub(crate) fn pick(draw: f64, count: usize) -> usize {
    (draw * count as f64) as usize
}

/// 53 bits: the precision of a double.
fn fraction(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}
