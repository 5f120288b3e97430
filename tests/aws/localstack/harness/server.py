"""The server: LocalStack with the plugin, as a process below this one."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import IO
from urllib.error import URLError
from urllib.request import urlopen

from harness.paths import FILES, HOME, INSTALLED, LOG, VENV

START_SECONDS = 60
RUNS = INSTALLED / "runs"


class Server:
    """LocalStack on a free port of the loopback interface. It ends with its standard input."""

    def __init__(self) -> None:
        self.port, self.table_port = _free_ports()
        self.url = f"http://127.0.0.1:{self.port}"
        # DynamoDB Local, which functions call without LocalStack between.
        self.table_url = f"http://127.0.0.1:{self.table_port}"
        self.files = _files()
        with LOG.open("wb") as log:
            self.process = self._spawn(log)

    def _spawn(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [VENV / "bin" / "python", "-m", "native_localstack"],
            cwd=self.files,
            # The functions see nothing of this but what LocalStack gives them.
            env={
                "PATH": f"{VENV / 'bin'}:/usr/local/bin:/usr/bin:/bin",
                "HOME": str(HOME),
                "FILESYSTEM_ROOT": str(self.files),
                "PYTHONUNBUFFERED": "1",
                "LS_LOG": os.environ.get("LS_LOG", "warning"),
                "GATEWAY_LISTEN": f"127.0.0.1:{self.port}",
                "LOCALSTACK_HOST": f"127.0.0.1:{self.port}",
                # It is not in a container, calls nobody, and resolves no names.
                "OVERRIDE_IN_DOCKER": "0",
                "DISABLE_EVENTS": "1",
                "SKIP_SSL_CERT_DOWNLOAD": "1",
                "DNS_ADDRESS": "0",
                "LAMBDA_RUNTIME_EXECUTOR": "native",
                # As often as Lambda looks for changes of a table.
                "LAMBDA_EVENT_SOURCE_MAPPING_POLL_INTERVAL_SEC": "0.25",
                # Its parts call each other without HTTP.
                "IN_MEMORY_CLIENT": "1",
                "PROVIDER_OVERRIDE_KINESIS": "native",
                # Change streams are those of DynamoDB Local. LocalStack's own ones read each item before it is written.
                "PROVIDER_OVERRIDE_DYNAMODB": "v2",
                "DYNAMODB_IN_MEMORY": "1",
                "DYNAMODB_LOCAL_PORT": str(self.table_port),
                # One set of tables, whatever the credentials of the caller.
                "DYNAMODB_SHARE_DB": "1",
            },
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
        )

    def wait_until_ready(self) -> float:
        """Returns after how many seconds it answers."""
        start = time.monotonic()
        while time.monotonic() < start + START_SECONDS and self.process.poll() is None:
            try:
                with urlopen(f"{self.url}/_localstack/health", timeout=5):
                    return time.monotonic() - start
            except (URLError, ConnectionError, TimeoutError):
                time.sleep(0.05)
        raise RuntimeError(f"LocalStack does not start, see {LOG}")

    def remove_files(self) -> None:
        """Removes what it wrote, once it has ended."""
        shutil.rmtree(self.files, ignore_errors=True)


def _free_ports() -> tuple[int, int]:
    """Two ports that are free now; nobody else takes a random port within the next second."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def _files() -> Path:
    """A new file system for LocalStack with what was installed; removes those of runs that were killed."""
    for left in RUNS.glob("*"):
        if not Path("/proc", left.name).exists():
            shutil.rmtree(left, ignore_errors=True)
    files = RUNS / str(os.getpid())
    library = files / "var/lib/localstack/lib"
    library.parent.mkdir(parents=True)
    library.symlink_to(FILES / "var/lib/localstack/lib")
    return files
