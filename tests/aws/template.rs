//! The templates: the rules of cfn-lint and of SAM, and what the templates promise beyond them.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use rendezvous_tests::tools::root;
use rendezvous_tests_aws::{immutable, lint, template};
use serde_json::{Value, json};

const MAIN: &str = "template.yaml";
const MODEL: &str = "functions/models/template.yaml";
const OBSERVABILITY: &str = "infra/observability.yaml";

#[test]
fn every_template_is_clean() {
    lint(&[MAIN, MODEL, OBSERVABILITY, "infra/analytics.yaml"]);
}

/// `immutable.json` lists what holds data, a position in a stream, or a name that clients use. With
/// another logical id, or another value of a property that is listed, an update would replace the
/// resource of a deployed stack. Add new resources to the file; change nothing in it.
#[test]
fn an_update_replaces_nothing_that_holds_data() {
    let file = root().join("tests/aws/immutable.json");
    let listed: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let found = immutable(&[MAIN, MODEL]);
    for (file, resources) in listed.as_object().unwrap() {
        for (id, resource) in resources.as_object().unwrap() {
            assert_eq!(&found[file][id], resource, "{file}: {id} would be replaced");
        }
        for id in found[file].as_object().unwrap().keys() {
            assert!(resources.get(id).is_some(), "{file}: {id} is not in immutable.json");
        }
    }
}

#[test]
fn the_flights_models_get_the_requests_of_the_endpoints_in_their_cards() {
    let main = template(MAIN);
    let mut models = 0;
    for stack in of_type(&main, "AWS::CloudFormation::Stack") {
        let parameters = &stack["Properties"]["Parameters"];
        let Some(card) = parameters["Card"].as_str() else { continue };
        models += 1;
        let file = root().join("functions/models").join(card);
        let card: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        assert_eq!(parameters["Model"], card["model"]);
        let filtered: BTreeSet<&str> =
            parameters["Endpoints"].as_str().unwrap().split(',').collect();
        let served: BTreeSet<&str> = card["endpoints"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap())
            .collect();
        assert_eq!(filtered, served, "the parameter Endpoints of {}", card["model"]);
    }
    assert_eq!(models, 5);
}

#[test]
fn a_model_s_function_is_the_same_as_a_package_and_as_an_image() {
    let model = template(MODEL);
    let functions = ["ModelFunction", "ImageFunction"].map(|id| {
        let mut properties = model["Resources"][id]["Properties"].as_object().unwrap().clone();
        properties.retain(|name, _| {
            !["Code", "Handler", "PackageType", "Runtime"].contains(&name.as_str())
        });
        properties
    });
    assert_eq!(functions[0], functions[1]);
    let conditions =
        ["ModelFunction", "ImageFunction"].map(|id| &model["Resources"][id]["Condition"]);
    assert_eq!(conditions, ["Packaged", "Imaged"]);
}

/// The address in `OnnxFile` becomes the ARN of one object.
#[test]
fn a_model_s_role_may_read_its_onnx_file_and_no_other_object() {
    let model = template(MODEL);
    let role = of_type(&model, "AWS::IAM::Role").next().unwrap();
    let statements = &role["Properties"]["Policies"][0]["PolicyDocument"]["Statement"];
    let conditional = |statement: &&Value| statement["Fn::If"][0] == "ReadsOnnxFile";
    let found: Vec<&Value> = statements.as_array().unwrap().iter().filter(conditional).collect();
    let [statement] = found[..] else { panic!("{found:?}") };
    let object = json!({ "Fn::Join": ["", { "Fn::Split": ["s3://", { "Ref": "OnnxFile" }] }] });
    assert_eq!(
        statement["Fn::If"][1],
        json!({
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": { "Fn::Sub": ["arn:${AWS::Partition}:s3:::${Object}", { "Object": object }] }
        })
    );
    assert_eq!(statement["Fn::If"][2], json!({ "Ref": "AWS::NoValue" }));
    // With these characters it would be the ARN of many objects.
    let pattern = model["Parameters"]["OnnxFile"]["AllowedPattern"].as_str().unwrap();
    assert!(pattern.ends_with("/[^*?$]+)?"), "{pattern}");
}

/// Kinesis refuses to create a consumer while five are being created in the account.
#[test]
fn at_most_three_consumers_are_created_at_a_time() {
    let main = template(MAIN);
    let needs: BTreeMap<&str, BTreeSet<String>> = resources(&main)
        .map(|(id, resource)| (id, references(resource, &main["Resources"])))
        .collect();
    let creates_a_consumer = |resource: &Value| {
        resource["Type"] == "AWS::Kinesis::StreamConsumer"
            || resource["Properties"]["TemplateURL"] == MODEL
    };
    let consumers: Vec<&str> = resources(&main)
        .filter(|(_, resource)| creates_a_consumer(resource))
        .map(|(id, _)| id)
        .collect();
    assert_eq!(consumers.len(), 6);
    // Of every four of them, one must wait for another.
    let free = |a: &str, b: &str| a != b && !reaches(&needs, a, b) && !reaches(&needs, b, a);
    for set in 0_u32..1 << consumers.len() {
        let chosen: Vec<&str> =
            (0..consumers.len()).filter(|i| set >> i & 1 == 1).map(|i| consumers[i]).collect();
        let at_once =
            chosen.iter().enumerate().all(|(i, a)| chosen[i + 1..].iter().all(|b| free(a, b)));
        assert!(!at_once || chosen.len() <= 3, "{chosen:?} may be created at the same time");
    }
}

