"""The deployed stack, and what the checks do with it."""

import contextlib
import http.client
import json
import os
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3

from faults.build import sam
from harness.paths import INSTALLED, ROOT

ENDPOINT = "flight-delay"
MODELS = ("logistic@1", "timetable@1", "prior@1", "gbt@1", "mlp@1")
# Of the sample: no model has anything against it.
FLIGHT = {
    "carrier": "UA",
    "origin": "EWR",
    "dest": "IAH",
    "weekday": 1,
    "hour": 5,
    "distance": 1400,
    "weather": None,
}

# Few retries, small windows, several batches of a shard at once. Otherwise the template's defaults, as enhanced fan-out is.
RETRIES = 2
RENDEZVOUS_RETRIES = 8
WINDOW_SECONDS = 5
LANES = 4
PARAMETERS = {
    "Authorization": "NONE",
    "RetryAttempts": str(RETRIES),
    "RendezvousRetryAttempts": str(RENDEZVOUS_RETRIES),
    "ModelParallelization": str(LANES),
    "ArchiveWindowSeconds": str(WINDOW_SECONDS),
    "AnswerMarginMs": "400",
    "Tracing": "PassThrough",
    # Not in LocalStack's open core: Athena, and alarms on metric math.
    "Analytics": "no",
    "Observability": "no",
}


# What a call raises that is not answered, or not by JSON.
NO_ANSWER = (OSError, http.client.HTTPException, ValueError)


class Failed(Exception):
    """A check did not see what it must see."""


def must(holds: bool, what: str) -> None:
    """Fails the check unless something holds."""
    if not holds:
        raise Failed(what)


def eventually(what: str, holds: Callable[[], Any], seconds: float = 30) -> Any:
    """Waits until something is neither empty nor false, and returns it."""
    end = time.monotonic() + seconds
    while not (found := holds()):
        if time.monotonic() > end:
            raise Failed(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.1)
    return found


def percentile(seconds: list[float], part: float) -> float:
    """A percentile in milliseconds."""
    ordered = sorted(seconds) or [0.0]
    return ordered[int(len(ordered) * part)] * 1000


@dataclass(frozen=True)
class Reply:
    """What a client was told, and how long it took."""

    status: int
    body: dict[str, Any]
    seconds: float

    @property
    def id(self) -> str:
        """The request's id."""
        return str(self.body["request"])

    @property
    def by(self) -> str:
        """Who answered and why, in a word each."""
        return f"{self.body.get('model') or self.body.get('kind') or self.status} {self.body.get('reason')}"


