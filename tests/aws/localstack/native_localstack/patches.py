"""Corrections of LocalStack 4.14.0, without which the template's change set fails, or invocations fail or take longer."""

import logging
import re
import sys
import time
from collections import defaultdict
from types import ModuleType, SimpleNamespace
from typing import Any

from localstack.runtime import hooks
from localstack.services.cloudformation.engine.v2 import change_set_model_executor
from localstack.services.cloudformation.engine.v2.change_set_model_preproc import ChangeSetModelPreproc
from localstack.services.lambda_.invocation import execution_environment, version_manager
from localstack.services.lambda_.invocation.assignment import AssignmentService
from localstack.services.lambda_.invocation.logs import QUEUE_SHUTDOWN, LogHandler, LogItem
from moto.logs.models import logs_backends

from native_localstack.timers import Timer

LOG = logging.getLogger(__name__)

# How many lines of a log stream are kept: all are in memory.
MOST_LINES = 5_000


@hooks.on_infra_start(name="native_localstack_patches")
def install() -> None:
    """Applies all corrections."""
    _numbers_as_keys_of_mappings()
    _numbers_in_equals()
    _retain_except_on_create()
    _schedules()
    _function_logs()
    _function_metrics()
    _environments()


def _numbers_as_keys_of_mappings() -> None:
    """Fn::FindInMap takes the value of a parameter of type Number, which is text as all parameters are."""
    resolve = ChangeSetModelPreproc._resolve_mapping

    def resolve_mapping(self: ChangeSetModelPreproc, *keys: Any, **named: Any) -> Any:
        return resolve(self, *map(str, keys), **{name: str(key) for name, key in named.items()})

    ChangeSetModelPreproc._resolve_mapping = resolve_mapping


def _numbers_in_equals() -> None:
    """Fn::Equals compares a number and its text as equal."""
    cached_apply = ChangeSetModelPreproc._cached_apply

    def text(value: Any) -> Any:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return str(value) if is_number else value

    def apply(self: ChangeSetModelPreproc, scope: Any, arguments_delta: Any, resolver: Any) -> Any:
        if resolver.__name__ == "_compute_fn_equals":
            return cached_apply(
                self,
                scope=scope,
                arguments_delta=arguments_delta,
                resolver=lambda both: text(both[0]) == text(both[1]),
            )
        return cached_apply(self, scope=scope, arguments_delta=arguments_delta, resolver=resolver)

    ChangeSetModelPreproc._cached_apply = apply


class _Retains:
    """Equal to the deletion policies that keep a resource."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return other in ("Retain", "RetainExceptOnCreate")


def _retain_except_on_create() -> None:
    """RetainExceptOnCreate keeps a resource, as Retain does."""
    change_set_model_executor.DeletionPolicy = SimpleNamespace(Retain=_Retains())


class _CronTab:
    """When a rule is due: `rate(n minutes)`, which LocalStack turns into `*/n * * * *`, or once a day, `m h * * ?`."""

    def __init__(self, schedule: str) -> None:
        minutes = re.fullmatch(r"\*/(\d+) \* \* \* \*", schedule)
        daily = re.fullmatch(r"(\d+) (\d+) \* \* [*?]( \*)?", schedule)
        if minutes is not None:
            self._every, self._at = int(minutes[1]) * 60, 0
        elif daily is not None:
            self._every, self._at = 24 * 3600, int(daily[2]) * 3600 + int(daily[1]) * 60
        else:
            raise ValueError(f"only rates in minutes and times of the day are emulated, not {schedule}")

    def next(self, **_: Any) -> float:
        return self._every - (time.time() - self._at) % self._every


def _schedules() -> None:
    """Rules of EventBridge need the package crontab, which PyPI has as source only."""
    module = ModuleType("crontab")
    module.CronTab = _CronTab  # type: ignore[attr-defined]
    sys.modules.setdefault("crontab", module)


def _function_logs() -> None:
    """What functions log is stored without a request to CloudWatch Logs, which took longer than the invocation in LocalStack."""

    def run_log_loop(self: LogHandler, *_: Any, **__: Any) -> None:
        while (item := self.log_queue.get()) is not QUEUE_SHUTDOWN:
            try:
                _store(self.role_arn.split(":")[4], self.region, item)
            except Exception:
                LOG.warning("the logs of %s cannot be stored", item.log_group, exc_info=True)

    LogHandler.run_log_loop = run_log_loop


def _store(account: str, region: str, item: LogItem) -> None:
    logs = logs_backends[account][region]
    if item.log_group not in logs.groups:
        logs.create_log_group(item.log_group, {})
    if item.log_stream not in logs.groups[item.log_group].streams:
        logs.create_log_stream(item.log_group, item.log_stream)
    now = int(time.time() * 1000)
    lines = [{"timestamp": now, "message": line + "\n"} for line in item.logs.split("\n") if line]
    logs.put_log_events(item.log_group, item.log_stream, lines)
    del logs.groups[item.log_group].streams[item.log_stream].events[:-MOST_LINES]


def _function_metrics() -> None:
    """Lambda's own metrics are not counted: each would be a thread and a request to CloudWatch for an invocation."""
    start_thread = version_manager.start_thread

    def start(function: Any, *arguments: Any, name: str | None = None, **named: Any) -> Any:
        if (name or "").startswith("record-cloudwatch-metric"):
            return None
        return start_thread(function, *arguments, name=name, **named)

    version_manager.start_thread = start


class _Snapshot(dict[str, Any]):
    """Its values are those of the moment of the call."""

    def values(self) -> Any:
        return list(super().values())


def _environments() -> None:
    """An invocation looks through a function's execution environments, while another may add one: without a copy it fails, and
    the client has an error of the server. After each invocation a timer begins that ends the environment."""
    execution_environment.Timer = Timer
    initialize = AssignmentService.__init__

    def initialize_with_snapshots(self: AssignmentService) -> None:
        initialize(self)
        self.environments = defaultdict(_Snapshot)

    AssignmentService.__init__ = initialize_with_snapshots
