"""Fails when a test report is empty, or when tests were skipped although what they need is there.

Usage: check_tests.py REPORT.xml (JUnit format, as pytest writes it)
"""

from __future__ import annotations

import os
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

RESOURCES = ("BLUR_REFERENCE_DIR", "BLUR_DATA_DIR")
"""Environment variables that name optional folders. A test that is skipped for want of one says so in its reason."""


def problems(report: Path) -> list[str]:
    """What is wrong with the run, one line each."""
    cases = list(ET.parse(report).getroot().iter("testcase"))
    ran = [case for case in cases if case.find("skipped") is None]
    found = [] if ran else ["no test ran"]
    available = [name for name in RESOURCES if os.environ.get(name)]
    for case in cases:
        skipped = case.find("skipped")
        reason = "" if skipped is None else f"{skipped.get('message', '')} {skipped.text or ''}"
        found += [f"{case.get('name')} was skipped although {name} is set" for name in available if name in reason]
    if "BLUR_REFERENCE_DIR" in available and not any("original" in case.get("classname", "") for case in ran):
        found.append("no test against the original implementation ran although BLUR_REFERENCE_DIR is set")
    return found


if __name__ == "__main__":
    lines = problems(Path(sys.argv[1]))
    print("\n".join(f"check_tests: {line}" for line in lines), file=sys.stderr)
    sys.exit(1 if lines else 0)
