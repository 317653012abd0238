"""How alike two in-context learners are: losses, sensitivities, and what becomes of the context, task by task.

The measures are those of von Oswald et al. (ICML 2023, §3 and App. A.8); losses are halved squared errors as there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from blur.core.genome import check_same_genome, genome_shapes
from blur.core.inner_loop import train_on, unroll
from blur.core.rule import Batch, Episode, Genome, UpdateRule, batch_spec
from blur.rules.in_context.linear_attention import LinearAttention, present
from blur.rules.in_context.transformer import Transformer
from blur.support.errors import short
from blur.tasks.task import Split, Task

KEY = jax.random.key(0)
"""Of learners whose start is not random."""

AT_ONCE = 20_000
"""Tasks that are computed together."""

EPSILON = 1e-8
"""Added to the norms of sensitivities."""


@functools.partial(jax.jit, static_argnames=("count", "context", "layers", "split"))
def draw_tasks(
    task: Task, key: Key[Array, ""], count: int, *, context: int, layers: int, split: Split = "test"
) -> Episode:
    """`count` episodes, stacked along a leading axis, of `context` pairs and `layers` inner steps."""

    def draw(key: Key[Array, ""]) -> Episode:
        return task.sample(key, unroll=layers, batch_size=context, split=split)

    return jax.vmap(draw)(jax.random.split(key, count))


@functools.partial(jax.jit, static_argnames="rule")
def predictions(rule: UpdateRule, genome: Genome, tasks: Episode) -> Float[Array, "tasks queries outputs"]:
    """Outputs on every task's queries after learning from its context."""

    def predict(episode: Episode) -> Array:
        return rule.predict(genome, train_on(rule, genome, KEY, episode), episode.query.inputs)

    return jax.vmap(predict)(tasks)


@functools.partial(jax.jit, static_argnames="rule")
def sensitivities(rule: UpdateRule, genome: Genome, tasks: Episode) -> Float[Array, "tasks inputs"]:
    """∂f(x_q)/∂x_q of the first output at every task's first query."""

    def slope(episode: Episode) -> Array:
        state = train_on(rule, genome, KEY, episode)
        return jax.grad(lambda x: rule.predict(genome, state, x[None])[0, 0])(episode.query.inputs[0])

    return jax.vmap(slope)(tasks)


@functools.partial(jax.jit, static_argnames="rule")
def losses_by_layer(rule: UpdateRule, genome: Genome, tasks: Episode) -> Float[Array, "tasks layers"]:
    """Loss on every task after each inner step; of a `Transformer`, a step of which is all layers, after each layer."""

    def curve(episode: Episode) -> Array:
        x, y = episode.query.inputs, episode.query.targets
        if isinstance(rule, Transformer):
            outputs = rule.predict_by_layer(genome, train_on(rule, genome, KEY, episode), x)
            return jnp.mean(jnp.sum((outputs - y) ** 2, axis=-1), axis=-1) / 2

        def loss(state: object) -> Array:
            return jnp.mean(jnp.sum((rule.predict(genome, state, x) - y) ** 2, axis=-1)) / 2

        state = rule.init_state(genome, KEY, batch_spec(episode))
        return unroll(rule, genome, state, episode.support, episode.steps, observe=loss)[1]

    return jax.vmap(curve)(tasks)


@functools.partial(jax.jit, static_argnames="rule")
def spectra_by_layer(
    rule: LinearAttention, genome: Genome, tasks: Episode
) -> Float[Array, "tasks layers_and_end inputs"]:
    """Eigenvalues, ascending, of H = Σ_i w_i x_i x_iᵀ / Σ w of the context before each layer and after the last.

    Raises:
      TypeError: the rule is no `LinearAttention`.
    """
    _check_rule(rule, LinearAttention)

    def spectrum(context: Array, weight: Array) -> Array:
        x = context[:, : rule.inputs]
        return jnp.linalg.eigvalsh((weight[:, None] * x).T @ x)

    def spectra(episode: Episode) -> Array:
        support = cast(Batch, episode.support)
        start = rule.init_state(genome, KEY, batch_spec(episode))
        state, before = unroll(
            rule, genome, start, support, episode.steps, observe=lambda state: spectrum(state.context, state.weight)
        )
        tokens = jnp.concatenate(present(support.weight, support.inputs, support.targets), axis=-1)
        after = spectrum(tokens @ rule.fast_weights(genome, state), state.weight)
        return jnp.concatenate([before, after[None]])

    return jax.vmap(spectra)(tasks)


