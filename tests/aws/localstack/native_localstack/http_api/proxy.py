"""The proxy integration with a function, payload format 2.0: a request becomes an event, an answer a response."""

import base64
import json
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl


@dataclass(frozen=True)
class Request:
    """What a client sent."""

    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes
    source_ip: str


@dataclass(frozen=True)
class Place:
    """Where a request arrived."""

    account: str
    api: str
    stage: str
    route: str
    path_parameters: dict[str, str]


@dataclass(frozen=True)
class Response:
    """What the client gets."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


def event(request: Request, place: Place) -> dict[str, Any]:
    """The event that the function gets."""
    headers, cookies = _headers(request.headers)
    result: dict[str, Any] = {
        "version": "2.0",
        "routeKey": place.route,
        "rawPath": request.path if place.stage == "$default" else f"/{place.stage}{request.path}",
        "rawQueryString": request.query,
        "headers": headers,
        "requestContext": _context(request, place, headers.get("user-agent", "")),
    }
    if request.body:
        result |= _body(request.body)
    else:
        result["isBase64Encoded"] = False
    if place.path_parameters:
        result["pathParameters"] = place.path_parameters
    if request.query:
        result["queryStringParameters"] = _joined(parse_qsl(request.query, keep_blank_values=True))
    if cookies:
        result["cookies"] = cookies
    return result


def _headers(all_headers: list[tuple[str, str]]) -> tuple[dict[str, str], list[str]]:
    """Names in lower case, repeated ones joined; cookies by themselves."""
    lower = [(name.lower(), value) for name, value in all_headers]
    cookies = [part.strip() for name, value in lower if name == "cookie" for part in value.split(";")]
    return _joined([(name, value) for name, value in lower if name != "cookie"]), cookies


def _joined(pairs: list[tuple[str, str]]) -> dict[str, str]:
    result: dict[str, str] = {}
    for name, value in pairs:
        result[name] = f"{result[name]},{value}" if name in result else value
    return result


def _context(request: Request, place: Place, agent: str) -> dict[str, Any]:
    return {
        "accountId": place.account,
        "apiId": place.api,
        "domainName": f"{place.api}.execute-api.localhost.localstack.cloud",
        "domainPrefix": place.api,
        "http": {
            "method": request.method,
            "path": request.path,
            "protocol": "HTTP/1.1",
            "sourceIp": request.source_ip,
            "userAgent": agent,
        },
        "requestId": uuid.uuid4().hex[:16],
        "routeKey": place.route,
        "stage": place.stage,
        "time": datetime.now(UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
        "timeEpoch": int(time.time() * 1000),
    }


def _body(body: bytes) -> dict[str, Any]:
    try:
        return {"body": body.decode(), "isBase64Encoded": False}
    except UnicodeDecodeError:
        return {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}


def response(payload: bytes, request_id: str) -> Response:
    """What the function's answer means. Without a status, it is the body of a successful response."""
    answer = json.loads(payload)
    if not isinstance(answer, dict) or "statusCode" not in answer:
        return Response(200, [("content-type", "application/json"), ("apigw-requestid", request_id)], payload)
    text = answer.get("body") or ""
    body = base64.b64decode(text) if answer.get("isBase64Encoded") else text.encode()
    headers = {"content-type": "text/plain;charset=UTF-8", "apigw-requestid": request_id}
    headers |= {name.lower(): str(value) for name, value in (answer.get("headers") or {}).items()}
    cookies = [("set-cookie", cookie) for cookie in answer.get("cookies") or []]
    return Response(int(answer["statusCode"]), [*headers.items(), *cookies], body)


def message(status: int, text: str) -> Response:
    """What API Gateway itself answers."""
    return Response(status, [("content-type", "application/json")], json.dumps({"message": text}).encode())
