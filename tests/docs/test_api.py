"""Every public name has an entry in the documentation of the API, and every page is in the site."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

import blur
import blur.network
from blur.network.activations import ACTIVATIONS
from blur.rules import RULES

DOCS = Path(__file__).resolve().parents[2] / "docs"
ENTRIES = {
    entry
    for page in (DOCS / "api").glob("*.md")
    for entry in re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
}
INDEX = (DOCS / "api" / "index.md").read_text(encoding="utf-8")
PARTS = {name: part for name, part in RULES.items() if name not in ACTIVATIONS}


@pytest.mark.parametrize("name", blur.__all__)
def test_every_public_name_has_an_entry_and_a_link_to_it(name: str) -> None:
    value = getattr(blur, name)
    home = f"{value.__module__}.{value.__qualname__}"
    assert home in ENTRIES
    assert f"[`blur.{name}`][{home}]" in INDEX


@pytest.mark.parametrize("name", PARTS)
def test_every_part_that_files_may_name_has_an_entry(name: str) -> None:
    assert f"{PARTS[name].__module__}.{name}" in ENTRIES


def test_activations_have_one_entry() -> None:
    assert "blur.network.activations.ACTIVATIONS" in ENTRIES


def test_parts_of_the_network_are_imported_from_it() -> None:
    own = {name: part for name, part in PARTS.items() if part.__module__.startswith("blur.network.")}
    assert {name for name, part in own.items() if getattr(blur.network, name, None) is not part} == set()
    assert {"Decay", "Convolution", "present_target"} <= own.keys()


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
