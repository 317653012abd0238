"""Old names work, and say the new one in one line."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import jax
import numpy as np
import pytest
from meta_toys import LinearDescent, LinearTask
from report_toys import RECORDS

import blur
from blur.core.genome import tree_digest
from blur.core.rule import UpdateRule
from blur.evaluation.plan import Condition
from blur.files.config import from_config
from blur.support.renamed import renamed_arguments, renamed_fields

TASK = LinearTask(jax.numpy.asarray(1.0), jax.numpy.asarray(0.0))


def test_a_setting_and_a_plan() -> None:
    with pytest.warns(FutureWarning, match="the argument unroll of Setting is now called steps"):
        setting = blur.Setting(LinearDescent(), TASK, unroll=3)
    with pytest.warns(FutureWarning, match="Setting.unroll is now called steps"):
        assert setting.unroll == setting.steps == 3
    with pytest.warns(FutureWarning, match="the argument unrolls of EvaluationPlan is now called steps"):
        assert blur.EvaluationPlan(unrolls=(3, 4)).steps == (3, 4)


def test_both_names_are_refused() -> None:
    with pytest.raises(TypeError, match="was given unroll and steps, two names of one argument"):
        blur.Setting(LinearDescent(), TASK, unroll=3, steps=3)


@pytest.mark.parametrize("name", ["xor", "digits", "in_context_regression"])
def test_the_episodes_of_a_task(name: str) -> None:
    task = blur.make_task(name)
    with pytest.warns(FutureWarning, match="is now called steps"):
        old = task.sample(jax.random.key(0), unroll=2, batch_size=3)
    new = task.sample(jax.random.key(0), steps=2, batch_size=3)
    jax.tree.map(np.testing.assert_array_equal, old, new)


def test_results_and_conditions() -> None:
    with pytest.warns(FutureWarning, match="is now called steps"):
        assert RECORDS[0].unroll == RECORDS[0].steps
    with pytest.warns(FutureWarning, match="is now called steps"):
        assert Condition("digits", None, (8,), 5, 16).unroll == 5


def test_the_horizon_of_a_genome_file() -> None:
    with pytest.warns(FutureWarning, match="GenomeFile.horizon is now called GenomeFile.steps"):
        assert blur.load_genome("boolean-k2").horizon == blur.load_genome("boolean-k2").steps


@dataclasses.dataclass(frozen=True)
class OldTask:
    """A task of a user, from before."""

    name = "old"
    kind = "regression"
    inputs = 3
    outputs = 1

    def sample(self, key: Any, *, unroll: int, batch_size: int, split: str = "train", query_size: Any = None) -> Any:
        return TASK.sample(key, steps=unroll, batch_size=batch_size, split=split, query_size=query_size)


@pytest.mark.usefixtures("no_type_checks")
def test_a_task_that_was_written_before() -> None:
    setting = blur.Setting(LinearDescent(), OldTask(), steps=2, batch_size=4)
    with pytest.warns(FutureWarning, match="is now called steps"):
        episode = setting.sample(jax.random.key(0))
    assert episode.support.inputs.shape == (2, 4, 3)


def test_a_rule_that_was_written_before() -> None:
    with pytest.warns(FutureWarning, match="OldRule.longest_life is now called max_steps"):

        class OldRule(LinearDescent):
            longest_life = 3

    assert issubclass(OldRule, UpdateRule)
    assert OldRule().max_steps == 3


@renamed_fields(unroll="steps")
@dataclasses.dataclass(frozen=True)
class Life:
    steps: int = 10


def test_an_old_field_of_a_configuration_is_read_without_a_word() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert from_config({"type": "Life", "unroll": 7}, {"Life": Life}) == Life(steps=7)


def test_training_with_the_old_argument_is_the_same_training() -> None:
    x, rule = np.random.default_rng(0).normal(size=(20, 3)), blur.OptaxMLP((2,))
    genome = rule.init_genome(jax.random.key(0))
    new = blur.train(rule, genome, x, x[:, 0] > 0, steps=2, batch_size=10)
    with pytest.warns(FutureWarning, match="the argument unroll of train is now called steps") as seen:
        old = blur.train(rule, genome, x, x[:, 0] > 0, unroll=2, batch_size=10)
    assert [w.category for w in seen].count(FutureWarning) == 1
    assert tree_digest(old.state) == tree_digest(new.state)


def test_a_function() -> None:
    @renamed_arguments(old="new")
    def double(new: int) -> int:
        return 2 * new

    with pytest.warns(FutureWarning, match="the argument old of .*double is now called new"):
        assert double(old=2) == double(new=2) == double(2) == 4