def _check_rule(rule: UpdateRule, expected: type[UpdateRule]) -> None:
    """Raises TypeError unless the rule is of this kind."""
    if not isinstance(rule, expected):
        raise TypeError(f"the rule is a {type(rule).__name__}; expected a {expected.__name__}")


def half_squared_errors(outputs: Float[Array, "tasks queries outputs"], tasks: Episode) -> Float[Array, "tasks"]:
    """½ ‖f − y‖² of every task, averaged over its queries."""
    return jnp.mean(jnp.sum((outputs - tasks.query.targets) ** 2, axis=-1), axis=-1) / 2


Learners = Mapping[str, tuple[UpdateRule, Genome]]
"""Rules with their genomes, by name."""


def losses_of(
    learners: Learners,
    task: Task,
    key: Key[Array, ""],
    count: int,
    *,
    context: int,
    layers: int,
    split: Split = "test",
) -> dict[str, Float[np.ndarray, "tasks"]]:
    """Every learner's loss on the same `count` tasks, which need not fit in memory together."""
    losses: dict[str, list[np.ndarray]] = {name: [] for name in learners}
    for index, start in enumerate(range(0, count, AT_ONCE)):
        size = min(AT_ONCE, count - start)
        tasks = draw_tasks(task, jax.random.fold_in(key, index), size, context=context, layers=layers, split=split)
        for name, (rule, genome) in learners.items():
            losses[name].append(np.asarray(half_squared_errors(predictions(rule, genome, tasks), tasks)))
    return {name: np.concatenate(parts) for name, parts in losses.items()}


class Likeness(NamedTuple):
    """How alike two learners f and g are; means over tasks, s = ∂f/∂x_q.

    Attributes:
      cosine: of s_f and s_g.
      model_difference: ‖s_f − s_g‖.
      prediction_difference: ‖f(x_q) − g(x_q)‖.
    """

    cosine: float
    model_difference: float
    prediction_difference: float


def likeness(first: tuple[UpdateRule, Genome], second: tuple[UpdateRule, Genome], tasks: Episode) -> Likeness:
    """Compares two learners on the same tasks."""
    slopes = [sensitivities(rule, genome, tasks) for rule, genome in (first, second)]
    outputs = [predictions(rule, genome, tasks) for rule, genome in (first, second)]
    directions = [slope / (jnp.linalg.norm(slope, axis=-1, keepdims=True) + EPSILON) for slope in slopes]
    return Likeness(
        float(jnp.mean(jnp.sum(directions[0] * directions[1], axis=-1))),
        float(jnp.mean(jnp.linalg.norm(slopes[0] - slopes[1], axis=-1))),
        float(jnp.mean(jnp.linalg.norm(outputs[0] - outputs[1], axis=-1))),
    )


@functools.partial(jax.jit, static_argnames="rule")
def copy_sensitivities(rule: Transformer, genome: Genome, tasks: Episode) -> Float[Array, "tokens tokens"]:
    """Mean over tasks of ‖∂t_k/∂e_j‖: context token k after the first layer, token j before it, Frobenius norm.

    Raises:
      TypeError: the rule is no `Transformer`.
    """
    _check_rule(rule, Transformer)

    def sizes(episode: Episode) -> Array:
        tokens, weight = rule.sequence(cast(Batch, episode.support))
        slopes = jax.jacrev(lambda e: rule.through(genome, e, weight)[1])(tokens)  # [k, width, j, width]
        return jnp.sqrt(jnp.sum(slopes**2, axis=(1, 3)))

    return jnp.mean(jax.lax.map(sizes, tasks), axis=0)


