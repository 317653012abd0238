"""A rule, tasks and settings small enough for exact answers."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from blur.meta import Setting
from blur.rule import Batch, Episode, UpdateRule, make_batch
from blur.state import State


@dataclasses.dataclass(frozen=True)
class LinearDescent(UpdateRule):
    """Gradient descent on a linear model; the genome is the logarithm of its rate. NaN rates diverge."""

    start: float = -4.0

    def init_genome(self, key):
        return {"log_rate": self.start + 0.1 * jax.random.normal(key)}

    def init_state(self, genome, key, spec):
        weights = 0.1 * jax.random.normal(key, (spec.inputs.shape[-1], spec.targets.shape[-1]), spec.inputs.dtype)
        return State(weights=weights, step=jnp.zeros((), jnp.int32), key=key)

    def step(self, genome, state, batch):
        error = batch.inputs @ state.weights - batch.targets
        slope = batch.inputs.T @ (error * batch.weight[:, None]) / jnp.sum(batch.weight)
        rate = jnp.exp(genome["log_rate"]).astype(slope.dtype)
        return state.replace(weights=state.weights - rate * slope, step=state.step + 1)

    def predict(self, genome, state, inputs):
        return inputs @ state.weights


@dataclasses.dataclass(frozen=True)
class Drift(UpdateRule):
    """s ← s + c·genome, prediction s: the loss `s − 0` is linear in the genome under the loss that is the output."""

    def init_genome(self, key):
        return {"velocity": jnp.zeros(2)}

    def init_state(self, genome, key, spec):
        return State(position=jnp.zeros(2), step=jnp.zeros((), jnp.int32), key=key)

    def step(self, genome, state, batch):
        return state.replace(position=state.position + genome["velocity"], step=state.step + 1)

    def predict(self, genome, state, inputs):
        return jnp.broadcast_to(state.position, (inputs.shape[0], 2))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LinearTask:
    """y = x·w + shift with w drawn per episode; `poison` is the probability that an episode holds NaN."""

    scale: jax.Array
    poison: jax.Array

    name = "toy_linear"
    kind = "regression"
    inputs = 3
    outputs = 1

    def sample(self, key, *, unroll, batch_size, split="train", query_size=None):
        weight_key, support_key, query_key, poison_key = jax.random.split(key, 4)
        weights = jax.random.normal(weight_key, (3, 1), self.scale.dtype)
        x = self.scale * jax.random.normal(support_key, (unroll, batch_size, 3), self.scale.dtype)
        q = self.scale * jax.random.normal(query_key, (query_size or batch_size, 3), self.scale.dtype)
        bad = jnp.where(jax.random.uniform(poison_key) < self.poison, jnp.nan, 0.0).astype(self.scale.dtype)
        return Episode(make_batch(x, x @ weights + bad), make_batch(q, q @ weights))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SignTask:
    """Two classes, told apart by the sign of the first input, on one fixed batch."""

    noise: jax.Array

    name = "toy_sign"
    kind = "classification"
    inputs = 3
    outputs = 2

    def sample(self, key, *, unroll, batch_size, split="train", query_size=None):
        def batch(key, size):
            x = jax.random.normal(key, (size, 3), self.noise.dtype)
            sign = jnp.sign(x[:, :1])
            return make_batch(x, jnp.concatenate([sign, -sign], axis=-1))

        support_key, query_key = jax.random.split(key)
        return Episode(batch(support_key, batch_size), batch(query_key, query_size or batch_size), steps=unroll)


def linear_setting(*, poison: float = 0.0, unroll: int = 4, start: float = -4.0, **options) -> Setting:
    """Linear regression by gradient descent."""
    task = LinearTask(jnp.asarray(1.0), jnp.asarray(poison))
    return Setting(LinearDescent(start), task, unroll=unroll, batch_size=8, **options)


def sign_setting(**options) -> Setting:
    """Classification by gradient descent."""
    return Setting(LinearDescent(), SignTask(jnp.asarray(0.0)), unroll=4, batch_size=16, **options)


def spec_of(setting: Setting) -> Batch:
    """Shapes of a support batch."""
    return jax.eval_shape(setting.sample, jax.random.key(0)).support
