"""Error messages name what was given and what was expected."""

from __future__ import annotations

import pytest

from blur.support.errors import check_sizes, one_line, printable, short


def test_an_impossible_size_is_named() -> None:
    check_sizes(batch_size=3, steps=1, key_size=None)
    with pytest.raises(ValueError, match="steps is 0; expected at least 1"):
        check_sizes(batch_size=3, steps=0)


def test_messages_are_short_printable_lines() -> None:
    assert short("x" * 100, limit=10) == "'xxxxxxxx…"
    assert printable("a\x1b[2J\n") == r"a\x1b[2J\n"
    assert one_line(ValueError("two\n  lines")) == "two lines"
    assert one_line(KeyError()) == "KeyError"
