"""Learners against tuned baselines, on the same episodes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import cache, cached_property, partial

import jax
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from blur.evaluation.baselines import Baseline, genome_of, make_baselines, tune_baseline, variants
from blur.evaluation.cost import count_parameters, step_cost
from blur.evaluation.curves import Block, Play, make_play, make_sampler, play_all
from blur.evaluation.plan import Condition, EvaluationPlan, Learner
from blur.evaluation.records import Record, Scored, make_record
from blur.evaluation.tuning import Metric, Tuned, cost
from blur.network.normalisation import StatisticsRule
from blur.rule import Episode, batch_spec
from blur.rules.resize import hidden_of, statistics_of, with_hidden, with_statistics
from blur.tasks import ImageTask, make_task
from blur.tasks.task import Task

MakeTask = Callable[..., Task]
"""`(name, *, resolution, data_dir) -> task`."""


def evaluate(
    learners: Sequence[Learner],
    plan: EvaluationPlan,
    *,
    make_task: MakeTask = make_task,
    show_progress: bool = True,
) -> list[Record]:
    """Scores learners and baselines under every condition of the plan.

    Under each condition, baselines are tuned on validation episodes, and the best of them is chosen there. Then all
    play the same test episodes with the same keys; the paired difference of each to the best baseline follows.

    Args:
      learners: rules with their genomes; a rule is rebuilt with the condition's hidden layers.
      plan: what to compare, where, on how many episodes.
      make_task: makes a task from `(name, resolution=…, data_dir=…)`; images are loaded once for all resolutions.
      show_progress: a bar on stderr, if that is a terminal.

    Raises:
      ValueError: names that occur twice, a rule whose hidden layers cannot be set, or learners with different
        statistics or hidden layers while the plan leaves the choice to them.
    """
    _check_names(learners, plan)
    statistics = plan.statistics or _common_statistics(learners)
    task_of = _task_loader(make_task, plan.data_dir)
    conditions = plan.conditions(_common_hidden(learners, plan))
    players = len(learners) + 2 * len(plan.baselines) * len(plan.baseline_sizes)
    records = []
    with _progress(show_progress) as progress:
        bar = progress.add_task("evaluate", total=len(conditions) * players)
        for condition in conditions:
            progress.update(bar, description=str(condition))
            arena = _Arena.make(task_of(condition.task, condition.resolution), condition, plan, statistics)
            records += _compare(learners, arena, partial(progress.advance, bar))
    return records


def _common_hidden(learners: Sequence[Learner], plan: EvaluationPlan) -> tuple[int, ...]:
    """Widths of the hidden layers that all learners share; one of 64 where there is no learner to ask."""
    found = set[tuple[int, ...]]().union(*(hidden_of(learner.rule) for learner in learners))
    if len(found) > 1 and not (plan.hidden and plan.depths):
        networks = " and ".join("-".join(map(str, hidden)) or "none" for hidden in sorted(found))
        raise ValueError(f"the learners' hidden layers are {networks}; choose those for all by hidden= and depths=")
    return min(found, default=(64,))


def _common_statistics(learners: Sequence[Learner]) -> StatisticsRule:
    """What all learners predict with; `support` where none has statistics."""
    found = set[StatisticsRule]().union(*(statistics_of(learner.rule) for learner in learners))
    if len(found) > 1:
        raise ValueError(
            f"the learners predict with {' and '.join(sorted(found))} statistics; choose one for all by statistics="
        )
    return found.pop() if found else "support"


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

    @classmethod
    def make(cls, task: Task, condition: Condition, plan: EvaluationPlan, statistics: StatisticsRule) -> _Arena:
        sampler = partial(make_sampler, task, plan.seed, unroll=condition.unroll, batch_size=condition.batch_size)
        return cls(task, condition, plan, statistics, sampler(split="validation"), sampler(split="test"))

    @property
    def metric(self) -> Metric:
        return "accuracy" if self.task.kind == "classification" else "loss"

    @cached_property
    def episode(self) -> Episode:
        """One validation episode, to count and to time inner steps on."""
        return jax.tree.map(lambda leaf: leaf[0], self.validation(0).episodes)


def _compare(learners: Sequence[Learner], arena: _Arena, advance: Callable[[], None]) -> list[Record]:
    """The records of one condition, learners first."""
    resized = [_resized(learner, arena) for learner in learners]
    entries = [_score(learner, make_play(learner.rule, arena.task.kind), arena, advance) for learner in resized]
    synapses = max((entry.parameters for entry in entries if entry.parameters is not None), default=None)
    baselines = [
        _tune_and_score(baseline, arena, advance)
        for baseline in make_baselines(
            arena.plan, arena.condition, batch_spec(arena.episode), arena.task.kind, synapses, arena.statistics
        )
    ]
    best, _ = min(baselines, key=lambda pair: cost(pair[1].best, arena.metric))
    finish = partial(
        make_record,
        baselines=[entry for entry, _ in baselines],
        best=best,
        condition=arena.condition,
        metric=arena.metric,
        statistics=arena.statistics,
        seed=arena.plan.seed,
    )
    return [*(finish(entry, None) for entry in entries), *(finish(entry, tuned) for entry, tuned in baselines)]


def _resized(learner: Learner, arena: _Arena) -> Learner:
    rule = with_statistics(with_hidden(learner.rule, arena.condition.hidden), arena.statistics)
    return learner._replace(rule=rule)


def _tune_and_score(baseline: Baseline, arena: _Arena, advance: Callable[[], None]) -> tuple[Scored, Tuned]:
    play = make_play(baseline.rule, arena.task.kind)
    tuned = tune_baseline(baseline, play, arena.validation, arena.metric, arena.plan.tuning_episodes)
    learner = Learner(baseline.name, baseline.rule, genome_of(tuned.best.point, baseline.rule))
    return _score(learner, play, arena, advance), tuned


def _score(learner: Learner, play: Play, arena: _Arena, advance: Callable[[], None]) -> Scored:
    """Plays the test episodes."""
    (curves,) = play_all(play, [learner.genome], arena.test, arena.plan.episodes)
    parameters = count_parameters(learner.rule, learner.genome, batch_spec(arena.episode))
    step = step_cost(learner.rule, learner.genome, arena.episode)
    advance()
    network = getattr(learner.rule, "hidden", arena.condition.hidden)
    return Scored(learner.name, network, curves, parameters, step)


def _check_names(learners: Sequence[Learner], plan: EvaluationPlan) -> None:
    names = [learner.name for learner in learners]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"two learners are called {twice[0]!r}; expected a name of its own for each")
    if taken := set(names) & {variant.name for variant in variants(plan)}:
        raise ValueError(f"the learner {taken.pop()!r} is called like a baseline; expected another name")


def _progress(show: bool) -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, disable=not (show and console.is_terminal))
