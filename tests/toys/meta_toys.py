"""A rule, tasks and settings small enough for exact answers."""

from __future__ import annotations

import dataclasses
import traceback
from pathlib import Path

import jax
import jax.numpy as jnp

import blur
from blur.core.episode import Episode, make_batch
from blur.core.rule import UpdateRule
from blur.core.state import State
from blur.meta import Setting


@dataclasses.dataclass(frozen=True)
class LinearDescent(UpdateRule):
    """Gradient descent on a linear model; the genome is the logarithm of its rate. NaN rates diverge."""

    start: float = -4.0

    def init_genome(self, key):
        return {"log_rate": self.start + 0.1 * jax.random.normal(key)}

    def init_state(self, genome, key, spec):
        weights = jnp.zeros((spec.inputs.shape[-1], spec.targets.shape[-1]), spec.inputs.dtype)
        return State(weights=weights, step=jnp.zeros((), jnp.int32), key=key)

    def step(self, genome, state, batch):
        error = batch.inputs @ state.weights - batch.targets
        slope = batch.inputs.T @ (error * batch.weight[:, None]) / jnp.sum(batch.weight)
        rate = jnp.exp(genome["log_rate"]).astype(slope.dtype)
        return state.replace(weights=state.weights - rate * slope, step=state.step + 1)

    def predict(self, genome, state, inputs):
        return inputs @ state.weights


@dataclasses.dataclass(frozen=True)
class Decaying(LinearDescent):
    """The same at a rate that decays to zero over the life: rate_t = exp(log_rate) (1 − t/T), with T from the spec."""

    def init_state(self, genome, key, spec):
        return super().init_state(genome, key, spec).replace(horizon=jnp.asarray(spec.steps))

    def step(self, genome, state, batch):
        decay = 1 - state.step / state.horizon
        return super().step({"log_rate": genome["log_rate"] + jnp.log(decay)}, state, batch)


traces: list[list[str]] = []
"""The named functions of blur that called `Traced.step`, from `meta_train` on: one list per trace."""


@dataclasses.dataclass(frozen=True)
class Traced(LinearDescent):
    """Records the Python call stack while `step` is traced. Lambdas count as lines of the function they are in."""

    def step(self, genome, state, batch):
        package = str(Path(blur.__file__).parent)
        frames = [frame.name for frame in traceback.extract_stack() if frame.filename.startswith(package)]
        traces.append([name for name in frames if name != "<lambda>"])
        return super().step(genome, state, batch)


@dataclasses.dataclass(frozen=True)
class Drift(UpdateRule):
    """s ← s + velocity from s = 0, prediction s; the genome is the velocity."""

    def init_genome(self, key):
        return {"velocity": jnp.array([0.5, -0.3, 0.2, 0.1])}

    def init_state(self, genome, key, spec):
        return State(position=jnp.zeros(4), step=jnp.zeros((), jnp.int32))

    def step(self, genome, state, batch):
        return state.replace(position=state.position + genome["velocity"], step=state.step + 1)

    def predict(self, genome, state, inputs):
        return jnp.broadcast_to(state.position, (inputs.shape[0], 4))


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

    def sample(self, key, *, steps, batch_size, split="train", query_size=None):
        size = query_size or batch_size
        drawn = jax.random.normal(key, (2 + steps * batch_size + size, 3), self.scale.dtype)  # one draw compiles fast
        weights, x, q = drawn[1, :, None], self.scale * drawn[2:-size], self.scale * drawn[-size:]
        x = x.reshape(steps, batch_size, 3)
        bad = jnp.where(jax.scipy.special.ndtr(drawn[0, 0]) < self.poison, jnp.nan, 0.0).astype(self.scale.dtype)
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

    def sample(self, key, *, steps, batch_size, split="train", query_size=None):
        def batch(key, size):
            x = jax.random.normal(key, (size, 3), self.noise.dtype)
            sign = jnp.sign(x[:, :1])
            return make_batch(x, jnp.concatenate([sign, -sign], axis=-1))

        support_key, query_key = jax.random.split(key)
        return Episode(batch(support_key, batch_size), batch(query_key, query_size or batch_size), steps=steps)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FixedTarget:
    """The same target in every example of every episode."""

    target: jax.Array

    name = "toy_target"
    kind = "regression"
    inputs = 1
    outputs = 4

    def sample(self, key, *, steps, batch_size, split="train", query_size=None):
        def batch(*shape):
            return make_batch(jnp.zeros((*shape, 1)), jnp.broadcast_to(self.target, (*shape, 4)))

        return Episode(batch(steps, batch_size), batch(query_size or batch_size))


def drift_setting(steps: int) -> Setting:
    """After n steps the loss is ¼ Σ_j (n v_j − y_j)² with y = (1, 2, 0, −1)."""
    return Setting(Drift(), FixedTarget(jnp.array([1.0, 2.0, 0.0, -1.0])), steps=steps, batch_size=1)


def linear_setting(*, poison: float = 0.0, steps: int = 4, start: float = -4.0, **options) -> Setting:
    """Linear regression by gradient descent."""
    task = LinearTask(jnp.asarray(1.0), jnp.asarray(poison))
    return Setting(LinearDescent(start), task, steps=steps, batch_size=8, **options)


def sign_setting(**options) -> Setting:
    """Classification by gradient descent."""
    return Setting(LinearDescent(), SignTask(jnp.asarray(0.0)), steps=4, batch_size=16, **options)
