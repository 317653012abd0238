"""What a claim is: a statement from a paper, what it leads one to expect, and a function that measures it.

Every claim is a script of its own: `python scripts/claims/a03_one_layer.py [--full] [--out DIR]`. It prints statement,
expected and measured figures and a verdict, writes its record into DIR/claims.json and a picture, and exits 1 if the
claim failed.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from records import Record, put_record, read_records
from rich.console import Console
from rich.table import Table

from blur.parallel.hosts import usable_cores
from blur.support.figures import save_png

INTERRUPTED = "interrupted; the records of finished claims are kept, and so are scores of baselines"

DATA_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data"
"""Where raw data sets lie beside some checkouts, as `../shared/data`."""


@dataclasses.dataclass(frozen=True)
class Check:
    """One figure of a claim.

    Attributes:
      name: what was measured.
      expected: in words or symbols.
      measured: the figure.
      ok: whether it is as expected; None where nothing is expected.
    """

    name: str
    expected: str
    measured: float | str
    ok: bool | None


def at_most(name: str, measured: float, limit: float) -> Check:
    """Expects measured ≤ limit; NaN fails."""
    return Check(name, f"≤ {limit:.4g}", float(measured), bool(measured <= limit))


def at_least(name: str, measured: float, limit: float, note: str = "") -> Check:
    """Expects measured ≥ limit; NaN fails. The note follows what is expected."""
    return Check(name, f"≥ {limit:.4g}" + (note and f"; {note}"), float(measured), bool(measured >= limit))


def above(name: str, measured: float, limit: float, note: str = "") -> Check:
    """Expects measured > limit; NaN fails. The note follows what is expected."""
    return Check(name, f"> {limit:.4g}" + (note and f"; {note}"), float(measured), bool(measured > limit))


def reported(name: str, measured: float | str, expected: str = "reported") -> Check:
    """A figure without a verdict."""
    return Check(name, expected, measured if isinstance(measured, str) else float(measured), None)


def timed(name: str, measured: float, limit: float | None) -> Check:
    """Expects a time ≤ limit on two cores; reported where there are fewer, or where there is no limit."""
    if limit is None or usable_cores() < 2:
        return reported(name, measured, "reported" if limit is None else f"≤ {limit:.4g} on two cores")
    return at_most(name, measured, limit)


@dataclasses.dataclass(frozen=True)
class Finding:
    """What a claim's function returns."""

    checks: Sequence[Check]
    figure: Figure

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return all(check.ok is None or check.ok for check in self.checks)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataPreset:
    """What presets of claims about data sets have in common; the command line fills it in.

    Attributes:
      data_dir: folder with raw or prepared data sets; None to look in the cache, then to download.
      scores: folder where scores of learners and baselines are kept for the next time; None to keep nothing.
    """

    data_dir: str | None = None
    scores: Path | None = None


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim and how it is measured.

    Attributes:
      id: in the list of claims, such as A3.
      statement: one sentence.
      source: paper and section.
      measure: from a preset to a finding.
      quick: the preset for two CPU cores, in minutes.
      full: the preset at the published size.
    """

    id: str
    statement: str
    source: str
    measure: Callable[[Any], Finding]
    quick: Any
    full: Any


def examine(claim: Claim, *, full: bool, out: Path, data_dir: str | None = None) -> Record:
    """Measures a claim, prints it, draws its picture, and returns its record, which it adds to those in `out`."""
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


def keep(claim: Claim, checks: Sequence[Check], *, full: bool, ok: bool, seconds: float, out: Path) -> Record:
    """The record of a claim, added to those in `out`."""
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


def main(claim: Claim) -> None:
    """The command line of one claim's script."""
    run(claim, parser(claim.statement).parse_args())


def run(claim: Claim, arguments: argparse.Namespace) -> None:
    """Examines a claim as the options of `parser` say, and ends the process."""
    try:
        sys.exit(0 if examine(claim, **examination(arguments))["ok"] else 1)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def examination(arguments: argparse.Namespace) -> dict[str, Any]:
    """The arguments of `examine` that the options of `parser` stand for."""
    return {"full": arguments.full, "out": arguments.out, "data_dir": arguments.data_dir}


def parser(description: str) -> argparse.ArgumentParser:
    """The options that all claims share."""
    options = argparse.ArgumentParser(description=description)
    preset = options.add_mutually_exclusive_group()
    preset.add_argument("--quick", action="store_true", help="minutes on two CPU cores (the default)")
    preset.add_argument("--full", action="store_true", help="the published size")
    options.add_argument("--out", type=_folder, default="runs/claims", help="folder for records and pictures")
    options.add_argument(
        "--data-dir",
        default=default_data_dir(),
        help="folder with mnist/ and fashion_mnist/ as published; by default BLUR_DATA_DIR, else ../shared/data where "
        "that is, else they are downloaded",
    )
    return options


def default_data_dir() -> str | None:
    """BLUR_DATA_DIR, else `../shared/data` if it is there."""
    return os.environ.get("BLUR_DATA_DIR") or (str(DATA_BESIDE) if DATA_BESIDE.is_dir() else None)


def _folder(path: str) -> Path:
    """A folder whose records can be read, so that a broken file is found before the work."""
    try:
        read_records(Path(path))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return Path(path)


def _table(checks: Sequence[Check]) -> Table:
    table = Table()
    for column in ("", "expected", "measured", ""):
        table.add_column(column, overflow="fold")
    for check in checks:
        measured = check.measured if isinstance(check.measured, str) else f"{check.measured:.6g}"
        mark = {True: "[green]ok[/]", False: "[red]FAILED[/]", None: ""}[check.ok]
        table.add_row(check.name, check.expected, measured, mark)
    return table
