"""The stages of a run's loop: advance, report, validate."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np

from blur.meta.chunk import compiled_chunk
from blur.meta.meta_training import NanPolicy
from blur.meta.objective import Objective
from blur.meta.run.best import better_of, contenders, validate_mixture
from blur.meta.run.metrics import MetricsLine, metrics_lines
from blur.meta.run.progress import ProgressMeter
from blur.meta.run.run import Run
from blur.meta.run.state import RunState
from blur.meta.schedule import same_setting


def advance(run: Run, state: RunState, stop: int) -> tuple[RunState, list[MetricsLine]]:
    """The meta-steps up to number `stop`, in one dispatch for each stretch on one setting, and their metrics."""
    chunk = compiled_chunk(run.outer, run.config.mapping, run.mesh)
    states, inner_states, stretches = state.states, list(state.inner_states), []
    for number, first, length in same_setting(run.drawn, int(state.meta_step), stop):
        states, inner_states[number], metrics = chunk(
            run.settings[number], states, inner_states[number], run.keys.steps, first, length
        )
        stretches.append((number, first, length, metrics))
    lines = [line for stretch in stretches for line in metrics_lines(*stretch)]
    done = jnp.asarray(stop)
    return dataclasses.replace(state, states=states, inner_states=tuple(inner_states), meta_step=done), lines


def report(lines: list[MetricsLine], meter: ProgressMeter, policy: NanPolicy) -> None:
    """Shows the metrics of a chunk.

    Raises:
      FloatingPointError: an episode diverged under the policy `raise`.
    """
    fitness, accuracy, diverged = (
        np.array([line[name] for line in lines]) for name in ("fitness", "accuracy", "diverged")
    )
    if policy == "raise" and diverged.any():
        number, candidate = np.argwhere(diverged)[0]
        raise FloatingPointError(
            f"an episode of candidate {candidate} diverged at meta-step {lines[number]['meta_step']}; the policy "
            "penalise or skip would go on"
        )
    meter.update(lines[-1]["meta_step"], fitness, accuracy, int(diverged.sum()))


def next_validation(run: Run, done: int) -> int:
    """The first meta-step after number `done` that a validation follows."""
    every = run.config.validation_every
    return min((done // every + 1) * every, run.meta_steps)


def validate_candidates(run: Run, state: RunState) -> tuple[RunState, MetricsLine]:
    """Scores all candidates on the validation episodes; the best genome so far may become another."""
    config, done = run.config, int(state.meta_step)
    objective = Objective(config.fitness, config.validation_episodes, mapping=config.mapping, storage=config.storage)
    genomes = contenders(run.outer, run.settings[0].rule, state.states)
    fitness, accuracy = validate_mixture(objective, run.settings, genomes, run.keys.validation, run.mesh)
    best = better_of(state.best, genomes, fitness, accuracy, candidates=run.candidates, meta_step=done)
    line = {
        "meta_step": done,
        "validation_fitness": fitness[: run.candidates].tolist(),
        "validation_accuracy": accuracy[: run.candidates].tolist(),
    }
    return dataclasses.replace(state, best=best), line
