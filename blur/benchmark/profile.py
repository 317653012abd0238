"""The time of an episode by phase, from the operations of a trace.

`Phases` names every operation after its phase (`jax.named_scope`), and XLA keeps the name in the compiled program
(`op_name`). A fusion of several operations has the name of its last operation.
"""

from __future__ import annotations

import dataclasses
import json
import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
from jaxtyping import Array, Float, Key, PyTree

from blur.benchmark.workloads import Mode, Workload, random_episode
from blur.core.episode import Batch, Spec
from blur.core.inner_loop import episode_loss
from blur.core.rule import Genome, UpdateRule
from blur.support.atomic import write_file
from blur.support.compiler import Program

RUNS = 10
"""The number of traced runs."""

PROFILES_FILE = "profiles.json"

CONTAINERS = frozenset({"while", "call", "conditional", "async-start", "async-done"})
"""Instructions that contain other instructions; their own time is not counted."""

LOOP = "(loop)"
INDEXING = frozenset({"dynamic_update_index_in_dim", "dynamic_index_in_dim"})
"""Scopes of a loop that reads batches, and stores and reads steps for the gradient."""

Passage = Literal["first", "recomputed", "gradient"]


@dataclasses.dataclass(frozen=True)
class PhaseTime:
    """Milliseconds per run of a phase, in matrix products and in other operations.

    The passage is the first pass, its recomputation for the gradient, or the gradient itself.
    """

    phase: str
    passage: Passage
    products_ms: float
    other_ms: float

    @property
    def ms(self) -> float:
        """Milliseconds of products and other operations."""
        return self.products_ms + self.other_ms


@dataclasses.dataclass(frozen=True)
class Profile:
    """Milliseconds per run. Operations that overlap share the time in which any of them runs, in proportion.

    Attributes:
      entries: times of the phases, of the scopes around them and of the loop, the longest first.
      unnamed_ms: time of operations without a name, such as copies.
      idle_ms: time in which no operation runs and none is waited for.
      wall_ms: the sum of all times.
    """

    entries: tuple[PhaseTime, ...]
    unnamed_ms: float
    idle_ms: float
    wall_ms: float

    @property
    def heading(self) -> str:
        """The named share of the time, in words."""
        return f"{self.named_share:.0%} of the time has a name"

    @property
    def named_share(self) -> float:
        """The share of the time that the entries name."""
        return sum(entry.ms for entry in self.entries) / self.wall_ms


@dataclasses.dataclass(frozen=True)
class Scoped(UpdateRule):
    """A rule that also names its operations outside phases: `initial_state`, `step`, `query`."""

    rule: UpdateRule

    @property
    def max_steps(self) -> int | None:
        """See `UpdateRule`."""
        return self.rule.max_steps

    @property
    def in_context(self) -> bool:
        """See `UpdateRule`."""
        return self.rule.in_context

    def init_genome(self, key: Key[Array, ""]) -> Genome:
        """See `UpdateRule`."""
        return self.rule.init_genome(key)

    def init_state(self, genome: Genome, key: Key[Array, ""], spec: Spec | Batch) -> PyTree:
        """See `UpdateRule`."""
        with jax.named_scope("initial_state"):
            return self.rule.init_state(genome, key, spec)

    def step(self, genome: Genome, state: PyTree, batch: Batch) -> PyTree:
        """See `UpdateRule`."""
        with jax.named_scope("step"):
            return self.rule.step(genome, state, batch)

    def predict(
        self, genome: Genome, state: PyTree, inputs: Float[Array, "batch inputs"]
    ) -> Float[Array, "batch outputs"]:
        """See `UpdateRule`."""
        with jax.named_scope("query"):
            return self.rule.predict(genome, state, inputs)


class Instruction(NamedTuple):
    """An operation of the compiled program: its opcode, its scopes, and the operations that it reads."""

    opcode: str
    op_name: str
    operands: tuple[str, ...] = ()


