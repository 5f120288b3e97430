//! An actor's connections to the ports. Every call of a port goes through here, so that here is
//! where calls are traced, witnessed, and go wrong.

mod ledger;
mod past;
mod payloads;
mod stream;
mod tables;

use std::{
    fmt::Debug,
    hash::{DefaultHasher, Hash, Hasher},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use rendezvous_core::{RequestId, Unavailable, memory::Trouble};
use tokio::time::sleep;

pub(crate) use past::Past;

use crate::{
    Actor, Conditions,
    fault::Fault,
    step::{Dependency, Step},
    weather::{Occasion, Outage, Weather, pick},
};

/// How long a client of the AWS SDK waits for an answer before it gives up.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest that a call is slow.
const SLOWEST_MS: f64 = 500.0;

/// The longest that a sandbox is frozen, and the longest jump of a clock.
const LONGEST_FREEZE_MS: f64 = 240_000.0;
const LONGEST_JUMP_MS: f64 = 2_000.0;

/// One actor's connection to a port.
#[derive(Debug)]
pub struct Link<P> {
    port: Arc<P>,
    actor: Arc<Actor>,
    conditions: Conditions,
    past: Arc<Past>,
}

impl<P> Link<P> {
    pub(crate) fn new(port: Arc<P>, actor: &Arc<Actor>, conditions: &Conditions) -> Arc<Self> {
        Self::with_past(port, actor, conditions, &Arc::default())
    }

    /// `past` is what stale reads of this port see; all links to a port share it.
    pub(crate) fn with_past(
        port: Arc<P>,
        actor: &Arc<Actor>,
        conditions: &Conditions,
        past: &Arc<Past>,
    ) -> Arc<Self> {
        let (actor, past) = (actor.clone(), past.clone());
        Arc::new(Self { port, actor, conditions: conditions.clone(), past })
    }

    pub(crate) fn port(&self) -> &P {
        &self.port
    }

    /// Takes a step that calls nothing outside.
    pub(crate) async fn step<T>(
        &self,
        step: Step,
        about: impl Debug,
        work: Pin<&mut impl Future<Output = T>>,
    ) -> T {
        let Some(weather) = self.weather() else { return work.await };
        let mut hasher = DefaultHasher::new();
        (self.actor.function(), format!("{about:?}")).hash(&mut hasher);
        let occasion = weather.occasion(step, hasher.finish());
        let begin = Begin::of(&self.actor, occasion);
        // Nothing outside can be unavailable.
        let _ = self.reach(occasion).await;
        let result = work.await;
        self.leave(occasion).await;
        begin.end();
        result
    }

    /// Whether a call is nothing but that.
    fn is_plain(&self) -> bool {
        let Conditions { trace, weather, witness } = &self.conditions;
        trace.is_none() && weather.is_none() && witness.is_none()
    }

    fn weather(&self) -> Option<&Weather> {
        self.conditions.weather.as_deref()
    }

    /// Makes a call under the weather and traces it. `make` makes it, once or more often; `fail`
    /// says in the terms of the port that it has failed.
    async fn call<T, E, F>(
        &self,
        occasion: Option<Occasion<'_>>,
        name: impl Fn() -> String,
        make: impl Fn() -> F,
        fail: impl Fn(Unavailable) -> E,
    ) -> Result<T, E>
    where
        T: Debug + Send + 'static,
        E: Debug + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        self.conditions.trace(&self.actor, &name);
        let result = match occasion {
            None => make().await,
            Some(occasion) => {
                let begin = Begin::of(&self.actor, occasion);
                let result = self.under_weather(occasion, make, fail).await;
                begin.end();
                result
            }
        };
        self.conditions.trace(&self.actor, || format!("{} returned {result:?}", name()));
        result
    }

    async fn under_weather<T, E, F>(
        &self,
        occasion: Occasion<'_>,
        make: impl Fn() -> F,
        fail: impl Fn(Unavailable) -> E,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let step = occasion.step;
        if let Err(unavailable) = self.reach(occasion).await {
            return Err(fail(unavailable));
        }
        let Flight { before, after, slow } = Flight::of(occasion);
        if slow {
            self.say(Fault::Slow);
        }
        let mut result = if slow && step.is_write() {
            // It is on its way, even if the caller gives up or dies.
            let call = make();
            let call = tokio::spawn(async move {
                sleep(before).await;
                call.await
            });
            match call.await {
                Ok(result) => result,
                // The run has ended.
                Err(_) => std::future::pending().await,
            }
        } else {
            pause(before).await;
            make().await
        };
        if occasion.meets(Fault::SentAgain) {
            self.say(Fault::SentAgain);
            pause(before).await;
            result = make().await;
        }
        pause(after).await;
        self.leave(occasion).await;
        if occasion.meets(Fault::LostAnswer) {
            self.say(Fault::LostAnswer);
            let name = step.dependency().map_or("", Dependency::name);
            return Err(fail(Unavailable::timed_out(name, "the answer is lost")));
        }
        result
    }

    /// What can go wrong before a call takes effect.
    async fn reach(&self, occasion: Occasion<'_>) -> Result<(), Unavailable> {
        if occasion.meets(Fault::DiesBefore) {
            self.say(Fault::DiesBefore);
            self.actor.die::<()>().await;
        }
        self.disturb(occasion, 0).await;
        let Some(dependency) = occasion.step.dependency() else { return Ok(()) };
        let mut trouble = occasion.weather.trouble(dependency);
        if trouble == Trouble::None && occasion.begins_outage() {
            trouble = self.outage(occasion, dependency);
        }
        if trouble != Trouble::None {
            self.say(Fault::Outage);
            occasion.weather.tally().met(Fault::Outage, occasion.step);
        }
        let name = dependency.name();
        match trouble {
            Trouble::None => {}
            Trouble::Throttled => return Err(Unavailable::throttled(name, "outage")),
            Trouble::Down => return Err(Unavailable::down(name, "outage")),
            Trouble::Slow(by) => sleep(by).await,
            Trouble::Hanging => {
                sleep(CLIENT_TIMEOUT).await;
                return Err(Unavailable::timed_out(name, "outage"));
            }
        }
        if occasion.meets(Fault::Throttled) {
            self.say(Fault::Throttled);
            return Err(Unavailable::throttled(name, "by chance"));
        }
        Ok(())
    }

    /// Begins an outage, which ends by itself.
    fn outage(&self, occasion: Occasion<'_>, dependency: Dependency) -> Trouble {
        let Outage { trouble, length } =
            Outage::of(occasion.draw(Fault::Outage, 1), occasion.draw(Fault::Outage, 2));
        if let Some(weather) = self.conditions.weather.clone() {
            weather.set_trouble(dependency, trouble);
            tokio::spawn(async move {
                sleep(length).await;
                weather.set_trouble(dependency, Trouble::None);
            });
        }
        trouble
    }

    /// What can go wrong after a call has taken effect.
    async fn leave(&self, occasion: Occasion<'_>) {
        if occasion.meets(Fault::DiesAfter) {
            self.say(Fault::DiesAfter);
            self.actor.die::<()>().await;
        }
        self.disturb(occasion, 1).await;
    }

    /// The sandbox is frozen or its clock jumps; `moment` is before (0) or after (1) the effect.
    async fn disturb(&self, occasion: Occasion<'_>, moment: u64) {
        let now = |fault| (occasion.draw(fault, 1) < 0.5) == (moment == 0);
        if now(Fault::Freeze) && occasion.meets(Fault::Freeze) {
            self.say(Fault::Freeze);
            // From milliseconds to minutes, each order of magnitude as likely as every other.
            let ms = LONGEST_FREEZE_MS.powf(occasion.draw(Fault::Freeze, 2));
            self.actor.freeze(Duration::from_secs_f64(ms / 1e3));
            tokio::task::yield_now().await;
        }
        if now(Fault::ClockJump) && occasion.meets(Fault::ClockJump) {
            self.say(Fault::ClockJump);
            let us = LONGEST_JUMP_MS * 1e3 * (occasion.draw(Fault::ClockJump, 2) * 2.0 - 1.0);
            #[expect(clippy::cast_possible_truncation, reason = "a few millions")]
            self.actor.jump(us as i64);
        }
    }

    /// Something goes wrong.
    fn say(&self, fault: Fault) {
        if let Some(witness) = &self.conditions.witness {
            witness.troubles(&self.actor);
        }
        self.conditions.trace(&self.actor, || format!("! {}", fault.name()));
    }
}

