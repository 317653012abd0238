"""Uses an installed blur as a stranger does: a shipped genome trains a network, a shipped context learner predicts.

Run by the Python of a fresh environment, from a folder outside the checkout.
"""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import numpy as np

import blur

assert Path(blur.__file__).is_relative_to(sys.prefix), f"{blur.__file__} is not in {sys.prefix}"
assert metadata.version("blur-rules") == blur.__version__
assert blur.list_genomes(), "the wheel carries no genomes"

random = np.random.default_rng(0)
inputs = random.normal(size=(400, 2))
labels = inputs[:, 0] * inputs[:, 1] > 0  # exclusive or

file = blur.load_genome("boolean-k2")
model = blur.train(file.rule, file.genome, inputs[:300], labels[:300], steps=10)
model = blur.load_model(blur.save_model("model.safetensors", model))
accuracy = np.mean(blur.predict(model, inputs[300:]) == labels[300:])
assert accuracy > 0.9, f"a network trained on exclusive or is right in {accuracy:.0%}"
print(f"blur {blur.__version__}: {len(blur.list_genomes())} genomes; exclusive or learned, accuracy {accuracy:.2f}")
