"""Calls to AWS that the tests make by boto3 instead of a Rust SDK; each prints JSON.

    aws.py create STACK FILE            creates a stack of a template; its outputs
    aws.py outputs STACK                the outputs of a stack, by key
    aws.py mapping UUID on|off          enables or disables an event source mapping, and waits for the new state
    aws.py keys BUCKET PREFIX           the keys of the objects in a bucket
    aws.py logs FUNCTION                the lines that a function has logged
    aws.py invocations FUNCTION...      how often each function has been invoked, by its log
    aws.py invoke FUNCTION EVENT        invokes a function and waits for it; what it returns
    aws.py secret FUNCTION VARIABLE     the value of the secret that an environment variable of a function names
    aws.py delete STACK                 deletes a stack, and the tables and buckets that it retains
"""

import json
import sys
import time

import boto3


def create(stack, file):
    client = boto3.client("cloudformation")
    with open(file, encoding="utf-8") as template:
        client.create_stack(StackName=stack, TemplateBody=template.read())
    client.get_waiter("stack_create_complete").wait(StackName=stack, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    return outputs(stack)


def outputs(stack):
    description = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in description["Outputs"]}


def mapping(uuid, switch):
    client = boto3.client("lambda")
    client.update_event_source_mapping(UUID=uuid, Enabled=switch == "on")
    wanted = "Enabled" if switch == "on" else "Disabled"
    for _ in range(100):
        state = client.get_event_source_mapping(UUID=uuid)["State"]
        if state == wanted:
            return state
        time.sleep(0.1)
    sys.exit(f"mapping {uuid} is {state}, not {wanted}, after 10 seconds")


def keys(bucket, prefix):
    pages = boto3.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [file["Key"] for page in pages for file in page.get("Contents", [])]


def logs(function):
    pages = boto3.client("logs").get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{function}")
    return [line for page in pages for event in page["events"] for line in event["message"].splitlines()]


def end(function):
    client = boto3.client("lambda")
    client.update_function_configuration(FunctionName=function, Description="ended")
    client.get_waiter("function_updated_v2").wait(FunctionName=function, WaiterConfig={"Delay": 1})
    # What an ended process has printed is stored a moment later.
    time.sleep(2)


def invocations(*functions):
    return [sum(line.startswith("START ") for line in logs(function)) for function in functions]


def invoke(function, event):
    reply = boto3.client("lambda").invoke(FunctionName=function, Payload=event)
    returned = reply["Payload"].read().decode()
    if "FunctionError" in reply:
        sys.exit(f"{function} failed: {returned}")
    return json.loads(returned)


def secret(function, variable):
    variables = boto3.client("lambda").get_function_configuration(FunctionName=function)["Environment"]["Variables"]
    return boto3.client("secretsmanager").get_secret_value(SecretId=variables[variable])["SecretString"]


def delete(stack):
    kept = outputs(stack)
    client = boto3.client("cloudformation")
    client.delete_stack(StackName=stack)
    client.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig={"Delay": 2, "MaxAttempts": 60})
    # The stack of a model has none of these.
    for table in {"EndpointsTable", "OutcomesTable", "WindowsTable"} & kept.keys():
        boto3.client("dynamodb").delete_table(TableName=kept[table])
    for name in {"ArchiveBucket", "FailureBucket", "PayloadBucket"} & kept.keys():
        empty_and_delete(boto3.resource("s3").Bucket(kept[name]))


def empty_and_delete(bucket):
    for _ in range(10):
        bucket.object_versions.delete()
        bucket.objects.delete()
        try:
            return bucket.delete()
        except bucket.meta.client.exceptions.ClientError as error:
            # An invocation that outlives its function may still have stored a file.
            if error.response["Error"]["Code"] != "BucketNotEmpty":
                raise
        time.sleep(1)
    sys.exit(f"{bucket.name} is not empty after 10 seconds")


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    commands = (create, outputs, mapping, keys, logs, end, invocations, invoke, secret, delete)
    print(json.dumps({c.__name__: c for c in commands}[command](*arguments)))
