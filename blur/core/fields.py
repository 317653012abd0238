"""Fields of rules and phases: defaults that subclasses replace, and fields that are replaced at any depth."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class DefaultUntilSet:
    """A class attribute that dataclass fields of subclasses may replace, with or without a default of their own.

    Instances read `make(instance)`. Classes have no such attribute, or dataclasses would take it for the field's
    default.
    """

    def __init__(self, make: Callable[[Any], Any] = lambda instance: None):
        self.make = make

    def __get__(self, instance: object | None, owner: type) -> Any:
        if instance is None:
            raise AttributeError("only instances have this attribute")
        return self.make(instance)


def replace_field(node: T, field: str, value: Any, kind: type) -> T:
    """A copy in which every field of that name and type, at any depth, has the value."""
    copy: T = _replaced(node, field, value, kind)
    return copy


def _replaced(node: Any, field: str, value: Any, kind: type) -> Any:
    parts = [
        (name, value if name == field and isinstance(part, kind) else _replaced(part, field, value, kind))
        for name, part in _parts(node)
    ]
    if type(node) is tuple:
        return tuple(part for _, part in parts)
    return dataclasses.replace(node, **dict(parts)) if parts else node


def _parts(node: Any) -> list[tuple[str, Any]]:
    if type(node) is tuple:
        return [("", part) for part in node]
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        return [(field.name, getattr(node, field.name)) for field in dataclasses.fields(node) if field.init]
    return []
