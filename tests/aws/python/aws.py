"""The calls to AWS for which the tests need no SDK of their own in Rust; each prints JSON.

    aws.py outputs STACK            the stack's outputs, by key
    aws.py mapping UUID on|off      switches an event source mapping, and waits until it is so
    aws.py keys BUCKET PREFIX       the names of the files in a bucket
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


def delete(stack):
    boto3.client("cloudformation").delete_stack(StackName=stack)


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    print(json.dumps({"outputs": outputs, "mapping": mapping, "keys": keys, "delete": delete}[command](*arguments)))
