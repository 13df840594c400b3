"""The comparison as a picture: AC@1 and Avg@5 of every method with intervals; how sure against how right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from analyzer.evaluation.methods import OURS

MEASURES = (("ac@1", "AC@1"), ("avg@5", "Avg@5"))
OURS_COLOUR, OTHER_COLOUR = "#b3321b", "#5b6b7a"
DOTS_PER_INCH = 150


def draw_comparison(summary: dict[str, Any], path: Path) -> None:
    """Write the picture.

    Raises
    ------
    OSError
        It cannot be written.
    """
    methods = {name: found for name, found in summary["methods"].items() if found["ac@1"] is not None}
    order = sorted(methods, key=lambda name: (methods[name]["ac@1"], methods[name]["avg@5"]))
    calibration = methods.get(OURS, {}).get("calibration")
    columns = len(MEASURES) + bool(calibration)
    figure = Figure(figsize=(4.2 * columns + 1.2, max(1.6 + 0.36 * len(order), 3.4)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for place, (key, title) in enumerate(MEASURES):
        _measure(axes[place], methods, order, key, title, named=place == 0)
    if calibration:
        _reliability(axes[-1], calibration)
    counted = next(iter(methods.values()))["case_count"] if methods else 0
    figure.suptitle(
        f"Root cause service, {counted} cases, {summary['window']} window; lines: 95 % bootstrap interval", fontsize=10
    )
    with path.open("wb") as file:
        figure.savefig(file, format="png", dpi=DOTS_PER_INCH)


def _measure(axis: Axes, methods: dict[str, Any], order: list[str], key: str, title: str, *, named: bool) -> None:
    for row, name in enumerate(order):
        value, (low, high) = methods[name][key], methods[name]["interval"][key]
        colour = OURS_COLOUR if name == OURS else OTHER_COLOUR
        axis.barh(row, value, color=colour, alpha=0.35, height=0.62)
        axis.plot([low, high], [row, row], color=colour, linewidth=2, solid_capstyle="butt")
        axis.plot([value], [row], "o", color=colour, markersize=4)
        axis.text(1.03, row, f"{value:.2f}", va="center", fontsize=9, color=colour)
    axis.set_yticks(range(len(order)), order if named else [""] * len(order), fontsize=9)
    axis.set_xlim(0, 1.14)
    axis.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axis.tick_params(axis="x", labelsize=8)
    axis.set_title(title, fontsize=10)
    axis.grid(axis="x", color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.tick_params(axis="y", length=0)


def _reliability(axis: Axes, calibration: dict[str, Any]) -> None:
    bins = calibration["bins"]
    axis.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=1, linestyle="--")
    axis.plot([one["stated"] for one in bins], [one["seen"] for one in bins], color=OURS_COLOUR, linewidth=1)
    largest = max(one["case_count"] for one in bins)
    for one in bins:
        axis.scatter(one["stated"], one["seen"], s=20 + 120 * one["case_count"] / largest, color=OURS_COLOUR, alpha=0.5)
        below = one["seen"] > 0.5
        axis.annotate(
            str(one["case_count"]),
            (one["stated"], one["seen"]),
            xytext=(0, -9 if below else 9),
            textcoords="offset points",
            ha="center",
            va="top" if below else "bottom",
            fontsize=8,
            color="#555555",
        )
    axis.set_xlim(-0.03, 1.03)
    axis.set_ylim(-0.03, 1.03)
    axis.set_xlabel("said to be right (numbers: cases)", fontsize=9)
    axis.set_ylabel("was right", fontsize=9)
    coverage = calibration["set_coverage"]
    held = "" if coverage is None else f", set holds the cause {coverage:.0%}"
    axis.set_title(f"How sure: ECE {calibration['ece']:.3f}{held}", fontsize=10)
    axis.tick_params(labelsize=8)
    axis.grid(color="#eeeeee", linewidth=0.6)
    axis.set_axisbelow(True)
