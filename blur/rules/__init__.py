"""Update rules, one file per family, and the table of the parts that files and the command line may name."""

from __future__ import annotations

from importlib import import_module
from typing import Any

PARTS_IN = ("blur.network", "blur.rules")
"""Packages whose modules' parts files may name; those of `blur.core.phases` too."""

RULES: dict[str, Any]
"""Classes and functions that a rule's configuration may mention, by name. Only these are rebuilt from a file.

The table is collected (`blur.core.parts.collect_parts`) when it is first asked for, so that a rule can be imported
without all others.
"""


def __getattr__(name: str) -> Any:
    if name != "RULES":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = _collected()
    return globals()[name]


def _collected() -> dict[str, Any]:
    from blur.core.parts import collect_parts, modules_of
    from blur.network.activations import ACTIVATIONS

    modules = [module for package in PARTS_IN for module in modules_of(package)]
    return collect_parts([import_module("blur.core.phases"), *modules]) | ACTIVATIONS
