"""The picture of a benchmark: roofline ratios, and times beside those of the rivals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from blur.benchmark.runs import BenchmarkRecord
from blur.benchmark.tables import describe
from blur.benchmark.targets import TARGETS
from blur.support.figures import GREY, save_png, tidy

ENGINE, NAIVE, SGD = "#D55E00", "#0072B2", "#56B4E9"
"""Colours that colour-blind readers can tell apart (Okabe & Ito 2008)."""


def plot_benchmark(records: Sequence[BenchmarkRecord], path: Path) -> Path:
    """Writes a PNG with a row per case: the roofline ratio with its goal, and the times of all contestants."""
    figure = Figure(figsize=(9.5, 1.6 + 0.3 * len(records)), layout="constrained")
    ratios, times = figure.subplots(1, 2, sharey=True)
    goals = {target.case: target.limit for target in TARGETS if target.at_least}
    for row, record in enumerate(records):
        ratios.barh(row, record.roofline_ratio, color=ENGINE, height=0.6)
        ratios.annotate(f"{record.roofline_ratio:.2f}", (record.roofline_ratio, row), (4, 0), **_BESIDE)
        if goal := goals.get((record.workload, record.mode, record.population)):
            ratios.plot([goal, goal], [row - 0.4, row + 0.4], color="black", linewidth=1.5)
        for value, colour in ((record.naive_ms, NAIVE), (record.sgd_ms, SGD), (record.median_ms, ENGINE)):
            if value is not None:
                times.plot(value, row, "o", color=colour, markersize=7)
    ratios.set_yticks(range(len(records)), [_name(record) for record in records])
    ratios.invert_yaxis()
    ratios.margins(x=0.12)
    ratios.set_xlim(left=0)
    times.set_xscale("log")
    ratios.set_xlabel(
        "roofline ratio: share of the machine's matrix-product rate\n(line: goal on two CPU cores)",
        color=GREY,
        fontsize=8,
    )
    times.set_xlabel(f"milliseconds\n{describe(records[0].machine)}", color=GREY, fontsize=8)
    for name, colour in (("blur", ENGINE), ("naive einsum", NAIVE), ("plain SGD, one episode", SGD)):
        times.plot([], [], "o", color=colour, label=name)
    for axes in (ratios, times):
        tidy(axes, grid="x")
        axes.tick_params(axis="y", length=0)
    figure.legend(loc="outside upper left", ncols=3, frameon=False, fontsize=9)
    return save_png(figure, path)


_BESIDE = {"textcoords": "offset points", "va": "center", "fontsize": 8}


def _name(record: BenchmarkRecord) -> str:
    return f"{record.workload} {record.mode}" + f" ×{record.population}" * (record.population > 1)
