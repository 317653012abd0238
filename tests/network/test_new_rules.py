"""New rules from one phase each, on the public API: feedback alignment, plain Hebbian learning, Oja's rule."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from blur import Phase, chain
from blur.core.episode import make_batch
from blur.core.inner_loop import unroll
from blur.network import ApplyChange, DenseSynapses, Forward, Hebbian, Oja, PresentInput, Readout, amend
from blur.rules.two_state_sgd import TwoStateSGD


# [feedback alignment]
@dataclasses.dataclass(frozen=True)
class FreezeBackward(Phase):
    """Errors travel back through fixed random synapses (Lillicrap et al. 2016)."""

    def apply(self, genome, state, batch):
        frozen = (s._replace(backward=jax.tree.map(jnp.zeros_like, s.backward)) for s in state.change.synapses)
        return amend(state, *frozen)


def feedback_alignment(hidden):
    phases = dict(TwoStateSGD(hidden).chain.phases.named)
    phases["synapses"] = DenseSynapses(hidden, states=1, separate_backward=True)
    apply = phases.pop("apply")
    return chain(**phases, freeze=FreezeBackward(), apply=apply, read=("input", "forward"), output=Readout())


# [end]


def hebbian_chain(decay):
    phases = {
        "synapses": DenseSynapses((), states=1, separate_backward=False, bias=False),
        "input": PresentInput(),
        "forward": Forward(states=1, last_activation="identity"),
        "hebbian": Hebbian(states=1, reference_batch=1.0),
    }
    if decay:
        phases["oja"] = Oja()
    return chain(**phases, apply=ApplyChange(), read=("input", "forward"), output=Readout())


def unit_genome(rule, rate):
    genome = jax.tree.map(jnp.ones_like, rule.init_genome(jax.random.key(0)))
    genome["hebbian"]["update"] = jnp.asarray(rate)
    return genome


def test_feedback_alignment_equals_autodiff_with_fixed_random_feedback():
    with jax.enable_x64(True):
        rule, sgd = feedback_alignment((7, 6)), TwoStateSGD((7, 6), learning_rate=0.1)
        genome = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), sgd.init_genome(jax.random.key(0)))
        genome["synapses"]["backward_scale"] = jnp.ones(())
        x = jax.random.normal(jax.random.key(1), (9, 5), jnp.float64)
        y = 2 * jax.nn.one_hot(jnp.arange(9) % 3, 3, dtype=jnp.float64) - 1
        state = rule.init_state(genome, jax.random.key(2), make_batch(x, y))
        after = jax.jit(rule.step)(genome, state, make_batch(x, y))

        (w1, b1, _), (w2, b2, v2), (w3, b3, v3) = (
            jax.tree.map(lambda leaf: leaf[0], synapse) for synapse in state.synapses
        )
        a1 = jax.nn.relu(x @ w1 + b1)
        a2 = jax.nn.relu(a1 @ w2 + b2)
        delta3 = (jax.nn.softmax(a2 @ w3 + b3) - (y + 1) / 2) / 9
        delta2 = (a2 > 0) * (delta3 @ v3)
        delta1 = (a1 > 0) * (delta2 @ v2)
        for synapse, weights, pre, delta in zip(
            after.synapses, (w1, w2, w3), (x, a1, a2), (delta1, delta2, delta3), strict=True
        ):
            expected = weights - 0.1 * pre.T @ delta
            assert jnp.max(jnp.abs(synapse.forward[0] - expected)) < 1e-14
        for synapse, before in zip(after.synapses[1:], (v2, v3), strict=True):
            assert jnp.array_equal(synapse.backward[0], before)


def test_plain_hebbian_learning_adds_the_correlation_of_both_sides():
    rule = hebbian_chain(decay=False)
    genome = unit_genome(rule, 0.5)
    x = jax.random.normal(jax.random.key(0), (6, 4))
    batch = make_batch(x, jnp.zeros((6, 2)))
    state = rule.init_state(genome, jax.random.key(1), batch)
    w = state.synapses[0].forward[0]
    after = rule.step(genome, state, batch).synapses[0].forward[0]
    assert jnp.max(jnp.abs(after - (w + 0.5 * x.T @ (x @ w) / 6))) < 1e-6


@pytest.mark.parametrize("seed", [0, 1])
def test_ojas_rule_finds_the_first_principal_component(seed):
    with jax.enable_x64(True):
        rule = hebbian_chain(decay=True)
        genome = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), unit_genome(rule, 0.02))
        x = jax.random.normal(jax.random.key(seed), (200, 5), jnp.float64) * jnp.array([3.0, 1.0, 0.5, 0.3, 0.1])
        batch = make_batch(x, jnp.zeros((200, 1)))
        state = rule.init_state(genome, jax.random.key(seed + 10), batch)
        state, _ = jax.jit(lambda state: unroll(rule, genome, state, batch, steps=1000))(state)
        first = jnp.linalg.eigh(x.T @ x)[1][:, -1]
        learned = state.synapses[0].forward[0, :, 0]
        assert min(jnp.max(jnp.abs(learned - first)), jnp.max(jnp.abs(learned + first))) < 1e-6
