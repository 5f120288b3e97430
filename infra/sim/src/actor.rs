use std::{
    future::{pending, poll_fn},
    hash::Hasher,
    pin::Pin,
    sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed},
    task::Poll,
    time::Duration,
};

use rendezvous_core::{clock::with_clock_ahead, random::as_actor};
use siphasher::sip::SipHasher24;
use tokio::{
    sync::Notify,
    time::{Instant, Sleep, sleep_until},
};

/// What an actor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    Ingress,
    Rendezvous,
    Model,
    Decoy,
    Monitor,
    /// A service.
    Other,
}

/// Whose code runs: an instance of a function, or a service. It keys the random draws of that code,
/// says how far its clock is ahead, and may be frozen or die.
#[derive(Debug)]
pub struct Actor {
    name: String,
    role: Role,
    key: u64,
    ahead_us: AtomicI64,
    born: Instant,
    /// In microseconds since `born`.
    frozen_until: AtomicU64,
    /// How often it was frozen and how often its clock has jumped.
    freezes: AtomicU32,
    jumps: AtomicU32,
    dead: AtomicBool,
    died: Notify,
}

impl Actor {
    /// An actor whose clock is right. Actors of one name make the same draws.
    pub fn new(role: Role, name: impl Into<String>) -> Self {
        let name = name.into();
        let mut hasher = SipHasher24::new();
        hasher.write(name.as_bytes());
        Self {
            key: hasher.finish(),
            name,
            role,
            ahead_us: AtomicI64::new(0),
            born: Instant::now(),
            frozen_until: AtomicU64::new(0),
            freezes: AtomicU32::new(0),
            jumps: AtomicU32::new(0),
            dead: AtomicBool::new(false),
            died: Notify::new(),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of the function that it is an instance of.
    pub fn function(&self) -> &str {
        self.name.split('#').next().unwrap_or_default()
    }

    pub fn role(&self) -> Role {
        self.role
    }

    pub(crate) fn key(&self) -> u64 {
        self.key
    }

    /// Puts the actor's clock ahead by so many microseconds (negative: behind). Without a simulated
    /// clock it changes nothing.
    pub fn set_clock_ahead(&self, ahead_us: i64) {
        self.ahead_us.store(ahead_us, Relaxed);
    }

    pub fn clock_ahead(&self) -> i64 {
        self.ahead_us.load(Relaxed)
    }

    /// The actor's clock jumps by so many microseconds.
    pub fn jump(&self, by_us: i64) {
        self.ahead_us.fetch_add(by_us, Relaxed);
        self.jumps.fetch_add(1, Relaxed);
    }

    /// Its code does not run for so long; then it goes on as if nothing had happened.
    pub fn freeze(&self, duration: Duration) {
        let until = u64::try_from((self.born.elapsed() + duration).as_micros()).unwrap_or(u64::MAX);
        self.frozen_until.fetch_max(until, Relaxed);
        self.freezes.fetch_add(1, Relaxed);
    }

    /// It goes on now.
    pub fn thaw(&self) {
        self.frozen_until.store(0, Relaxed);
    }

    /// How often it was frozen, and how often its clock has jumped.
    pub fn disturbances(&self) -> (u32, u32) {
        (self.freezes.load(Relaxed), self.jumps.load(Relaxed))
    }

    /// It ends: its code never runs again.
    pub async fn die<T>(&self) -> T {
        self.dead.store(true, Relaxed);
        self.died.notify_one();
        pending().await
    }

    /// Waits until it has died.
    pub async fn died(&self) {
        while !self.dead.load(Relaxed) {
            self.died.notified().await;
        }
    }

    fn frozen_until(&self) -> Option<Instant> {
        let until = self.frozen_until.load(Relaxed);
        if until == 0 {
            return None;
        }
        let until = self.born + Duration::from_micros(until);
        (Instant::now() < until).then_some(until)
    }

    /// Runs `future` as this actor. It is pinned by the caller, so that it is not moved again: it may be large.
    pub async fn run<T>(&self, mut future: Pin<&mut impl Future<Output = T>>) -> T {
        let mut thaw: Option<Pin<Box<Sleep>>> = None;
        let poll = poll_fn(|context| {
            while let Some(until) = self.frozen_until() {
                let thaw = thaw.get_or_insert_with(|| Box::pin(sleep_until(until)));
                if thaw.deadline() != until {
                    thaw.as_mut().reset(until);
                }
                if thaw.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
            }
            let ahead_us = self.ahead_us.load(Relaxed);
            as_actor(self.key, || with_clock_ahead(ahead_us, || future.as_mut().poll(context)))
        });
        poll.await
    }
}
