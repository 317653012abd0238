"""Check claims by id: python scripts/claims/run.py [A1 A3 …] [--quick|--full] [--out DIR] [--data-dir DIR] [--list]

All claims, if none is named. Prints a table per claim, adds its record to DIR/claims.json (in place of an older one of
the same claim and preset), draws DIR/<id>.png, and exits 1 if a claim failed.
"""

from __future__ import annotations

import importlib
import re
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from claim import INTERRUPTED, Check, Claim, examination, examine, keep, parser
from records import Record

FOLDER = Path(__file__).parent


def find_scripts() -> dict[str, str]:
    """Module names of the claims' scripts by id: `a03_one_layer.py` is A3."""
    found = {}
    for path in sorted(FOLDER.glob("*.py")):
        if match := re.fullmatch(r"([a-z])(\d\d)_\w+", path.stem):
            found[f"{match[1].upper()}{int(match[2])}"] = path.stem
    return found


def load(module: str) -> Claim:
    """The claim of a script."""
    return importlib.import_module(module).CLAIM


def main() -> int:
    """Runs what the command line asks for; returns the exit status."""
    options, scripts = parser(__doc__ or ""), find_scripts()
    options.add_argument("ids", nargs="*", metavar="ID", help="claims to check; all by default")
    options.add_argument("--list", action="store_true", help="print the claims and stop")
    arguments = options.parse_args()
    if unknown := [name for name in arguments.ids if name.upper() not in scripts]:
        options.error(f"there is no claim {unknown[0]}; there are {', '.join(scripts)}")
    chosen = [name.upper() for name in arguments.ids] or list(scripts)
    if arguments.list:
        for name in chosen:
            print(f"{name}: {load(scripts[name]).statement}")
        return 0
    records = [_record(load(scripts[name]), examination(arguments)) for name in chosen]
    failed = [record["id"] for record in records if not record["ok"]]
    print(f"{len(records) - len(failed)} of {len(records)} claims hold" + (f"; failed: {failed}" if failed else ""))
    return 1 if failed else 0


def _record(claim: Claim, arguments: dict[str, Any]) -> Record:
    """The record of a claim; one whose measurement breaks has failed, and the others go on."""
    start = time.perf_counter()
    try:
        return examine(claim, **arguments)
    except Exception as error:
        traceback.print_exc()
        broken = Check("measurement", "ends", f"{type(error).__name__}: {error}", ok=False)
        seconds = time.perf_counter() - start
        return keep(claim, [broken], full=arguments["full"], ok=False, seconds=seconds, out=arguments["out"])


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
