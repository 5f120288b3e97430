//! Randomness: the one source of ids and jitter.
//!
//! In production it is the operating system's entropy. A simulation seeds it on its own thread with
//! [`seed`]; every draw is then a function of the seed, the actor, the purpose and the subject, so
//! that a run can be repeated and a draw that is added or left out changes no other.

use std::{
    cell::RefCell,
    collections::HashMap,
    hash::{Hash, Hasher},
    marker::PhantomData,
};

use siphasher::sip::SipHasher24;

thread_local! {
    static SEEDED: RefCell<Option<Seeded>> = const { RefCell::new(None) };
}

struct Seeded {
    seed: u64,
    actor: u64,
    /// How often each (actor, purpose) has drawn without a subject.
    counts: HashMap<(u64, &'static str), u64>,
}

/// `N` random bytes.
///
/// `purpose` says what they are for. `subject` is what they belong to, e.g. a request's id and the
/// number of the attempt; under a seed, equal subjects of one purpose and actor get equal bytes.
/// The empty subject stands for "the next one".
pub fn bytes<const N: usize>(purpose: &'static str, subject: &str) -> [u8; N] {
    let seeded = SEEDED.with_borrow_mut(|seeded| Some(seeded.as_mut()?.draw(purpose, subject)));
    let mut bytes = [0; N];
    match seeded {
        Some(seeded) => bytes.copy_from_slice(&seeded[..N]),
        None => fill_from_system(&mut bytes),
    }
    bytes
}

/// A random number in [0, 1).
pub fn fraction(purpose: &'static str, subject: &str) -> f64 {
    let bits = u64::from_le_bytes(bytes::<8>(purpose, subject)) >> 11;
    // 53 bits: the precision of a double.
    bits as f64 / (1_u64 << 53) as f64
}

#[expect(clippy::disallowed_methods, reason = "the one function that asks the operating system")]
fn fill_from_system(bytes: &mut [u8]) {
    if let Err(error) = getrandom::fill(bytes) {
        // Ids that can be guessed would let callers read the requests of others.
        tracing::error!(%error, "the operating system provides no entropy; the process ends");
        std::process::abort();
    }
}

impl Seeded {
    fn draw(&mut self, purpose: &'static str, subject: &str) -> [u8; 32] {
        let mut hasher = SipHasher24::new_with_keys(self.seed, self.actor);
        purpose.hash(&mut hasher);
        subject.hash(&mut hasher);
        if subject.is_empty() {
            let count = self.counts.entry((self.actor, purpose)).or_default();
            count.hash(&mut hasher);
            *count += 1;
        }
        let mut bytes = [0; 32];
        for chunk in bytes.chunks_mut(8) {
            chunk.len().hash(&mut hasher);
            chunk.copy_from_slice(&hasher.finish().to_le_bytes());
        }
        bytes
    }
}

/// Seeds this thread's randomness until the returned guard is dropped. For simulations and tests
/// only.
#[must_use]
pub fn seed(seed: u64) -> SeedGuard {
    SEEDED.set(Some(Seeded { seed, actor: 0, counts: HashMap::new() }));
    SeedGuard(PhantomData)
}

/// Ends the seeding of its thread when it is dropped.
#[derive(Debug)]
pub struct SeedGuard(PhantomData<*const ()>);

impl Drop for SeedGuard {
    fn drop(&mut self) {
        SEEDED.set(None);
    }
}

/// Runs `section` with draws keyed by `actor`; without a seed it changes nothing.
pub fn as_actor<T>(actor: u64, section: impl FnOnce() -> T) -> T {
    let swap = |actor: u64| {
        SEEDED.with_borrow_mut(|seeded| {
            seeded.as_mut().map(|seeded| std::mem::replace(&mut seeded.actor, actor))
        })
    };
    let former = swap(actor);
    let result = section();
    if let Some(former) = former {
        swap(former);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_every_draw_and_another_seed_none() {
        let draws = |with: u64| {
            let _guard = seed(with);
            [bytes::<16>("id", ""), bytes("id", ""), bytes("id", "r"), bytes("jitter", "r")]
        };
        assert_eq!(draws(1), draws(1));
        let (one, two) = (draws(1), draws(2));
        for (i, draw) in one.iter().enumerate() {
            assert!(!two.contains(draw));
            assert!(!one[..i].contains(draw));
        }
    }

    #[test]
    fn a_further_draw_changes_no_other() {
        let _guard = seed(7);
        let first = bytes::<8>("id", "request 1");
        bytes::<8>("jitter", "request 1, attempt 2");
        assert_eq!(bytes::<8>("id", "request 1"), first);
        assert_ne!(as_actor(3, || bytes::<8>("id", "request 1")), first);
    }

    #[test]
    fn without_a_seed_no_two_draws_are_equal() {
        drop(seed(7));
        assert_ne!(bytes::<16>("id", "r"), bytes::<16>("id", "r"));
        assert!((0.0..1.0).contains(&fraction("jitter", "")));
    }

    #[test]
    fn fractions_are_spread_over_their_range() {
        let _guard = seed(7);
        let below = |limit: f64| (0..1_000).filter(|_| fraction("jitter", "") < limit).count();
        assert!((200..300).contains(&below(0.25)));
        assert!((700..800).contains(&below(0.75)));
    }
}
