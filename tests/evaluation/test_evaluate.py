"""The whole comparison on a toy task: records, pairing, and what tuning may not see."""

from __future__ import annotations

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from evaluation_toys import Blobs, make_blobs

from blur.core.inner_loop import learning_curve
from blur.core.losses import accuracy, cross_entropy
from blur.evaluation.arena import task_loader
from blur.evaluation.baselines import genome_of
from blur.evaluation.curves import BLOCK, make_play, make_sampler, play_all
from blur.evaluation.evaluate import evaluate
from blur.evaluation.plan import Condition, EvaluationPlan, Learner
from blur.rules.optax_mlp import OptaxMLP
from blur.tasks import make_task

KEY = jax.random.key(0)
PLAN = EvaluationPlan(
    tasks=("blobs",),
    hidden=(4,),
    steps=(3,),
    batch_sizes=(8,),
    baselines=("sgd",),
    baseline_sizes=("width",),
    episodes=12,
    tuning_episodes=8,
)
RULE = OptaxMLP(hidden=(16,), optimizer="adam")
LEARNER = Learner("mine", RULE, RULE.init_genome(KEY))


@pytest.fixture(scope="module")
def records():
    return evaluate([LEARNER], PLAN, make_task=make_blobs(), show_progress=False)


def test_one_record_per_learner_and_baseline(records):
    assert [record.learner for record in records] == ["mine", "sgd", "sgd+bn"]
    assert [record.kind for record in records] == ["learner", "baseline", "baseline"]
    for record in records:
        assert record.condition == Condition("blobs", None, (4,), 3, 8)
        assert (record.episodes, record.seed, record.statistics, record.metric) == (12, 0, "support", "accuracy")
        assert record.network == (4,)  # the learner was rebuilt from 16 neurons to the plan's 4
        assert record.accuracy_ci95[0] <= record.accuracy_mean <= record.accuracy_ci95[1]
        assert len(record.curve_mean) == len(record.curve_ci95[0]) == 3
        assert record.curve_mean[-1] == record.accuracy_mean
        assert set(record.differences_ci95) == set(record.verdicts) == {"sgd", "sgd+bn"}
        assert record.verdict == record.verdicts[record.best_baseline]
        assert (record.tuning is None) == (record.kind == "learner")
    assert records[0].parameters == (3 + 1) * 4 + (4 + 1) * 2


def test_tuned_baselines_learn_and_their_grid_is_there(records):
    sgd = records[1]
    assert sgd.accuracy_mean > 0.7
    best = sgd.tuning["best"]
    assert set(best) == {"learning_rate", "output_scale", "decay"}
    scores = [entry["accuracy"] for entry in sgd.tuning["grid"] if entry["episodes"] == 8]
    assert sgd.tuning["validation_accuracy"] == max(scores)
    assert len(sgd.tuning["grid"]) >= 7 * 3 * 2


def test_the_best_baseline_is_the_best_on_validation(records):
    on_validation = {record.learner: record.tuning["validation_accuracy"] for record in records[1:]}
    assert on_validation[records[0].best_baseline] == max(on_validation.values())


@pytest.fixture(scope="module")
def moved(records):
    """The same where only the test data differ; the learners are twins of the best baseline."""
    best = next(record for record in records if record.learner == records[0].best_baseline)
    rule = OptaxMLP(hidden=(4,), batch_norm="+bn" in best.learner, decay_steps=3)
    genome = genome_of(best.tuning["best"], rule)
    twins = [Learner(name, rule, genome) for name in ("twin", "other twin")]
    return evaluate(twins, PLAN, make_task=make_blobs(shift=2.0), show_progress=False)


def test_differences_are_paired(moved):
    best = next(record for record in moved if record.learner == moved[0].best_baseline)
    assert best.paired_difference_mean == 0
    assert best.paired_difference_ci95 == (0, 0)
    assert best.verdict == "equal"
    for twin in moved[:2]:
        assert twin.paired_difference_ci95 == (0, 0)
        assert twin.curve_mean == best.curve_mean


def test_tuning_does_not_depend_on_test_data(records, moved):
    for before, after in zip(records[1:], moved[2:], strict=True):
        assert before.learner == after.learner
        assert before.tuning == after.tuning
        assert before.best_baseline == after.best_baseline
        assert before.accuracy_mean != after.accuracy_mean


def test_regressions_are_compared_by_loss():
    plan = dataclasses.replace(PLAN, baselines=("adam",), baseline_sizes=("synapses",))
    rule = OptaxMLP(loss="l2", statistics="query")
    bad = Learner("frozen", rule, rule.init_genome(KEY) | {"learning_rate": jnp.zeros(())})
    diverged = Learner("wild", rule, rule.init_genome(KEY) | {"learning_rate": jnp.asarray(1e30)})
    records = evaluate([bad, diverged], plan, make_task=make_blobs("regression"), show_progress=False)
    assert [record.learner for record in records] == ["frozen", "wild", "adam wide", "adam+bn wide"]
    assert {record.statistics for record in records} == {"query"}
    assert all(record.metric == "loss" and record.accuracy_mean is None for record in records)
    assert records[0].verdict == "worse"
    assert records[0].paired_difference_ci95[0] > 0
    assert records[1].diverged == 12
    assert records[1].loss_mean is None
    assert records[1].verdict == "worse"
    assert all(record.parameters >= records[0].parameters for record in records[2:])
    json.dumps([dataclasses.asdict(record) for record in records], allow_nan=False)


