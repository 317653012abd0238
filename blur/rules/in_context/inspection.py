"""A look inside attention: spectra of contexts, what tokens copy, the products that a layer depends on."""

from __future__ import annotations

import functools
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from blur.core.episode import Batch, Episode, episode_spec
from blur.core.genome import check_same_genome, genome_shapes
from blur.core.inner_loop import unroll
from blur.core.rule import Genome, UpdateRule
from blur.rules.in_context.linear_attention import LinearAttention
from blur.rules.in_context.tokens import present
from blur.rules.in_context.transformer import Transformer


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
        eigenvalues: Array = jnp.linalg.eigvalsh((weight[:, None] * x).T @ x)
        return eigenvalues

    def spectra(episode: Episode) -> Array:
        support = cast(Batch, episode.support)
        start = rule.init_state(genome, jax.random.key(0), episode_spec(episode))
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
        raise ValueError(f"key_size is {rule.key_size}; expected the width of tokens, {rule.width}")
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
