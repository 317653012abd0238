"""Predictions at every prefix, in one call."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

from blur.core.episode import Episode, make_batch
from blur.core.inner_loop import train_on
from blur.models.prefixes import predict_prefixes
from blur.rules.in_context.linear_attention import LinearAttention
from blur.rules.in_context.transformer import Attend, Perceptron, Transformer
from blur.rules.optax_mlp import OptaxMLP

KEY = jax.random.key(0)
RULES = {
    "attention": LinearAttention(3, 2, initial_scale=0.5),
    "transformer": Transformer(3, 2, (Attend("softmax"), Perceptron(4), Attend()), tokens="alternating", positions=4),
    "sgd": OptaxMLP(hidden=(4,), optimizer="sgd"),
}
ONES = make_batch(jnp.ones((4, 3)), jnp.ones((4, 2)))


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_each_row_is_the_prediction_from_the_examples_before(rule):
    x, y = jax.random.normal(KEY, (5, 3)), jax.random.normal(jax.random.key(1), (5, 2))
    genome, steps = rule.init_genome(KEY), 2
    rows = predict_prefixes(rule, genome, KEY, make_batch(x, y), steps)
    assert rows.shape == (5, 2)
    for n in range(1, 5):
        batch = make_batch(x[:n], y[:n])
        state = train_on(rule, genome, KEY, Episode(batch, batch, steps=steps))
        assert jnp.allclose(rows[n], rule.predict(genome, state, x[n : n + 1])[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_a_masked_example_is_in_no_prefix(rule):
    x, y = jax.random.normal(KEY, (5, 3)), jax.random.normal(jax.random.key(1), (5, 2))
    genome, kept = rule.init_genome(KEY), jnp.array([0, 2, 3, 4])
    rows = predict_prefixes(rule, genome, KEY, make_batch(x, y, jnp.array([1.0, 0, 1, 1, 1])), 2)
    without = predict_prefixes(rule, genome, KEY, make_batch(x[kept], y[kept]), 2)
    assert jnp.allclose(rows[kept], without, rtol=1e-4, atol=1e-5)


def test_without_examples_attention_predicts_its_start():
    rule = RULES["attention"]
    batch = make_batch(jnp.ones((4, 3)), jnp.ones((4, 2)))
    assert jnp.array_equal(predict_prefixes(rule, rule.init_genome(KEY), KEY, batch)[0], jnp.zeros(2))


@pytest.mark.parametrize(
    ("examples", "steps", "error", "message"),
    [
        (ONES, 0, ValueError, "steps is 0; expected a whole number of at least 1"),
        (ONES, True, ValueError, "steps is True"),
        (tuple(ONES), 1, TypeError, r"examples is a tuple; expected a Batch, as make_batch"),
        (ONES._replace(inputs=ONES.inputs.at[1, 2].set(jnp.nan)), 1, ValueError, r"inputs \(4, 3\) hold 1 values"),
        (ONES._replace(targets=ONES.targets.at[3].set(jnp.inf)), 1, ValueError, r"targets \(4, 2\) hold 2 values"),
    ],
)
@pytest.mark.usefixtures("no_type_checks")
def test_what_does_not_fit_is_one_line(examples, steps, error, message):
    rule = RULES["attention"]
    with pytest.raises(error, match=message):
        predict_prefixes(rule, rule.init_genome(KEY), KEY, examples, steps)


def test_a_target_of_weight_0_may_be_unknown():
    rule = RULES["attention"]
    unknown = ONES._replace(targets=ONES.targets.at[3].set(jnp.nan), weight=ONES.weight.at[3].set(0))
    expected = predict_prefixes(rule, rule.init_genome(KEY), KEY, ONES)
    assert jnp.allclose(predict_prefixes(rule, rule.init_genome(KEY), KEY, unknown), expected)
