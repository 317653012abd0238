"""Every public name has an entry in the documentation of the API, and every page is in the site."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

import blur

DOCS = Path(__file__).resolve().parents[2] / "docs"
ENTRIES = {
    entry
    for page in (DOCS / "api").glob("*.md")
    for entry in re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
}
INDEX = (DOCS / "api" / "index.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", blur.__all__)
def test_every_public_name_has_an_entry_and_a_link_to_it(name: str) -> None:
    value = getattr(blur, name)
    home = f"{value.__module__}.{value.__qualname__}"
    assert home in ENTRIES
    assert f"[`blur.{name}`][{home}]" in INDEX


@pytest.mark.parametrize("entry", sorted(ENTRIES))
def test_every_entry_is_there_and_documented(entry: str) -> None:
    home, _, name = entry.rpartition(".")
    assert getattr(import_module(home), name).__doc__


def test_the_index_lists_public_names_alone() -> None:
    assert re.findall(r"\[`blur\.(\w+)`\]", INDEX) == list(blur.__all__)


def test_every_page_is_in_the_navigation() -> None:
    navigation = (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8")
    pages = [str(page.relative_to(DOCS)) for suffix in ("md", "ipynb") for page in DOCS.rglob(f"*.{suffix}")]
    assert [page for page in pages if f": {page}\n" not in navigation] == []
