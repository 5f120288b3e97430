"""A real process behind a real Runtime API."""

import json
import sys
import tempfile
import time
import unittest
from pathlib import Path

from native_localstack.lambda_executor.environment import Answer, Environment, NotStarted
from native_localstack.lambda_executor.runtime_api import Invocation

# Answers with its payload and its count of invocations, fails, crashes, hangs or writes, as the payload says.
BOOTSTRAP = """#!{python}
import http.client, json, os, signal, sys, threading, time
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
def call(method, path, body=None):
    api.request(method, "/2018-06-01/runtime/" + path, body)
    got = api.getresponse()
    return got, got.read()
if os.environ.get("START") == "error":
    call("POST", "init/error", b"no such card")
    time.sleep(60)
if os.environ.get("START") == "crash":
    sys.exit("no libraries")
if os.environ.get("START") == "extension":
    def end(*_):
        print("ended", flush=True)
        os._exit(0)
    signal.signal(signal.SIGTERM, end)
    api.request("POST", "/2020-01-01/extension/register", b'{{"events":[]}}')
    name = {{"Lambda-Extension-Identifier": api.getresponse().getheader("Lambda-Extension-Identifier")}}
    api.close()
    def events():
        own = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
        own.request("GET", "/2020-01-01/extension/event/next", headers=name)
        own.getresponse()
    # Python handles signals in the main thread, which must be the one that is interrupted.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    threading.Thread(target=events, daemon=True).start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
count = 0
while True:
    got, payload = call("GET", "invocation/next")
    request = got.getheader("Lambda-Runtime-Aws-Request-Id")
    count += 1
    what = json.loads(payload)
    if what == "crash": os._exit(3)
    if what == "hang": time.sleep(60)
    if what == "fail":
        call("POST", f"invocation/{{request}}/error", b'{{"errorType":"Poison"}}')
        continue
    print("before", count, flush=True)
    call("POST", f"invocation/{{request}}/response", json.dumps([what, count]).encode())
    print("after", count, flush=True)
"""


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


class Environments(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.code = folder.name
        bootstrap = Path(folder.name, "bootstrap")
        bootstrap.write_text(BOOTSTRAP.format(python=sys.executable))
        bootstrap.chmod(0o755)

    def start(self, timeout: int = 10, **variables: str) -> Environment:
        environment = Environment([f"{self.code}/bootstrap"], self.code, variables, timeout)
        self.addCleanup(environment.kill)
        return environment

    def ask(self, environment: Environment, what: str) -> Answer:
        deadline = int(time.time() * 1000) + 10_000
        return environment.invoke(Invocation(f"id-{what}", json.dumps(what).encode(), "arn", "trace", deadline))

    def frozen(self, environment: Environment) -> bool:
        """Freezing follows the function's call at once, but not before it."""
        for _ in range(200):
            if state(environment.process.pid) == "T":
                return True
            time.sleep(0.01)
        return False

    def test_it_is_frozen_between_invocations_and_keeps_its_memory(self) -> None:
        environment = self.start()
        self.assertTrue(self.frozen(environment))
        self.assertEqual(json.loads(self.ask(environment, "a").body), ["a", 1])
        self.assertTrue(self.frozen(environment))
        self.assertEqual(json.loads(self.ask(environment, "b").body), ["b", 2])

    def test_what_it_logs_belongs_to_its_invocation(self) -> None:
        environment = self.start()
        for count in (1, 2):
            logs = self.ask(environment, "a").logs.splitlines()
            self.assertEqual(logs[1:3], [f"before {count}", f"after {count}"])
            self.assertTrue(logs[0].startswith("START ") and logs[-1].startswith("REPORT "))

    def test_an_error_is_an_answer(self) -> None:
        environment = self.start()
        answer = self.ask(environment, "fail")
        self.assertTrue(answer.failed)
        self.assertEqual(json.loads(answer.body), {"errorType": "Poison"})
        self.assertTrue(environment.runs)

    def test_a_crash_ends_the_invocation(self) -> None:
        environment = self.start()
        answer = self.ask(environment, "crash")
        self.assertTrue(answer.failed)
        self.assertEqual(json.loads(answer.body)["errorType"], "Runtime.ExitError")
        self.assertIn("exit status 3", answer.body.decode())
        self.assertFalse(environment.runs)

    def test_a_function_that_hangs_is_ended(self) -> None:
        environment = self.start(timeout=1)
        answer = self.ask(environment, "hang")
        self.assertEqual(json.loads(answer.body)["errorType"], "Sandbox.Timedout")
        self.assertFalse(environment.runs)

    def test_the_end_is_announced_to_one_with_an_extension_only(self) -> None:
        environment = self.start(START="extension")
        self.assertEqual(json.loads(self.ask(environment, "a").body), ["a", 1])
        self.assertTrue(self.frozen(environment))
        self.assertEqual(environment.end(), "ended\n")
        self.assertEqual(environment.process.returncode, 0)
        self.assertEqual(self.start().end(), "")

    def test_one_that_does_not_start_says_why(self) -> None:
        with self.assertRaisesRegex(NotStarted, "no such card"):
            self.start(START="error")
        with self.assertRaisesRegex(NotStarted, "no libraries"):
            self.start(START="crash")


if __name__ == "__main__":
    unittest.main()