class Products(NamedTuple):
    """The two matrices that a layer of one head depends on.

    Attributes:
      scores: Kᵀ Q.
      values: P V.
    """

    scores: Float[Array, "width width"]
    values: Float[Array, "width width"]


def products(genome: Genome) -> Products:
    """Kᵀ Q and P V of a tied genome of one head.

    Raises:
      ValueError: it has several heads or layers.
    """
    if genome["key"].ndim != 3 or genome["key"].shape[0] != 1:
        raise ValueError(f"the keys have shape {genome['key'].shape}; expected those of one head, [1, size, width]")
    return Products(genome["key"][0].T @ genome["query"][0], genome["projection"][0] @ genome["value"][0])


def interpolate(rule: LinearAttention, trained: Genome, constructed: Genome) -> Genome:
    """The genome half-way between a trained and a constructed one: (KᵀQ/m + KᵀQ')/2 and (m PV + PV')/2.

    m is the mean of the first `inputs` diagonal entries of the trained KᵀQ: the scale that both share arbitrarily.
    Where the rule has a W_0, it is the mean of both.

    Raises:
      ValueError: a genome has several heads or layers, or the rule has keys of another size than tokens.
    """
    if rule.key_size not in (None, rule.width):
        raise ValueError(f"key_size is {rule.key_size}; expected that of tokens, {rule.width}")
    for genome in (trained, constructed):
        check_same_genome(genome_shapes(rule), genome, names=("the rule's", "the one given"))
    first, second = products(trained), products(constructed)
    scale = jnp.mean(jnp.diagonal(first.scores)[: rule.inputs])
    one = jnp.eye(rule.width)[None]
    start = {"start": (trained["start"] + constructed["start"]) / 2} if rule.start else {}
    return start | {
        "projection": (scale * first.values + second.values)[None] / 2,
        "value": one,
        "key": one,
        "query": (first.scores / scale + second.scores)[None] / 2,
    }


def best_genome(
    rule: UpdateRule, tasks: Episode, grid: Mapping[str, Float[np.ndarray, "_points"]], rounds: int = 2
) -> Genome:
    """The genome of a few numbers with the least mean loss on `tasks`, which should be validation tasks.

    Args:
      rule: its genome is a number per name in `grid`, as that of `GradientDescentAttention`.
      tasks: to tune on.
      grid: evenly spaced values of each number, or one value; all combinations are tried. Where the best is at an edge,
        the grid moves there and is searched again, until the best is inside.
      rounds: the grid is searched so often, from the second time on between the neighbours of the best.

    Raises:
      ValueError: the grid does not fit the rule's genome, all of it diverges, or its best is still at an edge after
        `MOST_MOVES` moves; or `rounds` is not a whole number of at least 1.
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
"""How often a grid moves towards the best genome."""


def _check_search(rule: UpdateRule, grid: Mapping[str, Float[np.ndarray, "_points"]], rounds: int) -> None:
    """Raises ValueError unless the grid has evenly spaced values for each number of the rule, and there is a round."""
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
    """Where the best genome is on the axes, which move until it is not at an edge."""
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
    """Where the genome with the least loss is on each axis."""
    values = [mesh.ravel() for mesh in np.meshgrid(*axes.values(), indexing="ij")]
    losses = np.asarray(search({n: jnp.asarray(v, jnp.result_type(float)) for n, v in zip(axes, values, strict=True)}))
    if not np.isfinite(losses).any():
        raise ValueError(f"none of the grid's {len(losses)} genomes has a finite loss; expected at least one that has")
    places = np.unravel_index(int(np.nanargmin(losses)), [len(axis) for axis in axes.values()])
    return {name: int(place) for name, place in zip(axes, places, strict=True)}


def _around(axis: Float[np.ndarray, "points"], place: int) -> Float[np.ndarray, "points"]:
    """As many values between the neighbours of one."""
    return np.linspace(axis[max(place - 1, 0)], axis[min(place + 1, len(axis) - 1)], len(axis))