/// A step that has begun.
struct Begin<'a> {
    actor: &'a Actor,
    occasion: Occasion<'a>,
}

impl<'a> Begin<'a> {
    fn of(actor: &'a Actor, occasion: Occasion<'a>) -> Self {
        occasion.weather.tally().step(occasion.step);
        Self { actor, occasion }
    }

    fn end(self) {
        if self.actor.clock_ahead() != 0 {
            self.occasion.weather.tally().met(Fault::ClockOff, self.occasion.step);
        }
    }
}

/// How long a call is on its way.
struct Flight {
    before: Duration,
    after: Duration,
    slow: bool,
}

impl Flight {
    fn of(occasion: Occasion<'_>) -> Self {
        if occasion.weather.shares().of(Fault::Slow) == 0.0 {
            return Self { before: Duration::ZERO, after: Duration::ZERO, slow: false };
        }
        let draw = |detail| occasion.draw(Fault::Slow, detail);
        let slow = occasion.meets(Fault::Slow);
        if slow {
            let total = SLOWEST_MS * draw(1);
            let before = total * draw(2);
            let ms = |ms: f64| Duration::from_secs_f64(ms / 1e3);
            return Self { before: ms(before), after: ms(total - before), slow };
        }
        // Whole milliseconds, as timers are; often nothing.
        let ms = |detail, end| Duration::from_millis(pick(draw(detail), end) as u64);
        Self { before: ms(1, 4), after: ms(2, 2), slow }
    }
}

async fn pause(duration: Duration) {
    if !duration.is_zero() {
        sleep(duration).await;
    }
}

/// What the draws about a request are keyed by.
fn subject(id: RequestId) -> u64 {
    // The first half has the time in it.
    let mut random = [0; 8];
    random.copy_from_slice(&id.as_bytes()[8..]);
    u64::from_le_bytes(random)
}
