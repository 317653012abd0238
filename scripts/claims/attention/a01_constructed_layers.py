"""A1: constructed linear-attention layers are steps of gradient descent."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from harness.claim import Claim, Finding, at_most
from harness.figures import panels

from attention.common import SOURCE
from blur.core.episode import Batch, make_batch
from blur.core.inner_loop import unroll
from blur.rules.in_context.constructed import gradient_descent
from blur.rules.in_context.linear_attention import LinearAttention

TOLERANCE = {"float32": 1e-5, "float64": 1e-10}


@dataclasses.dataclass(frozen=True)
class Preset:
    """Sizes (inputs, outputs, pairs, layers), and the number of tasks of each size."""

    sizes: tuple[tuple[int, int, int, int], ...]
    seeds: int


def descend(context: Batch, weights: jax.Array, step_size: float) -> jax.Array:
    """One step of gradient descent, by autodiff."""

    def loss(w: jax.Array) -> jax.Array:
        return jnp.mean(jnp.sum((context.inputs @ w.T - context.targets) ** 2, axis=-1)) / 2

    return weights - step_size * jax.grad(loss)(weights)


def errors(size: tuple[int, int, int, int], seed: int, dtype: jnp.dtype) -> jax.Array:
    """The largest difference of predictions after each layer, divided by the largest prediction if that exceeds 1."""
    inputs, outputs, pairs, layers = size
    keys = jax.random.split(jax.random.key(seed), 4)
    x = jax.random.uniform(keys[0], (pairs, inputs), dtype, -1, 1)
    teacher, start = (jax.random.normal(key, (outputs, inputs), dtype) for key in keys[1:3])
    queries = jax.random.uniform(keys[3], (20, inputs), dtype, -1, 1)
    context = make_batch(x, x @ teacher.T)
    rule = LinearAttention(inputs, outputs, start=True)
    genome = jax.tree.map(lambda leaf: leaf.astype(dtype), gradient_descent(rule, 0.5, start))

    state = rule.init_state(genome, jax.random.key(0), context)
    predicted = unroll(rule, genome, state, context, layers, observe=lambda s: rule.predict(genome, s, queries))[1]
    expected = jax.lax.scan(lambda w, _: (descend(context, w, 0.5),) * 2, start, length=layers)[1]
    expected = jnp.einsum("qi,loi->lqo", queries, expected)
    scale = jnp.maximum(1, jnp.max(jnp.abs(expected), axis=(1, 2)))
    return jnp.max(jnp.abs(predicted - expected), axis=(1, 2)) / scale


def measure(preset: Preset) -> Finding:
    """The largest error over sizes and seeds, in both precisions."""
    figure, (axes,) = panels(["Prediction of L attention layers − L steps of gradient descent"])
    checks = []
    with jax.enable_x64(True):
        for name, limit in TOLERANCE.items():
            worst = 0.0
            for size in preset.sizes:
                run = jax.jit(jax.vmap(lambda seed, size=size, name=name: errors(size, seed, jnp.dtype(name))))
                curve = jnp.max(run(jnp.arange(preset.seeds)), axis=0)
                worst = max(worst, float(jnp.max(curve)))
                label = f"{name}, {size[0]} → {size[1]}, {size[2]} pairs"
                axes.plot(range(1, len(curve) + 1), jnp.maximum(curve, 1e-18), label=label)
            checks.append(at_most(f"largest difference of predictions, {name}", worst, limit))
    axes.set(xlabel="layers", yscale="log", xscale="log")
    axes.legend(fontsize=7)
    return Finding(checks, figure)


SIZES = ((1, 1, 3, 10), (10, 1, 10, 10), (5, 3, 4, 20), (12, 8, 45, 100))
CLAIM = Claim(
    id="A1",
    statement="One constructed layer of linear attention is a step of gradient descent, L layers are L, for any W_0",
    source=f"{SOURCE}, Prop. 1",
    measure=measure,
    quick=Preset(SIZES, seeds=20),
    full=Preset(SIZES, seeds=500),
)
