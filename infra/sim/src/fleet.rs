//! The instances of a function, as Lambda runs them: each handles one invocation at a time.

use std::{
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use crate::{
    Actor, Conditions,
    actor::Role,
    fault::Fault,
    step::Step,
    weather::{Occasion, Weather, pick},
};

/// An instance with what it holds in memory.
#[derive(Debug)]
pub(crate) struct Instance<F> {
    pub(crate) actor: Arc<Actor>,
    pub(crate) function: F,
}

/// Makes the function of an instance.
type Make<F> = Box<dyn Fn(&Arc<Actor>) -> F + Send + Sync>;

/// The instances of a function. Without weather there is one, which handles any number of
/// invocations at a time.
pub(crate) struct Fleet<F> {
    /// The function as a whole, by its name.
    pub(crate) actor: Arc<Actor>,
    make: Make<F>,
    conditions: Conditions,
    first: Arc<Instance<F>>,
    /// The instances that handle nothing, by number, and how long ago each did; the last is the
    /// one that has handled an invocation most recently.
    idle: Mutex<Vec<Arc<Instance<F>>>>,
    made: AtomicU32,
}

/// How far a clock is ahead or behind, usually and at most. Ingress compares its clock with that of
/// API Gateway, and gets little time to answer where they differ much.
const OFF_US: f64 = 12_000.0;
const FAR_OFF_US: f64 = 2_000_000.0;

impl<F: Send + Sync + 'static> Fleet<F> {
    pub(crate) fn new(
        role: Role,
        name: &str,
        conditions: &Conditions,
        make: impl Fn(&Arc<Actor>) -> F + Send + Sync + 'static,
    ) -> Self {
        let actor = Arc::new(Actor::new(role, name));
        let first = Arc::new(Instance { actor: actor.clone(), function: make(&actor) });
        if let Some(weather) = &conditions.weather {
            set_clock(&actor, weather);
        }
        let idle = Mutex::new(vec![first.clone()]);
        let conditions = conditions.clone();
        Self { actor, make: Box::new(make), conditions, first, idle, made: AtomicU32::new(1) }
    }

    /// Lets an instance do some work in this step; an error says how it has died.
    pub(crate) async fn invoke<T, W>(
        &self,
        step: Step,
        subject: u64,
        work: impl FnOnce(Arc<Instance<F>>) -> W,
    ) -> Result<T, &'static str>
    where
        W: Future<Output = T>,
    {
        let Some(weather) = &self.conditions.weather else {
            let work = pin!(work(self.first.clone()));
            return Ok(self.actor.run(work).await);
        };
        let occasion = weather.occasion(step, subject);
        weather.tally().step(step);
        let instance = self.take(occasion);
        let actor = &instance.actor;
        if occasion.meets(Fault::DiesBefore) {
            self.conditions.trace(actor, || "! dies-before");
            return Err("it died before it began");
        }
        let work = pin!(work(instance.clone()));
        let work = actor.run(work);
        let result = tokio::select! {
            biased;
            result = work => result,
            () = actor.died() => return Err("it died"),
        };
        if occasion.meets(Fault::DiesAfter) {
            self.conditions.trace(actor, || "! dies-after");
            return Err("it died before it responded");
        }
        self.idle().push(instance);
        Ok(result)
    }

    /// The instance that is idle for the shortest time, by chance another one, or a new one.
    fn take(&self, occasion: Occasion<'_>) -> Arc<Instance<F>> {
        let weather = occasion.weather;
        let mut idle = self.idle();
        let last = idle.len().checked_sub(1);
        let taken = if occasion.meets(Fault::OtherInstance) {
            // The last stands for a new one.
            let index = pick(occasion.draw(Fault::OtherInstance, 1), idle.len().max(1));
            Some(index).filter(|index| Some(*index) != last && *index < idle.len())
        } else {
            last
        };
        let Some(index) = taken else {
            drop(idle);
            return self.new_instance(weather);
        };
        let instance = idle.remove(index);
        // Lambda thaws a sandbox that it invokes.
        instance.actor.thaw();
        // Clocks are set right before long.
        if self.actor.role() == Role::Ingress {
            set_clock(&instance.actor, weather);
        }
        instance
    }

    fn new_instance(&self, weather: &Weather) -> Arc<Instance<F>> {
        let number = self.made.fetch_add(1, Relaxed) + 1;
        let name = format!("{}#{number}", self.actor.name());
        let actor = Arc::new(Actor::new(self.actor.role(), name));
        set_clock(&actor, weather);
        Arc::new(Instance { function: (self.make)(&actor), actor })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Arc<Instance<F>>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts the clock of a new instance ahead or behind, by chance.
fn set_clock(actor: &Actor, weather: &Weather) {
    let draw = |detail: u8| weather.draw((actor.key(), "clock", detail));
    let share = weather.shares().of(Fault::ClockOff);
    if share == 0.0 || draw(0) >= share {
        return actor.set_clock_ahead(0);
    }
    let most = if actor.role() != Role::Ingress && draw(1) < 0.1 { FAR_OFF_US } else { OFF_US };
    #[expect(clippy::cast_possible_truncation, reason = "a few millions")]
    actor.set_clock_ahead((most * (draw(2) * 2.0 - 1.0)) as i64);
}
