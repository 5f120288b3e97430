import os
import subprocess
import sys
import time
import unittest
from pathlib import Path

from harness.processes import descendants, memory

# Starts a process that leaves its group and its parent, as DynamoDB's server does; then ends all as the harness does.
SCRIPT = """
import os, subprocess, sys
from harness.processes import adopt_orphans, end_descendants
adopt_orphans()
child = subprocess.Popen(["sh", "-c", "setsid sleep 1000 & echo $!; exit"], stdout=subprocess.PIPE, text=True)
orphan = child.stdout.readline().strip()
child.wait()
os.kill(int(orphan), 19)  # SIGSTOP: a frozen function
end_descendants()
print(orphan)
"""


class Processes(unittest.TestCase):
    def test_orphans_end_too(self) -> None:
        here = Path(__file__).resolve().parent.parent
        printed = subprocess.run(
            [sys.executable, "-c", SCRIPT], cwd=here, capture_output=True, text=True, check=True, timeout=60
        )
        self.assertFalse(Path("/proc", printed.stdout.strip()).exists())

    def test_descendants_and_their_memory(self) -> None:
        child = subprocess.Popen(["sh", "-c", "sleep 1000 & wait"])
        try:
            while len(descendants(child.pid)) < 1:
                time.sleep(0.01)
            self.assertIn(child.pid, descendants(os.getpid()))
            self.assertGreater(memory(child.pid)["sleep"], 0)
        finally:
            for pid in descendants(child.pid):
                os.kill(pid, 9)
            child.wait()


if __name__ == "__main__":
    unittest.main()
