"""LocalStack's executor `native`: functions as processes of this machine, without Docker.

Of the runtimes there are provided.* and python3.*, the latter with the Python of LocalStack, whatever its version.
"""

import json
import os
import sys
import time
from typing import Any

from localstack import config
from localstack.aws.connect import connect_to
from localstack.services.dynamodb.server import DynamodbServer
from localstack.services.lambda_.invocation.executor_endpoint import StatusErrorException
from localstack.services.lambda_.invocation.lambda_models import (
    FunctionVersion,
    InvocationResult,
    VersionFunctionConfiguration,
)
from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin
from localstack.services.lambda_.invocation.runtime_executor import RuntimeExecutor
from localstack.utils.cloudwatch.cloudwatch_util import store_cloudwatch_logs

from native_localstack.kinesis.provider import NativeKinesis
from native_localstack.lambda_executor.environment import Environment, NotStarted
from native_localstack.lambda_executor.runtime_api import Invocation
from native_localstack.serving import HOST


class NativeExecutor(RuntimeExecutor):
    """One execution environment, as LocalStack sees it."""

    environment: Environment | None = None
    variables: dict[str, str]

    def start(self, env_vars: dict[str, str]) -> None:
        self.variables = _endpoints() | {name: str(value) for name, value in env_vars.items()}
        try:
            self._start()
        except NotStarted as error:
            message = {"errorType": "Runtime.ExitError", "errorMessage": f"the function did not start: {error}"}
            raise StatusErrorException("the function did not start", json.dumps(message).encode()) from error

    def _start(self) -> Environment:
        function = self.function_version.config
        code = str(function.code.get_unzipped_code_location())
        self.environment = Environment(_command(function, code), code, self.variables, int(function.timeout))
        return self.environment

    def stop(self) -> None:
        if self.environment and (logs := self.environment.end()):
            # LocalStack keeps the logs of invocations only.
            function = self.function_version.id
            client = connect_to(aws_access_key_id=function.account, region_name=function.region).logs
            store_cloudwatch_logs(client, self.variables["AWS_LAMBDA_LOG_GROUP_NAME"], f"ended/{self.id}", logs)

    def invoke(self, payload: dict[str, str]) -> InvocationResult:
        environment = self.environment
        # As on Lambda, the process of an environment whose last invocation killed it is started anew.
        if environment is None or not environment.runs:
            try:
                environment = self._start()
            except NotStarted as error:
                message = {"errorType": "Runtime.ExitError", "errorMessage": str(error)}
                return InvocationResult(payload["invoke-id"], json.dumps(message).encode(), True, logs="")
        deadline = time.time() + int(self.function_version.config.timeout)
        invocation = Invocation(
            id=payload["invoke-id"],
            payload=payload["payload"].encode(),
            arn=payload["invoked-function-arn"],
            trace=payload["trace-id"],
            deadline_ms=int(deadline * 1000),
        )
        answer = environment.invoke(invocation)
        return InvocationResult(invocation.id, answer.body, is_error=answer.failed, logs=answer.logs)

    def get_address(self) -> str:
        return HOST

    def get_endpoint_from_executor(self) -> str:
        return HOST

    def get_runtime_endpoint(self) -> str:
        return f"http://{HOST}:{config.GATEWAY_LISTEN[0].port}/_localstack_lambda/{self.id}"

    def get_logs(self) -> str:
        return self.environment.logs() if self.environment else ""

    @classmethod
    def prepare_version(cls, function_version: FunctionVersion) -> None:
        if function_version.config.code:
            function_version.config.code.prepare_for_execution()

    @classmethod
    def cleanup_version(cls, function_version: FunctionVersion) -> None:
        """Keeps the code, which may be the next version's, too."""


def _endpoints() -> dict[str, str]:
    """Where a function calls DynamoDB and Kinesis, unless its own variables say otherwise: not LocalStack's gateway, which
    takes most of the time of such a call. For DynamoDB it would add ARNs and accounts, which calls that read and write items do
    not need."""
    tables, streams = DynamodbServer.get(), NativeKinesis.instance
    found = {"AWS_ENDPOINT_URL_DYNAMODB": f"http://{HOST}:{tables.port}"} if tables.share_db else {}
    return found | ({"AWS_ENDPOINT_URL_KINESIS": streams.server.url} if streams else {})


def _command(function: VersionFunctionConfiguration, code: str) -> list[str]:
    """What a runtime starts: the function's own program, or Lambda's loop around a handler in Python."""
    if str(function.runtime).startswith("python"):
        return [sys.executable, "-m", "awslambdaric", str(function.handler)]
    return [os.path.join(code, "bootstrap")]


class NativePlugin(RuntimeExecutorPlugin):
    """What LocalStack loads for LAMBDA_RUNTIME_EXECUTOR=native."""

    name = "native"

    def load(self, *_: Any, **__: Any) -> type[RuntimeExecutor]:
        return NativeExecutor
