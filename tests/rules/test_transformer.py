"""Transformers: the formulas of their layers, masks, token orders, and what they refuse."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from blur.core.episode import Batch, Episode, make_batch
from blur.core.inner_loop import train_on
from blur.files.genomes import load_genome, save_genome, validate_genome
from blur.rules.in_context.constructed import GradientDescentAttention, gradient_descent
from blur.rules.in_context.linear_attention import LinearAttention
from blur.rules.in_context.transformer import Attend, Descend, Embed, Perceptron, Transformer, weighted_softmax

KEY = jax.random.key(0)
STACKS = {
    "linear": Transformer(3, 2),
    "deep": Transformer(3, 2, (Embed(8), Perceptron(6), Attend(heads=2, key_size=4), Descend(2))),
    "alternating": Transformer(3, 2, (Attend("softmax"), Attend()), tokens="alternating", positions=4),
    "clipped": Transformer(3, 2, (Attend(), Attend("softmax", 2)), clip=0.5),
    "tied": Transformer(3, 2, (Attend("softmax"),) * 3, tied=True),
}
EVERY_STACK = pytest.mark.parametrize("rule", STACKS.values(), ids=STACKS.keys())


def context(count=6, dtype=jnp.float32):
    keys = jax.random.split(KEY, 3)
    x, y, q = (jax.random.normal(k, s, dtype) for k, s in zip(keys, [(count, 3), (count, 2), (4, 3)], strict=True))
    return make_batch(x, y), q


def grown(rule):
    return jax.tree.map(lambda leaf: 2 * leaf, rule.init_genome(KEY))


def predict(rule, genome, batch, queries, steps=1):
    episode = Episode(batch, make_batch(queries, jnp.zeros((len(queries), 2))), steps=steps)
    return rule.predict(genome, train_on(rule, genome, KEY, episode), queries)


def test_one_linear_layer_is_linear_attention():
    batch, queries = context()
    rule, attention = Transformer(3, 2, (Attend(heads=2),)), LinearAttention(3, 2, heads=2)
    genome = jax.tree.map(lambda leaf: 3 * leaf, attention.init_genome(KEY))
    expected = predict(attention, genome, batch, queries)
    assert jnp.allclose(predict(rule, {"0": genome}, batch, queries), expected, rtol=1e-5, atol=1e-6)


def test_a_descending_layer_is_the_constructed_one():
    with jax.enable_x64(True):
        batch, queries = context(dtype=jnp.float64)
        attention = LinearAttention(3, 2)
        expected = predict(attention, gradient_descent(attention, 0.4), batch, queries)
        measured = predict(Transformer(3, 2, (Descend(2),)), {"0": {"step_size": jnp.asarray(0.4)}}, batch, queries)
        assert jnp.max(jnp.abs(measured - expected)) < 1e-14


def test_softmax_attention_follows_its_formula():
    batch, queries = context()
    rule = Transformer(3, 2, (Attend("softmax", heads=2, key_size=4),))
    genome = grown(rule)
    layer = {name: np.asarray(leaf) for name, leaf in genome["0"].items()}
    tokens = np.hstack([batch.inputs, batch.targets])
    asking = np.hstack([queries, np.zeros((4, 2))])
    after = asking.copy()
    for row in range(4):
        for h in range(2):
            scores = np.array([layer["key"][h] @ e @ (layer["query"][h] @ asking[row]) / 2 for e in tokens])
            share = np.exp(scores) / np.exp(scores).sum()
            after[row] += layer["projection"][h] @ layer["value"][h] @ tokens.T @ share
    assert np.allclose(predict(rule, genome, batch, queries), -after[:, 3:], atol=1e-5)


def test_perceptron_and_embedding_follow_their_formulas():
    tokens, view = jnp.arange(6.0).reshape(2, 3), (jnp.zeros((1, 3)), jnp.ones(1))
    genome = Perceptron(5).init_genome(KEY, 3) | {"in_bias": jnp.ones(5), "out_bias": 2 * jnp.ones(3)}
    expected = tokens + jax.nn.gelu(tokens @ genome["in"].T + 1) @ genome["out"].T + 2
    assert jnp.allclose(Perceptron(5).apply(genome, tokens, view), expected)
    embedding = Embed(4).init_genome(KEY, 3)
    assert jnp.allclose(Embed(4).apply(embedding, tokens, view), tokens @ embedding["matrix"].T)


@EVERY_STACK
def test_a_masked_pair_is_not_there(rule):
    batch, queries = context()
    genome, mask = grown(rule), jnp.array([1.0, 1, 1, 1, 0, 0])
    spoilt = batch._replace(weight=mask, targets=batch.targets + 100 * (1 - mask[:, None]))
    other = batch._replace(weight=mask, inputs=batch.inputs - 7 * (1 - mask[:, None]))
    measured = predict(rule, genome, spoilt, queries)
    assert jnp.allclose(measured, predict(rule, genome, other, queries), atol=1e-5)
    assert jnp.max(jnp.abs(measured - predict(rule, genome, batch, queries))) > 1e-4


@EVERY_STACK
def test_a_masked_context_is_a_shorter_one(rule):
    batch, queries = context()
    genome, mask = grown(rule), jnp.array([1.0, 0, 1, 1, 0, 1])
    kept = jax.tree.map(lambda leaf: leaf[mask == 1], batch)
    measured = predict(rule, genome, batch._replace(weight=mask), queries)
    assert jnp.allclose(measured, predict(rule, genome, kept, queries), rtol=1e-5, atol=1e-6)


@EVERY_STACK
def test_nan_in_a_masked_pair_reaches_nothing(rule):
    batch, queries = context()
    genome, mask = grown(rule), jnp.array([1.0, 0, 1, 1, 0, 1])
    gap = (mask == 0)[:, None]
    spoilt = Batch(jnp.where(gap, jnp.nan, batch.inputs), jnp.where(gap, jnp.inf, batch.targets), mask)
    expected = predict(rule, genome, batch._replace(weight=mask), queries)
    assert jnp.array_equal(predict(rule, genome, spoilt, queries), expected)
    slope = jax.grad(lambda genome: predict(rule, genome, spoilt, queries).sum())(genome)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))


def test_tied_layers_are_the_steps_of_linear_attention():
    batch, queries = context()
    attention = LinearAttention(3, 2, heads=2)
    genome = attention.init_genome(KEY)  # larger ones grow to 1e17, where float32 tells nothing
    rule = Transformer(3, 2, (Attend(heads=2),) * 4, tied=True)
    assert jax.tree.map(jnp.shape, rule.init_genome(KEY)) == {"0": jax.tree.map(jnp.shape, genome)}
    expected = predict(attention, genome, batch, queries, steps=4)
    assert jnp.allclose(predict(rule, {"0": genome}, batch, queries), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["linear", "softmax"])
def test_damped_layers_change_as_much_less(kind):
    batch, queries = context()
    rules = [Transformer(3, 2, (Attend(kind, damping=damping),)) for damping in (1.0, 0.25)]
    genome = grown(rules[0])
    whole, damped = (predict(rule, genome, batch, queries) for rule in rules)
    assert jnp.allclose(damped, whole / 4, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("targets_only", [False, True])
def test_damped_layers_that_change_targets_are_those_of_linear_attention(targets_only):
    batch, queries = context()
    attention = LinearAttention(3, 2, damping=0.75, targets_only=targets_only)
    rule = Transformer(3, 2, (Attend(damping=0.75, targets_only=2 if targets_only else None),) * 3, tied=True)
    genome = jax.tree.map(lambda leaf: 3 * leaf, attention.init_genome(KEY))
    expected = predict(attention, genome, batch, queries, steps=3)
    assert jnp.allclose(predict(rule, {"0": genome}, batch, queries), expected, rtol=1e-4, atol=1e-6)


def test_a_layer_s_prediction_is_that_of_the_layers_up_to_it():
    batch, queries = context()
    layers = (Embed(8), Perceptron(6), Attend("softmax", heads=2), Attend())
    rule = Transformer(3, 2, layers, clip=2.0)
    genome = grown(rule)
    episode = Episode(batch, make_batch(queries, jnp.zeros((4, 2))), steps=1)
    measured = rule.predict_by_layer(genome, train_on(rule, genome, KEY, episode), queries)
    assert measured.shape == (4, 4, 2)
    for count in range(1, 5):
        prefix = {str(index): genome[str(index)] for index in range(count)}
        expected = predict(Transformer(3, 2, layers[:count], clip=2.0), prefix, batch, queries)
        assert jnp.allclose(measured[count - 1], expected, rtol=1e-5, atol=1e-6)


def test_clipped_layers_follow_their_formula():
    batch, queries = context()
    rule = Transformer(3, 2, (Attend(),) * 3, clip=0.8, tied=True)
    genome = jax.tree.map(lambda leaf: 3 * leaf, rule.init_genome(KEY))
    layer = {name: leaf[0] for name, leaf in genome["0"].items()}
    values, scores = layer["projection"] @ layer["value"], layer["key"].T @ layer["query"]
    tokens, asking = jnp.hstack([batch.inputs, batch.targets]), jnp.pad(queries, ((0, 0), (0, 2)))
    for _ in range(3):
        fast = (values @ (tokens.T @ tokens / 6) @ scores).T
        asking, tokens = jnp.clip(asking + asking @ fast, -0.8, 0.8), jnp.clip(tokens + tokens @ fast, -0.8, 0.8)
    assert jnp.allclose(predict(rule, genome, batch, queries), -asking[:, 3:], rtol=1e-4, atol=1e-5)
    assert jnp.max(jnp.abs(asking[:, 3:])) > 0.05


@EVERY_STACK
def test_without_a_context_the_prediction_is_finite(rule):
    batch, queries = context()
    genome = grown(rule)
    nothing = predict(rule, genome, batch._replace(weight=jnp.zeros(6)), queries)
    untrained = rule.predict(genome, rule.init_state(genome, KEY, batch), queries)
    assert jnp.all(jnp.isfinite(nothing))
    assert jnp.allclose(nothing, untrained, atol=1e-6)


@EVERY_STACK
def test_reading_a_context_twice_changes_nothing_and_keeps_the_state_s_form(rule):
    batch, queries = context()
    genome = grown(rule)
    start = rule.init_state(genome, KEY, batch)
    assert jax.tree.map(jnp.shape, start) == jax.tree.map(jnp.shape, rule.step(genome, start, batch))
    assert jnp.array_equal(predict(rule, genome, batch, queries), predict(rule, genome, batch, queries, steps=2))


@EVERY_STACK
def test_genomes_go_through_files(rule, tmp_path):
    path = save_genome(tmp_path / "g.safetensors", rule, rule.init_genome(KEY))
    assert load_genome(path).rule == rule


@pytest.mark.parametrize("rule", [Transformer(10), LinearAttention(4, 2), GradientDescentAttention(LinearAttention(7))])
def test_files_are_validated_with_the_widths_of_their_rules(rule, tmp_path):
    validate_genome(save_genome(tmp_path / "g.safetensors", rule, rule.init_genome(KEY)))


def test_alternating_tokens_take_turns_behind_their_positions():
    batch, _ = context(count=2)
    tokens, weight = STACKS["alternating"].sequence(batch._replace(weight=jnp.array([1.0, 0.5])))
    assert jnp.array_equal(weight, jnp.array([1, 1, 0.5, 0.5]))
    assert jnp.array_equal(tokens[::2, 4:7], batch.inputs)
    assert jnp.array_equal(tokens[1::2, 7:], batch.targets)
    assert not tokens[::2, 7:].any()
    assert not tokens[1::2, 4:7].any()
    assert jnp.allclose(tokens[3, :4], jnp.array([jnp.sin(3.0), jnp.cos(3.0), jnp.sin(0.03), jnp.cos(0.03)]), atol=1e-6)


def test_a_query_stands_behind_the_context():
    """One linear layer that writes q·k of the positions alone: Σ_j cos(p − j) over the context's places j."""
    batch, queries = context(count=3)
    rule = Transformer(3, 2, positions=2)
    gate = jnp.diag(jnp.array([1.0, 1, 0, 0, 0, 0, 0]))
    write = jnp.zeros((7, 7)).at[6, 6].set(1.0)
    genome = {"projection": write[None], "value": write[None], "key": gate[None], "query": gate[None]}
    for weight, place in (([1.0, 1, 1], 3), ([1.0, 0, 1], 2)):
        weight, places = jnp.array(weight), jnp.array(weight).cumsum() - 1
        shares = weight * jnp.cos(place - places) / weight.sum()
        predicted = predict(rule, {"0": genome}, batch._replace(weight=weight), queries)
        assert jnp.allclose(predicted[:, 1], -shares @ batch.targets[:, 1], atol=1e-6)


