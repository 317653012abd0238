"""Targets of the engine on a CPU with two cores, and their verdicts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from blur.benchmark.runs import BenchmarkRecord
from blur.benchmark.workloads import Mode

REFERENCE_GFLOPS = 380.0
"""The GEMM rate of the machine on which the original implementation was measured."""

Measure = Callable[[Sequence[BenchmarkRecord]], float | None]


@dataclasses.dataclass(frozen=True)
class Target:
    """A target.

    Attributes:
      name: its name in tables.
      quantity: the name of the measured quantity in tables.
      measure: from all records of a benchmark to the quantity, or to None if it was not measured.
      limit: the limit.
      at_least: whether the quantity must be at least or at most the limit.
      case: the case of the target; None for a target about several cases.
    """

    name: str
    quantity: str
    measure: Measure
    limit: float
    at_least: bool = False
    case: tuple[str, Mode, int] | None = None


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A target, the measured quantity to three digits, and whether the target is met; None if it was not measured.

    `reference_ms` is the time of the case scaled to the reference machine, t · rate / 380 GFLOP/s.
    """

    target: Target
    measured: float | None
    met: bool | None
    reference_ms: float | None


def find(records: Sequence[BenchmarkRecord], case: tuple[str, Mode, int]) -> BenchmarkRecord | None:
    """The record of a case (workload, mode, population)."""
    return next((record for record in records if (record.workload, record.mode, record.population) == case), None)


def judge(target: Target, records: Sequence[BenchmarkRecord]) -> Verdict:
    """Compares the measured quantity, rounded to the three printed digits, with the limit."""
    measured = target.measure(records)
    record = None if target.case is None else find(records, target.case)
    reference = None if record is None else record.median_ms * record.gemm_gflops / REFERENCE_GFLOPS
    if measured is None:
        return Verdict(target, None, None, reference)
    rounded = float(f"{measured:.3g}")
    return Verdict(target, rounded, rounded >= target.limit if target.at_least else rounded <= target.limit, reference)


def missed_cases(records: Sequence[BenchmarkRecord]) -> list[tuple[str, Mode]]:
    """Workload and mode of every missed target that is about one case."""
    missed = [v.target.case for v in (judge(target, records) for target in TARGETS) if v.met is False and v.target.case]
    return list(dict.fromkeys((workload, mode) for workload, mode, _ in missed))


def _roofline(workload: str, mode: Mode, population: int, limit: float) -> Target:
    def measure(records: Sequence[BenchmarkRecord]) -> float | None:
        record = find(records, (workload, mode, population))
        return None if record is None else record.roofline_ratio

    what = {"forward": "forward-only", "gradient": "gradient meta-step"}[mode]
    genomes = f", {population} genomes" if population > 1 else ""
    case = (workload, mode, population)
    return Target(f"{workload} {what}{genomes}", "roofline", measure, limit, at_least=True, case=case)


def _boolean_ms(records: Sequence[BenchmarkRecord]) -> float | None:
    record = find(records, ("boolean", "gradient", 1))
    return None if record is None else record.median_ms


def _worst_growth(records: Sequence[BenchmarkRecord]) -> float | None:
    """The largest quotient, over workloads, of a genome's cost in a population of 256 and in one of 16."""
    pairs = [
        (find(records, (name, "forward", 256)), find(records, (name, "forward", 16)))
        for name in dict.fromkeys(record.workload for record in records)
    ]
    growth = [(many.median_ms / 256) / (few.median_ms / 16) for many, few in pairs if many and few]
    return max(growth, default=None)


def _slowest_compilation(records: Sequence[BenchmarkRecord]) -> float | None:
    return max((record.compile_s for record in records if record.mode == "gradient"), default=None)


TARGETS = (
    _roofline("wide", "forward", 1, 0.75),
    _roofline("wide", "gradient", 1, 0.5),
    _roofline("small", "gradient", 1, 0.2),
    _roofline("small", "forward", 16, 0.4),
    Target("boolean gradient meta-step", "ms", _boolean_ms, 2.5, case=("boolean", "gradient", 1)),
    Target("a genome's cost, 256 to 16", "worst quotient", _worst_growth, 1.0),
    Target("slowest compilation, gradient", "s", _slowest_compilation, 10.0),
)
"""Targets of the engine on two CPU cores."""
