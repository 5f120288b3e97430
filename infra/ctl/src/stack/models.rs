//! What Lambda says of a model's function and its event source mapping.

use std::collections::BTreeSet;

use aws_sdk_lambda::{
    operation::get_function_configuration::GetFunctionConfigurationOutput,
    types::{EventSourceMappingConfiguration as Mapping, FilterCriteria},
};
use rendezvous_core::{EndpointName, ModelId, Timestamp};
use rendezvousctl::up::{Function, Model};

/// The models that a function serves: those of a panel, or the one under whose id it is deployed.
pub(super) fn ids(function: &GetFunctionConfigurationOutput) -> impl Iterator<Item = ModelId> {
    let variables = function.environment().and_then(|environment| environment.variables());
    let variable = |name| variables.and_then(|all| all.get(name)).filter(|value| !value.is_empty());
    let ids = variable("PANEL_MODELS").or_else(|| variable("MODEL"));
    ids.into_iter().flat_map(|ids| ids.split(',')).filter_map(|id| id.parse().ok())
}

/// A model with this mapping and this function.
pub(super) fn deployed(mapping: &Mapping, function: &GetFunctionConfigurationOutput) -> Model {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let modified = function.last_modified().and_then(modified);
    let changed = mapping
        .last_modified()
        .and_then(|at| i64::try_from(at.as_nanos() / 1_000).ok().map(Timestamp::from_micros));
    let function = Function {
        name: text(function.function_name()),
        package: text(function.code_sha256()),
        modified,
        mapping: text(mapping.state()),
        mapping_id: text(mapping.uuid()),
        last_batch: text(mapping.last_processing_result()),
    };
    let endpoints = endpoints_of(mapping);
    Model { since: modified.max(changed), endpoints, function: Some(function) }
}

/// Lambda writes `2026-11-26T14:40:16.000+0000`.
fn modified(text: &str) -> Option<Timestamp> {
    let time = chrono::DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z").ok()?;
    Some(Timestamp::from_micros(time.timestamp_micros()))
}

/// The endpoints that a mapping's filters name; `None` where they let all through.
fn endpoints_of(mapping: &Mapping) -> Option<BTreeSet<EndpointName>> {
    let filters = mapping.filter_criteria().map(FilterCriteria::filters).unwrap_or_default();
    let mut names = BTreeSet::new();
    for filter in filters {
        let pattern: serde_json::Value = serde_json::from_str(filter.pattern()?).ok()?;
        for rule in pattern.pointer("/data/envelope/endpoint")?.as_array()? {
            names.insert(rule.as_str()?.parse().ok()?);
        }
    }
    (!filters.is_empty()).then_some(names)
}

#[cfg(test)]
mod tests {
    use aws_sdk_lambda::types::{EnvironmentResponse, Filter};

    use super::*;

    #[test]
    fn the_filters_of_a_mapping_name_its_endpoints() {
        let of = |pattern: &str| {
            let filter = Filter::builder().pattern(pattern).build();
            let criteria = FilterCriteria::builder().filters(filter).build();
            endpoints_of(&Mapping::builder().filter_criteria(criteria).build())
        };
        let two = of(r#"{"data":{"envelope":{"endpoint":["e","f"]}}}"#).unwrap();
        assert_eq!(two.iter().map(EndpointName::as_str).collect::<Vec<_>>(), ["e", "f"]);
        assert_eq!(of(r#"{"data":{"envelope":{"endpoint":[{"exists":true}]}}}"#), None);
        assert_eq!(endpoints_of(&Mapping::builder().build()), None);
    }

    #[test]
    fn a_function_serves_the_models_of_its_panel_or_the_one_that_it_is_deployed_as() {
        let of = |variables: &[(&str, &str)]| {
            let variables =
                variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let environment =
                EnvironmentResponse::builder().set_variables(Some(variables.collect()));
            let function = GetFunctionConfigurationOutput::builder();
            let function = function.environment(environment.build()).build();
            ids(&function).map(|id| id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(of(&[("MODEL", "a@1"), ("PANEL_MODELS", "")]), ["a@1"]);
        assert_eq!(of(&[("MODEL", "all@1"), ("PANEL_MODELS", "a@1,b@1")]), ["a@1", "b@1"]);
        assert_eq!(of(&[]), [""; 0]);
    }

    #[test]
    fn a_model_is_up_since_the_last_change_of_its_function_or_its_mapping() {
        let function = GetFunctionConfigurationOutput::builder()
            .function_name("s-a-1")
            .code_sha256("c2hh")
            .last_modified("2026-11-26T14:40:16.000+0000")
            .build();
        let at = |seconds| aws_smithy_types::DateTime::from_secs(seconds);
        let mapping = |state: &str, changed| {
            Mapping::builder().uuid("1-2").state(state).last_modified(at(changed)).build()
        };
        let seconds = |model: &Model| model.since.map(|since| since.as_micros() / 1_000_000);
        let model = deployed(&mapping("Enabled", 1), &function);
        assert_eq!((seconds(&model), model.is_up()), (Some(1_795_704_016), true));
        let model = deployed(&mapping("Disabled", 1_795_704_017), &function);
        assert_eq!((seconds(&model), model.is_up()), (Some(1_795_704_017), false));
        assert_eq!(model.function.unwrap().package, "c2hh");
    }
}
