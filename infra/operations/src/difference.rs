//! What a change of a configuration means, in words.

use rendezvous_core::{
    Arm, ArmPlan, Choice, Configuration, EndpointName, Guard, Json, ModelId, Observer, Role,
    Schedule, Share, Tensor, Tensors,
};
use serde_json::{Value, json};

/// What changes from one configuration of an endpoint to another.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Sentences, without a full stop.
    pub changes: Vec<String>,
    /// Which part of the keys moves from one arm to another.
    pub moves: Vec<(Arm, Arm, Share)>,
}

impl Difference {
    pub fn between(before: &Configuration, after: &Configuration) -> Self {
        let mut words = Words::default();
        words.schedule(&Arm::main(), before.schedule(&Arm::main()), after.schedule(&Arm::main()));
        words.arms(&before.draft().arms, &after.draft().arms);
        words.observers(before.observers(), after.observers());
        words.pins(before, after);
        words.pointer("value", before.value(), after.value());
        words.pointer("outcome", before.outcome(), after.outcome());
        words.horizon(before, after);
        words.features(before.features(), after.features());
        words.baseline(before.baseline(), after.baseline());
        words.tensors(before.tensors(), after.tensors());
        if words.0.is_empty() && json_of(before) != json_of(after) {
            words.0.push(
                "only the order of arms, pins, observers, features or tensors changes".to_owned(),
            );
        }
        let moves = before.movements(after);
        for (from, to, share) in &moves {
            words.0.push(format!("{share} of the keys move from {from} to {to}"));
        }
        Self { changes: words.0, moves }
    }

