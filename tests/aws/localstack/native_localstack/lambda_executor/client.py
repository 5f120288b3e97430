"""Invokes functions for other parts of LocalStack, which would do so by requests to its gateway."""

import io
import uuid
from typing import Any

from localstack.services.plugins import SERVICE_PLUGINS
from localstack.utils.xray.trace_header import TraceHeader


class LambdaClient:
    """What event source mappings and HTTP APIs use of a client of Lambda. Errors are those of `localstack.aws.api.lambda_`."""

    def invoke(
        self, *, FunctionName: str, Payload: str | bytes, Qualifier: str | None = None, **_: Any
    ) -> dict[str, Any]:
        """Waits for the answer of a function, which is named by its ARN."""
        _, _, _, region, account, _, name, *qualifier = FunctionName.split(":")
        request = str(uuid.uuid4())
        result = SERVICE_PLUGINS.require("lambda")._provider.lambda_service.invoke(
            function_name=name,
            qualifier=Qualifier or next(iter(qualifier), None),
            region=region,
            account_id=account,
            invocation_type="RequestResponse",
            client_context=None,
            request_id=request,
            payload=Payload.encode() if isinstance(Payload, str) else Payload,
            trace_context={"aws_trace_header": TraceHeader().ensure_root_exists()},
        )
        answer = {
            "StatusCode": 200,
            "Payload": io.BytesIO(result.payload or b""),
            "ExecutedVersion": result.executed_version,
            "ResponseMetadata": {"RequestId": request},
        }
        return answer | ({"FunctionError": "Unhandled"} if result.is_error else {})
