"""A task under one condition, and the episodes that all learners meet there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import jax

from blur.core.episode import Episode, Spec, batch_spec, first_batch
from blur.core.genome import tree_digest
from blur.core.rule import StatisticsRule, UpdateRule
from blur.evaluation.cache import Result, keep_scores
from blur.evaluation.curves import Block, make_sampler
from blur.evaluation.plan import Condition, EvaluationPlan
from blur.evaluation.tuning import Metric
from blur.files.genomes import library_versions, rule_config
from blur.tasks import ImageTask
from blur.tasks.task import Task

MakeTask = Callable[..., Task]
"""`(name, *, resolution, data_dir) -> task`."""


def _task_loader(make_task: MakeTask, data_dir: str | None) -> Callable[[str, int | None], Task]:
    """`(name, resolution) -> task`; a data set is loaded once."""

    @cache
    def load(name: str, resolution: int | None) -> Task:
        whole = None if resolution is None else load(name, None)
        if isinstance(whole, ImageTask):
            return whole.with_resolution(resolution)
        return make_task(name, resolution=resolution, data_dir=data_dir)

    return load


@dataclasses.dataclass(frozen=True)
class _Arena:
    """A task under one condition, and the episodes that all learners meet there."""

    task: Task
    condition: Condition
    plan: EvaluationPlan
    statistics: StatisticsRule
    validation: Callable[[int], Block]
    test: Callable[[int], Block]
    folder: Path | None

    @classmethod
    def make(
        cls,
        task: Task,
        condition: Condition,
        plan: EvaluationPlan,
        statistics: StatisticsRule,
        folder: Path | None = None,
    ) -> _Arena:
        sampler = partial(make_sampler, task, plan.seed, steps=condition.steps, batch_size=condition.batch_size)
        return cls(task, condition, plan, statistics, sampler(split="validation"), sampler(split="test"), folder)

    @property
    def metric(self) -> Metric:
        return "accuracy" if self.task.kind == "classification" else "loss"

    @cached_property
    def data(self) -> str:
        """What the task's arrays hold."""
        return tree_digest(self.task)

    @cached_property
    def spec(self) -> Spec:
        """Shapes and dtypes of a support batch, and the length of the lives; nothing is computed."""
        steps, batch_size = self.condition.steps, self.condition.batch_size
        sample = partial(self.task.sample, steps=steps, batch_size=batch_size, split="validation")
        return batch_spec(jax.eval_shape(lambda key: first_batch(sample(key)), jax.random.key(0)), steps)

    @cached_property
    def episode(self) -> Episode:
        """One validation episode, to count and to time inner steps on."""
        return jax.tree.map(lambda leaf: leaf[0], self.validation(0).episodes)


def _kept(compute: Callable[[], Result], arena: _Arena, rule: UpdateRule, of: Mapping[str, Any]) -> Result:
    """The scores in the arena's folder, or else what `compute` returns; everything that decides them is their key."""
    if arena.folder is None:
        return compute()
    key = {
        "versions": library_versions(),
        "condition": arena.condition._asdict(),
        "data": arena.data,
        "seed": arena.plan.seed,
        "episodes": arena.plan.episodes,
        "rule": rule_config(rule),
        **of,
    }
    return keep_scores(arena.folder, key, compute)
