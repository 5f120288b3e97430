"""The calls to AWS for which the tests need no SDK of their own in Rust; each prints JSON.

    aws.py outputs STACK            the stack's outputs, by key
    aws.py mapping UUID on|off      switches an event source mapping, and waits until it is so
    aws.py keys BUCKET PREFIX       the names of the files in a bucket
    aws.py logs FUNCTION            what a function has logged, line by line
    aws.py delete STACK             deletes a stack
"""

import json
import sys
import time

import boto3


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


def delete(stack):
    """With what it would retain: its tables and, emptied, its buckets."""
    kept = outputs(stack)
    client = boto3.client("cloudformation")
    client.delete_stack(StackName=stack)
    client.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig={"Delay": 2, "MaxAttempts": 60})
    for table in ("EndpointsTable", "OutcomesTable"):
        boto3.client("dynamodb").delete_table(TableName=kept[table])
    for name in ("ArchiveBucket", "FailureBucket"):
        bucket = boto3.resource("s3").Bucket(kept[name])
        bucket.object_versions.delete()
        bucket.objects.delete()
        bucket.delete()


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    commands = {"outputs": outputs, "mapping": mapping, "keys": keys, "logs": logs, "delete": delete}
    print(json.dumps(commands[command](*arguments)))