UNKNOWN = Instruction("", "")
VIEWS = frozenset({"bitcast", "get-tuple-element"})


class Span(NamedTuple):
    """One run of an operation in a trace, in nanoseconds."""

    operation: str
    start: float
    end: float


def profile(workload: Workload, mode: Mode) -> Profile:
    """Traces the workload's episode, or its gradient with recomputed steps."""
    rule = Scoped(workload.rule)

    def loss(genome: Any, key: Array, episode: Any) -> Array:
        return episode_loss(rule, genome, key, episode, workload.loss, remat=mode == "gradient")[0]

    arguments = (rule.init_genome(jax.random.key(1)), jax.random.key(2), random_episode(workload, jax.random.key(0)))
    program = Program(jax.grad(loss) if mode == "gradient" else loss, gradient=mode == "gradient")
    compiled = program.jitted.lower(*arguments).compile()
    jax.block_until_ready(compiled(*arguments))
    intervals, seconds = trace(compiled, arguments)
    return summarise(intervals, seconds, instructions(compiled.as_text() or ""), scope_names(workload.rule))


def write_profiles(profiles: Mapping[str, Profile], folder: Path) -> Path:
    """Writes the profiles, by the names of their cases, into the folder's `profiles.json`."""
    entries = {name: dataclasses.asdict(found) for name, found in profiles.items()}
    return write_file(folder / PROFILES_FILE, json.dumps(entries, indent=1) + "\n")


def read_profiles(folder: Path) -> dict[str, Profile]:
    """Reads the profiles that `write_profiles` wrote."""
    found = json.loads((folder / PROFILES_FILE).read_text(encoding="utf-8"))
    return {name: Profile(**p | {"entries": tuple(PhaseTime(**e) for e in p["entries"])}) for name, p in found.items()}


def trace(compiled: Any, arguments: Sequence[Any]) -> tuple[list[Span], float]:
    """The operations of `RUNS` runs, and the seconds of all runs."""
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            start = time.perf_counter()
            for _ in range(RUNS):
                jax.block_until_ready(compiled(*arguments))
            seconds = time.perf_counter() - start
        (file,) = Path(folder).rglob("*.xplane.pb")
        planes = list(jax.profiler.ProfileData.from_file(str(file)).planes)
        on_device = [
            interval for plane in planes if plane.name.startswith("/device:") for interval in _intervals(plane)
        ]
        return on_device or [interval for plane in planes for interval in _intervals(plane)], seconds


def instructions(program: str) -> dict[str, Instruction]:
    """The instructions of a compiled program (`Compiled.as_text()`) by name. A fusion with a product is a product."""
    pattern = re.compile(
        r"^\s*(?:ROOT )?%?([\w.-]+) = .*?[\]})] ([\w-]+)\((.*?)\)(?:.*?op_name=\"([^\"]*)\"|.*?$)", re.MULTILINE
    )
    found = {
        name: Instruction(opcode, op_name, tuple(re.findall(r"%([\w.-]+)", operands)))
        for name, opcode, operands, op_name in pattern.findall(program)
    }
    bodies = re.findall(r"^%([\w.-]+) \([^\n]*\{\n(.*?)^\}", program, re.MULTILINE | re.DOTALL)
    with_product = {name for name, body in bodies if " dot(" in body}
    fusions = re.findall(r"^\s*(?:ROOT )?%?([\w.-]+) = .*? fusion\(.*?calls=%([\w.-]+)", program, re.MULTILINE)
    for name, called in fusions:
        if called in with_product:
            found[name] = found[name]._replace(opcode="dot")
    return found


def scope_names(rule: UpdateRule) -> tuple[str, ...]:
    """Names of a rule's phases and of the scopes around them. The first name in an operation's scopes is its phase."""
    return ("initial_state", "query", *rule.phase_names, "step")


