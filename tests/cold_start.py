"""Measures the cold start of each function: the time from exec to its first call of the runtime API, the memory that it
holds then, and the size of its package.

    sam build
    python3 tests/cold_start.py

Needs Linux and nothing but Python. Prints the median of RUNS starts.
"""

import io
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import time
import zipfile

RUNS = 50
ROOT = pathlib.Path(__file__).resolve().parent.parent
MODELS = ROOT / "functions/models"
FUNCTIONS = ["ingress", "rendezvous", "decoy", "monitor", "onnx-model"]

# What the template sets. No function calls AWS before its first event.
ENVIRONMENT = {
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_LAMBDA_FUNCTION_NAME": "measured",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
    "AWS_LAMBDA_FUNCTION_VERSION": "1",
    "LAMBDA_TASK_ROOT": str(MODELS),
    "STACK": "measured",
    "INPUT_STREAM": "input",
    "SCORES_STREAM": "scores",
    "LEDGER_TABLE": "ledger",
    "LEDGER_HOURS": "48",
    "ENDPOINTS_TABLE": "endpoints",
    "OUTCOMES_TABLE": "outcomes",
    "WINDOWS_TABLE": "windows",
    "WINDOW_DAYS": "35",
    "ARCHIVE_BUCKET": "archive",
    "ANSWER_MARGIN_MS": "30",
    "PAYLOAD_BUCKET": "payloads",
    "MAX_PAYLOAD_BYTES": "5000000",
    "INLINE_PAYLOAD_BYTES": "262144",
    "IDEMPOTENCY_SECRET": "arn:aws:secretsmanager:us-east-1:000000000000:secret:measured",
    "FUNCTION_TIMEOUT_SECONDS": "30",
    "CARD": "flights/gbt.json",
    "MODEL": "gbt@1",
}
# The answer to a function that registers its extension.
BODY = b'{"functionName":"measured","functionVersion":"1","handler":"bootstrap"}'
REGISTERED = (
    b"HTTP/1.1 200 OK\r\nLambda-Extension-Identifier: measured\r\nContent-Type: application/json\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
)


def start(binary):
    """One cold start: milliseconds until the call, and MB resident then."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        environment = ENVIRONMENT | {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:%d" % server.getsockname()[1]}
        begin = time.perf_counter()
        process = subprocess.Popen([binary], env=environment, stdout=subprocess.DEVNULL)
        connections = []
        try:
            while True:
                connection, _ = server.accept()
                connections.append(connection)
                call = connection.recv(1024).split(b"\r\n")[0]
                took = time.perf_counter() - begin
                if b"/invocation/next" in call:
                    break
                if b"/extension/register" in call:
                    connection.sendall(REGISTERED)
                # The extension waits for its next event, of which there is none.
                elif b"/extension/event/next" not in call:
                    sys.exit(f"{binary} first calls {call!r}")
            status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        except TimeoutError:
            sys.exit(f"{binary} does not call the runtime API")
        finally:
            process.kill()
            process.wait()
            for connection in connections:
                connection.close()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return took * 1000, int(resident.split()[1]) / 1000


def package(name, binary):
    """The size of the function's package, in MB: what `sam package` makes of it."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.write(binary, "bootstrap")
        if name == "onnx-model":
            for file in [*MODELS.glob("*/*.json"), *MODELS.glob("*/*.onnx")]:
                zipped.write(file, file.relative_to(MODELS))
    return archive.tell() / 1e6


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/functions")
    print(f"{'function':12} {'first /next':>12} {'worst':>9} {'resident':>9} {'package':>9}")
    for name in FUNCTIONS:
        binary = folder / name
        if binary.is_dir():
            binary = binary / "bootstrap"
        if not os.access(binary, os.X_OK):
            sys.exit(f"{binary} is missing: build it first, see {__file__}")
        start(binary)  # From the disk into memory; Lambda's is there, too.
        runs = [start(binary) for _ in range(RUNS)]
        times, memory = zip(*runs)
        print(
            f"{name:12} {statistics.median(times):9.1f} ms {max(times):6.1f} ms "
            f"{statistics.median(memory):6.1f} MB {package(name, binary):6.2f} MB"
        )


if __name__ == "__main__":
    main()
