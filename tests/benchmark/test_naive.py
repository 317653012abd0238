"""The naive reference computes what the engine computes."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from blur.benchmark.naive import naive_loss
from blur.benchmark.workloads import Workload, random_episode
from blur.core.inner_loop import episode_loss

WORKLOADS = {
    "classes": Workload("tiny", (5, 7, 4, 3), states=3, batch=11, steps=2),
    "one output": Workload("tiny", (2, 6, 1), states=2, batch=16, steps=3),
}


def engine_loss(workload, genome, key, episode):
    return episode_loss(workload.rule, genome, key, episode, workload.loss)[0]


def case(name, dtype):
    """A genome that is far from every default, a key, and an episode with examples that weigh less than 1."""
    workload = WORKLOADS[name]
    genome = workload.rule.init_genome(jax.random.key(3))
    leaves, structure = jax.tree.flatten(genome)
    keys = jax.random.split(jax.random.key(4), len(leaves))
    noisy = [leaf + 0.2 * jax.random.normal(k, leaf.shape) for leaf, k in zip(leaves, keys, strict=True)]
    genome = jax.tree.map(lambda leaf: leaf.astype(dtype), jax.tree.unflatten(structure, noisy))
    genome["hebbian"]["update"] = jnp.asarray(-0.01, dtype)
    episode = jax.tree.map(lambda leaf: leaf.astype(dtype), random_episode(workload, jax.random.key(5)))
    weight = episode.support.weight.at[:, -1].set(0.0).at[:, 0].set(0.5)
    return (
        workload,
        genome,
        jax.random.key(6),
        dataclasses.replace(episode, support=episode.support._replace(weight=weight)),
    )


@pytest.mark.parametrize("name", WORKLOADS)
def test_the_loss_equals_the_engines(name):
    workload, *arguments = case(name, jnp.float32)
    engine, naive = (jax.jit(loss, static_argnums=0)(workload, *arguments) for loss in (engine_loss, naive_loss))
    np.testing.assert_allclose(naive, engine, rtol=1e-5)
    assert engine > 0.05


@pytest.mark.parametrize("name", WORKLOADS)
def test_loss_and_gradient_equal_the_engines_in_float64(name):
    with jax.enable_x64(True):
        workload, *arguments = case(name, jnp.float64)
        (engine, slope), (naive, naive_slope) = (
            jax.jit(jax.value_and_grad(loss, argnums=1), static_argnums=0)(workload, *arguments)
            for loss in (engine_loss, naive_loss)
        )
        assert engine.dtype == naive.dtype == jnp.float64
        np.testing.assert_allclose(naive, engine, rtol=1e-10)
        for (path, want), got in zip(
            jax.tree_util.tree_leaves_with_path(slope), jax.tree.leaves(naive_slope), strict=True
        ):
            np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-8, err_msg=jax.tree_util.keystr(path))
        unmoved = [path for path, leaf in jax.tree_util.tree_leaves_with_path(slope) if np.max(np.abs(leaf)) < 1e-6]
        assert [jax.tree_util.keystr(path) for path in unmoved] == ["['forward']['keep']"]  # neurons start at rest
