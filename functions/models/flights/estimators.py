"""Estimators that scikit-learn does not have in this form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from columns import Column


class SmoothedRates:
    """Share of late flights for each pair of values of two index columns, smoothed.

    Has the interface of a scikit-learn classifier. The fewer flights a pair has, the closer its share is to
    the overall share; with WEIGHT flights it is the mean of both. A pair without flights, for example one
    with an unknown category, gets the overall share.
    """

    WEIGHT = 50

    def __init__(self, columns: Sequence[Column]) -> None:
        first, second = columns
        self.shape = (first.size + 1, second.size)  # row 0 is the unknown category, index -1

    def fit(self, x: np.ndarray, late: np.ndarray) -> SmoothedRates:
        flights, late_flights = np.zeros(self.shape), np.zeros(self.shape)
        np.add.at(flights, self.cells(x), 1)
        np.add.at(late_flights, self.cells(x), late)
        self.rates = (late_flights + self.WEIGHT * late.mean()) / (flights + self.WEIGHT)
        return self

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        p = self.rates[self.cells(x)]
        return np.column_stack([1 - p, p])

    @staticmethod
    def cells(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return x[:, 0].astype(int) + 1, x[:, 1].astype(int)


def with_encoding(columns: Sequence[Column], classifier: Any) -> Pipeline:
    """Scaled measurements, then one-hot indices: the order that `export_layers` relies on."""
    indices = [i for i, column in enumerate(columns) if column.size]
    measurements = [i for i, column in enumerate(columns) if not column.size]
    known = [np.arange(columns[i].size, dtype=np.float32) for i in indices]
    encoding = ColumnTransformer(
        [
            ("measurements", StandardScaler(), measurements),
            ("indices", OneHotEncoder(categories=known, handle_unknown="ignore"), indices),
        ]
    )
    return make_pipeline(encoding, classifier)