@EVERY_STACK
def test_a_pair_of_weight_two_is_two_pairs(rule):
    batch, queries = context()
    rule, genome = dataclasses.replace(rule, positions=0), grown(dataclasses.replace(rule, positions=0))
    weighted = predict(rule, genome, batch._replace(weight=jnp.array([2.0, 1, 1, 1, 1, 1])), queries)
    twice = jax.tree.map(lambda leaf: jnp.concatenate([leaf[:1], leaf]), batch)
    assert jnp.allclose(weighted, predict(rule, genome, twice, queries), rtol=1e-5, atol=1e-6)
    halved = predict(rule, genome, batch._replace(weight=jnp.array([1.0, 0.5, 0.5, 0.5, 0.5, 0.5])), queries)
    assert jnp.allclose(weighted, halved, rtol=1e-5, atol=1e-6)
    assert jnp.max(jnp.abs(weighted - predict(rule, genome, batch, queries))) > 1e-5


def test_clipping_bounds_the_predictions():
    batch, queries = context()
    rule = STACKS["clipped"]
    genome = jax.tree.map(lambda leaf: 100 * leaf, rule.init_genome(KEY))
    assert jnp.max(jnp.abs(predict(rule, genome, batch, queries))) == 0.5


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_weighted_softmax_leaves_out_what_weighs_nothing(scale):
    shares = weighted_softmax(scale * jnp.array([[1.0, 50.0, 1.0]]), jnp.array([1.0, 0.0, 3.0]))
    assert jnp.allclose(shares, jnp.array([[0.25, 0, 0.75]]))
    slope = jax.grad(lambda s: weighted_softmax(s, jnp.zeros(3)).sum())(jnp.ones(3))
    assert jnp.array_equal(slope, jnp.zeros(3))


