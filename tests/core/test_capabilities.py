"""Rules and chains declare what they can do, and agree about it."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from part_examples import RULES

from blur.core.episode import make_batch
from blur.core.inner_loop import unroll
from blur.core.phases import Chain, ChainRule, chain
from blur.network import Convolution, DenseSynapses, Forward, PresentInput, Readout
from blur.rules.bidirectional import Bidirectional
from blur.rules.in_context.on_engine import data_space
from blur.rules.two_state_sgd import TwoStateSGD

CHAIN_RULES = {name: rule for name, rule in RULES.items() if isinstance(rule, ChainRule)}


@pytest.mark.parametrize("name", CHAIN_RULES)
def test_a_rule_and_its_chain_declare_the_same(name: str) -> None:
    rule = CHAIN_RULES[name]
    for capability in ("max_steps", "in_context", "hidden", "phase_names", "inputs", "outputs"):
        assert getattr(rule.chain, capability) == getattr(rule, capability)


def test_a_life_that_is_too_long_for_a_chain_is_one_line_not_nan() -> None:
    rule = Bidirectional((4,), states=2, dual_steps=3)
    batch = make_batch(jnp.ones((5, 2)), jnp.ones((5, 2)))
    genome = rule.chain.init_genome(jax.random.key(0))
    state = rule.chain.init_state(genome, jax.random.key(1), batch)
    with pytest.raises(ValueError, match="4 inner steps, but the rule has room for 3; take fewer"):
        unroll(rule.chain, genome, state, batch, 4)


@dataclasses.dataclass(frozen=True)
class Attending(ChainRule):
    """Takes all it can do from its chain."""

    @property
    def chain(self) -> Chain:
        return data_space()


def test_a_chain_rule_takes_its_capabilities_from_the_chain() -> None:
    rule = Attending()
    assert (rule.in_context, rule.hidden, rule.max_steps, rule.statistics) == (True, (), None, None)
    with pytest.raises(ValueError, match=r"Attending derives its hidden layers \(\); make another rule"):
        rule.with_hidden((3,))


def test_only_normalised_phases_have_statistics() -> None:
    assert TwoStateSGD().chain.statistics is None
    assert TwoStateSGD().chain.with_statistics("query") == TwoStateSGD().chain
    assert Bidirectional(statistics="query").chain.statistics == "query"


def test_a_convolution_s_width_cannot_be_set() -> None:
    rule = chain(
        synapses=DenseSynapses((Convolution(channels=2, size=3, image=(4, 4, 1)), 5), states=1),
        input=PresentInput(),
        forward=Forward(states=1),
        read=("input", "forward"),
        output=Readout(),
    )
    assert rule.hidden is None
    with pytest.raises(ValueError, match="expected a rule whose hidden layers can be set"):
        rule.with_hidden((3,))


def test_phases_that_disagree_are_one_line() -> None:
    rule = chain(
        first=DenseSynapses((3,), states=1),
        second=DenseSynapses((4,), states=1),
        read=(),
        output=Readout(),
    )
    with pytest.raises(ValueError, match=r"the phases have different hidden layers: \(3,\) and \(4,\)"):
        _ = rule.hidden


def test_impossible_widths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"hidden is \(0, -3\)"):
        DenseSynapses((0, -3), states=1)
