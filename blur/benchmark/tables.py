"""Tables of a benchmark, as rows of text for the terminal and for the documentation."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from blur.benchmark.profile import Profile
from blur.benchmark.runs import BenchmarkRecord, Machine
from blur.benchmark.storage import StorageRecord
from blur.benchmark.targets import TARGETS, judge

HEADING = ("workload", "mode", "ms", "± ms", "roof-\nline", "naive\nms", "SGD\nms", "compile\ns", "MiB")
TARGET_HEADING = ("to reach", "target", "measured", "met", "ms at\n380 GF/s")
STORAGE_HEADING = (
    "T",
    "batch",
    "dense ms\na genome",
    "dual ms\na genome",
    "dense/\ndual",
    "dense\nMiB",
    "dual\nMiB",
    "auto",
)
PROFILE_HEADING = ("phase", "pass", "products ms", "other ms", "share")


def rows(records: Sequence[BenchmarkRecord]) -> list[tuple[str, ...]]:
    """A row per case under `HEADING`; – stands for a value that was not measured."""
    return [
        (
            record.workload,
            record.mode + f" ×{record.population}" * (record.population > 1),
            _figure(record.median_ms),
            _figure(record.spread_ms),
            f"{record.roofline_ratio:.3f}",
            _figure(record.naive_ms),
            _figure(record.sgd_ms),
            f"{record.compile_s:.1f}",
            _figure(record.peak_mib),
        )
        for record in records
    ]


def target_rows(records: Sequence[BenchmarkRecord]) -> list[tuple[str, ...]]:
    """A row per target under `TARGET_HEADING`."""
    found: list[tuple[str, ...]] = []
    for verdict in (judge(target, records) for target in TARGETS):
        target = verdict.target
        sign = "≥" if target.at_least else "≤"
        found.append(
            (
                target.name,
                f"{target.quantity} {sign} {target.limit:g}",
                "–" if verdict.measured is None else f"{verdict.measured:g}",
                {True: "yes", False: "no", None: "–"}[verdict.met],
                _figure(verdict.reference_ms),
            )
        )
    return found


def storage_rows(records: Sequence[StorageRecord]) -> list[tuple[str, ...]]:
    """A row per size of episodes under `STORAGE_HEADING`."""
    return [
        (
            str(record.steps),
            str(record.batch),
            _figure(record.dense_ms / record.population),
            _figure(record.dual_ms / record.population),
            f"{record.dense_ms / record.dual_ms:.2f}",
            _figure(record.dense_mib),
            _figure(record.dual_mib),
            record.auto,
        )
        for record in records
    ]


def profile_rows(profile: Profile) -> list[tuple[str, ...]]:
    """A row per phase and pass under `PROFILE_HEADING`, the longest time first, then other times and the sum."""
    found: list[tuple[str, ...]] = [
        (entry.phase, entry.passage, f"{entry.products_ms:.2f}", f"{entry.other_ms:.2f}", _share(entry.ms, profile))
        for entry in profile.entries
    ]
    found.append(("(no name)", "", "", f"{profile.unnamed_ms:.2f}", _share(profile.unnamed_ms, profile)))
    found.append(("(no operation runs)", "", "", f"{profile.idle_ms:.2f}", _share(profile.idle_ms, profile)))
    products = sum(entry.products_ms for entry in profile.entries)
    return [*found, ("all", "", f"{products:.2f}", f"{profile.wall_ms - products:.2f}", "100 %")]


def describe(machine: Machine) -> str:
    """The machine in one line."""
    rates = ", ".join(
        f"{median:.0f}, at best {machine.gemm_gflops[precision]:.0f} ({precision})"
        for precision, median in machine.gemm_median_gflops.items()
    )
    return f"{machine.device}, {machine.cores} CPU cores, JAX {machine.jax}; GEMM {rates} GFLOP/s"


def table(title: str, heading: Sequence[str], body: Sequence[Sequence[str]]) -> Table:
    """A rich table, at most 80 characters wide; its first column is aligned left, its other columns right."""
    drawn = Table(title=title or None, box=SIMPLE_HEAD, padding=(0, 1), collapse_padding=True, pad_edge=False)
    for index, column in enumerate(heading):
        drawn.add_column(column, justify="right" if index else "left", no_wrap=True)
    for row in body:
        drawn.add_row(*row)
    return drawn


def _figure(value: float | None) -> str:
    """Three digits, without an exponent."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 99.95 else f"{value:.3g}"


def _share(ms: float, profile: Profile) -> str:
    return f"{ms / profile.wall_ms:.0%}".replace("%", " %")
