"""Serves HTTP APIs, which the open LocalStack does not have, at /_aws/execute-api/API/STAGE/… and at API.execute-api.…

Nobody is authorized or throttled here.
"""

import json
import logging
from typing import Any

from localstack.aws.api.lambda_ import TooManyRequestsException
from localstack.http import Request as HttpRequest
from localstack.http import Response as HttpResponse
from localstack.runtime import hooks
from localstack.services.edge import ROUTER

from native_localstack.http_api.proxy import Place, Request, Response, event, message, response
from native_localstack.http_api.resources import APIS
from native_localstack.http_api.routes import find
from native_localstack.lambda_executor.client import LambdaClient

LOG = logging.getLogger(__name__)


def _answer(request: HttpRequest, api_id: str, stage: str, path: str) -> Response:
    api = APIS.get(api_id)
    if api is None or stage not in api.all("Stage"):
        return message(404, "Not Found")
    asked = Request(
        method=request.method,
        path="/" + path,
        query=request.query_string.decode(),
        headers=list(request.headers.items()),
        body=request.get_data(),
        source_ip=request.remote_addr or "127.0.0.1",
    )
    found = find(list(api.all("Route").values()), asked.method, asked.path)
    if found is None:
        return message(404, "Not Found")
    route, parameters = found
    integration = api.all("Integration")[route["Target"].split("/")[1]]
    body = event(asked, Place(api.account, api_id, stage, route["RouteKey"], parameters))
    try:
        invoked = LambdaClient().invoke(FunctionName=integration["IntegrationUri"], Payload=json.dumps(body))
    except TooManyRequestsException:
        return message(503, "Service Unavailable")
    except Exception:
        LOG.error("the function of %s %s cannot be invoked", asked.method, asked.path, exc_info=True)
        return message(500, "Internal Server Error")
    if invoked.get("FunctionError"):
        return message(500, "Internal Server Error")
    return response(invoked["Payload"].read(), body["requestContext"]["requestId"])


def _serve(request: HttpRequest, api_id: str, stage: str, path: str) -> HttpResponse:
    answer = _answer(request, api_id, stage, path)
    result = HttpResponse(answer.body, answer.status)
    for name, value in answer.headers:
        if name == "set-cookie":
            result.headers.add(name, value)
        else:
            result.headers[name] = value
    return result


@hooks.on_infra_start(name="native_localstack_http_api")
def install() -> None:
    """Adds the routes of all APIs to LocalStack's own."""

    def by_path(request: HttpRequest, api_id: str, stage: str, path: str = "") -> HttpResponse:
        return _serve(request, api_id, stage, path)

    def by_host(request: HttpRequest, api_id: str, path: str = "", **_: Any) -> HttpResponse:
        return _serve(request, api_id, "$default", path)

    ROUTER.add("/_aws/execute-api/<api_id>/<stage>/<path:path>", by_path)
    ROUTER.add("/_aws/execute-api/<api_id>/<stage>/", by_path)
    host = "<api_id>.execute-api.<regex('.*'):server>"
    ROUTER.add("/<path:path>", by_host, host=host)
    ROUTER.add("/", by_host, host=host)
