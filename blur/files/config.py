"""Frozen dataclasses (rules, phases, settings) to plain JSON values and back.

An object becomes `{"type": name, field: value, …}` and a function `{"function": name}`, where the names come from a
fixed table `known`. Reading looks names up in the same table: nothing is imported or executed because a file says so.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

from blur.support.errors import short

Known: TypeAlias = Mapping[str, Any]
"""Names of the dataclasses and functions that a configuration may mention."""


def to_config(obj: Any, known: Known, path: str = "config") -> Any:
    """A dataclass, or a value inside one, as JSON values; tuples become lists.

    Args:
      obj: a dataclass instance, function, tuple, list, string, number, bool or None.
      known: names of the classes and functions that may occur.
      path: what error messages call `obj`.

    Raises:
      TypeError: a class or function is not in `known`, or a value has no JSON form.
      ValueError: a number is not finite.
    """
    if obj is None or isinstance(obj, bool | int | str):
        return obj
    if isinstance(obj, float):
        if not math.isfinite(obj):
            raise ValueError(f"{path} is {obj}; a configuration holds finite numbers only")
        return obj
    if isinstance(obj, tuple | list):
        return [to_config(item, known, f"{path}[{index}]") for index, item in enumerate(obj)]
    if dataclasses.is_dataclass(obj) and not isinstance(obj, type):
        fields = {f.name: to_config(getattr(obj, f.name), known, f"{path}.{f.name}") for f in _init_fields(type(obj))}
        return {"type": _name_of(type(obj), known, path), **fields}
    if callable(obj):
        return {"function": _name_of(obj, known, path)}
    raise TypeError(f"{path} is a {type(obj).__name__}, which has no JSON form; expected a frozen dataclass's field")


def from_config(config: Any, known: Known, path: str = "config") -> Any:
    """The inverse of `to_config`: `from_config(to_config(obj, known), known) == obj`.

    Values are checked against the fields' annotations, which also say where lists are tuples.

    Raises:
      ValueError: an unknown type, function or field, a missing field, or a value that does not fit its annotation.
    """
    return _restore(config, Any, known, path)


def config_hash(config: Any) -> str:
    """Twelve hexadecimal digits of the SHA-256 of a configuration's JSON, whatever the order of its keys."""
    text = json.dumps(config, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _init_fields(cls: type) -> list[dataclasses.Field]:
    return [field for field in dataclasses.fields(cls) if field.init]


def _name_of(obj: Any, known: Known, path: str) -> str:
    """The name of a class or function in the table."""
    for name, candidate in known.items():
        if candidate is obj:
            return name
    label = getattr(obj, "__qualname__", repr(obj))
    raise TypeError(f"{path} is {label}, which is not in the table of known names; pass known={{'some name': {label}}}")


def _restore(value: Any, annotation: Any, known: Known, path: str) -> Any:
    """The object that `value` stands for, checked against a type annotation."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return _restore_union(value, arguments, known, path)
    if origin is Literal:
        return _expect(value in arguments, value, arguments, path)
    if annotation in _PLAIN:
        return _restore_plain(value, annotation, path)
    if isinstance(value, list):
        return _restore_list(value, annotation, known, path)
    if isinstance(value, dict):
        return _restore_named(value, annotation, known, path)
    is_open = not (_is_class(annotation) or origin in (tuple, list, Callable))
    return _expect(is_open, value, annotation, path)


_PLAIN = (None, type(None), bool, int, float, str)


def _restore_plain(value: Any, annotation: Any, path: str) -> Any:
    """None, a bool, a number or a string; an int may stand for a float."""
    if annotation is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if annotation is int and isinstance(value, bool):
        _expect(False, value, int, path)
    return _expect(isinstance(value, annotation or type(None)), value, annotation, path)


def _restore_union(value: Any, options: tuple, known: Known, path: str) -> Any:
    """The first of the annotations that fits, exact types before int-as-float."""
    problems = []
    for option in sorted(options, key=lambda option: option is not type(value)):
        try:
            return _restore(value, option, known, path)
        except ValueError as error:
            problems.append(error)
    raise problems[0]


def _restore_list(value: list, annotation: Any, known: Known, path: str) -> tuple | list:
    """A tuple, unless the annotation says list. Items follow `tuple[X, ...]` or `tuple[X, Y]`."""
    origin = typing.get_origin(annotation) or annotation
    arguments = typing.get_args(annotation)
    _expect(origin in (tuple, list) or not _is_class(origin), value, annotation, path)
    if origin is tuple and arguments and arguments[-1] is not Ellipsis:
        _expect(len(value) == len(arguments), value, annotation, path)
        annotations = list(arguments)
    else:
        annotations = [arguments[0] if origin in (tuple, list) and arguments else Any] * len(value)
    items = [
        _restore(item, item_annotation, known, f"{path}[{index}]")
        for index, (item, item_annotation) in enumerate(zip(value, annotations, strict=True))
    ]
    return items if origin is list else tuple(items)


def _restore_named(value: dict, annotation: Any, known: Known, path: str) -> Any:
    """A function, or a dataclass with its fields."""
    if set(value) == {"function"}:
        function = _look_up(value["function"], known, path)
        _expect(not isinstance(function, type) and not _is_class(annotation), value, annotation, path)
        return function
    cls = _look_up(value.get("type"), known, path)
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        raise ValueError(f"{path}: {value['type']!r} is a function, not a type")
    _expect(not _is_class(annotation) or issubclass(cls, annotation), value["type"], annotation, path)
    return _build(cls, {name: item for name, item in value.items() if name != "type"}, known, path)


def _look_up(name: Any, known: Known, path: str) -> Any:
    if not isinstance(name, str) or name not in known:
        raise ValueError(
            f"{path} has the unknown type {short(name)}; known are {sorted(known)}; pass known= for your own"
        )
    return known[name]


def _build(cls: type, fields: dict, known: Known, path: str) -> Any:
    """An instance of a dataclass from its fields' configurations."""
    renamed = getattr(cls, "RENAMED_FIELDS", {})
    fields = {renamed.get(name, name): item for name, item in fields.items()}
    expected = {field.name: field for field in _init_fields(cls)}
    if unknown := sorted(set(fields) - set(expected)):
        raise ValueError(f"{path} ({cls.__name__}) has the unknown field {short(unknown[0])}; known: {list(expected)}")
    missing = [name for name, field in expected.items() if name not in fields and not _has_default(field)]
    if missing:
        raise ValueError(f"{path} ({cls.__name__}) lacks the field {missing[0]!r}")
    hints = _annotations(cls)
    values = {name: _restore(item, hints.get(name, Any), known, f"{path}.{name}") for name, item in fields.items()}
    try:
        return cls(**values)
    except TypeError as error:
        raise ValueError(f"{path} ({cls.__name__}) cannot be built: {error}") from error


def _is_class(annotation: Any) -> bool:
    """Whether only instances of the annotation fit; `Any` is itself a class since Python 3.11."""
    return isinstance(annotation, type) and annotation is not Any


def _has_default(field: dataclasses.Field) -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


def _annotations(cls: type) -> dict[str, Any]:
    """The fields' types; none where an annotation names something out of reach, so that nothing is checked there."""
    try:
        return typing.get_type_hints(cls)
    except NameError:
        return {}


def _expect(fits: bool, value: Any, expected: Any, path: str) -> Any:
    if not fits:
        label = expected.__name__ if isinstance(expected, type) and not typing.get_args(expected) else expected
        raise ValueError(f"{path} is {short(value)}, expected {label}")
    return value
