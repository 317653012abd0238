"""The claims about attention: the exact ones hold at the smallest size, and learners that were not trained fail."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from attention import (
    a01_constructed_layers,
    a02_engine,
    a03_one_layer,
    a04_several_layers,
    a05_conditioning,
    a06_out_of_distribution,
    a07_sine,
    a08_copying,
    a09_softmax,
    a10_global_minimum,
    common,
)
from run import find_claims, load

from blur.identify.probes import draw_tasks
from blur.rules.in_context.constructed import gd_plus_plus, gradient_descent
from blur.rules.in_context.inspection import spectra_by_layer


@pytest.mark.parametrize(("learner", "ok"), [("trained", True), ("GD", False), ("random", False)])
def test_layers_that_do_not_condition_fail(learner, ok):
    rule, genome = common.attention(2, retrain=False)
    others = {"GD": gradient_descent(rule, 5.9), "random": rule.init_genome(jax.random.key(0))}
    tasks = draw_tasks(common.TASK, common.TEST_KEY, 500, context=common.CONTEXT, steps=2)
    checks = a05_conditioning.conditioning(2, np.asarray(spectra_by_layer(rule, others.get(learner, genome), tasks)))
    assert [check.ok for check in checks if check.ok is not None] == [ok, ok]


def test_a_model_that_fails_elsewhere_than_gradient_descent_is_found():
    inputs, weights, laws, noise = a06_out_of_distribution.shifts(4)  # input scales 0.5, 1, 1.5, 2; judged up to 1

    def verdicts(shift, layers, *ratios):
        descent = np.geomspace(0.1, 5.0, len(ratios))
        means = {"trained": descent * ratios, "GD": descent}
        return [check.ok for check in a06_out_of_distribution.judge(shift, layers, "GD", means)]

    for layers in (1, 2, 5):
        assert verdicts(inputs, layers, 1.1, 1.1, 1.1, 1.1) == [True, None]
        assert verdicts(inputs, layers, 1, 1.2, 1, 1) == [False, None]
        assert verdicts(inputs, layers, 1, 1, 9, 9) == [True, None]
        assert verdicts(laws, layers, 1.2, 1, 1, 1) == [False, None]
        assert verdicts(noise, layers, 1, 1, 1, 1, 1.2) == [False]
        assert verdicts(weights, layers, 1, 1, 1, 9) == [False if layers == 1 else None]


def test_a_deep_model_s_worst_weight_scale_is_reported():
    shift = a06_out_of_distribution.shifts(4)[1]
    means = {"trained": np.array([1.0, 1.0, 1.0, 1000.0]), "GD++": np.ones(4)}
    (check,) = a06_out_of_distribution.judge(shift, 5, "GD++", means)
    assert (check.name, check.measured) == ("L=5, weight scale: largest |log₁₀ loss ratio| to GD++", "3 at 5")


def test_the_minimum_has_its_three_closed_forms():
    d, n, spread = a10_global_minimum.D, a10_global_minimum.N, a10_global_minimum.NOISE**2
    one, tilted = np.eye(d), a10_global_minimum.covariance()
    inverse, minimum = np.linalg.inv(tilted), a10_global_minimum.minimum
    assert np.linalg.cond(tilted) == pytest.approx(8)
    assert np.allclose(minimum(one, one), n / (n + 1 + d + spread) * one)
    assert np.allclose(minimum(tilted, inverse), n / (n + 1 + d + spread) * inverse)
    shrunk_one = np.linalg.inv((1 + 1 / n) * tilted + (np.trace(tilted) + spread) / n * one)
    assert np.allclose(minimum(tilted, one), shrunk_one)


def test_the_best_multiple_of_the_identity_is_the_minimum_of_isotropic_tasks():
    task, expected = a10_global_minimum.cases(10)["isotropic"]
    assert np.allclose(a10_global_minimum.multiple_of_identity(task, 50_000), expected, atol=0.02)


@pytest.fixture
def untrained(monkeypatch):
    """Learners are as random as they start; times are not judged, and baselines are tuned on few tasks."""

    def start(rule, training, **_):
        return common.Trained(rule, rule.init_genome(jax.random.key(0)), np.ones(100), 0.0)

    for script in (a03_one_layer, a04_several_layers, a07_sine, a09_softmax, a10_global_minimum):
        monkeypatch.setattr(script, "train", start)
    monkeypatch.setattr(a03_one_layer, "published_losses", lambda training: np.linspace(0.4, 0.2, 100))
    monkeypatch.setattr(a03_one_layer, "cpu_milliseconds", lambda training: 1.0)
    monkeypatch.setattr(a03_one_layer, "ITERATIONS", 9)
    monkeypatch.setattr("harness.claim.usable_cores", lambda: 1)
    monkeypatch.setattr(common, "SEARCH_TASKS", 300)
    monkeypatch.setattr(common, "PLUS_PLUS_GRID", 4)


def of_depth(claim, layers):
    """Claim A4 about one depth alone."""
    quick, full = (
        dataclasses.replace(preset, recipes={layers: preset.recipes[layers]}) for preset in (claim.quick, claim.full)
    )
    return dataclasses.replace(claim, quick=quick, full=full)


UNTRAINED = {
    "A3": (a03_one_layer.CLAIM, [False] * 9),
    "A4": (of_depth(a04_several_layers.CLAIM, 2), [False] * 2),
    "A7": (a07_sine.CLAIM, [False] * 2),
    "A9": (a09_softmax.CLAIM, [False] * 2),
    "A10": (a10_global_minimum.CLAIM, [False] * 8),
}
"""Every verdict on learners that were not trained."""


@pytest.mark.parametrize("name", UNTRAINED)
def test_untrained_learners_fail(name, untrained):
    claim, verdicts = UNTRAINED[name]
    checks = claim.measure(dataclasses.replace(claim.quick, tasks=300)).checks
    assert [check.ok for check in checks if check.ok is not None] == verdicts


def test_an_untrained_layer_is_not_gradient_descent_on_any_family():
    learners = {
        "trained": (common.ATTENTION, common.ATTENTION.init_genome(jax.random.key(0))),
        "GD": (common.ATTENTION, gradient_descent(common.ATTENTION, common.ONE_STEP_SIZE)),
    }
    for shift in a06_out_of_distribution.shifts(2):
        shift = dataclasses.replace(shift, values=(1.0 if shift.reach == 1 else shift.values[0],))
        means = a06_out_of_distribution.measure_shift(shift, learners, 1, 1000)
        assert not a06_out_of_distribution.judge(shift, 1, "GD", means)[0].ok


def test_copying_tells_an_x_from_a_y():
    sizes = np.ones((6, 6)) + 7 * np.eye(6, k=1)  # every token takes the next
    assert a08_copying.over_others(sizes, 1) == 8
    assert a08_copying.over_others(sizes, 1, stride=1) == 8
    assert a08_copying.over_others(sizes, -1, first=1) == pytest.approx(1 / ((8 + 3 + 8 + 3 + 4) / 12))
    verdicts = {check.name: check.ok for check in a08_copying.copying(sizes, sizes) if check.ok is not None}
    assert list(verdicts.values()) == [True, False, True]


def test_the_nearest_step_of_gradient_descent():
    steps = np.array([1.0, 2.0, -1.0])
    assert a09_softmax.approximation_errors(-3 * steps, steps) == pytest.approx(np.zeros(3), abs=1e-30)
    other = np.array([1.0, 0.0, 1.0])  # at right angles
    assert a09_softmax.approximation_errors(other, steps) == pytest.approx(other**2 / (2 / 3))


def test_steps_until_a_loss():
    late = np.repeat([0.4, 0.1], 60)
    assert common.steps_until(late, 0.3) == 69  # 25 at once: 16 of 0.4, 9 of 0.1
    assert common.steps_until(late[:60], 0.3) == math.inf


def test_the_published_rate_is_constant():
    training = dataclasses.replace(common.PUBLISHED_RECIPE, steps=40, tasks=8)
    long = dataclasses.replace(training, steps=80)
    assert np.array_equal(common.published_losses(training), common.published_losses(long)[:40])
    weight, optimiser = jnp.zeros(1), common.PublishedAdam(learning_rate=1e-3, meta_steps=4, clip=1e-3).build()
    state = optimiser.init(weight)
    for _ in range(8):
        change, state = optimiser.update(jnp.ones(1), state, weight)
    assert change == pytest.approx(-1e-3, rel=1e-4)


def test_a_training_goes_on_from_its_start(monkeypatch):
    calls = []

    def meta_train(setting, config, *, init, out):
        calls.append((setting.steps, config.meta_steps, init, out))
        history = {"fitness": np.full((config.meta_steps, 1), 2.0 * setting.steps)}
        return SimpleNamespace(genome=f"of {setting.steps} layers", history=history)

    monkeypatch.setattr(common.blur, "meta_train", meta_train)
    training = common.Training(3, layers=5, start=common.Training(2, layers=2))
    found = common.train(common.ATTENTION, training, out=Path("run"))
    assert calls == [(2, 2, None, None), (5, 3, "of 2 layers", Path("run"))]
    assert found.genome == "of 5 layers"
    assert found.losses.tolist() == [2, 2, 5, 5, 5]


def test_the_interval_of_a_mean_over_many_tasks():
    values = np.random.default_rng(0).normal(2.0, 1.0, 40_000)
    low, high = common.interval_of_mean(values)
    assert low < 2.0 < high
    assert float(high - low) == pytest.approx(2 * 1.96 / 200, rel=0.1)


def test_constructed_layers_hold_at_the_smallest_size():
    preset = dataclasses.replace(a01_constructed_layers.CLAIM.quick, sizes=((2, 3, 4, 3),), seeds=2)
    assert a01_constructed_layers.measure(preset).ok


def test_the_engine_s_identity_holds_at_the_smallest_size():
    assert a02_engine.measure(dataclasses.replace(a02_engine.CLAIM.quick, steps=3, seeds=2)).ok


SMALL = {
    "tasks": 40,
    "sensitivity_tasks": 3,
    "points": 2,
    "seeds": 2,
    "steps": 3,
    "population": 4,
    "rate": 1e-2,
    "clip": 1.0,
    "sizes": ((2, 1, 3, 2),),
}


def shrunk(value):
    """A preset with every size at its smallest."""
    if isinstance(value, dict):
        return {name: shrunk(item) for name, item in value.items()}
    if not dataclasses.is_dataclass(value):
        return value
    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return dataclasses.replace(value, **{name: SMALL.get(name, shrunk(item)) for name, item in fields.items()})


def two_values(shift):
    """The ends of a family of tasks."""
    return dataclasses.replace(shift, values=(shift.values[0], shift.values[-1]))


@pytest.fixture
def small_scripts(monkeypatch):
    """What presets do not say is small too, and what is trained in several claims is compiled once."""
    monkeypatch.setattr(common, "FULL_RECIPES", shrunk(common.FULL_RECIPES))
    monkeypatch.setattr(common, "VALIDATION_TASKS", 4)
    monkeypatch.setattr(common, "SEARCH_TASKS", 20)
    monkeypatch.setattr(common, "PLUS_PLUS_GRID", 4)
    monkeypatch.setattr(a03_one_layer, "cpu_milliseconds", lambda training: 1.0)
    monkeypatch.setattr(a03_one_layer, "PUBLISHED_SEEDS", (0,))
    monkeypatch.setattr(a03_one_layer, "ITERATIONS", 9)
    shifts = a06_out_of_distribution.shifts
    monkeypatch.setattr(a06_out_of_distribution, "shifts", lambda points: [two_values(one) for one in shifts(points)])


@pytest.mark.parametrize("name", [f"A{number}" for number in range(3, 11)])
def test_the_full_preset_runs_at_the_smallest_size(name, small_scripts):
    claim = load(find_claims()[name])
    if name == "A4":
        claim = of_depth(claim, 5)
    finding = claim.measure(shrunk(claim.full))
    names = [check.name for check in finding.checks]
    assert len(set(names)) == len(names)
    assert any(check.ok is not None for check in finding.checks)
    assert finding.figure.axes


@pytest.mark.parametrize("tuned", [common.tuned_descent, common.tuned_plus_plus])
def test_baselines_are_tuned_on_validation_tasks(tuned, monkeypatch):
    seen = []

    def draw(task, key, count, **options):
        seen.append((jax.random.key_data(key).tolist(), options["split"]))
        return draw_tasks(task, key, count, **options)

    monkeypatch.setattr(common, "draw_tasks", draw)
    monkeypatch.setattr(common, "SEARCH_TASKS", 20)
    monkeypatch.setattr(common, "PLUS_PLUS_GRID", 4)
    tuned(2)
    assert [split for _, split in seen] == ["validation"]
    assert seen[0][0] != jax.random.key_data(common.TEST_KEY).tolist()


def test_gd_plus_plus_is_searched_over_both_numbers(monkeypatch):
    monkeypatch.setattr(common, "SEARCH_TASKS", 500)
    _, found = common.tuned_plus_plus(2)
    assert float(found["step_size"]) == pytest.approx(13.5, rel=0.1)
    assert float(found["shrinkage"]) == pytest.approx(1.78, rel=0.1)
    weights = gd_plus_plus(common.ATTENTION, found["step_size"], found["shrinkage"])
    assert common.steps_in_weights(weights) == pytest.approx((float(found["step_size"]), float(found["shrinkage"])))
