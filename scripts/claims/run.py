"""Check claims by id: python scripts/claims/run.py [A1 A3 …] [--quick|--full] [--out DIR] [--data-dir DIR] [--list]

Without an id, all claims are checked. For each claim the script prints a table, adds a record to DIR/claims.json (it
replaces an older record of the same claim and preset) and draws DIR/<id>.png. It exits 1 if a claim failed.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from harness.claim import Check, Claim, examine, keep
from harness.verdicts import ClaimRecord, read_records

FOLDER = Path(__file__).resolve().parent

DATA = Path("data")
"""The folder of raw data sets if neither an option nor a variable names one."""


def main() -> int:
    """Checks the claims that the command line names; returns the exit status."""
    claims, options = find_claims(), parser()
    arguments = options.parse_args()
    if unknown := [name for name in arguments.ids if name.upper() not in claims]:
        options.error(f"there is no claim {unknown[0]}; there are {', '.join(claims)}")
    chosen = [name.upper() for name in arguments.ids] or list(claims)
    if arguments.list:
        for name in chosen:
            print(f"{name}: {load(claims[name]).statement}")
        return 0
    records = [_record(load(claims[name]), examination(arguments)) for name in chosen]
    failed = [record["id"] for record in records if not record["ok"]]
    print(f"{len(records) - len(failed)} of {len(records)} claims hold" + (f"; failed: {failed}" if failed else ""))
    return 1 if failed else 0


def find_claims() -> dict[str, str]:
    """The module of every claim by id: `attention/a03_one_layer.py` is A3, in the module `attention.a03_one_layer`."""
    found = {}
    for path in sorted(FOLDER.glob("*/*.py"), key=lambda path: path.stem):
        if match := re.fullmatch(r"([a-z])(\d\d)_\w+", path.stem):
            found[f"{match[1].upper()}{int(match[2])}"] = f"{path.parent.name}.{path.stem}"
    return found


def load(module: str) -> Claim:
    """The claim of a module."""
    return importlib.import_module(module).CLAIM


def parser() -> argparse.ArgumentParser:
    """The command line."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("ids", nargs="*", metavar="ID", help="claims to check; all by default")
    preset = options.add_mutually_exclusive_group()
    preset.add_argument("--quick", action="store_true", help="minutes on two CPU cores (the default)")
    preset.add_argument("--full", action="store_true", help="the published size")
    options.add_argument("--out", type=_folder, default="runs/claims", help="folder for records and pictures")
    options.add_argument(
        "--data-dir",
        default=default_data_dir(),
        help="folder with mnist/ and fashion_mnist/ as published; by default BLUR_DATA_DIR, then data if it "
        "exists; otherwise the data sets are downloaded",
    )
    options.add_argument("--list", action="store_true", help="print the claims and stop")
    return options


def examination(arguments: argparse.Namespace) -> dict[str, Any]:
    """The arguments of `examine` from the command line's options."""
    return {"full": arguments.full, "out": arguments.out, "data_dir": arguments.data_dir}


def default_data_dir() -> str | None:
    """BLUR_DATA_DIR; without it `data`, if that folder exists."""
    return os.environ.get("BLUR_DATA_DIR") or (str(DATA) if DATA.is_dir() else None)


def _folder(path: str) -> Path:
    """The folder of the records. A broken file of records is refused here, before any work."""
    try:
        read_records(Path(path))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return Path(path)


def _record(claim: Claim, arguments: dict[str, Any]) -> ClaimRecord:
    """The record of a claim. An exception in its measurement makes the claim fail; the other claims go on."""
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
        sys.exit("interrupted; the records of finished claims and the cached scores stay")
