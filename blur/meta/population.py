"""How a population's learners store their synapses, and how many of them are played together."""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax

from blur.core.rule import UpdateRule
from blur.meta.setting import Setting
from blur.network.weights.dual import count_operations
from blur.rules.bidirectional import Bidirectional

Storage = Literal["auto", "dense", "dual"]
"""`dense` stores the input's synapses as they are, `dual` in dual form (`blur.network.weights.dual`), for a
whole life; `auto` takes the form that should be faster. Rules that have no dual form keep their own."""

DUAL_COST = 2.4
"""How much longer an operation of the dual form takes, as its products are smaller (`blur benchmark --dual`)."""

DUAL_AT_ONCE = 4
"""Members of a population that a loop on a CPU plays together in dual form: they share products with the inputs."""

DENSE_AT_ONCE = 8
"""The same in dense form on a single device, where they keep its cores busy; of several, each plays one at a time."""


def with_storage(storage: Storage, setting: Setting) -> UpdateRule:
    """The setting's rule, its synapses stored as `storage` says for the lives that a population lives there.

    Raises:
      ValueError: `dual`, but the rule has no dual form.
    """
    rule = setting.rule
    if not isinstance(rule, Bidirectional):
        if storage == "dual":
            raise ValueError(f"{type(rule).__name__} has no dual form; use storage dense or auto")
        return rule
    sizes = (setting.task.inputs, *rule.hidden, setting.task.outputs)
    faster = dual_is_faster(rule, sizes, batch=setting.batch_size, steps=setting.unroll)
    if storage == "dense" or (storage == "auto" and not faster):
        return rule
    return dataclasses.replace(rule, dual_steps=setting.unroll)


def dual_is_faster(rule: Bidirectional, sizes: tuple[int, ...], *, batch: int, steps: int) -> bool:
    """Whether the dual form of the input's synapses needs so few operations that it should take less time.

    `sizes` are the neurons of all layers, `batch` the examples of each of the `steps` of a life.
    """
    operations = count_operations(
        inputs=sizes[0], outputs=sizes[1], states=rule.states, batch=batch, steps=steps, genomes=DUAL_AT_ONCE
    )
    return DUAL_COST * operations.dual <= operations.dense


def members_at_once(rule: UpdateRule) -> int:
    """How many members of a population a loop on a CPU plays together, in the program that is being traced."""
    if isinstance(rule, Bidirectional) and rule.dual_steps is not None:
        return DUAL_AT_ONCE
    return 1 if jax.sharding.get_abstract_mesh().manual_axes else DENSE_AT_ONCE
