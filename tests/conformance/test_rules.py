"""Every update rule keeps the promises of `UpdateRule`. A new rule needs one line in `tests/toys/part_examples.py`."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conformance_toys import (
    STEPS,
    assert_close,
    assert_equal,
    assert_finite,
    batch_without,
    compiled,
    identities,
    masked_batch,
    remove_example,
    shapes,
    start_of,
)
from part_examples import BATCH, INPUTS, OUTPUTS, RULES, example_batch

from blur.core.episode import Batch, Episode, batch_spec, make_spec
from blur.core.inner_loop import episode_loss
from blur.core.losses import squared_error
from blur.files.tensors import read_tensor_file, restore_tensors, write_tensor_file

every_rule = pytest.mark.parametrize("name", RULES)


class Life(NamedTuple):
    """A life of `STEPS` inner steps: the states, and what is predicted after the last step."""

    states: tuple[Any, ...]
    outputs: jax.Array


def key() -> jax.Array:
    """The key that `start_of` starts with."""
    return jax.random.key(0)


def query() -> Batch:
    """Other examples, as many."""
    return example_batch(9)


def genome_of(name: str, seed: int = 0) -> Any:
    return start_of(RULES[name], seed)[0]


@functools.partial(compiled, static_argnums=0)
def step(name: str, genome: Any, state: Any, batch: Batch) -> Any:
    return RULES[name].step(genome, state, batch)


@functools.partial(compiled, static_argnums=0)
def predict(name: str, genome: Any, state: Any, inputs: jax.Array) -> jax.Array:
    return RULES[name].predict(genome, state, inputs)


def live(name: str, start: Any, batch: Batch) -> Life:
    states = [start]
    for _ in range(STEPS):
        states.append(step(name, genome_of(name), states[-1], batch))
    return Life(tuple(states), predict(name, genome_of(name), states[-1], query().inputs))


@functools.cache
def a_life(name: str) -> Life:
    """The life that most tests look at."""
    return live(name, start_of(RULES[name])[1], masked_batch(1))


@every_rule
def test_a_rule_is_pure(name: str) -> None:
    assert_equal(live(name, start_of(RULES[name])[1], masked_batch(1)), a_life(name))
    again = dataclasses.replace(RULES[name])  # type: ignore[type-var]
    assert (again, hash(again)) == (RULES[name], hash(RULES[name]))


@every_rule
def test_compiled_and_uncompiled_are_equal(name: str) -> None:
    rule, life = RULES[name], a_life(name)
    arguments = genome_of(name), life.states[0], masked_batch(1)
    before = identities(arguments)
    assert_close(rule.step(*arguments), life.states[1])
    assert_close(rule.predict(genome_of(name), life.states[-1], query().inputs), life.outputs)
    assert identities(arguments) == before


@every_rule
def test_losses_can_be_differentiated_and_mapped_over_genomes(name: str) -> None:
    genomes = [genome_of(name, seed) for seed in (0, 1)]
    episode = Episode(masked_batch(1), query(), steps=STEPS)

    def loss(genome: Any) -> tuple[jax.Array, jax.Array]:
        return episode_loss(RULES[name], genome, key(), episode, squared_error)

    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *genomes)
    differentiated = compiled(jax.vmap(jax.value_and_grad(loss, has_aux=True)))
    (values, outputs), slopes = differentiated(stacked)
    assert_finite((values, slopes))
    assert shapes(slopes) == shapes(stacked)
    assert any(np.any(leaf != 0) for leaf in jax.tree.leaves(slopes))
    assert_close(outputs[0], a_life(name).outputs)
    (_, swapped), _ = differentiated(jax.tree.map(lambda leaf: leaf[::-1], stacked))
    assert_equal(swapped[::-1], outputs)


@every_rule
def test_what_an_example_of_weight_0_holds_changes_nothing(name: str) -> None:
    other = live(name, start_of(RULES[name])[1], masked_batch(2))
    assert_equal(other.outputs, a_life(name).outputs)
    assert_equal(remove_example(other.states), remove_example(a_life(name).states))


@every_rule
def test_an_example_of_weight_0_is_as_good_as_not_there(name: str) -> None:
    without = live(name, remove_example(start_of(RULES[name])[1]), batch_without())
    assert_close(without.outputs, a_life(name).outputs)
    assert_close(without.states, remove_example(a_life(name).states))


@every_rule
@pytest.mark.parametrize("wide", [True, False], ids=["float64", "float32"])
@pytest.mark.usefixtures("no_type_checks")  # shapes are not arrays
def test_states_keep_their_shapes_and_types(name: str, wide: bool) -> None:
    with jax.enable_x64(wide):
        rule, batch = RULES[name], example_batch()
        genome = jax.eval_shape(rule.init_genome, key())
        start = jax.eval_shape(lambda genome: rule.init_state(genome, key(), batch_spec(batch, STEPS)), genome)
        after = jax.eval_shape(rule.step, genome, start, batch)
        assert jax.tree.structure(after) == jax.tree.structure(start)
        assert shapes(after) == shapes(start)
        outputs = jax.eval_shape(rule.predict, genome, after, batch.inputs)
        assert (outputs.shape, outputs.dtype) == ((BATCH, OUTPUTS), jnp.result_type(float))


@every_rule
@pytest.mark.usefixtures("no_type_checks")  # shapes are not arrays
def test_states_and_genomes_are_saved_and_loaded_bit_for_bit(tmp_path: Path, name: str) -> None:
    tree = {"genome": genome_of(name), "state": a_life(name).states[-1]}
    path = write_tensor_file(tmp_path / "state.safetensors", "model", {}, tree)
    restored = restore_tensors(jax.eval_shape(lambda: tree), read_tensor_file(path, "model")[1], path)
    assert jax.tree.structure(restored) == jax.tree.structure(tree)
    assert_equal(restored, tree)


@every_rule
def test_a_wrong_width_gives_one_line_with_both_numbers(name: str) -> None:
    rule, genome, batch = RULES[name], genome_of(name), example_batch()
    start, end = a_life(name).states[0], a_life(name).states[-1]
    wide = jnp.pad(batch.inputs, ((0, 0), (0, 6)))
    for given, expected, call in (
        (INPUTS + 6, INPUTS, lambda: rule.step(genome, start, batch._replace(inputs=wide))),
        (INPUTS + 6, INPUTS, lambda: rule.predict(genome, end, wide)),
        (1, OUTPUTS, lambda: rule.step(genome, start, batch._replace(targets=batch.targets[:, :1]))),
    ):
        with pytest.raises(ValueError, match=rf"\b{given}\b.*\b{expected}\b") as caught:
            jax.eval_shape(call)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule.max_steps is not None])
def test_a_life_may_not_be_longer_than_the_rule_has_room_for(name: str) -> None:
    rule, room = RULES[name], RULES[name].max_steps or 0
    episode = Episode(example_batch(), query(), steps=room + 1)
    with pytest.raises(ValueError, match=rf"{room + 1} inner steps, but the rule has room for {room}"):
        jax.eval_shape(lambda: episode_loss(rule, genome_of(name), key(), episode, squared_error))


@every_rule
def test_capabilities_are_declared(name: str) -> None:
    rule = RULES[name]
    assert rule.inputs in (None, INPUTS)
    assert rule.outputs in (None, OUTPUTS)
    assert rule.with_statistics("query").statistics == (None if rule.statistics is None else "query")
    if rule.hidden is not None:
        assert rule.with_hidden((2,) * len(rule.hidden)).hidden == (2,) * len(rule.hidden)
    form = rule.for_population(make_spec(INPUTS, OUTPUTS, BATCH, STEPS), "dense")
    assert shapes(jax.eval_shape(form.rule.init_genome, key())) == shapes(genome_of(name))