def test_curves_are_those_of_the_inner_loop():
    block = make_sampler(Blobs(jnp.zeros(())), 3, steps=4, batch_size=8, split="test")
    genome = RULE.init_genome(KEY)
    (curves,) = play_all(make_play(RULE, "classification"), [genome], block, BLOCK + 2)
    assert curves.accuracy.shape == curves.loss.shape == (BLOCK + 2, 4)
    second = block(1)
    episode = jax.tree.map(lambda leaf: leaf[1], second.episodes)
    for metric, scores in ((accuracy, curves.accuracy), (cross_entropy, curves.loss)):
        expected = learning_curve(RULE, genome, second.keys[1], episode, metric)
        np.testing.assert_allclose(scores[BLOCK + 1], expected, rtol=1e-5)


def test_blocks_depend_on_seed_split_and_index_alone():
    def blocks(seed, split):
        block = make_sampler(Blobs(jnp.zeros(())), seed, steps=1, batch_size=2, split=split)
        return [np.asarray(block(index).episodes.query.inputs) for index in (0, 1)]

    first = blocks(0, "test")
    np.testing.assert_array_equal(first, blocks(0, "test"))
    for other in (first[1], blocks(1, "test")[0], blocks(0, "validation")[0]):
        assert not np.any(first[0] == other)


def test_names_must_differ():
    with pytest.raises(ValueError, match="two learners are called 'mine'"):
        evaluate([LEARNER, LEARNER], PLAN, make_task=make_blobs())
    with pytest.raises(ValueError, match=r"the learner 'sgd\+bn' is called like a baseline"):
        evaluate([LEARNER._replace(name="sgd+bn")], PLAN, make_task=make_blobs())


def test_learners_with_different_statistics_need_a_choice():
    other = Learner("other", dataclasses.replace(RULE, statistics="query"), LEARNER.genome)
    with pytest.raises(ValueError, match="predict with query and support statistics; choose one"):
        evaluate([LEARNER, other], PLAN, make_task=make_blobs())


def test_a_data_set_is_loaded_once_for_all_resolutions():
    calls = []

    def counting(name, *, resolution, data_dir):
        calls.append((name, resolution, data_dir))
        return make_task(name, resolution=resolution)

    load = task_loader(counting, "folder")
    assert [load("digits", side).inputs for side in (4, 8, None, 4)] == [16, 64, 64, 16]
    assert load("digits", 4).examples is load("digits", None).examples
    assert calls == [("digits", None, "folder")]
    with pytest.raises(ValueError, match="task 'xor' has no images"):
        load("xor", 4)


def test_conditions_are_all_combinations():
    plan = EvaluationPlan(tasks=("a", "b"), resolutions=(8, 10), hidden=(4,), depths=(1, 2), steps=(5, 9))
    conditions = plan.conditions((64,))
    assert len(conditions) == len(set(conditions)) == 16
    assert conditions[0] == Condition("a", 8, (4,), 5, 128)
    assert conditions[-1] == Condition("b", 10, (4, 4), 9, 128)
    assert str(conditions[-1]) == "b 10×10, hidden 4-4, 9 steps of 128"
    assert str(conditions[-1]._replace(hidden=(64,) * 10, resolution=None)) == "b, hidden 10×64, 9 steps of 128"


@pytest.mark.parametrize(
    ("axes", "networks"),
    [
        ({}, [(3, 5)]),
        ({"hidden": (7,)}, [(7, 7)]),
        ({"hidden": (7, 8), "depths": (1,)}, [(7,), (8,)]),
    ],
)
def test_axes_left_open_are_the_learners_own(axes, networks):
    assert [condition.hidden for condition in EvaluationPlan(**axes).conditions((3, 5))] == networks
    with pytest.raises(ValueError, match=r"hidden layers are \(3, 5\), not of one width; give hidden with depths"):
        EvaluationPlan(depths=(2,)).conditions((3, 5))


def test_learners_of_one_network_are_compared_there_with_wide_baselines():
    rule = OptaxMLP(hidden=(6, 3), optimizer="adam")
    plan = dataclasses.replace(PLAN, hidden=(), baseline_sizes=EvaluationPlan.baseline_sizes)
    learner = Learner("mine", rule, rule.init_genome(KEY))
    records = evaluate([learner], plan, make_task=make_blobs(), show_progress=False)
    assert {record.hidden for record in records} == {(6, 3)}
    assert [record.learner for record in records[1:]] == ["sgd", "sgd wide", "sgd+bn", "sgd+bn wide"]
    with pytest.raises(ValueError, match="hidden layers are 6-3 and 16; choose those for all by hidden= and depths="):
        evaluate([learner._replace(name="other"), LEARNER], plan, make_task=make_blobs())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tasks": ()}, "tasks is empty; expected at least one"),
        ({"steps": (0,)}, r"steps is \(0,\); expected sizes of at least 1"),
        ({"episodes": 1}, "episodes is 1; an interval needs at least 2"),
        ({"baselines": ("sdg",)}, "unknown baseline 'sdg'; expected some of sgd, momentum, adam"),
    ],
)
def test_bad_plans_are_one_clear_line(fields, message):
    with pytest.raises(ValueError, match=message):
        EvaluationPlan(**fields)
