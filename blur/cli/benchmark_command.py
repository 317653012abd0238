"""`blur benchmark`: how fast the engine is."""

import dataclasses
import sys
from pathlib import Path
from typing import Literal, get_args

from rich.console import Console

from blur.benchmark.plot import plot_benchmark
from blur.benchmark.profile import Profile, profile, write_profiles
from blur.benchmark.runs import BenchmarkPlan, BenchmarkRecord, benchmark, write_records
from blur.benchmark.storage import StoragePlan, compare_storage, write_storage_records
from blur.benchmark.tables import (
    HEADING,
    PROFILE_HEADING,
    STORAGE_HEADING,
    TARGET_HEADING,
    describe,
    profile_rows,
    rows,
    storage_rows,
    table,
    target_rows,
)
from blur.benchmark.targets import missed_cases
from blur.benchmark.workloads import WORKLOADS, Mode
from blur.parallel.hosts import cores_as_devices
from blur.support.mapping import Mapping

Name = Literal["small", "wide", "shallow", "deep", "boolean"]


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """Time episodes, meta-gradients and populations, in turns with a naive version, SGD and a large matrix product.

    The folder --out receives benchmark.json, benchmark.png and profiles.json, and the tables are printed. profiles.json
    has a profile of every case that misses its target (a population's profile is that of one genome). The benchmark
    takes minutes on the device that JAX finds. Run nothing else meanwhile.

    For instance:
      blur benchmark --out runs/benchmark
      blur benchmark --workload small --quick
      blur benchmark --profile wide
      blur benchmark --dual

    Attributes:
      out: folder for the results.
      workload: the networks to time; by default all.
      mapping: the mapping of populations: all genomes at once, in a loop, or the faster one for the device.
      quick: few repetitions and no large population.
      dual: compare dense and dual synapses of the wide network's input instead, over steps and batch sizes, in
        populations of 256. This takes about twenty minutes and writes storage.json.
      profile: show the time of this network's episode by phase of the step instead, without timing the others.
    """

    out: Path = Path("runs/benchmark")
    workload: tuple[Name, ...] = get_args(Name)
    mapping: Mapping = "auto"
    quick: bool = False
    dual: bool = False
    profile: Name | None = None

    def run(self) -> None:
        """Measures, prints and writes; or profiles and prints."""
        cores_as_devices()
        if self.dual and (self.profile is not None or self.workload != get_args(Name)):
            raise ValueError("--dual compares the wide network alone; leave out --workload and --profile")
        if self.profile is not None:
            print_profiles(self.profile)
            return
        if self.dual:
            self._compare_storage()
            return
        workloads = tuple(WORKLOADS[name] for name in dict.fromkeys(self.workload))
        plan = BenchmarkPlan(workloads, mapping=self.mapping)
        if self.quick:
            plan = dataclasses.replace(plan, populations=(16,), seconds=0.5)
        records = benchmark(plan, report=lambda line: print(line, file=sys.stderr, flush=True))
        print_benchmark(records)
        print(write_records(records, self.out))
        print(plot_benchmark(records, self.out / "benchmark.png"))
        missed = {f"{name} {mode}": profile(WORKLOADS[name], mode) for name, mode in missed_cases(records)}
        for name, found in missed.items():
            print_profile(name, found)
        print(write_profiles(missed, self.out))

    def _compare_storage(self) -> None:
        plan = StoragePlan(mapping=self.mapping)
        if self.quick:
            plan = dataclasses.replace(plan, population=16, steps=(5, 20), batches=(16, 128), seconds=0.5)
        records = compare_storage(plan, report=lambda line: print(line, file=sys.stderr, flush=True))
        title = f"{plan.workload}, {plan.population} genomes, forward-only: synapses of the input dense and dual"
        Console().print(table(title, STORAGE_HEADING, storage_rows(records)))
        print(write_storage_records(records, self.out))


def print_benchmark(records: list[BenchmarkRecord]) -> None:
    """Prints the tables of all cases and of the targets, and the machine."""
    console = Console()
    console.print(table("medians of one run; forward: an episode, gradient: a meta-step", HEADING, rows(records)))
    console.print(table("", TARGET_HEADING, target_rows(records)))
    console.print(describe(records[0].machine), highlight=False)


def print_profiles(name: Name) -> None:
    """Prints the profiles of a workload's modes."""
    workload = WORKLOADS[name]
    modes: tuple[Mode, ...] = ("gradient",) if workload.gradient_only else ("forward", "gradient")
    for mode in modes:
        print_profile(f"{name} {mode}", profile(workload, mode))


def print_profile(name: str, found: Profile) -> None:
    """Prints the profile of one case."""
    Console().print(table(f"{name}: {found.heading}", PROFILE_HEADING, profile_rows(found)))
