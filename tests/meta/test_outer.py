"""One meta-step of every kind of outer optimiser, against closed forms."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from meta_toys import Drift, drift_setting, linear_setting

from blur.core.inner_loop import train_on
from blur.meta.chunk import compiled_chunk
from blur.meta.meta_training import MetaTraining, make_outer
from blur.meta.objective import Objective
from blur.meta.outer.evolution import EvolutionOuter, Strategy, strategies
from blur.meta.outer.gradient import GradientOuter, meta_gradient
from blur.meta.outer.optimiser import GENOME_OPTIMISERS, GenomeOptimiser
from blur.meta.outer.truncated import TruncatedOuter, step_keys
from blur.meta.run.state import initial_run_state, run_keys
from blur.meta.setting import Setting
from blur.rules.bidirectional import Bidirectional
from blur.rules.optax_mlp import OPTIMIZERS
from blur.tasks import make_task

KEY = jax.random.key(3)
KEYS = run_keys(seed=3, candidates=1)
VELOCITY = np.array([0.5, -0.3, 0.2, 0.1])
TARGET = np.array([1.0, 2.0, 0.0, -1.0])


def plain_sgd(learning_rate: float) -> GenomeOptimiser:
    """θ ← θ − rate · slope."""
    return GenomeOptimiser("sgd", learning_rate, meta_steps=10**9, clip=float("inf"))


def run(outer, setting, steps: int):
    """Outer state, inner state and metrics after the first meta-steps of one candidate, in one dispatch."""
    start = initial_run_state([setting], outer, KEYS, setting.rule.init_genome(KEY))
    chunk = compiled_chunk(outer, "vmap", None)
    state, inner, metrics = chunk(setting, start.states, start.inner_states[0], KEYS.steps, 0, steps)
    return (*jax.tree.map(lambda leaf: leaf[0], (state, inner)), jax.tree.map(lambda leaf: leaf[0, :steps], metrics))


def test_gradient_step_is_the_optimisers():
    setting, objective = linear_setting(), Objective(episodes=2)
    outer = GradientOuter(objective, plain_sgd(0.25))
    genome = setting.rule.init_genome(KEY)
    slope, _ = jax.jit(meta_gradient, static_argnums=0)(
        objective, setting, genome, jax.random.fold_in(KEYS.steps[0], 0)
    )
    state, _, _ = run(outer, setting, 1)
    np.testing.assert_allclose(state.genome["log_rate"], genome["log_rate"] - 0.25 * slope["log_rate"], rtol=1e-6)


def test_gradient_is_clipped_by_its_norm():
    setting = linear_setting()
    outer = GradientOuter(Objective(), GenomeOptimiser("sgd", 0.25, meta_steps=10**9, clip=1e-3))
    moved = run(outer, setting, 1)[0].genome["log_rate"] - setting.rule.init_genome(KEY)["log_rate"]
    np.testing.assert_allclose(abs(moved), 0.25e-3, rtol=1e-2)


def test_the_rate_decays_as_a_cosine():
    transformation = GenomeOptimiser("sgd", 0.5, meta_steps=4).build()
    state, slope = transformation.init(jnp.zeros(1)), jnp.ones(1)
    moves = []
    for _ in range(5):
        move, state = transformation.update(slope, state)
        moves.append(-float(move[0]))
    np.testing.assert_allclose(moves, 0.25 * (1 + np.cos(np.pi * np.arange(5) / 4)), atol=1e-7)


@pytest.mark.parametrize("name", GENOME_OPTIMISERS)
def test_every_optimiser_descends(name):
    transformation, genome = GenomeOptimiser(name).build(), {"rate": jnp.asarray(-4.0), "matrix": jnp.eye(2)}
    memory = transformation.init(genome)
    for _ in range(2):  # some stand still at first
        updates, memory = transformation.update(genome, memory, genome)
    assert updates["rate"] > 0
    assert np.all(np.diag(updates["matrix"]) < 0)
    assert np.all(np.isfinite(updates["matrix"]))


@pytest.mark.filterwarnings("ignore:optax.global_norm is deprecated:DeprecationWarning")  # evosax calls it
@pytest.mark.parametrize("name", strategies())
def test_every_strategy_moves_the_mean(name):
    outer = make_outer(MetaTraining(outer=name, population=8))
    strategy, params = outer.strategy.build(Drift())
    state = strategy.init(KEY, {"velocity": jnp.asarray(VELOCITY)}, params)
    for key in jax.random.split(KEY, 4):
        population, state = strategy.ask(key, state, params)
        velocities = population["velocity"]
        state, _ = strategy.tell(key, population, jnp.sum((velocities - TARGET) ** 2, axis=1), state, params)
    mean = strategy.get_mean(state)["velocity"]
    assert 0 < np.std(velocities - np.mean(velocities, axis=0)) < 1
    assert np.all(np.isfinite(mean))
    assert np.any(mean != VELOCITY)


def test_open_es_follows_the_gradient():
    setting = drift_setting(steps=1)
    outer = EvolutionOuter(Objective(mapping="vmap"), Strategy("Open_ES", 20000, 1e-2, plain_sgd(1e-3)))
    moved = run(outer, setting, 1)[0].mean - VELOCITY  # ranks keep the direction alone
    slope = VELOCITY - TARGET
    cosine = -moved @ slope / np.linalg.norm(moved) / np.linalg.norm(slope)
    assert cosine > 0.999


@pytest.mark.parametrize("name", ["PersistentES", "NoiseReuseES"])
@pytest.mark.parametrize("truncation", [2, 6])
def test_truncated_estimates_sum_to_the_gradient(name, truncation):
    """Over a life, E Σ estimates = ∇ Σ_n ¼ ‖n v − y‖² = Σ_n ½ n (n v − y), n the steps lived at each truncation."""
    setting, rate = drift_setting(steps=6), 1e-4
    outer = TruncatedOuter(Objective(mapping="vmap"), Strategy(name, 40000, 0.1, plain_sgd(rate)), truncation)
    state, _, _ = run(outer, setting, 6 // truncation)
    lived = np.arange(truncation, 7, truncation)[:, None]
    expected = np.sum(lived * (lived * VELOCITY - TARGET) / 2, axis=0)
    np.testing.assert_allclose((VELOCITY - state.mean) / rate, expected, rtol=0.05, atol=0.25)


def test_a_life_in_pieces_is_the_whole_episode():
    setting = linear_setting(steps=6, start=-1.0)
    objective = Objective(episodes=2, mapping="vmap")
    outer = TruncatedOuter(objective, Strategy("NoiseReuseES", 4, 0.5, plain_sgd(0.0)), truncation=2)
    state, inner, _ = run(outer, setting, 3)
    keys = outer._life_keys(step_keys(KEYS.steps[0], 0, born=0)[2])

    def whole(log_rate: jax.Array, keys: jax.Array) -> jax.Array:
        return train_on(setting.rule, {"log_rate": log_rate}, keys[1], setting.sample(keys[0])).weights

    rates = (state.mean + state.pert)[:, 0]
    weights = jax.vmap(lambda rate, keys: jax.vmap(lambda pair: whole(rate, pair))(keys))(rates, keys)
    np.testing.assert_allclose(inner.weights, weights, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(inner.step, 6)
    assert len(np.unique(inner.weights.reshape(8, 3), axis=0)) == 8


def test_a_new_life_starts_afresh():
    setting = linear_setting(steps=4)
    outer = TruncatedOuter(Objective(mapping="vmap"), Strategy("PersistentES", 4, 0.1, plain_sgd(0.1)), truncation=2)
    for steps, lived in [(2, 4), (3, 2)]:
        np.testing.assert_array_equal(run(outer, setting, steps)[1].step, lived)


def test_antithetic_pairs_share_their_keys():
    outer = TruncatedOuter(Objective(episodes=3), Strategy("PersistentES", 8, 0.1, plain_sgd(0.1)), truncation=2)
    data = jax.random.key_data(outer._life_keys(KEY))
    assert data.shape[:3] == (8, 3, 2)
    np.testing.assert_array_equal(data[:4], data[4:])
    assert len(np.unique(data[:4].reshape(24, -1), axis=0)) == 24


def test_lives_and_strategy_share_no_key():
    outer = TruncatedOuter(Objective(episodes=2), Strategy("PersistentES", 4, 0.1, plain_sgd(0.1)), truncation=2)
    steps = [step_keys(KEY, index, born=index) for index in range(4)]
    used = [key for ask, tell, life in steps for key in (ask, tell, *outer._life_keys(life)[:2].ravel())]
    assert len(np.unique([jax.random.key_data(key) for key in used], axis=0)) == len(used) == 4 * (2 + 8)


@pytest.mark.parametrize(
    ("name", "policy"),
    [("PersistentES", "penalise"), ("PersistentES", "skip"), ("NoiseReuseES", "penalise"), ("CMA_ES", "penalise")],
)
def test_genomes_stay_finite_when_episodes_diverge(name, policy):
    outer = make_outer(
        MetaTraining(
            outer=name, meta_steps=50, population=8, truncation=2, nan_policy=policy, episodes=2, mapping="vmap"
        )
    )
    setting = linear_setting(poison=0.4)
    state, _, metrics = run(outer, setting, 20)
    assert np.all(np.isfinite(metrics.fitness))
    assert np.sum(metrics.diverged) > 0
    assert np.isfinite(outer.genomes(state, setting.rule)[0]["log_rate"])


@pytest.mark.parametrize(
    ("given", "suggested"), [("adamm", "adam"), ("cma_es", "CMA_ES"), ("PersistantES", "PersistentES")]
)
def test_unknown_outer_names_the_nearest(given, suggested):
    with pytest.raises(ValueError, match=rf"unknown outer optimiser '{given}'; did you mean .*{suggested}"):
        make_outer(MetaTraining(outer=given))


def test_unknown_outer_lists_all():
    with pytest.raises(ValueError, match=r"known are adabelief.*CMA_ES"):
        make_outer(MetaTraining(outer="zzzzzz"))


def test_error_rate_needs_evolution():
    with pytest.raises(ValueError, match="'accuracy' is piecewise constant"):
        make_outer(MetaTraining(outer="adam", fitness="accuracy"))
    make_outer(MetaTraining(outer="CMA_ES", fitness="accuracy"))


@pytest.mark.parametrize("population", [2, 7])
def test_population_is_even(population):
    with pytest.raises(ValueError, match=f"the population is {population}; expected an even number"):
        make_outer(MetaTraining(outer="CMA_ES", population=population))


def test_truncation_divides_the_unroll():
    outer = make_outer(MetaTraining(outer="PersistentES", truncation=3))
    with pytest.raises(ValueError, match="truncation 3 does not divide the steps 4"):
        outer.period(linear_setting(steps=4))


def test_std_by_default_and_on_request():
    assert make_outer(MetaTraining(outer="CMA_ES")).strategy.std == 0.1
    assert make_outer(MetaTraining(outer="PersistentES")).strategy.std == 0.03
    with pytest.raises(ValueError, match="PersistentES keeps learners between meta-steps and stores them dense"):
        make_outer(MetaTraining(outer="PersistentES", storage="dual"))
    assert make_outer(MetaTraining(outer="PersistentES", std=0.2)).strategy.std == 0.2


def test_population_based_strategies_are_named_as_such():
    with pytest.raises(ValueError, match=r"SimpleGA is a population-based strategy; expected a distribution-based one"):
        make_outer(MetaTraining(outer="SimpleGA"))


def test_optimisers_of_networks_are_optimisers_of_genomes():
    assert {"signum", "optimistic_gradient_descent", "radam"} <= set(GENOME_OPTIMISERS)
    assert set(OPTIMIZERS) - set(GENOME_OPTIMISERS) == {"momentum", "sm3"}


@pytest.mark.parametrize("name", ["PersistentES", "NoiseReuseES"])
def test_lives_on_images_are_read_piece_by_piece(name):
    setting = Setting(Bidirectional(hidden=(3,), states=2), make_task("digits"), steps=4, batch_size=6)
    outer = TruncatedOuter(Objective(), Strategy(name, 4, 0.1, plain_sgd(0.1)), truncation=2)
    state, inner, metrics = run(outer, setting, 2)
    np.testing.assert_array_equal(inner.step, np.full((4, 1), 4))
    assert np.all(np.isfinite(metrics.fitness)) and state.inner_step_counter == 0
