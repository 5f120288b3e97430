//! A stack on AWS.

mod models;

use std::collections::HashMap;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_lambda::types::EventSourceMappingConfiguration as Mapping;
use aws_smithy_types::error::display::DisplayErrorContext;
use rendezvous_aws::{
    DynamoEndpoints, DynamoWindows, KinesisStream, S3Archive, S3Payloads, items::outcome,
};
use rendezvous_core::{EndpointName, RequestId};
use rendezvousctl::{
    up::Up,
    verify::report::{Report, Step},
};

use crate::athena::Workgroup;

/// A stack that exists.
#[derive(Debug)]
pub(crate) struct Stack {
    name: String,
    config: SdkConfig,
    outputs: HashMap<String, String>,
    parameters: HashMap<String, String>,
}

impl Stack {
    /// The stack of this name. Profile, region and address, where they are not named, and the
    /// credentials are those that the AWS CLI would use.
    pub(crate) async fn find(
        name: &str,
        profile: Option<&str>,
        region: Option<String>,
        endpoint_url: Option<String>,
    ) -> Result<Self, String> {
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(rendezvous_aws::http_client());
        if let Some(profile) = profile {
            loader = loader.profile_name(profile);
        }
        if let Some(region) = region {
            loader = loader.region(Region::new(region));
        }
        if let Some(url) = endpoint_url {
            loader = loader.endpoint_url(url);
        }
        let config = loader.load().await;
        if config.region().is_none() {
            return Err(
                "no AWS region: pass --region, set AWS_REGION, or set a region in your AWS profile"
                    .to_owned(),
            );
        }
        let client = aws_sdk_cloudformation::Client::new(&config);
        let described =
            client.describe_stacks().stack_name(name).send().await.map_err(|error| {
                format!("cannot describe stack {name:?}: {}", DisplayErrorContext(&error))
            })?;
        let (mut outputs, mut parameters) = (HashMap::new(), HashMap::new());
        for stack in described.stacks() {
            let pairs = stack.outputs().iter();
            let pairs = pairs.filter_map(|o| Some((o.output_key()?, o.output_value()?)));
            outputs.extend(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())));
            let pairs = stack.parameters().iter();
            let pairs = pairs.filter_map(|p| Some((p.parameter_key()?, p.parameter_value()?)));
            parameters.extend(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())));
        }
        Ok(Self { name: name.to_owned(), config, outputs, parameters })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn config(&self) -> &SdkConfig {
        &self.config
    }

    pub(crate) fn output(&self, key: &str) -> Result<&str, String> {
        let name = &self.name;
        self.outputs.get(key).map(String::as_str).ok_or_else(|| {
            format!("stack {name:?} has no output {key}: is it a Rendezvous stack, and up to date?")
        })
    }

    pub(crate) fn parameter(&self, key: &str) -> Option<&str> {
        self.parameters.get(key).map(String::as_str)
    }

    /// The archive.
    pub(crate) fn archive(&self) -> Result<S3Archive, String> {
        self.bucket("ArchiveBucket")
    }

    /// The files of the bucket that an output names.
    pub(crate) fn bucket(&self, output: &str) -> Result<S3Archive, String> {
        Ok(S3Archive::new(self.s3(), self.output(output)?))
    }

    pub(crate) fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::from(&self.config)
            // An emulator has one host name for all buckets.
            .force_path_style(self.config.endpoint_url().is_some())
            .build();
        aws_sdk_s3::Client::from_conf(config)
    }

    /// The versions of the endpoints' configurations.
    pub(crate) fn endpoints(&self) -> Result<DynamoEndpoints, String> {
        let table = self.output("EndpointsTable")?;
        Ok(DynamoEndpoints::new(aws_sdk_dynamodb::Client::new(&self.config), table))
    }

    /// The windows of the last days.
    pub(crate) fn windows(&self) -> Result<DynamoWindows, String> {
        let table = self.output("WindowsTable")?;
        Ok(DynamoWindows::new(aws_sdk_dynamodb::Client::new(&self.config), table))
    }

    /// Athena's workgroup with the saved queries, which has the stack's name.
    pub(crate) fn workgroup(&self) -> Result<Workgroup, String> {
        if self.parameter("Analytics") == Some("no") {
            return Err(format!(
                "stack {:?} has no saved queries: deploy it with Analytics=yes",
                self.name
            ));
        }
        Ok(Workgroup::new(aws_sdk_athena::Client::new(&self.config), &self.name))
    }

    /// The stream of requests that are replayed.
    pub(crate) fn replay_input(&self) -> Result<KinesisStream, String> {
        let Some(name) = self.outputs.get("ReplayInputStream") else {
            return Err(format!(
                "stack {:?} has no streams for replays: deploy it with Replay=yes",
                self.name
            ));
        };
        Ok(KinesisStream::new(aws_sdk_kinesis::Client::new(&self.config), name))
    }

    /// The payloads that are too large for a message.
    pub(crate) fn payloads(&self) -> Result<S3Payloads, String> {
        Ok(S3Payloads::new(self.s3(), self.output("PayloadBucket")?))
    }

    /// The models that are up.
    pub(crate) async fn models_up(&self) -> Result<Up, String> {
        self.models_on("InputStreamArn").await
    }

    /// The models whose functions have a mapping from the stream with this output, in this stack or in another.
    pub(crate) async fn models_on(&self, stream: &str) -> Result<Up, String> {
        let input = self.output(stream)?;
        let client = aws_sdk_lambda::Client::new(&self.config);
        let mut up = Up::new();
        for mapping in self.mappings().await? {
            let source = mapping.event_source_arn().unwrap_or_default();
            let is_of_input =
                source.strip_prefix(input).is_some_and(|rest| !rest.starts_with(|c| c != '/'));
            let (Some(function), true) = (mapping.function_arn(), is_of_input) else { continue };
            let described =
                client.get_function_configuration().function_name(function).send().await;
            let described = match described {
                Ok(described) => described,
                // A mapping can outlive its function.
                Err(_) if mapping.state() != Some("Enabled") => continue,
                Err(error) => return Err(DisplayErrorContext(&error).to_string()),
            };
            let model = models::deployed(&mapping, &described);
            up.extend(models::ids(&described).map(|id| (id, model.clone())));
        }
        Ok(up)
    }

    /// Whether every event source mapping of the stack's streams and tables is enabled, and how its
    /// last batch went.
    pub(crate) async fn check_mappings(&self, report: &mut Report) {
        match self.mappings().await {
            Ok(mappings) if mappings.is_empty() => {
                let advice = "deploy the stack again: without mappings no function is invoked";
                report.add(Step::failed("mappings", "", "there is none").advise(advice));
            }
            Ok(mappings) => mappings.iter().for_each(|mapping| _ = report.add(check(mapping))),
            Err(error) => {
                let advice = "check that these credentials may list event source mappings";
                report.add(Step::failed("mappings", "", error).advise(advice));
            }
        }
    }

    /// The event source mappings of the stack's streams and tables, those of models in other stacks
    /// included.
    async fn mappings(&self) -> Result<Vec<Mapping>, String> {
        let mut streams = vec![self.output("InputStreamArn")?, self.output("ScoresStreamArn")?];
        let replays = ["ReplayInputStreamArn", "ReplayScoresStreamArn"];
        streams.extend(replays.iter().filter_map(|key| self.outputs.get(*key).map(String::as_str)));
        let tables = [self.output("LedgerTable")?, self.output("OutcomesTable")?]
            .map(|table| format!(":table/{table}/stream/"));
        let client = aws_sdk_lambda::Client::new(&self.config);
        let mut pages = client.list_event_source_mappings().into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| DisplayErrorContext(&error).to_string())?;
            found.extend(page.event_source_mappings.unwrap_or_default());
        }
        let is_ours = |arn: &str| {
            // A consumer of enhanced fan-out has the ARN of its stream and "/consumer/…".
            let rest = |stream: &&str| arn.strip_prefix(*stream);
            streams.iter().filter_map(rest).any(|rest| rest.is_empty() || rest.starts_with('/'))
                || tables.iter().any(|table| arn.contains(table))
        };
        found.retain(|mapping| mapping.event_source_arn().is_some_and(is_ours));
        found.sort_by_cached_key(name);
        Ok(found)
    }

    /// Deletes outcomes that a run has reported.
    pub(crate) async fn delete(
        &self,
        outcomes: &[(EndpointName, RequestId)],
    ) -> Result<(), String> {
        let table = self.output("OutcomesTable")?;
        let client = aws_sdk_dynamodb::Client::new(&self.config);
        for (endpoint, request) in outcomes {
            let key = outcome::key(*request, endpoint).into();
            let delete = client.delete_item().table_name(table).set_key(Some(key));
            delete.send().await.map_err(|error| DisplayErrorContext(&error).to_string())?;
        }
        Ok(())
    }
}