def summarise(
    intervals: Sequence[Span], seconds: float, program: dict[str, Instruction], names: Sequence[str]
) -> Profile:
    """Means over `RUNS` runs that took `seconds` together, by phase and pass."""
    leaves = [i for i in intervals if program.get(i.operation, UNKNOWN).opcode not in CONTAINERS]
    busy, total = _union(leaves), sum(i.end - i.start for i in leaves)
    waits = list(_waits(leaves, program))
    spent = [(i.operation, (i.end - i.start) / total * busy) for i in leaves] + waits
    times: dict[tuple[str, Passage] | None, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for operation, nanoseconds in spent:
        instruction = program.get(operation, UNKNOWN)
        phase = find_phase(instruction.op_name, names)
        key = None if phase is None else (phase, passage(instruction.op_name))
        times[key][is_product(operation, instruction)] += nanoseconds / 1e6 / RUNS
    unnamed = sum(times.pop(None, [0.0]))
    entries = [PhaseTime(*key, products, others) for key, (others, products) in times.items() if key is not None]
    wall, accounted = 1e3 * seconds / RUNS, busy + sum(gap for _, gap in waits)
    return Profile(tuple(sorted(entries, key=lambda entry: -entry.ms)), unnamed, wall - accounted / 1e6 / RUNS, wall)


def _waits(leaves: Iterable[Span], program: dict[str, Instruction]) -> Iterator[tuple[str, float]]:
    """Gaps in which no operation runs, in nanoseconds, with the product whose result the next operation reads.

    Other threads finish the product in such a gap; the trace does not show them.
    """
    started: dict[str, float] = {}
    reached = float("inf")
    for interval in sorted(leaves, key=lambda interval: interval.start):
        if interval.start > reached:
            sources = _sources(interval.operation, program, started)
            if sources:
                yield max(sources, key=started.__getitem__), interval.start - reached
        started[interval.operation] = float(interval.start)
        reached = interval.end if reached == float("inf") else max(reached, interval.end)


def _sources(operation: str, program: dict[str, Instruction], started: Mapping[str, float]) -> set[str]:
    """The started products whose results the operation reads, directly or through views."""
    found: set[str] = set()
    for name in program.get(operation, UNKNOWN).operands:
        if name in started:
            found |= {name} if is_product(name, program.get(name, UNKNOWN)) else set()
        elif program.get(name, UNKNOWN).opcode in VIEWS:
            found |= _sources(name, program, started)
    return found


def find_phase(op_name: str, names: Sequence[str]) -> str | None:
    """The first of `names` among the scopes of an operation, such as `jit(loss)/jvp(while)/body/step/forward/mul`.

    Outside these names, reads and stores of a loop are `LOOP`.
    """
    scopes = set(re.split(r"[/()]", op_name))
    of_loop = scopes & INDEXING or op_name.endswith("jvp()/broadcast_in_dim")
    return next((name for name in names if name in scopes), LOOP if of_loop else None)


def passage(op_name: str) -> Passage:
    """The pass of an operation."""
    if "rematted_computation" in op_name:
        return "recomputed"
    return "gradient" if "transpose(" in op_name else "first"


def is_product(operation: str, instruction: Instruction) -> bool:
    """Whether an operation is a matrix product, alone or in a fusion."""
    return instruction.opcode == "dot" or instruction.op_name.endswith("dot_general") or "gemm" in operation


def _intervals(plane: Any) -> Iterator[Span]:
    """The operations in a plane of a trace: events that name one."""
    for event in (event for line in plane.lines for event in line.events):
        for name, value in event.stats:
            if name == "hlo_op":
                yield Span(str(value), event.start_ns, event.start_ns + event.duration_ns)


def _union(intervals: Iterable[Span]) -> float:
    """Nanoseconds in which at least one operation runs."""
    total, reached = 0.0, float("-inf")
    for interval in sorted(intervals, key=lambda interval: interval.start):
        total += max(0.0, interval.end - max(interval.start, reached))
        reached = max(reached, interval.end)
    return total
