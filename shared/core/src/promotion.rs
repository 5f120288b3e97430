//! Changes of a configuration by which models step up and down: from one configuration to the next.
//!
//! Each returns the changed configuration, or why there is none. Nothing is published here.

use std::time::Duration;

use crate::{
    arms::{ArmPlan, Guard},
    configuration::{Configuration, Draft, Observer, Role},
    error::Invalid,
    names::{Arm, ModelId},
    schedule::{Choice, Schedule},
    share::Share,
};

/// The model becomes the first choice of `main` and the former champion its first stand-in.
///
/// When an arm has the model as its champion, that arm's schedule becomes the schedule of `main`, and
/// the arm ends.
pub fn promote(current: &Configuration, model: &ModelId) -> Result<Configuration, Invalid> {
    let mut draft = known(current, model)?;
    if *draft.schedule.champion() == *model {
        return Err(Invalid::new(format!("{model} is the champion already")));
    }
    if let Some(arm) = draft.arms.iter().find(|arm| arm.schedule.champion() == model) {
        return finish(current, &arm.name.clone());
    }
    draft.schedule = step_up(&draft.schedule, model)?;
    draft.observers.retain(|observer| observer.model != *model);
    Configuration::new(draft)
}

/// The model becomes the first choice of an arm with these steps, of which the first is in force. The
/// rest of the arm's schedule is as for [`promote`].
///
/// An arm of this name is replaced if the model is its champion: its steps start anew.
pub fn promote_in_arm(
    current: &Configuration,
    model: &ModelId,
    name: Arm,
    steps: Vec<Share>,
    guard: Option<Guard>,
) -> Result<Configuration, Invalid> {
    let mut draft = known(current, model)?;
    if *draft.schedule.champion() == *model {
        return Err(Invalid::new(format!("{model} is the champion of main already")));
    }
    match draft.arms.iter_mut().find(|arm| arm.name == name) {
        Some(arm) if arm.schedule.champion() == model => {
            *arm = ArmPlan { name, schedule: arm.schedule.clone(), steps, step: 0, guard };
        }
        Some(arm) => {
            let champion = arm.schedule.champion();
            return Err(Invalid::new(format!(
                "arm {name} exists and its champion is {champion}; choose another name"
            )));
        }
        None => {
            let schedule = step_up(&draft.schedule, model)?;
            draft.arms.push(ArmPlan { name, schedule, steps, step: 0, guard });
        }
    }
    draft.observers.retain(|observer| observer.model != *model);
    Configuration::new(draft)
}

/// The arm has the share of its next step.
pub fn step(current: &Configuration, arm: &Arm) -> Result<Configuration, Invalid> {
    let mut draft = current.draft().clone();
    let plan = draft.arms.iter_mut().find(|plan| plan.name == *arm);
    let plan = plan.ok_or_else(|| Invalid::new(format!("there is no arm {arm}")))?;
    plan.step += 1;
    Configuration::new(draft)
}

/// The arm's schedule becomes the schedule of `main`, and the arm ends.
pub fn finish(current: &Configuration, arm: &Arm) -> Result<Configuration, Invalid> {
    let mut draft = current.draft().clone();
    draft.schedule = take(&mut draft, arm)?.schedule;
    observe_the_rest(current, &mut draft);
    Configuration::new(draft)
}

/// The arm ends, and its requests are answered by the schedule of `main`.
pub fn remove(current: &Configuration, arm: &Arm) -> Result<Configuration, Invalid> {
    let mut draft = current.draft().clone();
    take(&mut draft, arm)?;
    observe_the_rest(current, &mut draft);
    Configuration::new(draft)
}

/// The model is on no schedule and no observer any more. Refused while it is the only choice of an
/// arm.
pub fn retire(current: &Configuration, model: &ModelId) -> Result<Configuration, Invalid> {
    let mut draft = known(current, model)?;
    draft.observers.retain(|observer| observer.model != *model);
    let without = |schedule: &Schedule, arm: &Arm| {
        let mut choices = schedule.choices().to_vec();
        choices.retain(|choice| choice.model != *model);
        match choices.first_mut() {
            // Whoever becomes the champion need not wait.
            Some(first) if first.model != *schedule.champion() => first.after = Duration::ZERO,
            Some(_) => {}
            None => {
                return Err(Invalid::new(format!("{model} is the only choice of arm {arm}")));
            }
        }
        schedule.with_choices(choices)
    };
    draft.schedule = without(&draft.schedule, &Arm::main())?;
    for arm in &mut draft.arms {
        arm.schedule = without(&arm.schedule, &arm.name)?;
    }
    Configuration::new(draft)
}

/// The same configuration with every arm at its first step.
#[must_use]
pub fn restart(current: &Configuration) -> Configuration {
    let mut draft = current.draft().clone();
    draft.arms.iter_mut().for_each(|arm| arm.step = 0);
    // Every arm has a first step, so that no rule can be broken.
    Configuration::new(draft).unwrap_or_else(|_| current.clone())
}

fn known(current: &Configuration, model: &ModelId) -> Result<Draft, Invalid> {
    if current.models().any(|known| known == model) {
        return Ok(current.draft().clone());
    }
    Err(Invalid::new(format!(
        "{model} is neither on a schedule nor an observer; make it an observer first, so that it is seen \
         at work"
    )))
}

/// The schedule with `model` in front. The former champion follows it, and opens when the model has
/// opened so far or, if it was no choice, when the next stand-in opens.
fn step_up(schedule: &Schedule, model: &ModelId) -> Result<Schedule, Invalid> {
    let mut choices = schedule.choices().to_vec();
    let was = choices.iter().position(|choice| choice.model == *model);
    let opens = match was {
        Some(at) => choices.remove(at).after,
        None => choices.get(1).map_or(Duration::ZERO, |next| next.after),
    };
    if let Some(former) = choices.first_mut() {
        // A stand-in that is open from the beginning would answer whenever it is the quicker one.
        former.after = if opens.is_zero() { schedule.deadline() / 2 } else { opens };
    }
    choices.insert(0, Choice { model: model.clone(), after: Duration::ZERO });
    schedule.with_choices(choices)
}

fn take(draft: &mut Draft, arm: &Arm) -> Result<ArmPlan, Invalid> {
    let at = draft.arms.iter().position(|plan| plan.name == *arm);
    let at = at.ok_or_else(|| Invalid::new(format!("there is no arm {arm}")))?;
    draft.pins.retain(|pin| pin.arm != *arm);
    Ok(draft.arms.remove(at))
}

/// Models that are on no schedule any more go on as challengers.
fn observe_the_rest(former: &Configuration, draft: &mut Draft) {
    for model in former.models() {
        let observes = draft.observers.iter().any(|observer| observer.model == *model);
        if !observes && !draft.may_answer(model) {
            draft.observers.push(Observer::new(model.clone(), Role::Challenger));
        }
    }
}