fn name(mapping: &Mapping) -> String {
    let function = mapping.function_arn().unwrap_or_default();
    let function = function.split(':').nth(6).unwrap_or(function);
    // "…:stream/NAME", "…:stream/NAME/consumer/…" or "…:table/NAME/stream/…".
    let source = mapping.event_source_arn().unwrap_or_default();
    let source = source.split('/').nth(1).unwrap_or(source);
    format!("{function} from {source}")
}

fn check(mapping: &Mapping) -> Step {
    let (state, result) = (
        mapping.state().unwrap_or("unknown"),
        mapping.last_processing_result().unwrap_or_default(),
    );
    let (name, id) = (name(mapping), mapping.uuid().unwrap_or_default());
    if state != "Enabled" {
        let detail = format!("{state}: {}", mapping.state_transition_reason().unwrap_or_default());
        return Step::failed("mapping", &name, detail).advise(format!(
            "Disabled: aws lambda update-event-source-mapping --uuid {id} --enabled. Creating, Enabling, \
             Updating: wait and verify again"
        ));
    }
    if is_well(result) {
        let result = if result.is_empty() { "none yet" } else { result };
        return Step::ok("mapping", &name, format!("enabled; last batch: {result}"));
    }
    let detail = format!("enabled; last batch: {result}");
    Step::failed("mapping", &name, detail).advise(
        "see the function's logs, and the failure bucket for batches that it could not handle",
    )
}

