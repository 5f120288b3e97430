//! A change of an endpoint's configuration: planned against a version, shown, then published against
//! that same version.

use rendezvous_core::{
    Arm, ArmPlan, Configuration, Draft, EndpointName, Guard, ModelId, Provenance, Share,
    Unavailable,
    ports::{EndpointTable, PublishError},
    promotion,
};
use serde_json::{Value, json};

use crate::{difference::Difference, endpoints::find, failure::Failure};

/// What is to change.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a command has one or a few of them")]
pub enum Change {
    /// This configuration becomes current.
    Apply(Configuration),
    /// That of an earlier version becomes current: by default that of the version before.
    RollBack {
        version: Option<u64>,
        /// Arms that have passed steps begin with their first one again.
        rebase: bool,
    },
    /// The model becomes the champion, and the champion its first stand-in.
    Promote(ModelId),
    /// The same in an arm, for a part of the keys.
    PromoteInArm {
        model: ModelId,
        /// By default the model's name.
        arm: Option<Arm>,
        steps: Vec<Share>,
        guard: Option<Guard>,
    },
    /// The arm whose champion is the model becomes `main`, whatever its step; among several such arms that
    /// of this name.
    Finish { model: ModelId, arm: Option<Arm> },
    /// The model is on no schedule and no observer any more.
    Retire(ModelId),
    /// Drift is measured against the baseline of this name.
    Baseline(String),
}

/// A change that may be published.
#[derive(Clone, Debug)]
pub struct Planned {
    pub endpoint: EndpointName,
    /// The version that it was compared with.
    pub from: Option<u64>,
    pub configuration: Configuration,
    pub difference: Difference,
}

/// Plans a change of an endpoint.
pub async fn plan(
    endpoints: &impl EndpointTable,
    endpoint: &EndpointName,
    change: Change,
) -> Result<Planned, Failure> {
    let from = endpoints.current(endpoint).await?;
    if let (Change::Apply(configuration), None) = (&change, from) {
        let (endpoint, configuration) = (endpoint.clone(), configuration.clone());
        let difference = Difference::first(&configuration);
        return Ok(Planned { endpoint, from, configuration, difference });
    }
    let before = find(endpoints, endpoint, from).await?.configuration.clone();
    let configuration = match change {
        Change::Apply(configuration) => configuration,
        Change::RollBack { version, rebase } => {
            earlier(endpoints, endpoint, from, version, rebase).await?
        }
        Change::Promote(model) => promotion::promote(&before, &model)?,
        Change::PromoteInArm { model, arm, steps, guard } => {
            let arm = match arm {
                Some(arm) => arm,
                None => name_of(&model)?,
            };
            promotion::promote_in_arm(&before, &model, arm, steps, guard)?
        }
        Change::Finish { model, arm } => {
            promotion::finish(&before, &arm_of(&before, &model, arm.as_ref())?)?
        }
        Change::Retire(model) => promotion::retire(&before, &model)?,
        Change::Baseline(name) => {
            let draft = Draft { baseline: Some(name), ..before.clone().into_draft() };
            Configuration::new(draft)?
        }
    };
    let difference = Difference::between(&before, &configuration);
    Ok(Planned { endpoint: endpoint.clone(), from, configuration, difference })
}

/// The configuration of an earlier version.
async fn earlier(
    endpoints: &impl EndpointTable,
    endpoint: &EndpointName,
    current: Option<u64>,
    version: Option<u64>,
    rebase: bool,
) -> Result<Configuration, Failure> {
    let version = if let Some(version) = version {
        version
    } else {
        let history = endpoints.history(endpoint).await?;
        let last = history.iter().find(|each| Some(each.version) == current);
        last.and_then(|last| last.replaced).ok_or_else(|| {
            Failure::Refused(format!("there is no version of {endpoint} before the current one"))
        })?
    };
    let earlier = find(endpoints, endpoint, Some(version)).await?.configuration.clone();
    if rebase {
        return Ok(promotion::restart(&earlier));
    }
    match earlier.draft().arms.iter().find(|arm| arm.step > 0) {
        None => Ok(earlier),
        Some(arm) => Err(Failure::Refused(format!(
            "arm {} of version {version} had passed its first step, to {} of the keys; pass --rebase to \
             begin with {} again",
            arm.name,
            arm.share(),
            arm.steps.first().copied().unwrap_or_default()
        ))),
    }
}

