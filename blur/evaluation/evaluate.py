"""Learners against tuned baselines, on the same episodes."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Generator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import cast

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from blur.core.genome import tree_digest
from blur.core.rule import StatisticsRule
from blur.evaluation.arena import Arena, MakeTask, task_loader
from blur.evaluation.baselines import Baseline, genome_of, make_baselines, tune_baseline, variants
from blur.evaluation.cache import Result
from blur.evaluation.cost import count_parameters, step_cost
from blur.evaluation.curves import Play, make_play, play_all
from blur.evaluation.plan import Condition, EvaluationPlan, Learner
from blur.evaluation.records import EvaluationRecord, Scored, make_record
from blur.evaluation.tuning import Tuned, cost
from blur.tasks import make_task


def evaluate(
    learners: Sequence[Learner],
    plan: EvaluationPlan,
    *,
    make_task: MakeTask = make_task,
    show_progress: bool = True,
) -> list[EvaluationRecord]:
    """Scores learners and tuned baselines under every condition of the plan.

    Under each condition, validation episodes tune the baselines and choose the best one. Then learners and baselines
    play the same test episodes with the same keys. Each record has the paired difference to the best baseline.

    Args:
      learners: rules with their genomes; a rule is rebuilt with the condition's hidden layers.
      plan: what to compare, where, on how many episodes.
      make_task: makes a task from `(name, resolution=…, data_dir=…)`. Images are loaded once for all resolutions.
      show_progress: a bar on stderr, if that is a terminal.

    Raises:
      ValueError: names that occur twice, a rule that learns in context, one whose hidden layers cannot be set, or
        learners with different statistics or hidden layers while the plan leaves the choice to them.

    Examples:
      >>> import jax
      >>> rule = blur.OptaxMLP(hidden=(8,), optimizer="adam")
      >>> learner = blur.Learner("mine", rule, rule.init_genome(jax.random.key(0)))
      >>> plan = blur.EvaluationPlan(
      ...     tasks=("xor",), steps=(2,), baselines=("sgd",), baseline_sizes=("width",), episodes=2, tuning_episodes=2
      ... )
      >>> records = blur.evaluate([learner], plan)
      >>> [record.learner for record in records]
      ['mine', 'sgd', 'sgd+bn']
    """
    groups = evaluate_conditions(learners, (plan,), make_task=make_task, show_progress=show_progress)
    return list(itertools.chain.from_iterable(groups))


def evaluate_conditions(
    learners: Sequence[Learner],
    plans: Sequence[EvaluationPlan],
    *,
    folder: Path | None = None,
    make_task: MakeTask = make_task,
    show_progress: bool = True,
) -> Generator[list[EvaluationRecord], None, None]:
    """Evaluates one plan after the other, and yields the records of each condition; see `evaluate`.

    Args:
      folder: the cache of every learner's and baseline's scores. Scores of the same rule, genome, settings, data and
        versions of the libraries are not computed again. None for no cache.

    Raises:
      ValueError: see `evaluate`.
      TypeError: there is a folder, and a rule is not made of parts in `blur.rules.RULES`.
    """
    todo = [entry for plan in plans for entry in _conditions(learners, plan)]
    tasks_in = cache(partial(task_loader, make_task))
    players = sum(len(learners) + len(variants(plan)) for plan, _, _ in todo)
    with _progress(show_progress) as progress:
        bar = progress.add_task("evaluate", total=players)
        for plan, condition, statistics in todo:
            progress.update(bar, description=str(condition))
            task = tasks_in(plan.data_dir)(condition.task, condition.resolution)
            arena = Arena.make(task, condition, plan, statistics, folder)
            yield _compare(learners, arena, partial(progress.advance, bar))


def _conditions(
    learners: Sequence[Learner], plan: EvaluationPlan
) -> list[tuple[EvaluationPlan, Condition, StatisticsRule]]:
    """The conditions of a plan. The learners' networks and statistics fill in the fields that the plan leaves open."""
    _check_networks(learners)
    _check_names(learners, plan)
    statistics = plan.statistics or _common_statistics(learners)
    return [(plan, condition, statistics) for condition in plan.conditions(_common_hidden(learners, plan))]


