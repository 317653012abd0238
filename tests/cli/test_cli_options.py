"""Old names of options, and options that were typed."""

from __future__ import annotations

import pytest
from cli_toys import OLD_NAME

from blur.cli.options import translate, typed_options


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["xor", "--unroll", "3", "5"], ["xor", "--steps", "3", "5"]),
        (["--unroll=3"], ["--steps=3"]),
        (["--steps", "3", "unroll"], ["--steps", "3", "unroll"]),
    ],
)
def test_old_names_are_translated_in_one_line(
    words: list[str], expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert translate(words) == expected
    assert capsys.readouterr().err == (OLD_NAME if words != expected else "")


def test_two_names_of_one_option_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="--unroll and --steps are two names of one option; give --steps alone"):
        translate(["--unroll", "3", "--steps=3"])
    assert capsys.readouterr().err == ""


def test_typed_options() -> None:
    assert typed_options(["xor", "--batch_size=16", "--steps", "3"]) == {"--batch-size", "--steps"}
