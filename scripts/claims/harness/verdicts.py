"""The records of checked claims: one file per folder, and its table in Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from blur.support.atomic import write_file

FILE_NAME = "claims.json"
FIELDS = {"id", "statement", "source", "expected", "measured", "verdicts", "ok", "seconds", "preset"}
"""The fields of a record. `expected`, `measured` and `verdicts` are by check. A reported figure's verdict is null."""

ClaimRecord = dict[str, Any]


def read_records(folder: Path) -> list[ClaimRecord]:
    """The records in a folder; none if the folder has no file of records.

    Raises:
      ValueError: the file is not a list of records.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return []
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:  # of UTF-8 or of JSON
        records = None
    if not isinstance(records, list) or not all(_is_record(record) for record in records):
        raise ValueError(f"{path} holds no list of claims' records; expected the file that run.py writes; move it away")
    return records


def put_record(folder: Path, record: ClaimRecord) -> None:
    """Adds a record to a folder, in place of a record of the same claim and preset. Records are sorted by id."""
    key = _order(record)
    others = [other for other in read_records(folder) if _order(other) != key]
    write_file(folder / FILE_NAME, to_json(sorted([*others, record], key=_order)))


def to_json(record: Any) -> str:
    """Indented JSON; figures that are not finite become text."""
    return json.dumps(_finite(record), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def table(records: Sequence[ClaimRecord]) -> str:
    """A Markdown table with a row per record. A row has the checks with a verdict; failed checks are bold."""
    lines = ["| claim | measured (expected) | verdict |\n|---|---|---|\n"]
    for record in records:
        names = [name for name, verdict in record["verdicts"].items() if verdict is not None]
        checks = "<br>".join(_check(record, name) for name in names)
        verdict = f"{'holds' if record['ok'] else '**fails**'}, {record['seconds']:.0f} s, {record['preset']}"
        lines.append(f"| **{record['id']}** {_cell(record['statement'])} | {checks} | {verdict} |\n")
    return "".join(lines)


def _check(record: ClaimRecord, name: str) -> str:
    """One check of a record in a cell."""
    measured = record["measured"][name]
    value = measured if isinstance(measured, str) else f"{measured:.4g}"
    text = _cell(f"{name}: {value} ({record['expected'][name]})")
    return text if record["verdicts"][name] else f"**{text}**"


def _cell(text: str) -> str:
    """Text for a cell, with escapes: no character of it ends the cell or marks emphasis."""
    return re.sub(r"([|*])", r"\\\1", text).replace("\n", " ")


def _order(record: ClaimRecord) -> tuple[str, int, str]:
    """A2 before A10 before B1; full before quick."""
    letter, number = re.fullmatch(r"([A-Z])(\d+)", record["id"]).groups()  # type: ignore[union-attr]  # see _is_record
    return letter, int(number), record["preset"]


def _is_record(value: Any) -> bool:
    return isinstance(value, dict) and set(value) >= FIELDS and bool(re.fullmatch(r"[A-Z]\d+", str(value["id"])))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and value - value != 0 else value
