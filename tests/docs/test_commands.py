"""The commands, files and links that the README and the documentation name are there."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest
import tyro

from blur.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
OTHERS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "genomes/README.md")
OLD_NAME = re.compile(r"`[^`]+`(?= is now\b)")
PAGES = {
    str(page.relative_to(ROOT)): OLD_NAME.sub("", page.read_text(encoding="utf-8"))
    for page in (*(ROOT / name for name in OTHERS), *sorted((ROOT / "docs").rglob("*.md")))
}
CODE = re.compile(r"^```(?:sh|yaml)\n(.*?)^```", re.DOTALL | re.MULTILINE)
CONTINUATION = re.compile(r"\s*\\?\n\s+(?=-)")
COMMAND = re.compile(rf"\bblur ({'|'.join(COMMANDS)})\b([^\n;\]`]*)")
INLINE = re.compile(r"`blur ([a-z][a-z-]*)")


def command_lines() -> list[str]:
    """Every `blur …` of a code block, without those that occur twice."""
    code = (re.sub("#.*", "", block) for text in PAGES.values() for block in CODE.findall(text))
    blocks = (CONTINUATION.sub(" ", block) for block in code)
    found = (f"{name} {options.strip()}" for block in blocks for name, options in COMMAND.findall(block))
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("line", command_lines())
def test_commands_have_the_options_that_are_given(line: str) -> None:
    name, *words = shlex.split(line.replace("$JOB_COMPLETION_INDEX", "0"))
    entry = COMMANDS[name]
    assert hasattr(tyro.cli(getattr(import_module(f"blur.cli.{entry.module}"), entry.options), args=words), "run")


def test_there_are_such_commands() -> None:
    assert len(command_lines()) > 20
    assert any("--process 0" in line for line in command_lines())  # also those of several lines


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_sentences_exist(page: str) -> None:
    assert [name for name in INLINE.findall(PAGES[page]) if name not in COMMANDS] == []


@pytest.mark.parametrize("page", PAGES)
def test_scripts_tests_and_source_files_exist(page: str) -> None:
    named = re.findall(r"`((?:blur|docs|genomes|scripts|tests)/[\w./-]+)`", PAGES[page])
    named += re.findall(r"(?:python|pytest) ((?:scripts|tests)/[\w./]+\.py)", PAGES[page])
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_modules_exist(page: str) -> None:
    named = re.findall(r"`(blur(?:\.[a-z_]+)+)(?:\.[A-Z]\w+)?`", PAGES[page])
    assert [name for name in named if not exists(name)] == []


def exists(name: str) -> bool:
    """Whether a dotted name is a module, or an attribute of one."""
    home, _, last = name.rpartition(".")
    try:
        return hasattr(import_module(home), last) or bool(import_module(name))
    except ImportError:
        return False


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", PAGES[page])
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_make_has_the_targets_that_are_named(page: str) -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    named = re.findall(r"(?:`|^)make ([a-z]+)", PAGES[page], re.MULTILINE)
    assert [name for name in named if name not in targets] == []


def test_the_readme_is_short() -> None:
    assert PAGES["README.md"].count("\n") <= 150
