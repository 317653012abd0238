"""Every public name has an example in its docstring, and the examples say what happens."""

from __future__ import annotations

import doctest

import pytest

import blur

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def example_of(name: str) -> doctest.DocTest:
    """The examples in a public name's own docstring, which see only `blur`."""
    (found,) = doctest.DocTestFinder(recurse=False, exclude_empty=False).find(
        getattr(blur, name), name, module=False, globs={"blur": blur, "__name__": name}
    )
    return found


@pytest.mark.parametrize("name", blur.__all__)
def test_every_public_name_has_an_example_that_holds(name: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    example = example_of(name)
    assert example.examples, f"blur.{name} has no example in its docstring"
    said: list[str] = []
    failed = doctest.DocTestRunner(optionflags=FLAGS).run(example, out=said.append).failed
    assert not failed, "".join(said)
