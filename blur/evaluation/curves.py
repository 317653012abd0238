"""Learning curves of one learner on many episodes, the same ones for every learner."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from blur.core.episode import Episode, Kind, Split, episode_spec
from blur.core.inner_loop import unroll
from blur.core.losses import Loss, accuracy, cross_entropy, squared_error
from blur.core.rule import Genome, UpdateRule
from blur.support.mapping import mapped
from blur.tasks.task import Task, episode_drawer

BLOCK = 4
"""Episodes that are sampled and played in one dispatch."""


class Curves(NamedTuple):
    """Scores on the query after each inner step. The accuracy of a regression has no meaning."""

    accuracy: Float[np.ndarray, "episodes steps"]
    loss: Float[np.ndarray, "episodes steps"]


class Block(NamedTuple):
    """`BLOCK` episodes and the keys of the initial networks that go with them."""

    episodes: Episode
    keys: Key[Array, "block"]


Play = Callable[[Genome, Block], Float[Array, "block steps scores"]]


def task_loss(kind: Kind) -> Loss:
    """The loss that is reported: cross-entropy for a classification, squared error for a regression."""
    return cross_entropy if kind == "classification" else squared_error


def make_play(rule: UpdateRule, kind: Kind) -> Play:
    """Compiles `(genome, block) -> (accuracy, loss)` after each inner step. Tuning and testing share this program.

    CPUs play one episode after the other, because small batched products are slow there. Accelerators play all at once.
    """
    loss = task_loss(kind)

    def play(genome: Genome, block: Block) -> Float[Array, "block steps scores"]:
        def one(episode: Episode, key: Key[Array, ""]) -> Float[Array, "steps scores"]:
            def scores(state: object) -> Float[Array, "scores"]:
                outputs = rule.predict(genome, state, episode.query.inputs)
                return jnp.stack([metric(outputs, *episode.query[1:]) for metric in (accuracy, loss)])

            state = rule.init_state(genome, key, episode_spec(episode))
            return unroll(rule, genome, state, episode.support, episode.steps, observe=scores)[1]

        return mapped(one, "auto")(*block)

    return jax.jit(play)


def make_sampler(task: Task, seed: int, *, steps: int, batch_size: int, split: Split) -> Callable[[int], Block]:
    """Compiles `index -> block`. The same seed and split give the same blocks to every learner."""
    draw = episode_drawer(task.sample)

    def sample(task: Task, keys: Key[Array, "block"]) -> Episode:
        return jax.vmap(lambda key: draw(key, steps=steps, batch_size=batch_size, split=split))(keys)

    jitted = jax.jit(sample)
    episode_key, network_key = jax.random.split(jax.random.fold_in(jax.random.key(seed), split == "test"))

    def block(index: int) -> Block:
        keys = [jax.random.split(jax.random.fold_in(key, index), BLOCK) for key in (episode_key, network_key)]
        return Block(jitted(task, keys[0]), keys[1])

    return block


def play_all(play: Play, genomes: Sequence[Genome], block: Callable[[int], Block], episodes: int) -> list[Curves]:
    """The curves of every genome on the first `episodes` episodes; one block is in memory at a time."""
    scores: list[list[Array]] = [[] for _ in genomes]
    for index in range(-(-episodes // BLOCK)):
        episodes_and_keys = block(index)
        for genome, of_genome in zip(genomes, scores, strict=True):
            of_genome.append(play(genome, episodes_and_keys))
    stacked = [np.concatenate([np.asarray(part, np.float64) for part in parts])[:episodes] for parts in scores]
    return [Curves(part[..., 0], part[..., 1]) for part in stacked]
