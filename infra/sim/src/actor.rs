use std::{
    future::poll_fn,
    hash::Hasher,
    pin::pin,
    sync::atomic::{AtomicI64, Ordering},
};

use rendezvous_core::{clock::with_clock_ahead, random::as_actor};
use siphasher::sip::SipHasher24;

/// Whose code runs: a function or a service. It keys the random draws of that code and says how far
/// its clock is ahead.
#[derive(Debug)]
pub struct Actor {
    name: String,
    key: u64,
    ahead_us: AtomicI64,
}

impl Actor {
    /// An actor whose clock is right. Actors of one name make the same draws.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        let mut hasher = SipHasher24::new();
        hasher.write(name.as_bytes());
        Self { key: hasher.finish(), name, ahead_us: AtomicI64::new(0) }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Puts the actor's clock ahead by so many microseconds (negative: behind). Without a simulated
    /// clock it changes nothing.
    pub fn set_clock_ahead(&self, ahead_us: i64) {
        self.ahead_us.store(ahead_us, Ordering::Relaxed);
    }

    /// Runs `future` as this actor.
    pub async fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let poll = poll_fn(|context| {
            let ahead_us = self.ahead_us.load(Ordering::Relaxed);
            as_actor(self.key, || with_clock_ahead(ahead_us, || future.as_mut().poll(context)))
        });
        poll.await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rendezvous_core::{clock, now, random};
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn actors_that_take_turns_keep_their_own_clocks_and_draws() {
        clock::simulate(now());
        let _seed = random::seed(1);
        let (start, second) = (now(), Duration::from_secs(1));
        let (one, two) = (Actor::new("one"), Actor::new("two"));
        two.set_clock_ahead(-5_000_000);
        let work = async || {
            sleep(second).await;
            (random::bytes::<8>("id", ""), random::bytes::<8>("id", "x"), now())
        };
        let (a, b) = tokio::join!(one.run(work()), two.run(work()));
        assert!(a.0 != b.0 && a.1 != b.1);
        assert_eq!((a.2, b.2), (start + second, start + second - 5 * second));
        let again = Actor::new("one").run(work()).await;
        assert_eq!(again.1, a.1, "a draw depends on the actor's name and the subject");
    }
}
