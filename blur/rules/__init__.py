"""Update rules, one file per family, and the table of those that files and the command line may name."""

from __future__ import annotations

from typing import Any

from blur import network
from blur.core.phases import Chain, Phases
from blur.network import ACTIVATIONS
from blur.rules.bidirectional import Bidirectional
from blur.rules.in_context.constructed import GradientDescentAttention
from blur.rules.in_context.linear_attention import LinearAttention
from blur.rules.in_context.on_engine import KeepResidual, PresentPairs, PresentTargets, SumSynapses, prediction
from blur.rules.in_context.transformer import Attend, Descend, Embed, Perceptron, Transformer
from blur.rules.optax_mlp import OptaxMLP
from blur.rules.original import OriginalNetwork
from blur.rules.two_state_sgd import TwoStateSGD

_RULES = (
    Bidirectional,
    GradientDescentAttention,
    LinearAttention,
    OptaxMLP,
    OriginalNetwork,
    Transformer,
    TwoStateSGD,
    Chain,
)

_PARTS = (
    Phases,
    network.ApplyChange,
    network.Backward,
    network.Convolution,
    network.DenseSynapses,
    network.Every,
    network.Feedback,
    network.Forward,
    network.Hebbian,
    network.LossGradient,
    network.NormaliseSynapses,
    network.Oja,
    network.PresentInput,
    network.Readout,
    network.Remember,
    network.SynapseNormalisation,
    network.TieDirections,
    network.TieStates,
    network.WithDerivative,
    network.present_target,
    Attend,
    Descend,
    Embed,
    KeepResidual,
    Perceptron,
    PresentPairs,
    PresentTargets,
    SumSynapses,
    prediction,
)

RULES: dict[str, Any] = {known.__name__: known for known in (*_RULES, *_PARTS)} | ACTIVATIONS
"""Classes and functions that a rule's configuration may mention, by name. Only these are rebuilt from a file."""
