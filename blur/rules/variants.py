"""The same rule for networks of another size, or with another statistics rule: the genome stays as it is."""

from __future__ import annotations

import dataclasses
from typing import Any

from blur.core.rule import UpdateRule
from blur.network.batch_norm import StatisticsRule


def with_hidden(rule: UpdateRule, hidden: tuple[int, ...]) -> UpdateRule:
    """The rule with hidden layers of these widths: its field `hidden`, or that of its phases, is replaced.

    Raises:
      ValueError: neither the rule nor one of its phases has a field `hidden`.
    """
    if not hidden_of(rule):
        raise ValueError(
            f"{type(rule).__name__} has no field 'hidden', nor has one of its phases; expected a rule whose hidden "
            "layers can be set, such as Bidirectional or OptaxMLP"
        )
    return _replaced(rule, "hidden", hidden, tuple)


def hidden_of(rule: UpdateRule) -> set[tuple[int, ...]]:
    """Widths of the rule's own hidden layers; empty for rules without a field `hidden`."""
    return _values(rule, "hidden", tuple)


def statistics_of(rule: UpdateRule) -> set[StatisticsRule]:
    """What the rule predicts with, `support` or `query` statistics; empty for rules without statistics."""
    return _values(rule, "statistics", str)


def with_statistics(rule: UpdateRule, statistics: StatisticsRule) -> UpdateRule:
    """The rule predicting with `support` or `query` statistics; rules without statistics stay as they are."""
    return _replaced(rule, "statistics", statistics, str)


def _values(node: Any, field: str, kind: type) -> set[Any]:
    """The values of every field of that name and type, at any depth of dataclasses and tuples."""
    parts = _parts(node)
    found = {value for name, value in parts if name == field and isinstance(value, kind)}
    return found.union(*(_values(value, field, kind) for _, value in parts))


def _replaced(node: Any, field: str, value: Any, kind: type) -> Any:
    """A copy in which every field of that name and type, at any depth, has the value."""
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
