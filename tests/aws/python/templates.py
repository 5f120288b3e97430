"""What the tests ask about the templates; prints JSON.

    templates.py parse FILE             the template, with the short forms (!Ref, !Sub, ...) written as functions
    templates.py immutable FILE...      by file and logical id, the resources that hold data, a position in a stream, or a
                                        name that clients use, with the properties that CloudFormation cannot change
                                        without replacing the resource
    templates.py storage FILE           the template with nothing but its streams, tables and buckets
"""

import json
import sys

from cfnlint.schema import PROVIDER_SCHEMA_MANAGER as schemas
from samcli.yamlhelper import yaml_parse

KEPT = (
    "AWS::ApiGatewayV2::Api",
    "AWS::CloudFormation::Stack",
    "AWS::DynamoDB::Table",
    "AWS::Kinesis::Stream",
    "AWS::Kinesis::StreamConsumer",
    "AWS::Lambda::EventSourceMapping",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::SecretsManager::Secret",
)

# CloudFormation keeps the secret, but generates another value for it.
REGENERATES = {"AWS::SecretsManager::Secret": ["/properties/GenerateSecretString"]}


def parse(file):
    with open(file, encoding="utf-8") as text:
        return yaml_parse(text.read())


def immutable(*files):
    return {file: {name: kept(r) for name, r in parse(file)["Resources"].items() if r["Type"] in KEPT} for file in files}


def kept(resource):
    """A resource reduced to what an update must not change."""
    kind = resource["Type"]
    schema = schemas.get_resource_schema("us-east-1", kind).schema
    paths = schema.get("createOnlyProperties", []) + schema.get("conditionalCreateOnlyProperties", [])
    names = [path.split("/")[2] for path in paths + REGENERATES.get(kind, [])]
    properties = resource.get("Properties", {})
    return {
        "Type": kind,
        **{name: resource[name] for name in ("DeletionPolicy", "UpdateReplacePolicy") if name in resource},
        **{name: properties[name] for name in names if name in properties},
    }


def storage(file):
    template = parse(file)
    kinds = ("AWS::DynamoDB::Table", "AWS::Kinesis::Stream", "AWS::S3::Bucket")
    resources = {name: r for name, r in template["Resources"].items() if r["Type"] in kinds}
    outputs = {name: o for name, o in template["Outputs"].items() if o["Value"] in [{"Ref": r} for r in resources]}
    kept = ("AWSTemplateFormatVersion", "Parameters", "Mappings", "Conditions")
    return {name: template[name] for name in kept} | {"Resources": resources, "Outputs": outputs}


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    print(json.dumps({"parse": parse, "immutable": immutable, "storage": storage}[command](*arguments)))
