"""Update rules, one file per family, and the table of those that files and the command line may name."""

from __future__ import annotations

from typing import Any

from blur.network.activations import WithDerivative
from blur.network.amendments import Oja
from blur.network.present import LossGradient, present_target
from blur.original import OriginalNetwork
from blur.rules.bidirectional import Bidirectional
from blur.rules.gradient import OptaxMLP
from blur.rules.two_state_sgd import TwoStateSGD

RULES: dict[str, Any] = {
    "Bidirectional": Bidirectional,
    "OptaxMLP": OptaxMLP,
    "OriginalNetwork": OriginalNetwork,
    "TwoStateSGD": TwoStateSGD,
    "LossGradient": LossGradient,
    "Oja": Oja,
    "WithDerivative": WithDerivative,
    "present_target": present_target,
}
"""Classes and functions that a rule's configuration may mention, by name. Only these are rebuilt from a file."""