/// Whether a mapping's last batch was handled. Lambda says "No records processed" before the first
/// one, and then "OK" or "PROBLEM: …"; emulators add to "OK" how many records there were.
fn is_well(result: &str) -> bool {
    matches!(result, "" | "OK" | "No records processed") || result.starts_with("OK ")
}

#[cfg(test)]
mod tests {
    use rendezvousctl::verify::report::Status;

    use super::*;

    fn mapping(state: &str, result: &str) -> Step {
        check(
            &Mapping::builder()
                .uuid("1-2")
                .function_arn("arn:aws:lambda:us-east-1:123456789012:function:s-decoy:live")
                .event_source_arn(
                    "arn:aws:kinesis:us-east-1:123456789012:stream/s-input/consumer/c:1",
                )
                .state(state)
                .last_processing_result(result)
                .build(),
        )
    }

    #[test]
    fn a_mapping_is_well_when_it_is_enabled_and_its_last_batch_was_handled() {
        for result in ["OK", "OK - 5 records", "No records processed", ""] {
            let step = mapping("Enabled", result);
            assert_eq!(step.status, Status::Ok, "{step:?}");
            assert_eq!(step.subject, "s-decoy from s-input");
        }
        let problem = "PROBLEM: Function call failed";
        assert_eq!(mapping("Enabled", problem).status, Status::Failed);
        let disabled = mapping("Disabled", "OK");
        assert_eq!(disabled.status, Status::Failed);
        assert!(disabled.advice.unwrap().contains("--uuid 1-2 --enabled"));
    }
}
