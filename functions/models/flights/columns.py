"""How a request becomes a row of x, the input tensor of the models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from data import WEATHER


@dataclass(frozen=True)
class Column:
    """How one value of a request becomes one column of x.

    With `categories` it is the index in that list, -1 for a value not in the list; with `range` it is a
    whole number from 0 that is used as an index; otherwise it is a measurement, and a missing one is
    replaced by `impute` if there is one.
    """

    field: str
    categories: tuple[str, ...] | None = None
    range: tuple[int, int] | None = None
    impute: float | None = None

    @property
    def size(self) -> int:
        """How many values an index can have; 0 for a measurement."""
        if self.categories is not None:
            return len(self.categories)
        return self.range[1] + 1 if self.range is not None else 0

    def card(self) -> dict[str, Any]:
        parts = {"categories": self.categories, "range": self.range, "impute": self.impute}
        return {"field": self.field} | {key: value for key, value in parts.items() if value is not None}


def describe(past: pd.DataFrame) -> list[Column]:
    """The columns of x. Categories and imputed values come from the training months alone.

    The month is not a feature, because the training data has only half of them.
    """
    names = ("/carrier", "/origin", "/dest")
    categories = [Column(name, categories=tuple(sorted(past[name].unique()))) for name in names]
    calendar = [Column("/weekday", range=(0, 6)), Column("/hour", range=(0, 23))]
    weather = [
        Column(f"/weather/{name}", impute=round(float(past[f"/weather/{name}"].median()), 5))
        for name in WEATHER
    ]
    return [*categories, *calendar, Column("/distance"), *weather]


def encode(frame: pd.DataFrame, columns: Sequence[Column]) -> np.ndarray:
    """x, the input tensor of the graphs, one row per row of `frame`."""
    x = np.empty((len(frame), len(columns)), np.float32)
    for i, column in enumerate(columns):
        values = frame[column.field]
        if column.categories is not None:
            x[:, i] = pd.Index(column.categories).get_indexer(values)
        elif column.range is not None:
            if not values.between(*column.range).all():
                raise ValueError(f"{column.field} must be from {column.range[0]} to {column.range[1]}")
            x[:, i] = values
        else:
            x[:, i] = values if column.impute is None else values.fillna(column.impute)
    return x
