"""Corrections of LocalStack 4.14.0, without which the template's change set fails."""

import re
import sys
import time
from types import ModuleType, SimpleNamespace
from typing import Any

from localstack.runtime import hooks
from localstack.services.cloudformation.engine.v2 import change_set_model_executor
from localstack.services.cloudformation.engine.v2.change_set_model_preproc import ChangeSetModelPreproc


@hooks.on_infra_start(name="native_localstack_patches")
def install() -> None:
    """Applies all corrections."""
    _numbers_as_keys_of_mappings()
    _numbers_in_equals()
    _retain_except_on_create()
    _schedules()


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
