"""Writes the files that `test_versions.py` reads, in today's format version: `python tests/files/make_fixtures.py`.

Run it once when the format version rises, and never for an older version: what an older blur wrote is what is tested.
"""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
from sklearn.datasets import load_digits

import blur
from blur.files.versions import FORMAT_VERSION
from blur.models.fit import predict_outputs

FIXTURES = Path(__file__).parent / "fixtures"

RULES = {
    "bidirectional": blur.Bidirectional((5, 4)),
    "tied": blur.Bidirectional((5,), synapses="tied"),
    "dual": blur.Bidirectional((5,), dual_steps=4),
    "two_state_sgd": blur.TwoStateSGD((5,)),
    "optax_mlp": blur.OptaxMLP((5,), batch_norm=True, decay_steps=4),
}
"""Trained on the classes of digits; `tied` on two of the pixels, as regression."""


def example_inputs() -> np.ndarray:
    """Pixels 2 … 9 of 60 digits, `[60, 8]`."""
    return load_digits().data[:60, 2:10]


def example_targets(name: str) -> np.ndarray:
    """Labels `[60]`, or real targets `[60, 2]`."""
    digits = load_digits()
    return digits.data[:60, 5:7] / 16.0 if name == "tied" else digits.target[:60]


def make(folder: Path) -> None:
    """A genome, a model and the model's outputs for each rule."""
    folder.mkdir(parents=True, exist_ok=True)
    inputs = example_inputs()
    for name, rule in RULES.items():
        genome = rule.init_genome(jax.random.key(1))
        model = blur.train(rule, genome, inputs, example_targets(name), steps=3, batch_size=20)
        data = {"settings": [{"steps": 3, "batch_size": 20}]}
        blur.save_genome(folder / f"genome_{name}.safetensors", rule, genome, description="fixture", data=data)
        blur.save_model(folder / f"model_{name}.safetensors", model)
        np.save(folder / f"outputs_{name}.npy", predict_outputs(model, inputs[:7]))


if __name__ == "__main__":
    make(FIXTURES / f"v{FORMAT_VERSION}")
