//! A model as a Lambda function.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use metrique::{unit::Millisecond, unit_of_work::metrics};
use rendezvous_aws::{Aws, batch::Event, lambda, metrics::Millis};
use rendezvous_core::{ModelId, ports::Telemetry};

use crate::{Model, ModelFunction, ModelReport};

/// Serves a model, or a panel of models, on the stream `input`, until Lambda ends the process.
///
/// Reads the environment variables `STACK`, `SCORES_STREAM`, `FUNCTION_TIMEOUT_SECONDS`, the
/// function's time-out, `PAYLOAD_BUCKET`, where large payloads are, `MODEL`, the id under which the model or the panel is deployed, and for a
/// panel `PANEL_MODELS`, the ids of its models, separated by commas. Fails when those are not the ids of the models, or
/// when a model's time-out does not fit the function's.
pub async fn run<M: Model>(aws: &Aws, models: Vec<M>) -> Result<(), lambda::Error> {
    let environment = aws.environment();
    let stack = environment.required("STACK")?.to_owned();
    let scores = Arc::new(aws.stream("SCORES_STREAM")?);
    let deployed = environment.required("MODEL")?;
    let timeout = environment.number("FUNCTION_TIMEOUT_SECONDS")?;
    let ids: Vec<_> = models.iter().map(|model| &model.profile().id).collect();
    let panel = panel(deployed, environment.optional("PANEL_MODELS").unwrap_or_default(), &ids)?;
    let models = models.into_iter().map(Arc::new).collect();
    let payloads = aws.payloads_if_any().into();
    let function = ModelFunction::panel(models, scores, payloads, Metrics { stack, panel }.into())
        .with_timeout(Duration::from_secs(timeout.into()))?;
    lambda::run(async |event: Event| Ok(function.handle(event.batch()?).await)).await
}

/// The name of the panel, or `None` if there is only one model. By these names the models that are up are known without
/// an invocation of their function.
fn panel(deployed: &str, listed: &str, ids: &[&ModelId]) -> Result<Option<String>, String> {
    let all = || ids.iter().map(|id| id.as_str()).collect::<Vec<_>>().join(",");
    match ids {
        [id] if id.as_str() != deployed => Err(format!(
            "the environment variable MODEL is {deployed}, but the model card says {id}: set the \
             parameter Model of the stack to {id}, or Card to the card of {deployed}"
        )),
        [_] if !listed.is_empty() => Err(format!(
            "the environment variable PANEL_MODELS is {listed}, but there is only one model: leave the parameter \
             PanelModels of the stack empty, or name several cards in Card"
        )),
        [_] => Ok(None),
        _ if listed.split(',').collect::<BTreeSet<_>>()
            != ids.iter().map(|id| id.as_str()).collect() =>
        {
            Err(format!(
                "the environment variable PANEL_MODELS is {listed:?}, but the model cards say {all}: set the parameter \
                 PanelModels of the stack to {all}",
                all = all()
            ))
        }
        _ => Ok(Some(deployed.to_owned())),
    }
}

/// Prints a line of metrics for each batch and model, and for a panel one more under its own id, by which
/// its alarms find it.
struct Metrics {
    stack: String,
    panel: Option<String>,
}

impl Telemetry<ModelReport> for Metrics {
    fn record(&self, report: &ModelReport) {
        rendezvous_aws::metrics::print(&line(&self.stack, report.model.as_str(), report));
        if let Some(panel) = &self.panel {
            rendezvous_aws::metrics::print(&line(&self.stack, panel, report));
        }
    }
}

#[metrics(rename_all = "PascalCase", emf::dimension_sets = [["Stack", "Model"]])]
struct Batch {
    stack: String,
    model: String,
    requests_read: usize,
    requests_unreadable: usize,
    scored: usize,
    failed: usize,
    timed_out: usize,
    invalid: usize,
    expired: usize,
    unsent: usize,
    score_time: Millis,
    #[metrics(unit = Millisecond)]
    lag: Duration,
}

fn line(stack: &str, model: &str, report: &ModelReport) -> Vec<u8> {
    rendezvous_aws::metrics::line(Batch {
        stack: stack.to_owned(),
        model: model.to_owned(),
        requests_read: report.requests,
        requests_unreadable: report.unreadable,
        scored: report.scored,
        failed: report.failed,
        timed_out: report.timed_out,
        invalid: report.invalid,
        expired: report.expired,
        unsent: report.unsent,
        score_time: Millis(report.times.clone()),
        lag: report.lag,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panel_is_deployed_with_the_ids_of_its_models() {
        let (a, b): (ModelId, ModelId) = ("a@1".parse().unwrap(), "b@1".parse().unwrap());
        let said = |deployed, listed, ids: &[&ModelId]| panel(deployed, listed, ids);
        assert_eq!(said("a@1", "", &[&a]), Ok(None));
        assert_eq!(said("both@1", "b@1,a@1", &[&a, &b]), Ok(Some("both@1".to_owned())));
        for (deployed, listed, ids, advice) in [
            ("b@1", "", &[&a][..], "set the parameter Model of the stack to a@1"),
            ("a@1", "a@1", &[&a], "leave the parameter PanelModels of the stack empty"),
            ("both@1", "", &[&a, &b], "PanelModels of the stack to a@1,b@1"),
            ("both@1", "a@1,c@1", &[&a, &b], "PanelModels of the stack to a@1,b@1"),
        ] {
            let error = said(deployed, listed, ids).unwrap_err();
            assert!(error.contains(advice), "{error}");
        }
    }

    #[test]
    fn alarms_and_dashboards_find_the_metrics_by_their_names() {
        let report = ModelReport {
            requests: 3,
            scored: 2,
            timed_out: 1,
            times: vec![Duration::from_millis(4); 2],
            lag: Duration::from_millis(70),
            ..ModelReport::new("gbt@2".parse().unwrap())
        };
        let line = String::from_utf8(line("demo", "gbt@2", &report)).unwrap();
        for part in [
            r#""Stack":"demo""#,
            r#""Model":"gbt@2""#,
            r#""Namespace":"Rendezvous""#,
            r#"[["Stack","Model"]]"#,
            r#""RequestsRead":3"#,
            r#""Scored":2"#,
            r#""TimedOut":1"#,
            r#""Lag":70"#,
            r#""ScoreTime""#,
        ] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
    }
}
