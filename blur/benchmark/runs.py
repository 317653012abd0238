"""Runs of the benchmark: cases are played one after the other, and each case becomes a record."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import jax

from blur.benchmark.contestants import Case, contestants
from blur.benchmark.measure import gemm_contestants, gemm_gflops, gemm_size, in_turns, interquartile_range
from blur.benchmark.workloads import WORKLOADS, Mode, Workload, flop
from blur.parallel.hosts import usable_cores
from blur.support.atomic import write_file
from blur.support.mapping import Mapping

FILE_NAME = "benchmark.json"


@dataclasses.dataclass(frozen=True)
class Machine:
    """The machine of a benchmark.

    Attributes:
      platform, device: JAX's names.
      cores: CPU cores that the process may use.
      jax: the version of JAX.
      gemm_gflops, gemm_median_gflops: for each precision of large matrix products the best and the median rate of the
        whole run, in 10⁹ operations per second.
    """

    platform: str
    device: str
    cores: int
    jax: str
    gemm_gflops: dict[str, float]
    gemm_median_gflops: dict[str, float]


@dataclasses.dataclass(frozen=True)
class BenchmarkRecord:
    """The measurements of one case. A rival that did not play has None.

    Attributes:
      workload, mode, population, mapping: the case.
      median_ms, spread_ms: milliseconds of a run of the engine: median and interquartile range of `runs`.
      compile_s: seconds to lower and compile; a persistent compilation cache shortens them.
      peak_mib: memory of arguments, results and temporaries in MiB in the compiler's plan; None without a plan.
      flop: operations that the algorithm needs, see `blur.benchmark.workloads.flop`.
      gemm_gflops: median rate of a large matrix product in the turns of this case, in JAX's default precision.
      roofline_ratio: flop / (median time · gemm rate); large matrix products alone have the ratio 1.
      naive_ms, sgd_ms: medians of the naive reference, and of an episode of plain SGD (in both modes).
      machine: the machine.
    """

    workload: str
    mode: Mode
    population: int
    mapping: Mapping
    median_ms: float
    spread_ms: float
    runs: int
    compile_s: float
    peak_mib: float | None
    flop: int
    gemm_gflops: float
    roofline_ratio: float
    naive_ms: float | None
    sgd_ms: float | None
    machine: Machine


@dataclasses.dataclass(frozen=True)
class BenchmarkPlan:
    """The cases of a benchmark, and the time for each.

    Attributes:
      workloads: networks and episodes.
      populations: sizes of the populations that play forward-only.
      mapping: the mapping of populations.
      seconds: seconds in which the contestants of a case take turns, for at least three rounds.
      gemm_size: rows and columns of the matrices that set the roofline; None for the device's default.
    """

    workloads: tuple[Workload, ...] = tuple(WORKLOADS.values())
    populations: tuple[int, ...] = (16, 256)
    mapping: Mapping = "auto"
    seconds: float = 6.0
    gemm_size: int | None = None

    @property
    def cases(self) -> list[Case]:
        """Forward-only, populations and the gradient of every workload, or its gradient alone."""
        cases = []
        for workload in self.workloads:
            if not workload.gradient_only:
                cases += [Case(workload, population=size, mapping=self.mapping) for size in (1, *self.populations)]
            cases.append(Case(workload, "gradient", mapping=self.mapping))
        return cases


@dataclasses.dataclass(frozen=True)
class _Timing:
    """Seconds of every contestant and matrix product in one case, and the engine's compile time and memory."""

    case: Case
    times: dict[str, list[float]]
    compile_seconds: float
    peak_bytes: int | None


def benchmark(plan: BenchmarkPlan, report: Callable[[str], None] = lambda line: None) -> list[BenchmarkRecord]:
    """Measures every case of the plan, and calls `report` with a line before each case."""
    size = plan.gemm_size or gemm_size()
    products = {f"gemm {precision}": product for precision, product in gemm_contestants(size).items()}
    timings = []
    for number, case in enumerate(plan.cases, start=1):
        report(f"[{number}/{len(plan.cases)}] {case}")
        players = contestants(case)
        times = in_turns(players | products, plan.seconds)
        timings.append(_Timing(case, times, players["engine"].compile_seconds, players["engine"].peak_bytes))
    machine = _machine(size, {name: [t for timing in timings for t in timing.times[name]] for name in products})
    return [_record(timing, machine, size) for timing in timings]


def write_records(records: Sequence[BenchmarkRecord], folder: Path) -> Path:
    """Writes the records as a list into the folder's `benchmark.json`."""
    return write_file(folder / FILE_NAME, json.dumps([dataclasses.asdict(r) for r in records], indent=1) + "\n")


def read_records(folder: Path) -> list[BenchmarkRecord]:
    """Reads the records that `write_records` wrote."""
    entries = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
    return [BenchmarkRecord(**entry | {"machine": Machine(**entry["machine"])}) for entry in entries]


def _machine(size: int, products: dict[str, list[float]]) -> Machine:
    best, median = (
        {name.removeprefix("gemm "): gemm_gflops(size, pick(times)) for name, times in products.items()}
        for pick in (min, statistics.median)
    )
    device = jax.devices()[0]
    return Machine(device.platform, device.device_kind, usable_cores(), jax.__version__, best, median)


def _record(timing: _Timing, machine: Machine, size: int) -> BenchmarkRecord:
    case, engine = timing.case, timing.times["engine"]
    median, operations = statistics.median(engine), flop(case.workload, case.mode, case.population)
    rate = gemm_gflops(size, statistics.median(timing.times["gemm default"]))
    return BenchmarkRecord(
        workload=case.workload.name,
        mode=case.mode,
        population=case.population,
        mapping=case.mapping,
        median_ms=1e3 * median,
        spread_ms=1e3 * interquartile_range(engine),
        runs=len(engine),
        compile_s=timing.compile_seconds,
        peak_mib=None if timing.peak_bytes is None else timing.peak_bytes / 2**20,
        flop=operations,
        gemm_gflops=rate,
        roofline_ratio=operations / (median * 1e9 * rate),
        naive_ms=_median_ms(timing.times, "naive"),
        sgd_ms=_median_ms(timing.times, "sgd"),
        machine=machine,
    )


def _median_ms(times: dict[str, list[float]], name: str) -> float | None:
    return 1e3 * statistics.median(times[name]) if name in times else None