#[test]
fn every_route_for_get_has_one_for_head() {
    let main = template(MAIN);
    let keys: BTreeSet<&str> = of_type(&main, "AWS::ApiGatewayV2::Route")
        .map(|route| route["Properties"]["RouteKey"].as_str().unwrap())
        .collect();
    let paths = |method: &str| -> BTreeSet<&str> {
        keys.iter().filter_map(|key| key.strip_prefix(method)).collect()
    };
    assert_eq!(paths("GET "), paths("HEAD "));
    assert_eq!(paths("GET ").len(), 12);
}

/// API Gateway copies the values into the line without escaping them, so no value may hold text
/// that a caller has written.
#[test]
fn an_access_log_line_is_json_whatever_a_caller_sends() {
    let main = template(MAIN);
    let stage = of_type(&main, "AWS::ApiGatewayV2::Stage").next().unwrap();
    let format = stage["Properties"]["AccessLogSettings"]["Format"].as_str().unwrap();
    let line = serde_json::from_str::<BTreeMap<String, String>>(format).unwrap();
    let allowed = [
        "authorizer.claims.sub",
        "error.responseType",
        "identity.userArn",
        "integration.status",
        "integrationErrorMessage",
        "integrationLatency",
        "requestId",
        "requestTime",
        "responseLatency",
        "responseLength",
        "routeKey",
        "status",
    ];
    for (field, variable) in line {
        let variable = variable.strip_prefix("$context.").unwrap();
        assert!(allowed.contains(&variable), "{field} is {variable}");
    }
}

/// The text of a dashboard is checked by no rule of cfn-lint.
#[test]
fn the_dashboard_is_json_and_shows_every_alarm() {
    let template = template(OBSERVABILITY);
    let dashboard = of_type(&template, "AWS::CloudWatch::Dashboard").next().unwrap();
    let body = &dashboard["Properties"]["DashboardBody"]["Fn::Sub"];
    let (text, variables) = (body[0].as_str().unwrap(), body[1].as_object().unwrap());
    for has_replays in [true, false] {
        // Each is `Fn::If` of a condition and two texts.
        let text = variables.iter().fold(text.to_owned(), |text, (name, value)| {
            let value = &value["Fn::If"][if has_replays { 1 } else { 2 }];
            let value = value["Fn::Sub"].as_str().or(value.as_str()).unwrap();
            text.replace(&format!("${{{name}}}"), value)
        });
        assert_eq!(shown(&text), alarms(&template, has_replays));
    }
}

/// The alarms that the text of a dashboard shows.
fn shown(body: &str) -> BTreeSet<String> {
    let body: Value = serde_json::from_str(body).unwrap();
    let widgets = body["widgets"].as_array().unwrap().iter();
    let alarms = widgets.filter_map(|widget| widget["properties"]["alarms"].as_array()).flatten();
    alarms.map(|alarm| alarm.as_str().unwrap().to_owned()).collect()
}

/// The alarms of a template, as a text names them.
fn alarms(template: &Value, has_replays: bool) -> BTreeSet<String> {
    resources(template)
        .filter(|(_, resource)| resource["Type"] == "AWS::CloudWatch::Alarm")
        .filter(|(_, resource)| has_replays || resource["Condition"] != "Replays")
        .map(|(id, _)| format!("${{{id}.Arn}}"))
        .collect()
}

fn resources(template: &Value) -> impl Iterator<Item = (&str, &Value)> {
    template["Resources"].as_object().unwrap().iter().map(|(id, resource)| (id.as_str(), resource))
}

fn of_type<'a>(template: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    resources(template).map(|(_, resource)| resource).filter(move |r| r["Type"] == kind)
}

/// The logical ids in `known` that a value names by `DependsOn`, `Ref`, `Fn::GetAtt` or `Fn::Sub`.
/// (Other texts that happen to be a logical id count as well, which does no harm here.)
fn references(value: &Value, known: &Value) -> BTreeSet<String> {
    match value {
        Value::String(text) => text
            .split(['$', '{', '}', '.'])
            .filter(|part| known.get(part).is_some())
            .map(str::to_owned)
            .collect(),
        Value::Array(values) => values.iter().flat_map(|v| references(v, known)).collect(),
        Value::Object(fields) => fields.values().flat_map(|v| references(v, known)).collect(),
        _ => BTreeSet::new(),
    }
}

/// Whether `from` is created after `to`.
fn reaches(needs: &BTreeMap<&str, BTreeSet<String>>, from: &str, to: &str) -> bool {
    needs[from].iter().any(|next| next == to || reaches(needs, next, to))
}
