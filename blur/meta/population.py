"""Maps a function over a population, as many members at a time as the rule asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from blur.core.rule import PopulationForm
from blur.support.mapping import Mapping, mapped

MEMBERS_AT_ONCE = 8
"""Members that a loop on a CPU's only device plays together, which keeps its cores busy; of several devices, each plays
one member at a time."""


def over_members(function: Callable[..., Any], mapping: Mapping, form: PopulationForm) -> Callable[..., Any]:
    """`function` over the leading axis of all its arguments, which runs over members of a population."""
    at_once = form.at_once or (1 if jax.sharding.get_abstract_mesh().manual_axes else MEMBERS_AT_ONCE)
    return mapped(function, mapping, batch_size=at_once)
