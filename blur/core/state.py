"""The state that the phases of a chain share: named fields, immutable, a pytree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import jax


@jax.tree_util.register_pytree_with_keys_class
class State:
    """Named fields, read as attributes and changed with `replace`.

    Examples:
      >>> state = blur.State(step=0, synapses=())
      >>> state.replace(step=1).step
      1
    """

    __slots__ = ("_fields",)

    def __init__(self, **fields: Any):
        object.__setattr__(self, "_fields", fields)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self._fields[name]
        except KeyError:
            raise AttributeError(
                f"the state has no field {name!r}, only {sorted(self._fields)}; put the phase that makes it before"
            ) from None

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a state is immutable; use state.replace({name}=…)")

    def __reduce__(self) -> tuple[Any, ...]:
        """Rebuilds a state from its fields when it is copied or unpickled."""
        return _from_fields, (self._fields,)

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __repr__(self) -> str:
        return f"State({', '.join(f'{name}={value!r}' for name, value in self._fields.items())})"

    def replace(self, **changes: Any) -> State:
        """A copy with some fields set, new ones included."""
        return State(**{**self._fields, **changes})

    def only(self, names: Iterable[str]) -> State:
        """A copy with these fields alone (a `State` names its own fields)."""
        return State(**{name: self._fields[name] for name in names})

    def tree_flatten_with_keys(self) -> tuple[list[tuple[Any, Any]], tuple[str, ...]]:
        """The field values with their keys in alphabetical order, and their names."""
        names = tuple(sorted(self._fields))
        return [(jax.tree_util.GetAttrKey(name), self._fields[name]) for name in names], names

    def tree_flatten(self) -> tuple[list[Any], tuple[str, ...]]:
        """The field values in alphabetical order, and their names."""
        names = tuple(sorted(self._fields))
        return [self._fields[name] for name in names], names

    @classmethod
    def tree_unflatten(cls, names: tuple[str, ...], values: Iterable[Any]) -> State:
        """The inverse of `tree_flatten`."""
        return cls(**dict(zip(names, values, strict=True)))


def _from_fields(fields: dict[str, Any]) -> State:
    return State(**fields)
