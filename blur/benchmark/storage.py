"""Dense and dual synapses of the input, compared: the times of both forms, and the form that `auto` chooses."""

from __future__ import annotations

import dataclasses
import itertools
import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import jax

from blur.benchmark.contestants import Case, engine
from blur.benchmark.measure import in_turns
from blur.benchmark.workloads import WORKLOADS
from blur.support.atomic import write_file
from blur.support.mapping import Mapping

STORAGE_FILE = "storage.json"


@dataclasses.dataclass(frozen=True)
class StoragePlan:
    """Populations of one network's rule, over several lengths of a life and sizes of its batches.

    Attributes:
      workload: the network.
      population: genomes that play the same episode.
      steps: numbers of inner steps T.
      batches: numbers of examples per step.
      mapping: the mapping of the population.
      seconds: seconds in which the two forms take turns, for at least three rounds.
    """

    workload: str = "wide"
    population: int = 256
    steps: tuple[int, ...] = (5, 10, 20, 50)
    batches: tuple[int, ...] = (16, 32, 64, 128)
    mapping: Mapping = "auto"
    seconds: float = 2.0


@dataclasses.dataclass(frozen=True)
class StorageRecord:
    """The measurements of one size of episodes: medians in milliseconds, for the whole population.

    Attributes:
      workload, population, steps, batch: the case.
      dense_ms, dual_ms: time of the population in each form.
      dense_mib, dual_mib: memory in the compiler's plan; None without a plan.
      auto: the form that storage `auto` chooses.
      device: JAX's name of the device.
    """

    workload: str
    population: int
    steps: int
    batch: int
    dense_ms: float
    dual_ms: float
    dense_mib: float | None
    dual_mib: float | None
    auto: str
    device: str


def compare_storage(plan: StoragePlan, report: Callable[[str], None] = lambda line: None) -> list[StorageRecord]:
    """Measures every size of episodes, and calls `report` with a line before each size."""
    sizes = list(itertools.product(plan.steps, plan.batches))
    records = []
    for number, (steps, batch) in enumerate(sizes, start=1):
        workload = dataclasses.replace(WORKLOADS[plan.workload], steps=steps, batch=batch)
        case = Case(workload, population=plan.population, mapping=plan.mapping)
        report(f"[{number}/{len(sizes)}] {case}, {steps} steps, batches of {batch}")
        players = {form: engine(dataclasses.replace(case, storage=form)) for form in ("dense", "dual")}
        dense, dual = (1e3 * statistics.median(times) for times in in_turns(players, plan.seconds).values())
        dense_mib, dual_mib = (p.peak_bytes and p.peak_bytes / 2**20 for p in players.values())
        auto = "dual" if workload.rule.dual_is_faster(workload.spec) else "dense"
        device = jax.devices()[0].device_kind
        records.append(
            StorageRecord(workload.name, plan.population, steps, batch, dense, dual, dense_mib, dual_mib, auto, device)
        )
    return records


def write_storage_records(records: Sequence[StorageRecord], folder: Path) -> Path:
    """Writes the records as a list into the folder's `storage.json`."""
    return write_file(folder / STORAGE_FILE, json.dumps([dataclasses.asdict(r) for r in records], indent=1) + "\n")


def read_storage_records(folder: Path) -> list[StorageRecord]:
    """Reads the records that `write_storage_records` wrote."""
    return [StorageRecord(**entry) for entry in json.loads((folder / STORAGE_FILE).read_text(encoding="utf-8"))]
