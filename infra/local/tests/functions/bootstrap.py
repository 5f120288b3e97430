"""A model as a Lambda function, with the standard library only. What its payloads say in `do` goes wrong."""

import base64
import json
import os
import time
import urllib.request

RUNTIME = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation"


def scored(data):
    text = base64.b64decode(data).decode()
    message = json.loads(text)
    start = text.index('"envelope":') + len('"envelope":')
    _, end = json.JSONDecoder().raw_decode(text, start)
    now = int(time.time() * 1e6)
    score = go_wrong(message["payload"].get("do"))
    body = (
        f'{{"v":1,"envelope":{text[start:end]},"model":"{os.environ["MODEL"]}",'
        f'"started_us":{now},"finished_us":{now},"score":{score}}}'
    )
    return {"Data": base64.b64encode(body.encode()).decode(), "PartitionKey": message["envelope"]["key"]}


def go_wrong(what):
    if what == "exit":
        os._exit(3)
    if what == "hang":
        time.sleep(60)
    if what == "raise":
        raise KeyError("a payload that no log may hold")
    if what == "print":
        print("x" * 10_000_001, flush=True)
    if what == "eat":
        bytearray(os.urandom(1)) * 1_000_000_000
        time.sleep(60)
    return '{"delay_probability":0.5}'


def put(records):
    credential = f"Credential={os.environ['AWS_ACCESS_KEY_ID']}/20260101/local/kinesis/aws4_request"
    headers = {"X-Amz-Target": "Kinesis_20131202.PutRecords", "Authorization": f"AWS4-HMAC-SHA256 {credential}"}
    call = {"StreamName": os.environ["SCORES_STREAM"], "Records": records}
    request = urllib.request.Request(os.environ["AWS_ENDPOINT_URL_KINESIS"], json.dumps(call).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        assert json.load(answer)["FailedRecordCount"] == 0


# In one write: `print` writes the line and its end apart, between which another process of the function may write.
os.write(1, b"started\n")
while True:
    with urllib.request.urlopen(f"{RUNTIME}/next") as got:
        invocation, event = got.headers["Lambda-Runtime-Aws-Request-Id"], json.load(got)
    try:
        put([scored(record["kinesis"]["data"]) for record in event["Records"]])
        end, body = "response", b'{"batchItemFailures":[]}'
    except KeyError as error:
        end, body = "error", json.dumps({"errorType": "KeyError", "errorMessage": str(error)}).encode()
    urllib.request.urlopen(urllib.request.Request(f"{RUNTIME}/{invocation}/{end}", body)).close()
