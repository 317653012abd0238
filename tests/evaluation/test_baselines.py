"""Baselines: which there are, how wide, and that tuning finds a known best rate on validation episodes alone."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from evaluation_toys import Blobs

from blur.core.episode import Episode, episode_spec, make_batch, make_spec
from blur.evaluation.baselines import Baseline, genome_of, initial_grid, make_baselines, tune_baseline, with_synapses
from blur.evaluation.cost import count_parameters, step_cost
from blur.evaluation.curves import make_play, make_sampler
from blur.evaluation.plan import Condition, EvaluationPlan
from blur.rules.bidirectional import Bidirectional
from blur.rules.optax_mlp import OptaxMLP

KEY = jax.random.key(0)
CONDITION = Condition("blobs", None, (8, 8), 3, 4)


def spec_of(inputs, outputs):
    return make_spec(inputs, outputs, 4, steps=10)


def test_every_optimiser_with_and_without_normalisation_at_both_sizes():
    plan = EvaluationPlan(baseline_sizes=("width", "synapses"))
    baselines = make_baselines(plan, CONDITION, spec_of(3, 2), "classification", 1000, "query")
    names = [baseline.name for baseline in baselines]
    assert sorted(names) == sorted(
        f"{optimizer}{bn}{wide}"
        for optimizer in ("sgd", "momentum", "adam")
        for bn in ("", "+bn")
        for wide in ("", " wide")
    )
    for baseline in baselines:
        assert baseline.rule.batch_norm == ("+bn" in baseline.name)
        assert (baseline.rule.hidden == (8, 8)) == ("wide" not in baseline.name)
        assert (baseline.rule.statistics, baseline.rule.decay_steps) == ("query", "life")
        assert ("momentum" in baseline.grid) == baseline.name.startswith("momentum")


def test_initial_grids():
    grids = {name: initial_grid(name, "classification") for name in ("sgd", "adam")}
    assert grids["sgd"]["learning_rate"] == (0.01, 0.03162, 0.1, 0.3162, 1.0, 3.162, 10.0)
    assert grids["adam"]["learning_rate"][0] == 0.0003162
    assert grids["adam"]["output_scale"] == (0.0, 0.1, 1.0)
    assert grids["adam"]["decay"] == (0.0, 1.0)
    assert "bias_scale" not in grids["sgd"]
    assert initial_grid("sgd", "regression") == grids["sgd"] | {"bias_scale": (0.0, 1.0)}


@pytest.mark.parametrize("hidden", [(8,), (8, 8, 8)])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_equal_synapses_is_the_narrowest_network_that_has_them(hidden, batch_norm):
    spec, rule = spec_of(16, 10), OptaxMLP(hidden=hidden, batch_norm=batch_norm)

    def parameters(width):
        wide = dataclasses.replace(rule, hidden=(width,) * len(hidden))
        return count_parameters(wide, wide.init_genome(KEY), spec)

    wide = with_synapses(rule, spec, 5000)
    assert len(set(wide.hidden)) == 1
    assert len(wide.hidden) == len(hidden)
    assert parameters(wide.hidden[0] - 1) < 5000 <= parameters(wide.hidden[0])


def test_a_network_that_has_the_synapses_stays():
    assert with_synapses(OptaxMLP(hidden=(8, 8)), spec_of(16, 10), 20) == OptaxMLP(hidden=(8, 8))


@pytest.mark.parametrize(("hidden", "synapses"), [((8,), None), ((), 1000)])
def test_what_cannot_be_widened_has_baselines_of_its_width_alone(hidden, synapses):
    condition = CONDITION._replace(hidden=hidden)
    baselines = make_baselines(EvaluationPlan(), condition, spec_of(3, 2), "classification", synapses)
    assert len(baselines) == 6
    assert all(baseline.rule.hidden == hidden for baseline in baselines)


def test_equal_synapses_needs_synapses_to_count():
    with pytest.raises(ValueError, match="no learner has synapses to count; expected baseline sizes of 'width' only"):
        with_synapses(OptaxMLP(), spec_of(3, 2), None)


def test_parameters_are_all_numbers_in_synapses():
    spec = spec_of(16, 10)
    mlp = OptaxMLP(hidden=(8,))
    assert count_parameters(mlp, mlp.init_genome(KEY), spec) == (16 + 1) * 8 + (8 + 1) * 10
    normalised = OptaxMLP(hidden=(8,), batch_norm=True)
    assert count_parameters(normalised, normalised.init_genome(KEY), spec) == (16 + 2) * 8 + (8 + 1) * 10
    blur = Bidirectional(hidden=(8,), states=4)
    genome = jax.eval_shape(blur.init_genome, KEY)
    state = jax.eval_shape(lambda genome: blur.init_state(genome, KEY, spec), genome)
    assert count_parameters(blur, genome, spec) == sum(leaf.size for leaf in jax.tree.leaves(state.synapses)) > 4 * 240


def test_cost_of_a_step_counts_the_matrix_products():
    rule = OptaxMLP(hidden=(32,))
    episode = Blobs(jnp.zeros(())).sample(KEY, steps=2, batch_size=64)
    cost = step_cost(rule, rule.init_genome(KEY), episode)
    products = 2 * 64 * (2 * 3 * 32 + 3 * 32 * 2)  # forward and weights' gradients; inputs' gradients of layer 2
    assert products <= cost.flop <= 2 * products
    assert cost.seconds > 0


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Slope:
    """y = 3x at x = ±1: the mean squared error has curvature 2, so one step of rate 1/2 solves it."""

    kind = "regression"
    name = "slope"
    inputs = outputs = 1

    def sample(self, key, *, steps, batch_size, split="train", query_size=None):
        if split == "test":
            raise AssertionError("tuning asked for test episodes")
        x = jnp.tile(jnp.asarray([[1.0], [-1.0]]), (batch_size // 2, 1))
        batch = make_batch(x, 3 * x)
        return Episode(jax.tree.map(lambda leaf: jnp.stack([leaf] * steps), batch), batch)


def test_tuning_finds_the_known_best_rate_and_never_sees_test_episodes():
    rule = OptaxMLP(hidden=(), loss="l2", decay_steps=1)
    baseline = Baseline("sgd", rule, initial_grid("sgd", "regression"))
    block = make_sampler(Slope(), 0, steps=1, batch_size=4, split="validation")
    tuned = tune_baseline(baseline, make_play(rule, "regression"), block, "loss", 8)
    assert tuned.best.point["learning_rate"] == 0.5623  # on the refined grid, 0.5 is nearest
    assert tuned.best.loss == pytest.approx((1 - 2 * 0.5623) ** 2 * 9, rel=1e-3) or tuned.best.point["output_scale"] > 0
    assert tuned.at_edge == ()


def test_a_grid_that_misses_the_best_rate_is_widened():
    rule = OptaxMLP(hidden=(), loss="l2", decay_steps=1)
    grid = {"learning_rate": (1e-5, 1e-4), "output_scale": (0.0,), "decay": (0.0,)}
    block = make_sampler(Slope(), 0, steps=1, batch_size=4, split="validation")
    tuned = tune_baseline(Baseline("sgd", rule, grid), make_play(rule, "regression"), block, "loss", 8)
    assert tuned.best.point["learning_rate"] == pytest.approx(0.5623, rel=1e-3)
    assert tuned.extensions == 4
    assert tuned.best.loss == pytest.approx((1 - 2 * tuned.best.point["learning_rate"]) ** 2 * 9, rel=1e-3)


def test_genomes_hold_the_values_of_the_point():
    point = {"learning_rate": 0.2, "output_scale": 0.5, "decay": 1.0, "momentum": 0.7, "bias_scale": 1.0}
    rule = OptaxMLP(optimizer="momentum", decay_steps=4)
    assert {name: float(leaf) for name, leaf in genome_of(point, rule).items()} == pytest.approx(point)
    assert jax.tree.structure(genome_of(point, rule)) == jax.tree.structure(rule.init_genome(KEY))


def test_specs_of_episodes_are_those_of_batches():
    episode = Blobs(jnp.zeros(())).sample(KEY, steps=2, batch_size=4)
    assert episode_spec(episode).inputs.shape == (4, 3)