    /// What a first configuration means.
    pub fn first(configuration: &Configuration) -> Self {
        let mut words = Words::default();
        let schedule = configuration.schedule(&Arm::main());
        words.0.push(format!("the endpoint is new: {}", listed(schedule)));
        words.arms(&[], &configuration.draft().arms);
        words.observers(&[], configuration.observers());
        Self { changes: words.0, moves: Vec::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// One line for each change.
    pub fn text(&self) -> String {
        self.changes.iter().flat_map(|change| ["  ", change, "\n"]).collect()
    }

    pub fn json(&self, endpoint: &EndpointName, from: Option<u64>, to: Option<u64>) -> Value {
        let moves = self
            .moves
            .iter()
            .map(|(from, to, share)| json!({ "from": from, "to": to, "share": share }));
        json!({
            "endpoint": endpoint,
            "from": from,
            "to": to,
            "changes": self.changes,
            "moves": moves.collect::<Vec<_>>(),
        })
    }
}

/// A schedule on one line: `gbt@2, logistic@1 after 250 ms; deadline 800 ms`.
pub fn listed(schedule: &Schedule) -> String {
    let choices: Vec<String> = schedule.choices().iter().map(choice).collect();
    format!("{}; deadline {} ms", choices.join(", "), schedule.deadline().as_millis())
}

fn choice(Choice { model, after }: &Choice) -> String {
    if after.is_zero() {
        model.to_string()
    } else {
        format!("{model} after {} ms", after.as_millis())
    }
}

/// The steps of an arm, the one in force marked: `[5 %], 25 %, 100 %`.
pub fn steps(arm: &ArmPlan) -> String {
    let step = |(i, share): (usize, &Share)| {
        if i == arm.step { format!("[{share}]") } else { share.to_string() }
    };
    arm.steps.iter().enumerate().map(step).collect::<Vec<_>>().join(", ")
}

/// How a fallback is written is no difference.
fn json_of(configuration: &Configuration) -> Option<Value> {
    serde_json::to_value(configuration).ok()
}

/// White space and the order of fields apart.
fn same_json(one: &Json, other: &Json) -> bool {
    let parse = |json: &Json| serde_json::from_str::<Value>(json.as_str()).ok();
    parse(one) == parse(other)
}

#[derive(Default)]
struct Words(Vec<String>);

impl Words {
    fn schedule(&mut self, arm: &Arm, before: &Schedule, after: &Schedule) {
        let (old, new) = (before.choices(), after.choices());
        let (former, champion) = (before.champion(), after.champion());
        if former != champion {
            let then = match new.iter().position(|choice| choice.model == *former) {
                Some(place) => {
                    let stand_in = if place == 1 { "its first stand-in" } else { "a stand-in" };
                    let after = new[place].after.as_millis();
                    format!("; {former} becomes {stand_in}, which may answer from {after} ms on")
                }
                None => format!("; {former} is no choice any more"),
            };
            self.0.push(format!("{champion} becomes champion of {arm}{then}"));
        }
        let known = |model: &ModelId| model != former && model != champion;
        for choice in old.iter().filter(|choice| known(&choice.model)) {
            if !after.lists(&choice.model) {
                self.0.push(format!("{} is no choice of {arm} any more", choice.model));
            }
        }
        for (place, Choice { model, after }) in new.iter().enumerate().skip(1) {
            match old.iter().find(|choice| choice.model == *model) {
                None => self.0.push(format!(
                    "{model} becomes choice {} of {arm}, which may answer from {} ms on",
                    place + 1,
                    after.as_millis()
                )),
                Some(was) if was.after != *after && model != former => self.0.push(format!(
                    "{model} may answer from {} ms on, so far from {} ms, in {arm}",
                    after.as_millis(),
                    was.after.as_millis()
                )),
                Some(_) => {}
            }
        }
        if let [first, ..] = new
            && former == champion
            && first.after != old[0].after
        {
            let from = first.after.as_millis();
            self.0.push(format!("the champion {champion} of {arm} may answer from {from} ms on"));
        }
        self.order(arm, old, new);
        self.bounds(arm, before, after);
    }

    /// Whether choices that stay have changed places, the champion apart.
    fn order(&mut self, arm: &Arm, old: &[Choice], new: &[Choice]) {
        let both = |choices: &[Choice], others: &[Choice]| -> Vec<ModelId> {
            let stays = |choice: &&Choice| {
                let changes = [&old[0].model, &new[0].model].contains(&&choice.model);
                !changes && others.iter().any(|other| other.model == choice.model)
            };
            choices.iter().filter(stays).map(|choice| choice.model.clone()).collect()
        };
        if both(old, new) != both(new, old) {
            let order: Vec<&str> = new.iter().map(|choice| choice.model.as_str()).collect();
            self.0.push(format!("the order of preference of {arm} becomes {}", order.join(", ")));
        }
    }

    fn bounds(&mut self, arm: &Arm, before: &Schedule, after: &Schedule) {
        let ms = |schedule: &Schedule| schedule.deadline().as_millis();
        if ms(before) != ms(after) {
            let (old, new) = (ms(before), ms(after));
            self.0.push(format!("the deadline of {arm} becomes {new} ms, so far {old} ms"));
        }
        match (before.fallback(), after.fallback()) {
            (None, Some(_)) => self.0.push(format!("{arm} gets a fallback")),
            (Some(_), None) => self.0.push(format!(
                "{arm} has no fallback any more: without an answer clients get a 504"
            )),
            (Some(old), Some(new)) if !same_json(old, new) => {
                self.0.push(format!("the fallback of {arm} changes"));
            }
            _ => {}
        }
        let silent = |schedule: &Schedule| schedule.silent_after().unwrap_or(0);
        if silent(before) != silent(after) {
            let (old, new) = (silent(before), silent(after));
            self.0.push(format!("silent_after of {arm} becomes {new}, so far {old}"));
        }
    }

    fn arms(&mut self, before: &[ArmPlan], after: &[ArmPlan]) {
        let find =
            |arms: &[ArmPlan], name: &Arm| arms.iter().find(|arm| arm.name == *name).cloned();
        for arm in before.iter().filter(|arm| find(after, &arm.name).is_none()) {
            self.0.push(format!("arm {} ends, which had {}", arm.name, arm.share()));
        }
        for arm in after {
            let name = &arm.name;
            let Some(was) = find(before, name) else {
                self.0.push(format!(
                    "arm {name} begins with {} of the keys (steps {}): {}",
                    arm.share(),
                    steps(arm),
                    listed(&arm.schedule)
                ));
                self.guard(name, None, arm.guard);
                continue;
            };
            if was.share() != arm.share() {
                let verb = if arm.share() > was.share() { "grows" } else { "shrinks" };
                self.0.push(format!("arm {name} {verb} from {} to {}", was.share(), arm.share()));
            }
            if was.steps != arm.steps {
                self.0.push(format!("the steps of arm {name} become {}", steps(arm)));
            }
            self.guard(name, was.guard, arm.guard);
            self.schedule(name, &was.schedule, &arm.schedule);
        }
    }

    fn guard(&mut self, arm: &Arm, before: Option<Guard>, after: Option<Guard>) {
        match (before, after) {
            (Some(_), None) => {
                self.0.push(format!("arm {arm} has no guard any more: a person steps"));
            }
            (old, Some(guard)) if old != after => {
                self.0.push(format!("the guard of arm {arm} is {}", guarded(&guard)));
            }
            _ => {}
        }
    }

    fn observers(&mut self, before: &[Observer], after: &[Observer]) {
        let find = |all: &[Observer], model: &ModelId| {
            all.iter().find(|observer| observer.model == *model).cloned()
        };
        for Observer { model, .. } in
            before.iter().filter(|each| find(after, &each.model).is_none())
        {
            self.0.push(format!("{model} is no observer any more"));
        }
        for observer in after {
            let Observer { model, role, share } = observer;
            let role = role_name(*role);
            match find(before, model) {
                None if *share == Share::ALL => self.0.push(format!("{model} observes as {role}")),
                None => self.0.push(format!("{model} observes {share} of the keys as {role}")),
                Some(was) => {
                    if was.role != observer.role {
                        self.0.push(format!("{model} becomes {role}"));
                    }
                    if was.share != *share {
                        self.0.push(format!(
                            "{model} observes {share} of the keys, so far {}",
                            was.share
                        ));
                    }
                }
            }
        }
    }

    fn pins(&mut self, before: &Configuration, after: &Configuration) {
        let (old, new) = (&before.draft().pins, &after.draft().pins);
        for pin in new.iter().filter(|pin| !old.contains(pin)) {
            self.0.push(format!("key {:?} is pinned to {}", pin.key.as_str(), pin.arm));
        }
        for pin in old.iter().filter(|pin| new.iter().all(|other| other.key != pin.key)) {
            self.0.push(format!("key {:?} is not pinned any more", pin.key.as_str()));
        }
    }

    fn pointer(&mut self, field: &str, before: Option<&str>, after: Option<&str>) {
        if before != after {
            let after = after.map_or("nothing".to_owned(), |pointer| format!("{pointer:?}"));
            self.0.push(format!("{field} becomes {after}"));
        }
    }

    fn horizon(&mut self, before: &Configuration, after: &Configuration) {
        let days = |of: &Configuration| of.outcome_horizon().as_secs() / (24 * 60 * 60);
        if days(before) != days(after) {
            let (old, new) = (days(before), days(after));
            self.0.push(format!("outcomes are awaited for {new} days, so far {old}"));
        }
    }

    fn baseline(&mut self, before: Option<&str>, after: Option<&str>) {
        if before != after {
            let after = after.unwrap_or("that of the first seven days");
            self.0.push(format!("the baseline becomes {after}"));
        }
    }

    fn features(&mut self, before: &[String], after: &[String]) {
        for feature in after.iter().filter(|feature| !before.contains(feature)) {
            self.0.push(format!("the distribution of {feature:?} in the requests is watched"));
        }
        for feature in before.iter().filter(|feature| !after.contains(feature)) {
            self.0.push(format!("the distribution of {feature:?} is not watched any more"));
        }
    }

    fn tensors(&mut self, before: Option<&Tensors>, after: Option<&Tensors>) {
        match (before, after) {
            (None, Some(Tensors { inputs, outputs })) => {
                let (inputs, outputs) = (names(inputs), names(outputs));
                self.0.push(format!("tensors are new: inputs {inputs}; outputs {outputs}"));
            }
            (Some(_), None) => self.0.push("there are no tensors any more".to_owned()),
            (Some(before), Some(after)) => {
                self.tensors_of("input", &before.inputs, &after.inputs);
                self.tensors_of("output", &before.outputs, &after.outputs);
            }
            (None, None) => {}
        }
    }

    fn tensors_of(&mut self, which: &str, old: &[Tensor], new: &[Tensor]) {
        for tensor in new {
            let Tensor { name, datatype, shape, .. } = tensor;
            match old.iter().find(|former| former.name == *name) {
                Some(former) if former == tensor => {}
                former => {
                    let verb = if former.is_some() { "becomes" } else { "is new:" };
                    let (datatype, pointers) = (datatype.as_str(), tensor.pointers());
                    let what = format!("{datatype}, shape {shape:?}, of {pointers:?}");
                    self.0.push(format!("{which} {name:?} {verb} {what}"));
                }
            }
        }
        for Tensor { name, .. } in
            old.iter().filter(|former| new.iter().all(|t| t.name != former.name))
        {
            self.0.push(format!("{which} {name:?} is not there any more"));
        }
    }
}

fn names(tensors: &[Tensor]) -> String {
    tensors.iter().map(|tensor| tensor.name.as_str()).collect::<Vec<_>>().join(", ")
}

pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Challenger => "challenger",
        Role::Canary => "canary",
    }
}

/// A guard on one line.
pub fn guarded(guard: &Guard) -> String {
    let Guard { hold_minutes, fallback_rate, p99_ms, disagreement, loss } = guard;
    let mut parts = vec![format!("each step for {hold_minutes} min at least")];
    parts.extend(fallback_rate.map(|rate| format!("at most {rate} fallbacks")));
    parts.extend(p99_ms.map(|ms| format!("p99 at most {ms} ms")));
    parts.extend(disagreement.map(|rate| format!("at most {rate} disagreement")));
    let excess =
        |loss: &Share| format!("a squared error at most {} above main's", loss.as_fraction());
    parts.extend(loss.as_ref().map(excess));
    parts.join(", ")
}

#[cfg(test)]
mod tests;
