//! Arms: further schedules of an endpoint, each with its share of the requests.

use std::{cmp::Reverse, sync::LazyLock};

use serde::{Deserialize, Serialize};

use crate::{
    limits::{MAX_ARMS, MAX_HOLD_MINUTES, MAX_PINS, MAX_STEPS},
    mistakes::Mistakes,
    mutation::{Mutation, mutated},
    names::{Arm, EndpointName, Key},
    schedule::Schedule,
    share::Share,
};

/// A schedule beside that of `main`, and how its share of the requests grows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmPlan {
    pub name: Arm,
    pub schedule: Schedule,
    /// The shares that it has one after the other, growing.
    pub steps: Vec<Share>,
    /// Which of the steps is in force, from 0.
    #[serde(default)]
    pub step: usize,
    /// On what conditions the next step follows by itself; without a guard none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
}

/// What must hold of an arm before its share grows. A bound that is not given is not looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// How long a step is in force at least, in minutes.
    pub hold_minutes: u32,
    /// The highest share of requests that no model answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_rate: Option<Share>,
    /// The highest 99th percentile of the time to answer, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<u32>,
    /// The highest share of requests on which the arm's champion and that of `main` disagree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disagreement: Option<Share>,
    /// By how much the squared error of the arm's champion may exceed that of `main`'s, on the same
    /// requests, on average: the difference of their Brier scores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<Share>,
}

/// A key whose requests all belong to one arm, whatever the shares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    pub key: Key,
    pub arm: Arm,
}

impl ArmPlan {
    /// The share that is in force.
    pub fn share(&self) -> Share {
        self.steps.get(self.step).copied().unwrap_or_default()
    }

    /// The share of the last step. It is kept free for the arm from the beginning, so that its
    /// growth moves no key between other arms.
    pub fn largest(&self) -> Share {
        self.steps.last().copied().unwrap_or_default()
    }

    fn check(&self, at: usize, mistakes: &mut Mistakes) {
        let Self { name, steps, step, guard, .. } = self;
        if *name == Arm::main() {
            mistakes.add(
                format_args!("/arms/{at}/name"),
                "main is the arm of the endpoint's schedule; choose another name",
            );
        }
        if steps.is_empty() || steps.len() > MAX_STEPS {
            mistakes.add(
                format_args!("/arms/{at}/steps"),
                format_args!("lists {} shares; it must list 1 to {MAX_STEPS}", steps.len()),
            );
        } else if *step >= steps.len() {
            mistakes.add(
                format_args!("/arms/{at}/step"),
                format_args!("is {step}; it must be 0 to {}", steps.len() - 1),
            );
        }
        for (i, share) in steps.iter().enumerate() {
            if *share <= i.checked_sub(1).map_or(Share::NONE, |former| steps[former]) {
                mistakes.add(
                    format_args!("/arms/{at}/steps/{i}"),
                    "must be greater than 0 and than the step before it",
                );
            }
        }
        if let Some(guard) = guard
            && !(1..=MAX_HOLD_MINUTES).contains(&guard.hold_minutes)
        {
            mistakes.add(
                format_args!("/arms/{at}/guard/hold_minutes"),
                format_args!("is {}; it must be 1 to {MAX_HOLD_MINUTES}", guard.hold_minutes),
            );
        }
    }
}

/// Notes what is wrong with arms and pins, each alone and together.
pub(crate) fn check(arms: &[ArmPlan], pins: &[Pin], mistakes: &mut Mistakes) {
    if arms.len() > MAX_ARMS {
        let what = format_args!("lists {} arms; at most {MAX_ARMS} are allowed", arms.len());
        mistakes.add("/arms", what);
    }
    let mut largest = 0.0;
    for (i, arm) in arms.iter().enumerate() {
        arm.check(i, mistakes);
        if arms[..i].iter().any(|earlier| earlier.name == arm.name) {
            mistakes.add(
                format_args!("/arms/{i}/name"),
                format_args!("{} is the name of an arm before it", arm.name),
            );
        }
        largest += arm.largest().as_fraction();
    }
    if largest > 1.0 + 1e-9 {
        mistakes.add(
            "/arms",
            format_args!("the last steps sum to {largest:.6}; the sum must be at most 1"),
        );
    }
    if pins.len() > MAX_PINS {
        let what = format_args!("lists {} keys; at most {MAX_PINS} are allowed", pins.len());
        mistakes.add("/pins", what);
    }
    for (i, pin) in pins.iter().enumerate() {
        if pins[..i].iter().any(|earlier| earlier.key == pin.key) {
            mistakes.add(format_args!("/pins/{i}/key"), "is pinned before");
        }
        if pin.arm != Arm::main() && arms.iter().all(|arm| arm.name != pin.arm) {
            mistakes
                .add(format_args!("/pins/{i}/arm"), format_args!("there is no arm {}", pin.arm));
        }
    }
}

/// The arm that every endpoint has.
pub(crate) fn main_arm() -> &'static Arm {
    static MAIN: LazyLock<Arm> = LazyLock::new(Arm::main);
    &MAIN
}

/// The arm of a key.
pub(crate) fn assign(arms: &[ArmPlan], pins: &[Pin], endpoint: &EndpointName, key: &Key) -> Arm {
    if let Some(pin) = pins.iter().find(|pin| pin.key == *key)
        && !mutated(Mutation::IgnorePins)
    {
        return pin.arm.clone();
    }
    if arms.is_empty() {
        return Arm::main();
    }
    arm_at(arms, Share::position(endpoint, &["arm"], key)).clone()
}

fn arm_at(arms: &[ArmPlan], position: Share) -> &Arm {
    let owned = ranges(arms).find(|(_, from, to)| (*from..*to).contains(&position));
    owned.map_or(main_arm(), |(arm, ..)| arm)
}

/// What each arm owns: positions from the one, before the other.
fn ranges(arms: &[ArmPlan]) -> impl Iterator<Item = (&Arm, Share, Share)> {
    let mut start = Share::NONE;
    arms.iter().map(move |arm| {
        let from = start;
        start = start.plus(arm.largest());
        (&arm.name, from, from.plus(arm.share()))
    })
}

/// The part of the keys that is in one arm before and in another after a change of the arms, pinned
/// keys apart: from, to, and how many. The largest comes first.
pub(crate) fn movements(before: &[ArmPlan], after: &[ArmPlan]) -> Vec<(Arm, Arm, Share)> {
    let mut bounds: Vec<Share> = [Share::NONE, Share::ALL].into();
    bounds.extend(ranges(before).chain(ranges(after)).flat_map(|(_, from, to)| [from, to]));
    bounds.sort_unstable();
    let mut moved: Vec<(Arm, Arm, Share)> = Vec::new();
    for (from, to) in bounds.iter().zip(&bounds[1..]) {
        // Between two bounds all keys are in the same arm.
        let (old, new) = (arm_at(before, *from), arm_at(after, *from));
        if old == new {
            continue;
        }
        let size = to.minus(*from);
        match moved.iter_mut().find(|(from, to, _)| from == old && to == new) {
            Some((.., share)) => *share = share.plus(size),
            None => moved.push((old.clone(), new.clone(), size)),
        }
    }
    moved.sort_by_key(|(.., share)| Reverse(*share));
    moved
}
