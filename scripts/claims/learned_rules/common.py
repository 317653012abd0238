"""The claims about learned rules share this module: sizes, meta-training from random genomes, comparisons, checks."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from harness.claim import Check, DataPreset, above, at_least, reported
from harness.figures import panels
from jaxtyping import Float
from matplotlib.figure import Figure

import blur
from blur.core.rule import Genome, UpdateRule
from blur.evaluation.arena import life_spec
from blur.evaluation.baselines import Baseline, make_baselines
from blur.evaluation.curves import Curves, make_play, make_sampler, play_all
from blur.evaluation.evaluate import evaluate_conditions
from blur.evaluation.plan import Condition, EvaluationPlan, Learner, read_learner
from blur.evaluation.records import EvaluationRecord, by_condition
from blur.evaluation.tuning import Tuned
from blur.meta import MetaTraining, MetaTrainResult, Setting
from blur.reports.figures import draw_curves
from blur.support.figures import literal
from blur.tasks.task import Task

SOURCE = "Sandler et al., Meta-Learning Bidirectional Update Rules, ICML 2021"

Group = dict[str, EvaluationRecord]
"""The records of one condition by learner."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearningPreset(DataPreset):
    """Task, network and comparison. The default is MNIST 10×10, one hidden layer of 64, 10 steps of 128.

    Attributes:
      task: name of a task.
      resolution: side of its images; None for the task's own.
      width: neurons of every hidden layer.
      steps: inner steps.
      batch_size: examples per inner step, and in the query.
      baselines: optimisers of networks of the same width; each is tuned with and without batch normalisation.
      episodes: test episodes.
      tuning_episodes: validation episodes for the tuning of baselines.
    """

    task: str = "mnist"
    resolution: int | None = 10
    width: int = 64
    steps: int = 10
    batch_size: int = 128
    baselines: tuple[str, ...] = ("sgd", "momentum", "adam")
    episodes: int = 100
    tuning_episodes: int = 32

    def plan(self, **changes: Any) -> EvaluationPlan:
        """The evaluation with these sizes; `changes` replace fields of the plan."""
        plan = EvaluationPlan(
            tasks=(self.task,),
            resolutions=sides(self.resolution),
            hidden=(self.width,),
            depths=(1,),
            steps=(self.steps,),
            batch_sizes=(self.batch_size,),
            baselines=self.baselines,
            baseline_sizes=("width",),
            episodes=self.episodes,
            tuning_episodes=self.tuning_episodes,
            data_dir=self.data_dir,
        )
        return dataclasses.replace(plan, **changes)

    def setting(self, rule: UpdateRule, depth: int = 1) -> Setting:
        """Meta-training of a rule at these sizes."""
        task = load_task(self.task, self.resolution, self.data_dir)
        return Setting(rule.with_hidden((self.width,) * depth), task, self.steps, self.batch_size)


def sides(resolution: int | None) -> tuple[int, ...]:
    """The resolutions of a plan with this resolution, or with the task's own for None."""
    return () if resolution is None else (resolution,)


@functools.cache
def load_task(name: str, resolution: int | None, data_dir: str | None) -> Task:
    """The task of this name, loaded once."""
    return blur.make_task(name, resolution=resolution, data_dir=data_dir)


def meta_train_seeds(settings: Setting | Sequence[Setting], config: MetaTraining, seeds: int) -> list[MetaTrainResult]:
    """Meta-trains from random genomes, once per seed."""
    return [blur.meta_train(settings, dataclasses.replace(config, seed=seed)) for seed in range(seeds)]


def shipped_or_trained(name: str, settings: Sequence[Setting], config: MetaTraining) -> Learner:
    """The genome with this name or file; without one, a genome that is meta-trained now."""
    try:
        return read_learner(name)
    except FileNotFoundError:
        genome = blur.meta_train(settings, config).genome
        return Learner(f"{name} (trained here)", settings[0].rule, genome)


def compare(preset: DataPreset, learners: Sequence[Learner], plans: Sequence[EvaluationPlan]) -> list[Group]:
    """Compares learners with tuned baselines. The result is a group of records per condition."""
    groups = itertools.chain.from_iterable(evaluate_conditions(learners, plans, folder=preset.scores))
    return [{record.learner: record for record in group} for group in by_condition(groups)]