@pytest.mark.usefixtures("no_type_checks")
def test_what_does_not_fit_is_refused():
    rule, (batch, _) = STACKS["linear"], context()
    genome = rule.init_genome(KEY)
    with pytest.raises(ValueError, match=r"inputs \(6, 2\) and targets \(6, 2\).*3 \+ 2"):
        rule.init_state(genome, KEY, batch._replace(inputs=batch.inputs[:, :2]))
    with pytest.raises(ValueError, match=r"inputs \(0, 3\)"):
        rule.init_state(genome, KEY, jax.tree.map(lambda leaf: leaf[:0], batch))
    with pytest.raises(ValueError, match=r"shape \(2, 4\).*3 inputs"):
        rule.predict(genome, rule.init_state(genome, KEY, batch), jnp.ones((2, 4)))
    with pytest.raises(ValueError, match=r"shape \(0, 3\).*at least one query"):
        rule.predict(genome, rule.init_state(genome, KEY, batch), jnp.ones((0, 3)))
    with pytest.raises(
        ValueError, match=r"\['0'\]\['key'\]: the rule's has \(1, 5, 5\) and the one given has \(1, 4, 4\)"
    ):
        rule.init_state(Transformer(3, 1).init_genome(KEY), KEY, batch)
    with pytest.raises(ValueError, match="types float32, int32, float32, but the genome is float32"):
        rule.step(genome, rule.init_state(genome, KEY, batch), batch._replace(targets=jnp.ones((6, 2), int)))
    with pytest.raises(ValueError, match="positions is 3"):
        Transformer(3, positions=3)
    with pytest.raises(ValueError, match="without layers"):
        Transformer(3, layers=())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Attend("sofmax"), "kind is 'sofmax'; did you mean 'softmax'"),
        (lambda: Attend(heads=0), "heads is 0"),
        (lambda: Attend(initial_scale=-1.0), "initial_scale is -1.0; expected a finite number"),
        (lambda: Perceptron(0), "hidden is 0"),
        (lambda: Embed(-1), "width is -1"),
        (lambda: Transformer(0), "inputs is 0"),
        (lambda: Transformer(3, clip=-1), "clip is -1; expected a positive number"),
        (lambda: Attend(damping=float("inf")), "damping is inf; expected a finite number"),
        (lambda: Attend(targets_only=0), "targets_only is 0; expected at least 1"),
        (lambda: Transformer(3, layers=(Attend(targets_only=2),)), "targets_only=2, but the transformer 1 outputs"),
        (lambda: Descend(0), "outputs is 0"),
        (lambda: Transformer(3, 2, (Descend(),)), "Descend has 1 outputs, but the transformer 2"),
        (lambda: Transformer(3, 2, (Embed(1),)), "Embed has width 1, but there are 2 outputs"),
        (lambda: Transformer(3, layers=(Attend(), Attend("softmax")), tied=True), "expected equal ones"),
        (lambda: Transformer(3, layers=(Embed(4),), tied=True), "that keep the tokens' width"),
        (lambda: Transformer(3, layers=("attend",)), "a layer is 'attend'; expected layers such as Attend"),
        (lambda: Transformer(3, tokens="triples"), "tokens is 'triples'; expected one of paired, alternating"),
    ],
)
@pytest.mark.usefixtures("no_type_checks")
def test_unknown_names_and_sizes_below_one_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