def _common_hidden(learners: Sequence[Learner], plan: EvaluationPlan) -> tuple[int, ...]:
    """Widths of the hidden layers that all learners share; (64,) if no learner has hidden layers."""
    found = {learner.rule.hidden for learner in learners if learner.rule.hidden is not None}
    if len(found) > 1 and not (plan.hidden and plan.depths):
        networks = " and ".join("-".join(map(str, hidden)) or "none" for hidden in sorted(found))
        raise ValueError(f"the learners' hidden layers are {networks}; choose those for all by hidden= and depths=")
    return min(found, default=(64,))


def _common_statistics(learners: Sequence[Learner]) -> StatisticsRule:
    """The batch statistics that all learners predict with; `support` if no learner has statistics."""
    found = {learner.rule.statistics for learner in learners if learner.rule.statistics is not None}
    if len(found) > 1:
        raise ValueError(
            f"the learners predict with {' and '.join(sorted(found))} statistics; choose one for all by statistics="
        )
    return found.pop() if found else "support"


def _compare(learners: Sequence[Learner], arena: Arena, advance: Callable[[], None]) -> list[EvaluationRecord]:
    """The records of one condition, learners first."""
    entries = [_score_learner(learner, arena, advance) for learner in learners]
    synapses = max((entry.parameters for entry in entries if entry.parameters is not None), default=None)
    baselines = [
        _score_baseline(baseline, arena, advance)
        for baseline in make_baselines(
            arena.plan, arena.condition, arena.spec, arena.task.kind, synapses, arena.statistics
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


def _score_learner(learner: Learner, arena: Arena, advance: Callable[[], None]) -> Scored:
    rule = learner.rule.with_hidden(arena.condition.hidden).with_statistics(arena.statistics)
    resized = learner._replace(rule=rule)

    def score() -> Result:
        return _score(resized, make_play(rule, arena.task.kind), arena), None

    scored, _ = arena.cached(score, rule, {"genome": tree_digest(learner.genome)})
    advance()
    return dataclasses.replace(scored, name=learner.name)


def _score_baseline(baseline: Baseline, arena: Arena, advance: Callable[[], None]) -> tuple[Scored, Tuned]:
    def tune_and_score() -> Result:
        play = make_play(baseline.rule, arena.task.kind)
        tuned = tune_baseline(baseline, play, arena.validation, arena.metric, arena.plan.tuning_episodes)
        learner = Learner(baseline.name, baseline.rule, genome_of(tuned.best.point, baseline.rule))
        return _score(learner, play, arena), tuned

    tuning = {"grid": baseline.grid, "tuning_episodes": arena.plan.tuning_episodes}
    scored, tuned = arena.cached(tune_and_score, baseline.rule, tuning)
    advance()
    return scored, cast(Tuned, tuned)


def _score(learner: Learner, play: Play, arena: Arena) -> Scored:
    """Plays the test episodes."""
    (curves,) = play_all(play, [learner.genome], arena.test, arena.plan.episodes)
    parameters = count_parameters(learner.rule, learner.genome, arena.spec)
    step = step_cost(learner.rule, learner.genome, arena.episode)
    network = arena.condition.hidden if learner.rule.hidden is None else learner.rule.hidden
    return Scored(learner.name, network, curves, parameters, step)


def _check_networks(learners: Sequence[Learner]) -> None:
    for learner in learners:
        if learner.rule.in_context:
            raise ValueError(
                f"{learner.name} ({type(learner.rule).__name__}) learns in context, but an evaluation compares networks"
                " with tuned optimisers; attention is compared with gradient descent by python scripts/claims/run.py A3"
            )


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
