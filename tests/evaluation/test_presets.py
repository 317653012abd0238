"""Presets: what they are, and that they measure nothing twice."""

from __future__ import annotations

import pytest

from blur.evaluation.presets import PRESETS
from blur.tasks import TASKS


def conditions(name):
    return [condition for plan in PRESETS[name].plans for condition in plan.conditions((64,))]


@pytest.mark.parametrize("name", PRESETS)
def test_conditions_differ_and_their_tasks_are_known(name):
    found = conditions(name)
    assert len(found) == len(set(found)) > 1
    assert {condition.task for condition in found} <= set(TASKS)
    assert {plan.baseline_sizes for plan in PRESETS[name].plans} == {("width",)}


@pytest.mark.parametrize(
    ("name", "tests"),
    [
        ("mnist", ["mnist 10×10, hidden 64, T=10", "mnist 28×28, hidden 64, T=10"]),
        ("depth", [f"mnist 10×10, hidden {hidden}, T=10" for hidden in ("64", "64-64", "4×64", "5×64", "10×64")]),
        ("transfer", [*(f"fashion_mnist 28×28, hidden 64, T={t}" for t in (10, 50)), "digits, hidden 64, T=10"]),
        ("horizon", [f"mnist 10×10, hidden {hidden}, T={t}" for hidden in ("64", "4×64") for t in (10, 50, 200)]),
    ],
)
def test_presets_are_these_conditions(name, tests):
    assert [f"{condition.network_and_data}, T={condition.steps}" for condition in conditions(name)] == tests


def test_the_zoo_varies_every_axis():
    found = conditions("zoo")
    assert len(found) == 17
    assert {condition.steps for condition in found} == {10, 50, 200}
    assert {condition.batch_size for condition in found} == {16, 128, 512}
    assert {len(condition.hidden) for condition in found} == {1, 2, 4, 5, 10}
    assert {condition.hidden[0] for condition in found} == {32, 64, 128, 512}
    assert {(condition.task, condition.resolution) for condition in found} == {
        ("mnist", 10),
        ("mnist", 28),
        ("fashion_mnist", 28),
    }
