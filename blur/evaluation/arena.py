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
from blur.evaluation.cache import Result, cached_result
from blur.evaluation.curves import Block, make_sampler
from blur.evaluation.plan import Condition, EvaluationPlan
from blur.evaluation.tuning import Metric
from blur.files.genomes import library_versions, rule_config
from blur.tasks import ImageTask
from blur.tasks.task import Task, episode_drawer

MakeTask = Callable[..., Task]
"""`(name, *, resolution, data_dir) -> task`."""


def task_loader(make_task: MakeTask, data_dir: str | None) -> Callable[[str, int | None], Task]:
    """Makes `(name, resolution) -> task`. A data set is loaded once for all resolutions."""

    @cache
    def load(name: str, resolution: int | None) -> Task:
        whole = None if resolution is None else load(name, None)
        if isinstance(whole, ImageTask):
            return whole.with_resolution(resolution)
        return make_task(name, resolution=resolution, data_dir=data_dir)

    return load


def life_spec(task: Task, condition: Condition) -> Spec:
    """Shapes and dtypes of a support batch, and the length of the life; nothing is computed."""
    sample = partial(episode_drawer(task.sample), steps=condition.steps, batch_size=condition.batch_size)
    batch = jax.eval_shape(lambda key: first_batch(sample(key)), jax.random.key(0))
    return batch_spec(batch, condition.steps)


@dataclasses.dataclass(frozen=True)
class Arena:
    """A task under one condition, and the episodes that all learners play there.

    Attributes:
      task: where the episodes come from.
      condition: the task's name and resolution, the network, steps and batch size.
      plan: the evaluation that the condition belongs to.
      statistics: the batch statistics that normalise predictions.
      validation, test: from an index to a block of episodes.
      folder: the cache of results; None for no cache.
    """

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
    ) -> Arena:
        """The arena of a condition, with samplers of its episodes."""
        sampler = partial(make_sampler, task, plan.seed, steps=condition.steps, batch_size=condition.batch_size)
        return cls(task, condition, plan, statistics, sampler(split="validation"), sampler(split="test"), folder)

    @property
    def metric(self) -> Metric:
        """Accuracy for a classification, loss for a regression."""
        return "accuracy" if self.task.kind == "classification" else "loss"

    @cached_property
    def data(self) -> str:
        """The digest of the task's arrays."""
        return tree_digest(self.task)

    @cached_property
    def spec(self) -> Spec:
        """See `life_spec`."""
        return life_spec(self.task, self.condition)

    @cached_property
    def episode(self) -> Episode:
        """One validation episode, to count and to time inner steps on."""
        return jax.tree.map(lambda leaf: leaf[0], self.validation(0).episodes)

    def cached(self, compute: Callable[[], Result], rule: UpdateRule, of: Mapping[str, Any]) -> Result:
        """The result in the arena's folder, else the result of `compute`, which is then added to the folder.

        Args:
          compute: plays the episodes.
          rule: the rule that plays.
          of: the rest of the key, such as the digest of the genome.
        """
        if self.folder is None:
            return compute()
        key = {
            "versions": library_versions(),
            "condition": self.condition._asdict(),
            "data": self.data,
            "seed": self.plan.seed,
            "episodes": self.plan.episodes,
            "rule": rule_config(rule),
            **of,
        }
        return cached_result(self.folder, key, compute)
