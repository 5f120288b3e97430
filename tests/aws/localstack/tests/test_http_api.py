import base64
import json
import unittest

from native_localstack.http_api.proxy import Place, Request, event, message, response
from native_localstack.http_api.routes import find

ROUTES = [
    {"RouteKey": key}
    for key in ("POST /v1/{endpoint}/requests", "GET /v1/{endpoint}/requests/{id}", "GET /v1/{endpoint}", "GET /health")
]


def found(method: str, path: str, *more: str) -> tuple[str, dict[str, str]] | None:
    fits = find([*ROUTES, *({"RouteKey": key} for key in more)], method, path)
    return fits and (fits[0]["RouteKey"], fits[1])


class Routes(unittest.TestCase):
    def test_by_method_and_path(self) -> None:
        self.assertEqual(found("GET", "/health"), ("GET /health", {}))
        self.assertEqual(found("POST", "/v1/a/requests"), ("POST /v1/{endpoint}/requests", {"endpoint": "a"}))
        self.assertEqual(
            found("GET", "/v1/a/requests/7"), ("GET /v1/{endpoint}/requests/{id}", {"endpoint": "a", "id": "7"})
        )

    def test_what_fits_nothing(self) -> None:
        for method, path in (("POST", "/health"), ("GET", "/healthy"), ("GET", "/v1/a/b/c"), ("GET", "/v1/")):
            self.assertIsNone(found(method, path))

    def test_parameters_are_decoded(self) -> None:
        self.assertEqual(found("GET", "/v1/a%20b"), ("GET /v1/{endpoint}", {"endpoint": "a b"}))

    def test_the_most_specific_route_is_taken(self) -> None:
        more = ("$default", "GET /v1/{all+}", "GET /v1/fixed", "ANY /v1/{endpoint}")
        self.assertEqual(found("GET", "/v1/fixed", *more), ("GET /v1/fixed", {}))
        self.assertEqual(found("GET", "/v1/x", *more), ("GET /v1/{endpoint}", {"endpoint": "x"}))
        self.assertEqual(found("PUT", "/v1/x", *more), ("ANY /v1/{endpoint}", {"endpoint": "x"}))
        self.assertEqual(found("GET", "/v1/x/y/z", *more), ("GET /v1/{all+}", {"all": "x/y/z"}))
        self.assertEqual(found("PUT", "/other", *more), ("$default", {}))

    def test_a_dot_is_a_dot(self) -> None:
        self.assertIsNone(found("GET", "/openapixjson", "GET /openapi.json"))
        self.assertIsNone(found("GET", "/a/1xjson", "GET /a/{b}.json"))


class Proxy(unittest.TestCase):
    place = Place("000000000000", "api", "$default", "POST /a/{b}", {"b": "1"})

    def test_a_request_becomes_an_event(self) -> None:
        headers = [("Content-Type", "application/json"), ("X-A", "1"), ("x-a", "2"), ("Cookie", "c=1; d=2")]
        got = event(Request("POST", "/a/1", "q=1&q=2&r=", headers, b'{"x":1}', "127.0.0.1"), self.place)
        self.assertEqual(got["headers"], {"content-type": "application/json", "x-a": "1,2"})
        self.assertEqual(got["cookies"], ["c=1", "d=2"])
        self.assertEqual(got["queryStringParameters"], {"q": "1,2", "r": ""})
        self.assertEqual(got["pathParameters"], {"b": "1"})
        self.assertEqual((got["body"], got["isBase64Encoded"]), ('{"x":1}', False))
        self.assertEqual((got["rawPath"], got["rawQueryString"]), ("/a/1", "q=1&q=2&r="))
        self.assertEqual(got["requestContext"]["http"]["method"], "POST")
        json.dumps(got)

    def test_what_is_no_text_is_encoded(self) -> None:
        got = event(Request("POST", "/a/1", "", [], b"\xff", "127.0.0.1"), self.place)
        self.assertEqual((base64.b64decode(got["body"]), got["isBase64Encoded"]), (b"\xff", True))

    def test_an_answer_becomes_a_response(self) -> None:
        body = base64.b64encode(b"\xff").decode()
        answer = {"statusCode": 201, "headers": {"X-A": "1"}, "cookies": ["c=1", "d=2"], "body": body}
        got = response(json.dumps(answer | {"isBase64Encoded": True}).encode(), "r")
        self.assertEqual((got.status, got.body), (201, b"\xff"))
        self.assertIn(("x-a", "1"), got.headers)
        self.assertEqual([value for name, value in got.headers if name == "set-cookie"], ["c=1", "d=2"])
        self.assertIn(("apigw-requestid", "r"), got.headers)

    def test_an_answer_without_a_status_is_the_body(self) -> None:
        got = response(b'{"x":1}', "r")
        self.assertEqual((got.status, got.body), (200, b'{"x":1}'))

    def test_its_own_messages_are_json(self) -> None:
        self.assertEqual(json.loads(message(404, "Not Found").body), {"message": "Not Found"})


if __name__ == "__main__":
    unittest.main()
