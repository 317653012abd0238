"""Meta-training by evolution on truncated lives: persistent and noise-reuse evolution strategies.

A *life* is one episode of `steps` inner steps, lived in pieces of `truncation` steps, one per meta-step. Between
meta-steps the learners' states stay, as the *inner state*; the genome changes. A meta-step's fitness is the loss on
the life's query after its piece. Both members of an antithetic pair live the same episodes.

Sources: Vicol et al. 2021 (arXiv 2112.13835); Li et al. 2023 (arXiv 2304.12180).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key, PyTree

from blur.core.episode import Batch, Episode, Stream, as_arrays, episode_spec
from blur.core.inner_loop import unroll
from blur.core.rule import Genome, UpdateRule
from blur.meta.objective import Metrics, Objective, Score, fitness_and_metrics, score_outputs
from blur.meta.outer.base import Outer
from blur.meta.outer.evolution import Strategy, initial_state
from blur.meta.population import over_members
from blur.meta.setting import Setting
from blur.parallel.devices import Axis, gather, local_slice
from blur.support.mapping import mapped


@dataclasses.dataclass(frozen=True)
class TruncatedOuter(Outer):
    """PersistentES or NoiseReuseES; the inner state is the learners' states between truncations.

    Attributes:
      objective: what is minimised; its episodes are lives per member.
      strategy: how to build the strategy.
      truncation: inner steps per meta-step; it has to divide the steps of a life.
    """

    objective: Objective
    strategy: Strategy
    truncation: int

    @property
    def forward_only(self) -> bool:
        """See `Outer.forward_only`."""
        return True

    @property
    def divisible(self) -> tuple[Axis, int]:
        """The population, and its learners."""
        return "population", self.strategy.population

    def init(self, key: Key[Array, ""], genome: Genome, rule: UpdateRule) -> PyTree:
        """See `Outer.init`."""
        return initial_state(self.strategy, key, genome, rule)

    def init_inner_state(self, genome: Genome, key: Key[Array, ""], setting: Setting) -> PyTree:
        """The learners' states at the start of a life: leading axes `[population, episodes]`."""
        population = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (self.strategy.population, *leaf.shape)), genome)
        own, keys = local_slice((population, self._life_keys(key)), "population")
        return self._newborn(own, keys, setting)

    def period(self, setting: Setting) -> int:
        """Meta-steps per life.

        Raises:
          ValueError: the truncation does not divide the steps of a life.
        """
        if self.truncation < 1 or setting.steps % self.truncation:
            raise ValueError(
                f"truncation {self.truncation} does not divide the steps {setting.steps}; "
                "expected a whole number of truncations per episode"
            )
        return setting.steps // self.truncation

    def step(
        self, state: PyTree, inner_state: PyTree, key: Key[Array, ""], index: Int[Array, ""], setting: Setting
    ) -> tuple[PyTree, PyTree, Metrics]:
        """See `Outer.step`."""
        strategy, params = self.strategy.build(setting.rule)
        params = params.replace(T=setting.steps, K=self.truncation)
        lived = state.inner_step_counter
        ask_key, tell_key, life_key = step_keys(key, index, born=index - lived // self.truncation)
        population, state = strategy.ask(ask_key, state, params)
        own, keys = local_slice((population, self._life_keys(life_key)), "population")
        inner_state = jax.lax.cond(lived == 0, lambda: self._newborn(own, keys, setting), lambda: inner_state)
        inner_state, scores = self._live(own, inner_state, keys, lived, setting)
        fitness, metrics = fitness_and_metrics(self.objective, gather(scores, "population"))
        state, _ = strategy.tell(tell_key, population, fitness, state, params)
        return state, inner_state, metrics

    def genomes(self, state: PyTree, rule: UpdateRule) -> tuple[Genome, ...]:
        """The mean."""
        return (self.strategy.build(rule)[0].get_mean(state),)

    def _life_keys(self, key: Key[Array, ""]) -> Key[Array, "population episodes 2"]:
        """Keys of every member's episodes and learners; members i and i + population/2 share theirs."""
        pairs = jax.random.split(key, (self.strategy.population // 2, self.objective.episodes, 2))
        return jnp.concatenate([pairs, pairs])

    def _newborn(self, population: Genome, keys: Key[Array, "population episodes 2"], setting: Setting) -> PyTree:
        def one(genome: Genome, keys: Key[Array, "2"]) -> PyTree:
            return setting.rule.init_state(genome, keys[1], episode_spec(setting.stream(keys[0])))

        return self._over_learners(setting, one)(population, keys)

    def _live(
        self,
        population: Genome,
        inner_state: PyTree,
        keys: Key[Array, "population episodes 2"],
        lived: Int[Array, ""],
        setting: Setting,
    ) -> tuple[PyTree, Score]:
        """The learners' states after one more truncation, and their scores."""

        def one(genome: Genome, keys: Key[Array, "2"], learner: PyTree) -> tuple[PyTree, Score]:
            episode = setting.stream(keys[0])
            support, steps = piece(episode, lived, self.truncation)
            learner, _ = unroll(setting.rule, genome, learner, support, steps)
            outputs = setting.rule.predict(genome, learner, episode.query.inputs)
            return learner, score_outputs(self.objective, setting, outputs, episode.query)

        return self._over_learners(setting, one)(population, keys, inner_state)

    def _over_learners(self, setting: Setting, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function(genome, …)` over `[population, episodes]`; the genome has the first axis alone."""

        def member(genome: Genome, *arguments: PyTree) -> PyTree:
            return mapped(lambda *each: function(genome, *each), self.objective.mapping)(*arguments)

        return over_members(member, self.objective.mapping, setting.rule.for_population(setting.spec, "dense"))


def step_keys(
    key: Key[Array, ""], index: Int[Array, ""] | int, *, born: Int[Array, ""] | int
) -> tuple[Key[Array, ""], Key[Array, ""], Key[Array, ""]]:
    """The keys of a meta-step's asking and telling, and the key of the life that began at meta-step `born`."""
    strategy_key, life_key = jax.random.split(key)
    ask_key, tell_key = jax.random.split(jax.random.fold_in(strategy_key, index))
    return ask_key, tell_key, jax.random.fold_in(life_key, born)


def piece(episode: Episode, start: Int[Array, ""] | int, length: int) -> tuple[Batch, int | None]:
    """The support of inner steps `start` … `start + length − 1`, and `unroll`'s `steps` for it."""
    if episode.steps is not None:
        return as_arrays(episode.support), length
    if isinstance(episode.support, Stream):
        indices = jax.lax.dynamic_slice_in_dim(episode.support.indices, start, length)
        return episode.support.source.batch(indices), None
    return jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, start, length), episode.support), None
