"""A claim: a statement of a paper, and a function that measures figures and compares them with expected ones."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from blur.parallel.hosts import usable_cores
from blur.support.figures import save_png
from harness.verdicts import ClaimRecord, put_record


@dataclasses.dataclass(frozen=True)
class Check:
    """One figure of a claim.

    Attributes:
      name: the name of the figure.
      expected: the expected value, in words or symbols.
      measured: the measured value.
      ok: whether the measured value is as expected; None if nothing is expected.
    """

    name: str
    expected: str
    measured: float | str
    ok: bool | None


def at_most(name: str, measured: float, limit: float) -> Check:
    """Expects measured ≤ limit; NaN fails."""
    return Check(name, f"≤ {limit:.4g}", float(measured), bool(measured <= limit))


def at_least(name: str, measured: float, limit: float, note: str = "") -> Check:
    """Expects measured ≥ limit; NaN fails. The note follows the limit in the text."""
    return Check(name, f"≥ {limit:.4g}" + (note and f"; {note}"), float(measured), bool(measured >= limit))


def above(name: str, measured: float, limit: float, note: str = "") -> Check:
    """Expects measured > limit; NaN fails. The note follows the limit in the text."""
    return Check(name, f"> {limit:.4g}" + (note and f"; {note}"), float(measured), bool(measured > limit))


def reported(name: str, measured: float | str, expected: str = "reported") -> Check:
    """A figure without a verdict."""
    return Check(name, expected, measured if isinstance(measured, str) else float(measured), None)


def timed(name: str, measured: float, limit: float | None) -> Check:
    """Expects a time ≤ limit on two cores; with fewer cores, or without a limit, the time is only reported."""
    if limit is None or usable_cores() < 2:
        return reported(name, measured, "reported" if limit is None else f"≤ {limit:.4g} on two cores")
    return at_most(name, measured, limit)


@dataclasses.dataclass(frozen=True)
class Finding:
    """The result of a claim's function: checks and a figure."""

    checks: Sequence[Check]
    figure: Figure

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return all(check.ok is None or check.ok for check in self.checks)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataPreset:
    """The fields that every preset of a claim about data sets has; `run.py` fills them in.

    Attributes:
      data_dir: folder with raw or prepared data sets; None to look in the cache, then to download.
      scores: folder that caches scores of learners and baselines; None for no cache.
    """

    data_dir: str | None = None
    scores: Path | None = None


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim and its measurement.

    Attributes:
      id: a letter and a number, such as A3.
      statement: one sentence.
      source: paper and section.
      measure: a function from a preset to a finding.
      quick: a preset that takes minutes on two CPU cores.
      full: a preset of the published size.
    """

    id: str
    statement: str
    source: str
    measure: Callable[[Any], Finding]
    quick: Any
    full: Any


def examine(claim: Claim, *, full: bool, out: Path, data_dir: str | None = None) -> ClaimRecord:
    """Measures a claim, prints it, draws its picture, and returns its record. The record is added to those in `out`."""
    preset = claim.full if full else claim.quick
    if isinstance(preset, DataPreset):
        preset = dataclasses.replace(preset, data_dir=data_dir, scores=out / "scores")
    console = Console()
    console.print(f"[bold]{claim.id}[/] {claim.statement}", f"[dim]{claim.source}[/]", sep="\n", highlight=False)
    start = time.perf_counter()
    finding = claim.measure(preset)
    seconds = time.perf_counter() - start
    console.print(_table(finding.checks))
    verdict = "[green]ok[/]" if finding.ok else "[red]FAILED[/]"
    console.print(f"{claim.id}: {verdict} ({seconds:.0f} s, {'full' if full else 'quick'} preset)\n", highlight=False)
    save_png(finding.figure, out / f"{claim.id}.png")
    return keep(claim, finding.checks, full=full, ok=finding.ok, seconds=seconds, out=out)


def keep(claim: Claim, checks: Sequence[Check], *, full: bool, ok: bool, seconds: float, out: Path) -> ClaimRecord:
    """Adds the record of a claim to those in `out`, and returns it."""
    record = {
        "id": claim.id,
        "statement": claim.statement,
        "source": claim.source,
        "expected": {check.name: check.expected for check in checks},
        "measured": {check.name: check.measured for check in checks},
        "verdicts": {check.name: check.ok for check in checks},
        "ok": ok,
        "seconds": round(seconds, 1),
        "preset": "full" if full else "quick",
    }
    put_record(out, record)
    return record


def _table(checks: Sequence[Check]) -> Table:
    table = Table()
    for column in ("", "expected", "measured", ""):
        table.add_column(column, overflow="fold")
    for check in checks:
        measured = check.measured if isinstance(check.measured, str) else f"{check.measured:.6g}"
        mark = {True: "[green]ok[/]", False: "[red]FAILED[/]", None: ""}[check.ok]
        table.add_row(check.name, check.expected, measured, mark)
    return table
