"""A2: the engine of multi-state neurons is attention: a Hebbian write that forgets, then a forward read."""

from __future__ import annotations

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
from harness.claim import Claim, Finding, at_most
from harness.figures import panels

from attention.a01_constructed_layers import TOLERANCE
from attention.common import SOURCE
from blur.core.episode import Batch
from blur.core.inner_loop import unroll
from blur.core.phases import Chain
from blur.rules.in_context.constructed import gradient_descent
from blur.rules.in_context.linear_attention import LinearAttention
from blur.rules.in_context.on_engine import data_space, engine_genome, weight_space

STEP_SIZE = 1.5
PAIRS, QUERIES, INPUTS, OUTPUTS = 10, 50, 6, 2
STARTS = {"W_0 = 0": 0.0, "W_0 ~ N(0, 1)": 1.0}


@dataclasses.dataclass(frozen=True)
class Preset:
    """Steps of an episode, and the number of episodes."""

    steps: int
    seeds: int


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Task:
    """Inputs x (the context's first), targets y = W x, weights (0 for queries), and initial weights W_0."""

    x: jax.Array
    y: jax.Array
    weight: jax.Array
    start: jax.Array

    def shown(self) -> Batch:
        """The tokens of attention: (x, y) in the context, (x, 0) for queries."""
        return Batch(self.x, self.y * self.weight[:, None], self.weight)

    def from_start(self) -> Batch:
        """The batch of the engine: (x, y − W_0 x) in the context, (x, −W_0 x) for queries."""
        shown = self.shown()
        return shown._replace(targets=shown.targets - self.x @ self.start.T)


def draw(seed: jax.Array, start_scale: jax.Array) -> Task:
    """A random task. `start_scale` is the standard deviation of W_0; its dtype is the task's."""
    keys, dtype = jax.random.split(jax.random.key(seed), 3), start_scale.dtype
    x = jax.random.uniform(keys[0], (PAIRS + QUERIES, INPUTS), dtype, -1, 1)
    y = x @ jax.random.normal(keys[1], (INPUTS, OUTPUTS), dtype)
    weight = (jnp.arange(PAIRS + QUERIES) < PAIRS).astype(dtype)
    return Task(x, y, weight, start_scale * jax.random.normal(keys[2], (OUTPUTS, INPUTS), dtype))


def residuals(rule: Chain, keep_synapses: bool, batch: Batch, steps: int) -> jax.Array:
    """The residuals of the queries after every step, that is −(predictions), `[steps, queries, outputs]`."""
    genome = engine_genome(STEP_SIZE, keep_synapses=keep_synapses)
    genome = jax.tree.map(lambda leaf: leaf.astype(batch.inputs.dtype), genome)
    state = rule.init_state(genome, jax.random.key(0), batch)
    return unroll(rule, genome, state, batch, steps, observe=lambda state: state.residual[PAIRS:])[1]


def attention(task: Task, steps: int) -> jax.Array:
    """The residuals of the queries after every constructed attention layer."""
    rule, batch = LinearAttention(INPUTS, OUTPUTS, start=True), task.shown()
    genome = gradient_descent(rule, STEP_SIZE, task.start)
    genome = jax.tree.map(lambda leaf: leaf.astype(batch.inputs.dtype), genome)
    state = rule.init_state(genome, jax.random.key(0), batch)
    queries = batch.inputs[PAIRS:]
    return -unroll(rule, genome, state, batch, steps, observe=lambda s: rule.predict(genome, s, queries))[1]


def compare(seed: jax.Array, start_scale: jax.Array, steps: int) -> dict[str, jax.Array]:
    """Losses of all three computations, and their largest differences after every step."""
    task = draw(seed, start_scale)
    layers = attention(task, steps)
    forgets = residuals(data_space(), False, task.from_start(), steps)
    keeps = residuals(weight_space(), True, task.from_start(), steps)
    targets = task.y[PAIRS:]

    def distance(first: jax.Array, second: jax.Array) -> jax.Array:
        return jnp.max(jnp.abs(first - second), axis=(1, 2))

    losses = {
        name: jnp.mean((targets + r) ** 2, axis=(1, 2)) / 2
        for name, r in (("attention layers", layers), ("synapses forget", forgets), ("synapses are kept", keeps))
    }
    return losses | {"forget − attention": distance(forgets, layers), "keep − forget": distance(keeps, forgets)}


def measure(preset: Preset) -> Finding:
    """Both identities, in both precisions, from W_0 = 0 and from a random W_0."""
    figure, (loss_axes, error_axes) = panels(["Loss on queries: three ways to compute one curve", "Largest difference"])
    checks = []
    with jax.enable_x64(True):
        run = jax.jit(jax.vmap(lambda seed, scale: compare(seed, scale, preset.steps), in_axes=(0, None)))
        for (name, limit), (start, scale) in itertools.product(TOLERANCE.items(), STARTS.items()):
            found = jax.tree.map(np.asarray, run(jnp.arange(preset.seeds), jnp.asarray(scale, name)))
            for pair in ("forget − attention", "keep − forget"):
                label = f"{pair}, {start}, {name}"
                checks.append(at_most(label, float(np.max(found[pair])), limit))
                curve = np.maximum(np.max(found[pair], axis=0), 1e-18)
                error_axes.plot(range(1, preset.steps + 1), curve, label=label)
    styles = {"attention layers": ("-", 6), "synapses forget": ("--", 3), "synapses are kept": (":", 2)}
    for label, (style, width) in styles.items():
        loss_axes.plot(range(1, preset.steps + 1), found[label].mean(0), style, linewidth=width, label=label)
    loss_axes.set(xlabel="layers, or inner steps", yscale="log")
    error_axes.set(xlabel="layers, or inner steps", yscale="log")
    for axes in (loss_axes, error_axes):
        axes.legend(fontsize=8)
    return Finding(checks, figure)


CLAIM = Claim(
    id="A2",
    statement="The engine is attention: chain(hebbian, apply keeping 0, forward) is the constructed layer, and keeping "
    "synapses instead of residuals is the same computation",
    source=f"{SOURCE}, Prop. 1, on the engine of Sandler et al., ICML 2021",
    measure=measure,
    quick=Preset(steps=20, seeds=20),
    full=Preset(steps=100, seeds=500),
)
