//! Which configurations there are, who published them, and how they differ.

use std::sync::Arc;

use rendezvous_core::{
    Arm, Endpoint, EndpointName, Pin, Provenance, Publication, ports::EndpointTable,
};
use serde_json::{Value, json};

use crate::{
    difference::{Difference, listed, role_name, steps},
    failure::Failure,
    output::{Output, instant, table},
};

/// A version of an endpoint; the current one where none is named.
pub async fn find(
    table: &impl EndpointTable,
    name: &EndpointName,
    version: Option<u64>,
) -> Result<Arc<Endpoint>, Failure> {
    let current = table.current(name).await?;
    let Some(current) = current else {
        let names: Vec<String> = table.list().await?.iter().map(ToString::to_string).collect();
        let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        return Err(Failure::Failed(format!("there is no endpoint {name}; there is {known}")));
    };
    let version = version.unwrap_or(current);
    table.version(name, version).await?.ok_or_else(|| {
        Failure::Failed(format!("{name} has no version {version}; the current one is {current}"))
    })
}

/// Every endpoint: its current version, and what that says.
pub async fn list(endpoints: &impl EndpointTable) -> Result<Output, Failure> {
    let head = ["endpoint", "config", "published", "by", "champion", "arms", "observers"];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    let mut all = Vec::new();
    for name in endpoints.list().await? {
        let endpoint = find(endpoints, &name, None).await?;
        let publications = endpoints.history(&name).await?;
        let last = publications.iter().find(|each| each.version == endpoint.version);
        let draft = endpoint.configuration.draft();
        let arms: Vec<String> =
            draft.arms.iter().map(|arm| format!("{} {}", arm.name, arm.share())).collect();
        lines.push(vec![
            name.to_string(),
            endpoint.version.to_string(),
            last.map(|last| instant(last.published)).unwrap_or_default(),
            author(last).to_owned(),
            draft.schedule.champion().to_string(),
            arms.join(", "),
            draft.observers.len().to_string(),
        ]);
        all.push(json!({
            "endpoint": name,
            "config": endpoint.version,
            "published_us": last.map(|last| last.published),
            "author": author(last),
            "champion": draft.schedule.champion(),
            "arms": draft.arms.iter().map(|arm| json!({ "name": arm.name, "share": arm.share() })).collect::<Vec<_>>(),
            "observers": draft.observers.iter().map(|each| &each.model).collect::<Vec<_>>(),
        }));
    }
    let text = if all.is_empty() {
        "There is no endpoint. `rendezvousctl apply FILE -m MESSAGE` publishes one.\n".to_owned()
    } else {
        table(&lines, &[1, 6])
    };
    Ok(Output { text, json: Value::Array(all) })
}

fn author(publication: Option<&Publication>) -> &str {
    publication.and_then(|each| each.provenance.as_ref()).map_or("", Provenance::author)
}

fn message(publication: &Publication) -> &str {
    publication.provenance.as_ref().map_or("", Provenance::message)
}

/// One version of an endpoint.
pub async fn show(
    endpoints: &impl EndpointTable,
    name: &EndpointName,
    version: Option<u64>,
) -> Result<Output, Failure> {
    let endpoint = find(endpoints, name, version).await?;
    let head = ["arm", "keys", "who may answer"].map(str::to_owned).to_vec();
    let mut lines = vec![head];
    let draft = endpoint.configuration.draft();
    let main = endpoint.configuration.schedule(&Arm::main());
    lines.push(vec!["main".to_owned(), "the rest".to_owned(), listed(main)]);
    for arm in &draft.arms {
        lines.push(vec![arm.name.to_string(), steps(arm), listed(&arm.schedule)]);
    }
    let mut parts = vec![format!("{name}, version {}\n", endpoint.version), table(&lines, &[])];
    if !draft.observers.is_empty() {
        let head = ["observer", "role", "keys"].map(str::to_owned).to_vec();
        let mut lines = vec![head];
        for observer in &draft.observers {
            let role = role_name(observer.role).to_owned();
            lines.push(vec![observer.model.to_string(), role, observer.share.to_string()]);
        }
        parts.push(table(&lines, &[2]));
    }
    if !draft.pins.is_empty() {
        let pin = |pin: &Pin| vec![pin.key.to_string(), pin.arm.to_string()];
        let head = vec![["pinned key", "arm"].map(str::to_owned).to_vec()];
        parts.push(table(
            &head.into_iter().chain(draft.pins.iter().map(pin)).collect::<Vec<_>>(),
            &[],
        ));
    }
    // The file that `apply` takes.
    parts.push(serde_json::to_string_pretty(&endpoint.configuration).unwrap_or_default() + "\n");
    let json = json!({
        "endpoint": name,
        "config": endpoint.version,
        "configuration": endpoint.configuration,
    });
    Ok(Output { text: parts.join("\n"), json })
}

/// Every version of an endpoint: who published it, when and why, and what changed in words. The
/// newest comes first.
pub async fn history(
    endpoints: &impl EndpointTable,
    name: &EndpointName,
) -> Result<Output, Failure> {
    let current = find(endpoints, name, None).await?.version;
    let (mut lines, mut all) = (Vec::new(), Vec::new());
    for publication in endpoints.history(name).await?.iter().rev() {
        let Publication { version, published, replaced, .. } = publication;
        let after = find(endpoints, name, Some(*version)).await?;
        let difference = match replaced {
            None => Difference::first(&after.configuration),
            Some(replaced) => match endpoints.version(name, *replaced).await? {
                None => Difference::first(&after.configuration),
                Some(before) => Difference::between(&before.configuration, &after.configuration),
            },
        };
        let mark = if *version == current { " (current)" } else { "" };
        let by = author(Some(publication));
        lines.push(format!("version {version}{mark}  {}  {by}\n", instant(*published)));
        if !message(publication).is_empty() {
            lines.push(format!("  \"{}\"\n", message(publication)));
        }
        lines.push(difference.text() + "\n");
        all.push(json!({
            "config": version,
            "published_us": published,
            "author": by,
            "message": message(publication),
            "replaced": replaced,
            "changes": difference.changes,
        }));
    }
    Ok(Output { text: lines.concat(), json: Value::Array(all) })
}

/// What changes from one version to another; to the current one where none is named.
pub async fn diff(
    endpoints: &impl EndpointTable,
    name: &EndpointName,
    from: u64,
    to: Option<u64>,
) -> Result<Output, Failure> {
    let before = find(endpoints, name, Some(from)).await?;
    let after = find(endpoints, name, to).await?;
    let difference = Difference::between(&before.configuration, &after.configuration);
    let nothing = if difference.is_empty() { "  nothing\n" } else { "" };
    let text = format!(
        "{name}, from version {from} to {}:\n{}{nothing}",
        after.version,
        difference.text()
    );
    Ok(Output { text, json: difference.json(name, Some(from), Some(after.version)) })
}
