"""Rules rebuilt at another size keep everything else."""

from __future__ import annotations

import dataclasses

import pytest

from blur.core.rule import UpdateRule
from blur.rules.bidirectional import Bidirectional
from blur.rules.in_context.transformer import Attend, Perceptron, Transformer
from blur.rules.optax_mlp import OptaxMLP


def test_hidden_of_a_rule():
    assert OptaxMLP(hidden=(8,), optimizer="adam").with_hidden((3, 4)) == OptaxMLP(hidden=(3, 4), optimizer="adam")
    assert Bidirectional(hidden=(8,), states=2).with_hidden((3, 4)) == Bidirectional(hidden=(3, 4), states=2)


def test_hidden_of_a_chain_is_that_of_its_phases():
    assert Bidirectional(hidden=(8,)).chain.with_hidden((3, 4)) == Bidirectional(hidden=(3, 4)).chain


def test_the_units_of_a_layer_are_not_the_hidden_layers_of_a_network():
    rule = Transformer(3, layers=(Perceptron(8), Attend()))
    assert rule.hidden is None
    with pytest.raises(ValueError, match="Transformer has no field 'hidden'"):
        rule.with_hidden((3,))


def test_statistics_of_a_rule_and_of_a_chain():
    assert OptaxMLP(statistics="query").statistics == "query"
    assert Bidirectional().chain.statistics == "support"
    assert Constant(2.0).statistics is None
    assert OptaxMLP().with_statistics("query") == OptaxMLP(statistics="query")
    chain = Bidirectional(statistics="support").chain
    assert chain.with_statistics("query") == Bidirectional(statistics="query").chain


@dataclasses.dataclass(frozen=True)
class Constant(UpdateRule):
    """Learns nothing."""

    value: float = 0.0

    def init_genome(self, key):
        return {}

    def init_state(self, genome, key, spec):
        return {}

    def step(self, genome, state, batch):
        return state

    def predict(self, genome, state, inputs):
        return inputs * self.value


def test_rules_without_the_fields():
    assert Constant(2.0).with_statistics("query") == Constant(2.0)
    with pytest.raises(ValueError, match=r"Constant has no field 'hidden'.*expected a rule whose hidden layers can"):
        Constant().with_hidden((3,))
