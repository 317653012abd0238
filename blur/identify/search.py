"""Search for the best genome of a few numbers, on a grid that moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from blur.core.episode import Episode
from blur.core.genome import check_same_genome, genome_shapes
from blur.core.rule import Genome, UpdateRule
from blur.identify.probes import half_squared_errors, predictions
from blur.support.errors import short


def best_genome(
    rule: UpdateRule, tasks: Episode, grid: Mapping[str, Float[np.ndarray, "_points"]], rounds: int = 2
) -> Genome:
    """The genome with the least mean loss on `tasks`. Pass validation tasks, not test tasks.

    The search tries all combinations of the grid's values. If the best value of a number is at an edge of the grid, the
    grid moves so that this value is its middle, and the search repeats until the best genome is inside. Each further
    round searches a finer grid, between the neighbours of the best values.

    Args:
      rule: a rule whose genome has one number per name in `grid`, such as `GradientDescentAttention`.
      tasks: the tasks that the genome is tuned on.
      grid: values of each number: one, or at least three that are evenly spaced.
      rounds: the number of rounds.

    Raises:
      ValueError: the grid does not fit the rule's genome; every genome of the grid diverges; the best genome is still
        at an edge after `MOST_MOVES` moves; or `rounds` is not a whole number of at least 1.
    """
    _check_search(rule, grid, rounds)

    def loss(genome: Genome) -> Array:
        return jnp.mean(half_squared_errors(predictions(rule, genome, tasks), tasks))

    search = jax.jit(lambda genomes: jax.lax.map(loss, genomes))
    axes = {name: np.asarray(axis, float) for name, axis in grid.items()}
    places = _best_inside(search, axes)
    for _ in range(rounds - 1):
        axes = {name: _around(axis, places[name]) for name, axis in axes.items()}
        places = _best_places(search, axes)
    return {name: jnp.asarray(axis[places[name]], jnp.result_type(float)) for name, axis in axes.items()}


Axes = dict[str, Float[np.ndarray, "_points"]]
"""Values of each number."""


MOST_MOVES = 16
"""The most moves of a grid towards the best genome."""


def _check_search(rule: UpdateRule, grid: Mapping[str, Float[np.ndarray, "_points"]], rounds: int) -> None:
    """Raises ValueError unless the grid has evenly spaced values of each number of the genome, and `rounds` ≥ 1."""
    if isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < 1:
        raise ValueError(f"rounds is {short(rounds)}; expected a whole number of at least 1")
    one = {name: np.zeros(()) for name in grid}
    check_same_genome(genome_shapes(rule), one, names=("the rule's", "the grid's"))
    for name, axis in grid.items():
        steps = np.diff(axis)
        if len(axis) in (0, 2) or not (np.isfinite(axis).all() and (steps > 0).all() and np.allclose(steps, steps[:1])):
            raise ValueError(
                f"the grid's {name} is {short(np.asarray(axis).tolist())}; expected one value, or three or more that "
                "are finite, increasing and evenly spaced"
            )


def _best_inside(search: Callable[[Genome], Array], axes: Axes) -> dict[str, int]:
    """The place of the best genome on each axis. The axes move until no place is at an edge."""
    for _ in range(MOST_MOVES + 1):
        places = _best_places(search, axes)
        at_edge = [name for name, axis in axes.items() if len(axis) > 1 and places[name] in (0, len(axis) - 1)]
        if not at_edge:
            return places
        name, best = at_edge[0], axes[at_edge[0]][places[at_edge[0]]]
        for one in at_edge:
            axes[one] = axes[one] + axes[one][places[one]] - axes[one][len(axes[one]) // 2]
    raise ValueError(
        f"the best {name} is still at the grid's edge, {best:.4g}, after {MOST_MOVES} moves; expected a grid around it"
    )


def _best_places(search: Callable[[Genome], Array], axes: Axes) -> dict[str, int]:
    """The place on each axis of the genome with the least loss."""
    values = [mesh.ravel() for mesh in np.meshgrid(*axes.values(), indexing="ij")]
    losses = np.asarray(search({n: jnp.asarray(v, jnp.result_type(float)) for n, v in zip(axes, values, strict=True)}))
    if not np.isfinite(losses).any():
        raise ValueError(f"none of the grid's {len(losses)} genomes has a finite loss; expected at least one that has")
    places = np.unravel_index(int(np.nanargmin(losses)), [len(axis) for axis in axes.values()])
    return {name: int(place) for name, place in zip(axes, places, strict=True)}


def _around(axis: Float[np.ndarray, "points"], place: int) -> Float[np.ndarray, "points"]:
    """A finer axis with as many values, between the neighbours of one value."""
    return np.linspace(axis[max(place - 1, 0)], axis[min(place + 1, len(axis) - 1)], len(axis))