class Stack:
    """A deployed stack."""

    def __init__(self, name: str, binaries: Path) -> None:
        self.name = name
        self.binaries = binaries
        self.url = os.environ["AWS_ENDPOINT_URL"]
        self.pool = ThreadPoolExecutor(64)

    def deploy(self, template: Path) -> float:
        """Returns how many seconds it took."""
        start = time.monotonic()
        self._deploy(self.name, template, **PARAMETERS)
        return time.monotonic() - start

    def deploy_model(self, name: str, template: Path, **parameters: str) -> None:
        """Deploys a model's own stack."""
        streams = {name: self.outputs[name] for name in ("InputStream", "ScoresStream", "FailureBucket")}
        parameters |= streams | {"System": self.name, "Endpoints": ENDPOINT, "Alarms": "no"}
        self._deploy(f"{self.name}-{name}", template, **parameters)

    def delete_model(self, name: str) -> None:
        """Deletes a model's own stack, and waits until it is gone."""
        client = self.client("cloudformation")
        client.delete_stack(StackName=f"{self.name}-{name}")
        waiter = client.get_waiter("stack_delete_complete")
        waiter.wait(StackName=f"{self.name}-{name}", WaiterConfig={"Delay": 2, "MaxAttempts": 60})

    def _deploy(self, name: str, template: Path, **parameters: str) -> None:
        command: list[str | Path] = [
            *(sam(), "deploy", "--template-file", "template.yaml", "--config-file", ROOT / "samconfig.toml"),
            *("--stack-name", name, "--region", "us-east-1", "--no-progressbar"),
            *("--parameter-overrides", *(f"{key}={value}" for key, value in parameters.items())),
        ]
        environment = os.environ | {"SAM_CLI_TELEMETRY": "0", "SAM_CLI_POLL_DELAY": "1"}
        done = subprocess.run(command, cwd=template, env=environment, capture_output=True, text=True, check=False)
        must(done.returncode == 0, f"{name} is not deployed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")

    @cached_property
    def outputs(self) -> dict[str, str]:
        described = self.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}

    def client(self, service: str) -> Any:
        return boto3.client(service)

    @cached_property
    def lambda_(self) -> Any:
        return self.client("lambda")

    @cached_property
    def s3(self) -> Any:
        return self.client("s3")

    # Requests.

    def configure(self, *models: str, after_ms: int = 6_000) -> None:
        """Makes a schedule of these models current; the others observe."""
        choices = [{"model": model, "after_ms": after_ms * index} for index, model in enumerate(models)]
        configuration = {
            "schedule": {
                "choices": choices,
                "deadline_ms": 25_000,
                "fallback": {"delay_probability": 0.274},
            },
            "observers": [{"model": model, "role": "challenger"} for model in MODELS if model not in models],
            "value": "/delay_probability",
        }
        self.publish(configuration)

    def publish(self, configuration: dict[str, Any]) -> None:
        """Makes a configuration of the endpoint current."""
        file = INSTALLED / f"{ENDPOINT}.json"
        file.write_text(json.dumps(configuration))
        publish = ["apply", file, "--yes", "--message", "faults"]
        command: list[str | Path] = [self.binaries / "rendezvousctl", "--stack", self.name, *publish]
        subprocess.run(command, check=True, capture_output=True)
        # A pointer may be a second old.
        time.sleep(1.5)

    def ctl(self, *arguments: str) -> Any:
        """What a command of `rendezvousctl` prints for programs."""
        command: list[str | Path] = [self.binaries / "rendezvousctl", "--stack", self.name, *arguments, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        must(done.returncode == 0, f"rendezvousctl {' '.join(arguments)}: {done.stderr}")
        return json.loads(done.stdout)

    def ask(self, note: str = "", deadline_ms: int = 20_000, key: str = "", wait: bool = True) -> Reply:
        """One request. A note in the payload is what a check's function may react to."""
        headers = {"content-type": "application/json", "rendezvous-deadline-ms": str(deadline_ms)}
        if key:
            headers["rendezvous-key"] = key
        if not wait:
            headers["prefer"] = "respond-async"
        start = time.monotonic()
        status, said = self.call("POST", "", headers, json.dumps(FLIGHT | ({"note": note} if note else {})))
        body = json.loads(said or b"{}")
        must(status in (200, 202), f"a request was answered {status}: {body}")
        return Reply(status, body, time.monotonic() - start)

    def call(self, method: str, path: str, headers: dict[str, str], body: str) -> tuple[int, bytes]:
        """A call of the endpoint's requests, or of what is below them: the status and the body of its answer."""
        place = urlsplit(self.url)
        requests = f"/_aws/execute-api/{self.outputs['ApiId']}/$default/v1/endpoints/{ENDPOINT}/requests"
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, requests + path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()

    # Mappings and functions.

    def function(self, model: str) -> str:
        """The name of a model's function."""
        return f"{self.name}-{model.replace('@', '-')}"

    def functions(self) -> list[str]:
        """The names of all functions."""
        ours = ("IngressFunction", "RendezvousFunction", "DecoyFunction", "MonitorFunction")
        return [self.outputs[name] for name in ours] + [self.function(model) for model in MODELS]

    def mapping(self, model: str) -> str:
        """The id of a model's mapping."""
        return self.outputs[f"{model.split('@')[0].capitalize()}Mapping"]

    def switch(self, mapping: str, on: bool, **settings: Any) -> None:
        """Enables or disables a mapping, and waits until it is so."""
        self.lambda_.update_event_source_mapping(UUID=mapping, Enabled=on, **settings)
        wanted = "Enabled" if on else "Disabled"

        def reached() -> bool:
            return bool(self.lambda_.get_event_source_mapping(UUID=mapping)["State"] == wanted)

        eventually(f"mapping {mapping} is {wanted}", reached, seconds=60)

    def set_variables(self, function: str, **variables: str) -> None:
        """Adds variables to a function's environment."""
        before = self.lambda_.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
        self.lambda_.update_function_configuration(FunctionName=function, Environment={"Variables": before | variables})
        self.settle(function)

    def settle(self, function: str) -> None:
        """Waits until an update of a function has taken effect."""
        self.lambda_.get_waiter("function_updated_v2").wait(FunctionName=function, WaiterConfig={"Delay": 1})

    def end(self, *functions: str) -> None:
        """Ends functions' processes, by an update that changes nothing, so that none holds metrics of requests before."""
        for function in functions:
            self.lambda_.update_function_configuration(FunctionName=function, Description="ended")
            self.settle(function)
        # A process prints what it holds when it is ended, which may be after the update.
        time.sleep(1)

    def end_all(self) -> None:
        """Ends the processes of all functions."""
        self.end(*self.functions())

    # What is left behind.

    def mailbox(self, request: str) -> dict[str, Any]:
        """The item of a request."""
        got = self.client("dynamodb").get_item(
            TableName=self.outputs["LedgerTable"], Key={"id": {"S": request}}, ConsistentRead=True
        )
        return dict(got.get("Item", {}))

    def scored(self, since: float) -> set[tuple[str, str]]:
        """Which requests have a score of which model on the stream since."""
        client, stream, found = self.client("kinesis"), self.outputs["ScoresStream"], set()
        for shard in client.list_shards(StreamName=stream)["Shards"]:
            iterator = client.get_shard_iterator(
                StreamName=stream, ShardId=shard["ShardId"], ShardIteratorType="AT_TIMESTAMP", Timestamp=since
            )["ShardIterator"]
            while records := (got := client.get_records(ShardIterator=iterator))["Records"]:
                scores = (json.loads(record["Data"]) for record in records)
                found |= {(score["envelope"]["id"], score["model"]) for score in scores}
                iterator = got["NextShardIterator"]
        return found

    def failures(self, mapping: str) -> list[dict[str, Any]]:
        """What of a mapping's records lies in the failure bucket, an object a batch."""
        bucket = self.outputs["FailureBucket"]
        listed = self.s3.list_objects_v2(Bucket=bucket, Prefix=f"aws/lambda/{mapping}/")
        keys = [kept["Key"] for kept in listed.get("Contents", [])]
        return [json.loads(self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()) for key in keys]

    def archived(self, table: str) -> set[str]:
        """The names of a table's files."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.outputs["ArchiveBucket"], Prefix=f"{table}/"
        )
        return {file["Key"] for page in pages for file in page.get("Contents", [])}

    def logged(self, function: str, since: float) -> list[dict[str, Any]]:
        """What a function has logged since, as far as it is JSON: metrics, warnings, batches of a wrapped model."""
        pages = self.client("logs").get_paginator("filter_log_events")
        lines = []
        for page in pages.paginate(logGroupName=f"/aws/lambda/{function}", startTime=int(since * 1000)):
            for event in page["events"]:
                lines += [json.loads(line) for line in event["message"].splitlines() if line.startswith("{")]
        return lines

    def counted(self, function: str, metric: str, since: float, **dimensions: str) -> list[int]:
        """The values of a metric. A line has one, or several and how often each occurred."""
        return [
            int(value)
            for line in self.logged(function, since)
            if metric in line and dimensions.items() <= line.items()
            for value in _values(line[metric])
        ]


def _values(metric: float | dict[str, list[float]]) -> list[float]:
    if not isinstance(metric, dict):
        return [metric]
    counted = zip(metric["Values"], metric["Counts"], strict=True)
    return [value for value, count in counted for _ in range(int(count))]
