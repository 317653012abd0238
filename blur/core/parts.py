"""Parts of update rules: what a configuration, and so a file, may name."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from types import ModuleType
from typing import Any, TypeVar

import jax

F = TypeVar("F", bound=Callable[..., Any])


def nameable(function: F) -> F:
    """Declares that a configuration may name this function. The function must be pure, whatever it is called with.

    Functions are named by declaration only: a file can name no other function of a module.
    """
    function.is_nameable = True  # type: ignore[attr-defined]
    return function


def collect_parts(modules: Iterable[ModuleType]) -> dict[str, Any]:
    """The parts that these modules define, by name, in alphabetical order.

    A part is public, and is either a frozen dataclass or a function that is declared `nameable`. Abstract classes and
    classes of pytrees (states, synapses) are no parts. What a module imports from elsewhere is not its own.

    Raises:
      ValueError: two parts have the same name.
    """
    parts: dict[str, Any] = {}
    for module in modules:
        for name, value in vars(module).items():
            if name.startswith("_") or getattr(value, "__module__", None) != module.__name__ or not _is_part(value):
                continue
            if name in parts:
                raise ValueError(f"{module.__name__} and {parts[name].__module__} both define {name}; rename one")
            parts[name] = value
    return dict(sorted(parts.items()))


def modules_of(package: str) -> Iterator[ModuleType]:
    """The modules of an installed package, at any depth. Imports all of them."""
    root = import_module(package)
    for found in pkgutil.walk_packages(root.__path__, f"{package}."):
        yield import_module(found.name)


def _is_part(value: Any) -> bool:
    if not isinstance(value, type):
        return getattr(value, "is_nameable", False) is True
    if "__dataclass_fields__" not in vars(value) or inspect.isabstract(value):
        return False
    is_frozen = value.__dataclass_params__.frozen  # type: ignore[attr-defined]
    return is_frozen and jax.tree_util.all_leaves([object.__new__(value)])
