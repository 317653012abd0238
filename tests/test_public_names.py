"""The package's public names."""

from __future__ import annotations

import subprocess
import sys

import pytest

import blur


@pytest.mark.parametrize("name", blur.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(blur, name)
    assert callable(value)
    assert value.__doc__


def test_names_are_listed_and_others_are_missing() -> None:
    assert set(blur.__all__) <= set(dir(blur))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        blur.nonsense  # noqa: B018


def test_importing_the_package_or_its_command_line_does_not_import_jax() -> None:
    code = "import sys, blur, blur.cli.main; blur.cli.main.main(['--help']); sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
