"""Draws the picture of a year in this folder's README: the scores' distributions and their calibration, month by month.

    python tests/analytics/drift.py ARCHIVE PICTURE.svg

The figures are those of the saved queries `drift` and `calibration`, by month. A model's distribution is compared with its own
of January to June, on which it was trained.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import queries
from matplotlib.axes import Axes

# Legible on white and on black (Okabe and Ito's colours, without their black).
GREY = "#808080"
COLOURS = ("#0090d0", "#e69f00", "#009e73", "#d55e00", "#cc79a7")
MONTHS = [f"2013-{month:02}" for month in range(1, 13)]
NAMES = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


def main(archive: Path, picture: Path) -> None:
    template = queries.load()
    connection = queries.connect(archive, template)

    def lines(name: str, **changed: str | float) -> list[dict]:
        days = {"first_day": "2013-01-01", "last_day": "2013-12-31", "period_length": 7}
        return queries.run(connection, queries.translate(template.queries[name], **days, **changed))

    gaps: dict[str, dict[str, float]] = {}
    for line in lines("calibration"):
        if line["decile"] is None:
            gaps.setdefault(line["model"], {})[line["period"]] = line["gap"]
    reference = {"reference_first_day": "2013-01-01", "reference_last_day": "2013-06-30"}
    shifts = {
        # Each in turn in the canary's place, whose drift from the reference the query shows.
        model: {
            line["period"]: line["psi"]
            for line in lines("drift", canary=model, **reference)
            if line["against"] == "reference"
        }
        for model in gaps
    }
    draw(shifts, gaps, picture)


def draw(shifts: dict[str, dict[str, float]], gaps: dict[str, dict[str, float]], picture: Path) -> None:
    mpl.rcParams |= {
        "font.size": 9, "text.color": GREY, "axes.labelcolor": GREY, "axes.edgecolor": GREY, "xtick.color": GREY,
        "ytick.color": GREY, "axes.spines.top": False, "axes.spines.right": False,
        # Letters as letters and nothing random or dated: the same figures make the same file.
        "svg.fonttype": "none", "svg.hashsalt": "drift",
    }  # fmt: skip
    figure, (above, below) = plt.subplots(2, 1, figsize=(7.2, 4.6), sharex=True, layout="constrained")
    plot(above, shifts)
    above.set_ylim(0, 0.3)
    above.axhline(0.25, color=GREY, linewidth=0.8, linestyle=":")
    above.text(0, 0.255, "another population", fontsize=8, va="bottom")
    moved = "How far the scores' distribution moved: population stability index against January to June"
    above.set_title(moved, fontsize=9, loc="left")
    plot(below, gaps)
    below.axhline(0, color=GREY, linewidth=0.8)
    below.set_title("How wrong they were: predicted minus observed share of delays", fontsize=9, loc="left")
    below.axvspan(-0.4, 5.5, color=GREY, alpha=0.12, linewidth=0)
    above.axvspan(-0.4, 5.5, color=GREY, alpha=0.12, linewidth=0)
    below.text(-0.3, below.get_ylim()[0], "trained on these months", fontsize=8, va="bottom")
    below.set_xticks(range(12), NAMES)
    figure.legend(*above.get_legend_handles_labels(), loc="outside lower center", ncols=len(gaps), frameon=False)
    metadata = {"Date": None} if picture.suffix == ".svg" else {}
    figure.savefig(picture, transparent=True, metadata=metadata, dpi=150)


def plot(axes: Axes, series: dict[str, dict[str, float]]) -> None:
    for colour, (model, by_month) in zip(COLOURS, sorted(series.items()), strict=False):
        axes.plot([by_month.get(month) for month in MONTHS], color=colour, linewidth=1.8, marker="o", markersize=3, label=model)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
