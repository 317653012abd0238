"""Helpers for the tests of the command line."""

from __future__ import annotations

import pytest

from blur.cli.main import EXIT_ERROR, main

Capture = pytest.CaptureFixture[str]

OLD_NAME = "blur: --unroll is now called --steps\n"


def error_of(arguments: list[str], capsys: Capture) -> str:
    """Runs a command that must fail with one line on stderr, which is returned."""
    assert main(arguments) == EXIT_ERROR
    output = capsys.readouterr()
    assert output.err.startswith("blur: error: ")
    assert output.err.count("\n") == 1
    return output.err
