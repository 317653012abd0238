"""The grid search finds known optima, widens at open edges and only there."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blur.evaluation.curves import BLOCK
from blur.evaluation.tuning import MAX_EXTENSIONS, Trial, cost, grid_points, open_edges, tune, widened

RATES = (0.01, 0.03162, 0.1, 0.3162, 1.0)


def measure_with(loss, calls=None):
    def measure(points, episodes):
        if calls is not None:
            calls.append((len(points), episodes))
        return [Trial(point, 0.5, loss(point), episodes) for point in points]

    return measure


def log_distance(to):
    return lambda point: abs(math.log10(point["learning_rate"] / to))


@settings(deadline=None)
@given(st.floats(-4, 3))
def test_the_best_rate_is_found_to_an_eighth_of_a_decade_wherever_it_is(exponent):
    tuned = tune(measure_with(log_distance(10**exponent)), {"learning_rate": RATES}, "loss", 16)
    assert abs(math.log10(tuned.best.point["learning_rate"]) - exponent) <= 0.126
    assert tuned.at_edge == ()
    assert tuned.extensions > 0 or -1.76 <= exponent <= -0.24  # nearer to an inner rate of the grid than to its ends


def test_a_grid_that_never_ends_is_extended_a_bounded_number_of_times_and_says_so():
    tuned = tune(measure_with(lambda point: point["learning_rate"]), {"learning_rate": RATES}, "loss", 16)
    assert tuned.extensions == MAX_EXTENSIONS
    assert tuned.at_edge == ("learning_rate",)
    assert tuned.to_json()["at_edge"] == ["learning_rate"]


def test_natural_ends_are_no_edges():
    grid = {"learning_rate": RATES, "momentum": (0.0, 0.5, 0.9), "output_scale": (0.0, 1.0), "decay": (0.0, 1.0)}
    inside = {"learning_rate": 0.1, "momentum": 0.0, "output_scale": 0.0, "decay": 1.0}
    assert open_edges(grid, inside) == {}
    assert widened(grid, inside) == grid
    outside = {"learning_rate": 0.01, "momentum": 0.9, "output_scale": 1.0, "decay": 0.0}
    assert open_edges(grid, outside) == {"learning_rate": "low", "momentum": "high", "output_scale": "high"}
    wider = widened(grid, outside)
    assert wider["learning_rate"] == (0.001, 0.003162, *RATES)
    assert wider["momentum"] == (0.0, 0.5, 0.9, 0.9684, 0.99)
    assert wider["output_scale"] == (0.0, 1.0, 3.162, 10.0)


def test_all_are_screened_and_the_best_eighth_is_measured_on_all_episodes():
    calls = []
    grid = {"learning_rate": tuple(10 ** (index / 8 - 6) for index in range(96))}
    tuned = tune(measure_with(log_distance(0.1), calls), grid, "loss", 40)
    assert calls == [(96, BLOCK), (12, 40), (2, 40)]
    assert tuned.best.episodes == 40
    assert len(tuned.trials) == 98
    assert sum(trial.episodes == 40 for trial in tuned.trials) == 14


def test_no_point_is_measured_twice():
    seen = []

    def measure(points, episodes):
        seen.extend((tuple(point.values()), episodes) for point in points)
        return [Trial(point, 0.0, log_distance(30.0)(point), episodes) for point in points]

    tune(measure, {"learning_rate": RATES, "decay": (0.0, 1.0)}, "loss", 16)
    assert len(seen) == len(set(seen))


def test_accuracy_decides_and_loss_breaks_ties():
    trials = [Trial({}, 0.8, 0.1, 8), Trial({}, 0.9, 0.7, 8), Trial({}, 0.9, 0.6, 8), Trial({}, 0.9, math.nan, 8)]
    assert min(trials, key=lambda trial: cost(trial, "accuracy")) is trials[2]
    assert min(trials, key=lambda trial: cost(trial, "loss")) is trials[0]


def test_a_diverged_point_never_wins_and_is_null_in_json():
    losses = {0.1: 1.0, 0.3162: math.nan, 1.0: math.inf}
    tuned = tune(
        measure_with(lambda point: losses.get(point["learning_rate"], 2.0)), {"learning_rate": RATES}, "loss", 8
    )
    assert tuned.best.point == {"learning_rate": 0.1}
    by_rate = {entry["learning_rate"]: entry["loss"] for entry in tuned.to_json()["grid"]}
    assert by_rate[0.3162] is None
    assert by_rate[1.0] is None


def test_grid_points_are_all_combinations():
    assert grid_points({"a": (1.0, 2.0), "b": (3.0,)}) == [{"a": 1.0, "b": 3.0}, {"a": 2.0, "b": 3.0}]


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_trials_in_json_have_every_hyper_parameter_and_both_scores(metric):
    tuned = tune(measure_with(log_distance(0.1)), {"learning_rate": RATES, "decay": (0.0, 1.0)}, metric, 8)
    for entry in tuned.to_json()["grid"]:
        assert set(entry) == {"learning_rate", "decay", "accuracy", "loss", "episodes"}
