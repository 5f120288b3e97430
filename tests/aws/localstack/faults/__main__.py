"""Deploys the template on the emulator that AWS_ENDPOINT_URL names and checks what happens when something fails.

faults [NAME…]      all checks, or these; each prints a line with its figures
"""

import os
import sys
import time
from collections.abc import Callable

from faults import batches, brought, cost, functions, ramped, rushed, soak
from faults.build import binaries, build
from faults.proxy import Proxy
from faults.stack import Failed, Stack

Check = Callable[[Stack, Proxy], str]

# In an order in which none disturbs the next: the last ones put a wrapper around a model.
CHECKS: dict[str, Check] = {
    check.__name__: check
    for check in (
        functions.pushed,
        functions.frozen,
        functions.gathered,
        cost.priced,
        brought.brought,
        brought.inferred,
        batches.returned,
        batches.switched,
        batches.bisected,
        batches.ordered,
        batches.too_old,
    )
}


# Only when they are named: they take long.
LONG: dict[str, Check] = {"ramped": ramped.ramped, "rushed": rushed.rushed, "soak": soak.soak}


def main() -> int:
    names = sys.argv[1:] or list(CHECKS)
    checks = CHECKS | LONG
    if unknown := set(names) - set(checks):
        sys.exit(f"there is no check {', '.join(sorted(unknown))}; there are {', '.join(checks)}")
    folder = binaries()
    stack = Stack(f"faults-{os.getpid()}", folder)
    template = build(folder)
    print(f"deployed in {stack.deploy(template):.0f} s", flush=True)
    proxy = Proxy(os.environ.get("LOCALSTACK_TABLES", stack.url))
    stack.set_variables(stack.outputs["RendezvousFunction"], AWS_ENDPOINT_URL_DYNAMODB=proxy.url)
    stack.configure("logistic@1", "timetable@1", "prior@1")
    # The first requests start the functions.
    for _ in range(3):
        stack.ask()
    failed = 0
    for name in names:
        start = time.monotonic()
        try:
            line = checks[name](stack, proxy)
        except Exception as error:
            failed += 1
            line = f"FAILED: {error}" if isinstance(error, Failed) else f"FAILED: {error!r}"
        print(f"{name} ({time.monotonic() - start:.0f} s): {line}", flush=True)
    print(f"faults: {len(names) - failed} passed, {failed} failed", flush=True)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
