"""Measures of in-context learners against closed forms."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from blur.identify import probes
from blur.identify.likeness import likeness
from blur.identify.probes import draw_tasks, half_squared_errors, losses_by_layer, losses_of, predictions, sensitivities
from blur.identify.search import best_genome
from blur.rules.in_context.constructed import GradientDescentAttention, gd_plus_plus, gradient_descent
from blur.rules.in_context.inspection import copy_sensitivities, interpolate, products, spectra_by_layer
from blur.rules.in_context.linear_attention import LinearAttention
from blur.rules.in_context.transformer import Attend, Transformer
from blur.tasks import InContextRegression

RULE = LinearAttention(4)
TASK = InContextRegression(4)
KEY = jax.random.key(0)


def tasks(count=50, steps=2, **options):
    return draw_tasks(TASK, KEY, count, context=6, steps=steps, **options)


def test_sensitivities_are_the_weights_after_gradient_descent():
    drawn = tasks(steps=1)
    x, y = drawn.support.inputs, drawn.support.targets[..., 0]
    expected = 0.7 * jnp.einsum("en,end->ed", y, x) / 6
    measured = sensitivities(RULE, gradient_descent(RULE, 0.7), drawn)
    assert jnp.allclose(measured, expected, atol=1e-6)
    outputs = predictions(RULE, gradient_descent(RULE, 0.7), drawn)
    assert jnp.allclose(outputs[:, 0, 0], jnp.sum(expected * drawn.query.inputs[:, 0], axis=-1), atol=1e-6)


def test_a_learner_is_like_itself_and_unlike_its_opposite():
    drawn, genome = tasks(), gradient_descent(RULE, 0.7)
    itself = likeness((RULE, genome), (RULE, genome), drawn)
    assert np.allclose(itself, (1, 0, 0), atol=1e-5)
    opposite = likeness((RULE, gradient_descent(RULE, 0.1)), (RULE, gradient_descent(RULE, -0.1)), tasks(steps=1))
    assert opposite.cosine == pytest.approx(-1, abs=1e-4)
    assert opposite.model_difference > 0
    assert opposite.prediction_difference > 0


def test_the_last_layer_s_loss_is_the_loss():
    drawn, genome = tasks(steps=3), gradient_descent(RULE, 0.7)
    curve = losses_by_layer(RULE, genome, drawn)
    assert curve.shape == (50, 3)
    expected = half_squared_errors(predictions(RULE, genome, drawn), drawn)
    assert jnp.allclose(curve[:, -1], expected, atol=1e-6)
    by_name = losses_of({"gd": (RULE, genome)}, TASK, KEY, 30, context=6, steps=3)
    assert by_name["gd"].shape == (30,)


def test_a_transformer_s_layers_have_losses_of_their_own():
    drawn, genome = tasks(steps=1), gradient_descent(RULE, 0.7)
    curve = losses_by_layer(Transformer(4, 1, (Attend(),) * 3, tied=True), {"0": genome}, drawn)
    assert jnp.allclose(curve, losses_by_layer(RULE, genome, tasks(steps=3)), atol=1e-6)
    assert curve[:, 0].mean() > 1.05 * curve[:, 2].mean()


def test_tasks_that_do_not_fit_together_are_all_different(monkeypatch):
    monkeypatch.setattr(probes, "AT_ONCE", 10)
    losses = losses_of({"gd": (RULE, gradient_descent(RULE, 0.7))}, TASK, KEY, 25, context=6, steps=1)["gd"]
    assert len(losses) == len(np.unique(losses)) == 25


def test_spectra_follow_the_formula_of_gd_plus_plus():
    drawn = tasks(steps=2)
    spectra = spectra_by_layer(RULE, gd_plus_plus(RULE, 0.5, 1.5), drawn)
    assert spectra.shape == (50, 3, 4)
    for layer in range(2):
        before = spectra[:, layer]
        expected = before - 2 * 1.5 * before**2 + 1.5**2 * before**3
        assert jnp.allclose(jnp.sort(expected), spectra[:, layer + 1], atol=1e-6)
    rule = LinearAttention(4, layers=2)
    layered = spectra_by_layer(rule, gd_plus_plus(rule, jnp.full(2, 0.5), jnp.full(2, 1.5)), drawn)
    assert jnp.allclose(layered, spectra, atol=1e-6)
    still = spectra_by_layer(RULE, gradient_descent(RULE, 0.5), drawn)
    assert jnp.allclose(still[:, 0], still[:, 2], atol=1e-6)


def test_interpolating_a_genome_with_itself_changes_no_prediction():
    drawn, constructed = tasks(), gradient_descent(RULE, 0.7)
    rescaled = constructed | {"key": 2 * constructed["key"], "projection": constructed["projection"] / 2}
    merged = interpolate(RULE, rescaled, constructed)
    expected = predictions(RULE, constructed, drawn)
    assert jnp.allclose(predictions(RULE, merged, drawn), expected, atol=1e-6)
    assert jnp.allclose(products(merged).scores, products(constructed).scores)


def test_interpolating_keeps_the_start():
    rule = LinearAttention(4, start=True)
    starts = jnp.ones((1, 4)), jnp.arange(4.0)[None]
    merged = interpolate(rule, *(gradient_descent(rule, 0.7, start) for start in starts))
    assert jnp.allclose(merged["start"], (starts[0] + starts[1]) / 2)
    assert predictions(rule, merged, tasks()).shape == (50, 1, 1)


@pytest.mark.usefixtures("no_type_checks")
def test_rules_and_genomes_that_do_not_fit_are_refused():
    drawn, transformer = tasks(count=3), Transformer(4)
    with pytest.raises(TypeError, match="the rule is a Transformer; expected a LinearAttention"):
        spectra_by_layer(transformer, transformer.init_genome(KEY), drawn)
    with pytest.raises(TypeError, match="the rule is a LinearAttention; expected a Transformer"):
        copy_sensitivities(RULE, RULE.init_genome(KEY), drawn)
    with pytest.raises(ValueError, match=r"genomes differ at \['key'\]: the rule's has \(1, 5, 5\) and the one given"):
        interpolate(RULE, LinearAttention(3).init_genome(KEY), gradient_descent(RULE, 0.7))
    with pytest.raises(ValueError, match=r"genomes differ at \['step_size'\]: the rule's has \(\)"):
        predictions(GradientDescentAttention(RULE), {"rate": jnp.ones(())}, drawn)


def test_products_refuse_several_heads():
    genome = LinearAttention(3, heads=2).init_genome(KEY)
    with pytest.raises(ValueError, match=r"shape \(2, 4, 4\); expected those of one head"):
        products(genome)


def test_the_best_genome_of_one_step_is_the_closed_form():
    rule = GradientDescentAttention(LinearAttention(10))
    drawn = draw_tasks(InContextRegression(), KEY, 20_000, context=10, steps=1, split="validation")
    measured = best_genome(rule, drawn, {"step_size": np.linspace(1.0, 12.0, 23)})
    assert float(measured["step_size"]) == pytest.approx(6.0606, rel=0.05)


@pytest.mark.parametrize("first", [0.0, 30.0])
def test_a_grid_moves_to_the_best_genome(first):
    rule, drawn = GradientDescentAttention(LinearAttention(4)), tasks(steps=1)
    around, moved = (best_genome(rule, drawn, {"step_size": start + np.arange(7.0)}, 3) for start in (5.0, first))
    assert 5 < float(around["step_size"]) < 11
    assert float(moved["step_size"]) == pytest.approx(float(around["step_size"]), abs=0.1)


@pytest.mark.parametrize(
    ("grid", "rounds", "message"),
    [
        ({"step_size": [1e30, 2e30, 3e30]}, 2, "none of the grid's 3 genomes has a finite loss"),
        ({"step_size": [1e3, 1001.0, 1002.0]}, 2, "best step_size is still at the grid's edge, 9.*after 16 moves"),
        ({"step_size": []}, 2, r"the grid's step_size is \[\]; expected one value, or three or more"),
        ({"step_size": [1.0, 2.0]}, 2, r"step_size is \[1.0, 2.0\]; expected one value, or three"),
        ({"step_size": [1.0, 2.0, 4.0]}, 2, "evenly spaced"),
        ({"step_size": [3.0, 2.0, 1.0]}, 2, "increasing"),
        ({}, 2, "the genomes differ at .*step_size.*the grid's has nothing"),
        ({"stepsize": [1.0, 2.0, 3.0]}, 2, "the genomes differ at .*step_size"),
        ({"step_size": [1.0, 2.0, 3.0]}, 0, "rounds is 0; expected a whole number of at least 1"),
    ],
)
def test_a_grid_that_cannot_be_searched_is_refused(grid, rounds, message):
    rule = GradientDescentAttention(LinearAttention(4))
    with pytest.raises(ValueError, match=message):
        best_genome(rule, tasks(steps=1), {name: np.array(axis, float) for name, axis in grid.items()}, rounds)


def test_copy_sensitivities_show_who_reads_whom():
    rule = Transformer(4, 1, (Attend(),), tokens="alternating", positions=2)
    nothing = {name: jnp.zeros((1, 7, 7)) for name in ("projection", "value", "key", "query")}
    drawn = tasks(count=3, steps=1)
    still = copy_sensitivities(rule, {"0": nothing}, drawn)
    assert jnp.allclose(still, jnp.sqrt(7) * jnp.eye(12))
    one, gate = jnp.eye(7)[None], jnp.zeros((1, 7, 7)).at[0, 1, 1].set(1.0)
    genome = {"projection": one, "value": one, "key": gate, "query": gate}  # t_k = e_k + c_k Σ_j c_j e_j / 12
    measured = copy_sensitivities(rule, {"0": genome}, drawn)
    tokens = jax.vmap(lambda batch: rule.sequence(batch)[0])(drawn.support)
    c = tokens[..., 1]
    sizes = jnp.sqrt(9 * c**2 + jnp.sum(tokens**2, axis=-1)) / 12  # ‖c_j I + e_j u₁ᵀ‖ / 12
    expected = jnp.mean(jnp.abs(c)[:, :, None] * sizes[:, None, :], axis=0)
    others = ~jnp.eye(12, dtype=bool)
    assert jnp.allclose(measured[others], expected[others], atol=1e-6)


def test_splits_are_different_tasks():
    assert not jnp.any(tasks().query.inputs == tasks(split="validation").query.inputs)
