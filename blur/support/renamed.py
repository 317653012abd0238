"""Old names that keep working: each says the new name in one line, as a `FutureWarning`."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=type)


def tell_new_name(old: str, new: str) -> None:
    """Warns that `old` is now called `new`."""
    warnings.warn(f"{old} is now called {new}", FutureWarning, stacklevel=3)


def renamed_arguments(**new_names: str) -> Callable[[F], F]:
    """Lets a function take arguments under their old names too: `@renamed_arguments(unroll="steps")`.

    Raises (the function, when it is called):
      TypeError: both names are given.
    """

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            for old in new_names.keys() & named.keys():
                new = new_names[old]
                if new in named:
                    raise TypeError(f"{function.__qualname__} was given {old} and {new}, two names of one argument")
                tell_new_name(f"the argument {old} of {function.__qualname__.removesuffix('.__init__')}", new)
                named[new] = named.pop(old)
            return function(*arguments, **named)

        return call  # type: ignore[return-value]

    return decorate


def renamed_fields(**new_names: str) -> Callable[[C], C]:
    """Lets a dataclass take fields under old names: as arguments, as attributes and in files (`blur.files.config`)."""

    def decorate(cls: C) -> C:
        cls.__init__ = renamed_arguments(**new_names)(cls.__init__)  # type: ignore[misc]
        cls.RENAMED_FIELDS = new_names  # type: ignore[attr-defined]
        for old, new in new_names.items():
            setattr(cls, old, property(functools.partial(_read, f"{cls.__name__}.{old}", new)))
        return cls

    return decorate


def _read(old: str, new: str, instance: Any) -> Any:
    tell_new_name(old, new)
    return getattr(instance, new)
