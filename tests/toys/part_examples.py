"""A small example of every part that files may name: tests run through these tables, and fail where a part is missing.

A new rule, phase, layer or function needs one line here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from blur.core.episode import Batch, make_batch
from blur.core.phases import Chain, ChainRule, Phase, Phases, chain
from blur.core.rule import UpdateRule
from blur.network.activations import ACTIVATIONS, WithDerivative
from blur.network.amendments import Oja
from blur.network.ends import LossGradient, Readout, present_target
from blur.network.synapse_norm import SynapseNormalisation
from blur.network.weights.convolution import Convolution
from blur.rules.bidirectional import Bidirectional
from blur.rules.in_context.constructed import GradientDescentAttention
from blur.rules.in_context.linear_attention import LinearAttention
from blur.rules.in_context.on_engine import data_space, prediction, weight_space
from blur.rules.in_context.transformer import Attend, Descend, Embed, Layer, Perceptron, Transformer
from blur.rules.optax_mlp import OptaxMLP
from blur.rules.original import OriginalNetwork
from blur.rules.two_state_sgd import TwoStateSGD

INPUTS, OUTPUTS, BATCH = 3, 2, 9
"""Nothing else in the examples has the size 9, so an axis of that size is the batch."""

_ORIGINAL = OriginalNetwork(
    (5,),
    states=2,
    oja=Oja(learned=True),
    normalize_synapses=True,
    rescale=True,
    symmetric_in_out_synapses=True,
    symmetric_states_synapses=True,
    use_forward_activations_for_synapse_update=True,
)


def _grouped(phases: dict[str, Phase]) -> Chain:
    """The chain of these phases, in which those that change synapses are one phase called `update`."""
    parts = [(name, phases.pop(name)) for name in ("hebbian", "apply")]
    first = {name: phases.pop(name) for name in ("present", "synapses")}
    return chain(**first, update=Phases((*parts,)), **phases, read=("present", "targets", "forward"), output=prediction)


RULES: dict[str, UpdateRule] = {
    "Bidirectional": Bidirectional((5,), states=2),
    "Bidirectional, dual": Bidirectional((5,), states=2, dual_steps=3),
    "Chain, attention": data_space(),
    "Chain, descent": weight_space(),
    "GradientDescentAttention": GradientDescentAttention(LinearAttention(INPUTS, OUTPUTS), plus_plus=True),
    "LinearAttention": LinearAttention(INPUTS, OUTPUTS, layers=2, heads=2, start=True),
    "OptaxMLP": OptaxMLP((5,), optimizer="momentum", batch_norm=True, decay_steps="life", loss="l2"),
    "OriginalNetwork": _ORIGINAL,
    "Transformer": Transformer(
        INPUTS,
        OUTPUTS,
        layers=(Attend("softmax"), Perceptron(5), Embed(6), Attend(heads=2, key_size=2), Descend(OUTPUTS)),
        tokens="alternating",
        positions=2,
    ),
    "TwoStateSGD": TwoStateSGD((5,), activation="gelu", loss="l2"),
}

CHAINS: dict[str, Chain] = {
    name: rule.chain if isinstance(rule, ChainRule) else rule
    for name, rule in RULES.items()
    if isinstance(rule, ChainRule | Chain)
} | {
    "grouped": _grouped(dict(weight_space().phases.named)),
    "supervised": OriginalNetwork((5,), states=2, supervised_every=2).chain,
}

PHASES: dict[str, tuple[str, str]] = {
    "ApplyChange": ("Bidirectional", "apply"),
    "Backward": ("Bidirectional", "backward"),
    "Decay": ("Bidirectional", "decay"),
    "DenseSynapses": ("Bidirectional", "synapses"),
    "Every": ("supervised", "supervised"),
    "Feedback": ("Bidirectional", "feedback"),
    "Forward": ("Bidirectional", "forward"),
    "Hebbian": ("Bidirectional", "hebbian"),
    "KeepResidual": ("Chain, attention", "remember"),
    "NormaliseSynapses": ("OriginalNetwork", "normalise"),
    "Oja": ("OriginalNetwork", "oja"),
    "Phases": ("grouped", "update"),
    "PresentInput": ("Bidirectional", "input"),
    "PresentPairs": ("Chain, attention", "present"),
    "PresentTargets": ("Chain, descent", "targets"),
    "Remember": ("OriginalNetwork", "remember"),
    "SumSynapses": ("Chain, attention", "written"),
    "TieDirections": ("OriginalNetwork", "tie_directions"),
    "TieStates": ("OriginalNetwork", "tie_states"),
}
"""Where each phase stands: the name of a chain, and the phase's name there."""

LAYERS: dict[str, Layer] = {
    "Attend": Attend("softmax", heads=2, key_size=3, targets_only=2),
    "Descend": Descend(2, initial_step_size=0.5),
    "Embed": Embed(6),
    "Perceptron": Perceptron(5),
}

CALLABLES: dict[str, Any] = {
    "Convolution": Convolution(channels=2, size=3, image=(4, 4, 1)),
    "LossGradient": LossGradient("l2"),
    "Readout": Readout(3.0),
    "SynapseNormalisation": SynapseNormalisation(rescale=True),
    "WithDerivative": WithDerivative("tanh"),
    "prediction": prediction,
    "present_target": present_target,
} | ACTIVATIONS
"""Everything else that a field of a rule, phase or layer may hold."""


def phase_example(name: str) -> tuple[Chain, int]:
    """The chain that a phase stands in, and its place there."""
    owner, field = PHASES[name]
    return CHAINS[owner], CHAINS[owner].phase_names.index(field)


def example_batch(seed: int = 0, size: int = BATCH) -> Batch:
    """Random inputs and ±1 targets of `size` examples."""
    generator = np.random.default_rng(seed)
    return make_batch(generator.normal(size=(size, INPUTS)), generator.choice([-1.0, 1.0], (size, OUTPUTS)))
