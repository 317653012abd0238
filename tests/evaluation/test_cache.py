"""Cached scores: an evaluation goes on where it was, and nothing stale is ever used."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from evaluation_toys import make_blobs

from blur.core.genome import tree_digest
from blur.evaluation import evaluate as evaluation
from blur.evaluation.cache import cached_result, score_file
from blur.evaluation.cost import StepCost
from blur.evaluation.curves import Curves
from blur.evaluation.evaluate import evaluate_conditions
from blur.evaluation.plan import EvaluationPlan, Learner
from blur.evaluation.records import Scored
from blur.evaluation.tuning import Trial, Tuned
from blur.rules.optax_mlp import OptaxMLP

PLAN = EvaluationPlan(
    tasks=("blobs",),
    hidden=(4,),
    steps=(2, 3),
    batch_sizes=(8,),
    baselines=("sgd",),
    baseline_sizes=("width",),
    episodes=4,
    tuning_episodes=4,
)
RULE = OptaxMLP(hidden=(16,), optimizer="adam")
LEARNER = Learner("mine", RULE, RULE.init_genome(jax.random.key(0)))
KEY = {"rule": "some", "sizes": (1, 2)}


def run(folder, plan=PLAN, learner=LEARNER, shift=0.0):
    return evaluate_conditions(
        [learner], (plan,), folder=folder, make_task=make_blobs(shift=shift), show_progress=False
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with the scores of an evaluation that was stopped after its first condition, and its records."""
    folder = tmp_path_factory.mktemp("scores")
    groups = run(folder)
    first = next(groups)
    groups.close()
    return folder, first


@pytest.fixture
def played(monkeypatch):
    """Counts the learners and baselines that play test episodes."""
    calls = []
    score = evaluation._score
    monkeypatch.setattr(
        evaluation, "_score", lambda learner, *rest: calls.append(learner.name) or score(learner, *rest)
    )
    return calls


def test_finished_conditions_are_not_computed_again(finished, played):
    folder, first = finished
    assert len(list(folder.iterdir())) == 3
    groups = run(folder)
    assert next(groups) == first
    assert played == []
    assert next(groups)[0].steps == 3
    assert played == ["mine", "sgd", "sgd+bn"]


def test_scores_go_with_what_was_played_not_with_a_name(finished, played):
    folder, first = finished
    renamed, *_ = next(run(folder, learner=LEARNER._replace(name="other")))
    assert renamed == dataclasses.replace(first[0], learner="other")
    assert played == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"plan": dataclasses.replace(PLAN, seed=1)}, ["mine", "sgd", "sgd+bn"]),
        ({"plan": dataclasses.replace(PLAN, episodes=5)}, ["mine", "sgd", "sgd+bn"]),
        ({"plan": dataclasses.replace(PLAN, tuning_episodes=5)}, ["sgd", "sgd+bn"]),
        ({"plan": dataclasses.replace(PLAN, statistics="query")}, ["mine", "sgd", "sgd+bn"]),
        ({"learner": LEARNER._replace(genome=LEARNER.genome | {"learning_rate": jnp.asarray(0.5)})}, ["mine"]),
        ({"learner": LEARNER._replace(rule=OptaxMLP(batch_norm=True, optimizer="adam"))}, ["mine"]),
        ({"shift": 1.0}, ["mine", "sgd", "sgd+bn"]),
    ],
)
def test_what_does_not_match_is_computed_again(finished, played, tmp_path, changed, expected):
    for file in finished[0].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    next(run(tmp_path, **changed))
    assert played == expected


def result():
    trials = (Trial({"learning_rate": 0.1}, 0.75, float("inf"), 4), Trial({"learning_rate": 1.0}, 0.5, 0.25, 4))
    curves = Curves(np.array([[0.1, 0.3]]), np.array([[np.nan, np.inf]]))
    return Scored("mine", (4,), curves, 12, StepCost(None, 0.5)), Tuned(trials[1], trials, 2, ("momentum",))


def test_kept_scores_come_back_as_they_were(tmp_path):
    scored, tuned = cached_result(tmp_path, KEY, result)
    again, tuned_again = cached_result(tmp_path, KEY, pytest.fail)
    np.testing.assert_array_equal(again.curves, scored.curves)
    assert dataclasses.replace(again, curves=scored.curves) == scored
    assert tuned_again.to_json() == tuned.to_json()
    assert tuned_again.best == tuned.best


@pytest.mark.parametrize("content", [b"", b"rubbish that is long enough", None])
def test_files_that_cannot_be_read_are_replaced(tmp_path, content):
    path = score_file(tmp_path, KEY)
    if content is None:  # the right file at the wrong place
        cached_result(tmp_path, {"rule": "another"}, result)
        content = next(tmp_path.iterdir()).read_bytes()
    path.write_bytes(content)
    calls = []
    for _ in range(2):
        cached_result(tmp_path, KEY, lambda: calls.append(None) or result())
    assert len(calls) == 1


def test_digests_see_values_names_shapes_and_types():
    trees = [{"a": np.zeros(4)}, {"b": np.zeros(4)}, {"a": np.zeros((2, 2))}, {"a": np.zeros(4, np.float32)}]
    trees += [{"a": np.arange(4.0)}]
    assert len({tree_digest(tree) for tree in trees}) == len(trees)
    assert tree_digest({"a": jnp.zeros(4)}) == tree_digest({"a": np.zeros(4, np.float32)})
