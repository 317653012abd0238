"""The version is written in `blur/__init__.py`; the files that repeat it for their readers agree."""

from __future__ import annotations

import re
from pathlib import Path

import blur

ROOT = Path(__file__).resolve().parents[1]


def test_changelog_and_citation_are_of_this_version() -> None:
    changelog, citation = ((ROOT / name).read_text(encoding="utf-8") for name in ("CHANGELOG.md", "CITATION.cff"))
    version, date = re.findall(r"^## (\d+\.\d+\.\d+) – (\d{4}-\d\d-\d\d)$", changelog, re.MULTILINE)[0]
    assert version == blur.__version__
    assert re.findall(r"^version: (.*)$", citation, re.MULTILINE) == [version]
    assert re.findall(r"^date-released: (.*)$", citation, re.MULTILINE) == [date]