/// The arm whose champion is the model.
fn arm_of(
    configuration: &Configuration,
    model: &ModelId,
    named: Option<&Arm>,
) -> Result<Arm, Failure> {
    let arms = &configuration.draft().arms;
    let is_wanted = |arm: &&ArmPlan| named.is_none_or(|name| arm.name == *name);
    let mut led = arms.iter().filter(|arm| arm.schedule.champion() == model).filter(is_wanted);
    match (led.next(), led.next()) {
        (Some(arm), None) => Ok(arm.name.clone()),
        (Some(first), Some(second)) => Err(Failure::Usage(format!(
            "{model} is the champion of the arms {} and {}; pass --arm NAME",
            first.name, second.name
        ))),
        (None, _) => {
            let listed: Vec<String> = arms
                .iter()
                .map(|arm| format!("{} (champion {})", arm.name, arm.schedule.champion()))
                .collect();
            let listed =
                if listed.is_empty() { "there is no arm".to_owned() } else { listed.join(", ") };
            let which = named.map_or("no arm".to_owned(), |name| format!("no arm {name}"));
            Err(Failure::Refused(format!("{which} has {model} as its champion: {listed}")))
        }
    }
}

/// An arm's name from that of its champion: `gbt` for `gbt@2`.
fn name_of(model: &ModelId) -> Result<Arm, Failure> {
    let name = model.as_str().split('@').next().unwrap_or_default();
    let slug: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    slug.trim_matches('-').parse().map_err(|invalid| {
        Failure::Usage(format!("{model} makes no name for an arm ({invalid}); pass --arm NAME"))
    })
}

impl Planned {
    /// What it means, for people.
    pub fn text(&self) -> String {
        let Self { endpoint, from, difference, .. } = self;
        let place = match from {
            Some(from) => format!("{endpoint}, instead of version {from}"),
            None => endpoint.to_string(),
        };
        if difference.is_empty() {
            return format!("{place}: nothing changes\n");
        }
        format!("{place}:\n{}", difference.text())
    }

    /// The same for programs. `version` is the one that it was published as, if it was.
    pub fn json(&self, version: Option<u64>) -> Value {
        let mut json = self.difference.json(&self.endpoint, self.from, version);
        json["published"] = json!(version.is_some());
        json
    }

    /// Publishes it, if the version that it was compared with is still current.
    pub async fn publish(
        &self,
        endpoints: &impl EndpointTable,
        provenance: Provenance,
    ) -> Result<u64, Failure> {
        let Self { endpoint, from, configuration, .. } = self;
        let published = endpoints.publish(endpoint, configuration.clone(), provenance, *from).await;
        match published {
            Ok(version) => Ok(version),
            Err(PublishError::Conflict { current, .. }) => {
                Err(Failure::Conflict(self.conflict(endpoints, current).await?))
            }
            Err(PublishError::Invalid(invalid)) => Err(invalid.into()),
            Err(PublishError::Unavailable(Unavailable { dependency, detail, .. })) => {
                Err(Failure::Failed(format!(
                    "{dependency}: {detail}; it is not known whether the version was published: look at \
                     `rendezvousctl history {endpoint}`"
                )))
            }
        }
    }

    /// Who was first, and what changed.
    async fn conflict(
        &self,
        endpoints: &impl EndpointTable,
        current: Option<u64>,
    ) -> Result<String, Failure> {
        let Self { endpoint, from, .. } = self;
        let Some(current) = current else {
            return Ok(format!("{endpoint} was deleted meanwhile"));
        };
        let meanwhile = meanwhile(endpoints, endpoint, *from, current).await?;
        let Meanwhile { author, message, difference, .. } = meanwhile;
        let by = author.map(|author| format!(" by {author} ({:?})", message.unwrap_or_default()));
        Ok(format!(
            "{endpoint}: version {current} was published meanwhile{}:\n{}nothing was changed by this \
             command; run it again to plan against version {current}",
            by.unwrap_or_default(),
            difference.text()
        ))
    }
}

/// What was published since a version.
#[derive(Clone, Debug, PartialEq)]
pub struct Meanwhile {
    /// The current version.
    pub version: u64,
    /// Who published it, and why.
    pub author: Option<String>,
    pub message: Option<String>,
    pub difference: Difference,
}

/// What was published after the version `from`, up to the current one.
pub async fn meanwhile(
    endpoints: &impl EndpointTable,
    endpoint: &EndpointName,
    from: Option<u64>,
    current: u64,
) -> Result<Meanwhile, Failure> {
    let after = find(endpoints, endpoint, Some(current)).await?;
    let history = endpoints.history(endpoint).await?;
    let last = history.iter().find(|each| each.version == current);
    let by = last.and_then(|last| last.provenance.as_ref());
    let difference = match from {
        None => Difference::first(&after.configuration),
        Some(from) => {
            let before = find(endpoints, endpoint, Some(from)).await?;
            Difference::between(&before.configuration, &after.configuration)
        }
    };
    let (author, message) =
        (by.map(|by| by.author().to_owned()), by.map(|by| by.message().to_owned()));
    Ok(Meanwhile { version: current, author, message, difference })
}