def curves_on_test(
    preset: LearningPreset, rule: UpdateRule, genomes: Sequence[Genome], condition: Condition, episodes: int
) -> list[Curves]:
    """Curves of every genome on the first `episodes` test episodes of a comparison."""
    task = load_task(condition.task, condition.resolution, preset.data_dir)
    sizes = {"steps": condition.steps, "batch_size": condition.batch_size}
    sampler = make_sampler(task, preset.plan().seed, split="test", **sizes)
    play = make_play(rule.with_hidden(condition.hidden), task.kind)
    return play_all(play, genomes, sampler, episodes)


def baseline_of(preset: LearningPreset, record: EvaluationRecord) -> Baseline:
    """The baseline of a record."""
    condition = record.condition
    task = load_task(condition.task, condition.resolution, preset.data_dir)
    baselines = make_baselines(preset.plan(), condition, life_spec(task, condition), task.kind, None, record.statistics)
    return next(baseline for baseline in baselines if baseline.name == record.learner)


def tuning_of(record: EvaluationRecord) -> Tuned:
    """The whole grid search of a baseline.

    Raises:
      ValueError: the record is about a learner, which is not tuned.
    """
    if record.tuning is None:
        raise ValueError(f"{record.learner} is not a baseline and was not tuned; expected a baseline's record")
    return Tuned.from_json(record.tuning)


def place(record: EvaluationRecord) -> str:
    """The condition in a few words, for the names of checks."""
    return f"{record.condition.network_and_data}, T={record.steps}"


def score(record: EvaluationRecord) -> float:
    """Mean accuracy on the test episodes."""
    return float("nan") if record.accuracy_mean is None else record.accuracy_mean


def baselines_in(group: Group, optimiser: str | None = None) -> list[EvaluationRecord]:
    """The baselines of a condition: all of them, or the baselines of one optimiser."""
    found = [record for record in group.values() if record.kind == "baseline"]
    return [record for record in found if optimiser is None or record.learner.split("+")[0] == optimiser]


def clearly_above(group: Group, learner: str) -> list[Check]:
    """Expects positive 95 % intervals of the paired differences to all baselines of a condition."""
    record = group[learner]
    checks = []
    for other in baselines_in(group):
        low, _ = record.differences_ci95[other.learner]
        name = f"{difference(record, other)}, lower end of 95 % interval"
        checks.append(above(name, float("nan") if low is None else low, 0.0, scores(record, other)))
    return checks


def not_below(group: Group, learner: str, optimiser: str = "sgd") -> list[Check]:
    """Expects at least the mean accuracy of the tuned optimiser, with and without batch normalisation."""
    record = group[learner]
    return [
        at_least(difference(record, other), score(record) - score(other), 0.0, scores(record, other))
        for other in baselines_in(group, optimiser)
    ]


def margin(record: EvaluationRecord, other: EvaluationRecord) -> Check:
    """The difference of mean accuracies to a tuned baseline, without a verdict."""
    return reported(difference(record, other), score(record) - score(other), scores(record, other))


def difference(record: EvaluationRecord, other: EvaluationRecord) -> str:
    """The name of a check: condition, learner and baseline."""
    return f"{place(record)}: {record.learner} − {other.learner}"


def scores(*records: EvaluationRecord) -> str:
    """Mean accuracies in words."""
    return ", ".join(f"{record.learner} {score(record):.3f}" for record in records)


def best_baseline(group: Group) -> EvaluationRecord:
    """The baseline with the highest accuracy on the *test* episodes, which is the strictest choice."""
    return max(baselines_in(group), key=score)


def curve_panels(groups: Sequence[Group], *, columns: int = 2) -> Figure:
    """Learning curves of every condition."""
    records = [list(group.values()) for group in groups]
    figure, axes = panels([place(group[0]) for group in records], columns=min(columns, len(records)), height=4.0)
    for one, group in zip(axes, records, strict=True):
        draw_curves(one, group)
        labels = [literal(f"{record.learner} {score(record):.3f}") for record in group]
        one.legend(one.get_lines(), labels, fontsize=7)
        one.set(xlabel="inner steps (baselines: dashed without batch normalisation)", ylabel="test accuracy")
    return figure


def curve_of(record: EvaluationRecord) -> Float[np.ndarray, "steps"]:
    """Mean accuracy after each inner step."""
    return np.array(record.curve_mean, dtype=float)


def mean_curve(curves: Curves) -> Float[np.ndarray, "steps"]:
    """Accuracy after each inner step, mean over episodes."""
    return curves.accuracy.mean(axis=0)
