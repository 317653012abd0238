"""The genomes that ship predict, bit for bit, what they predicted with blur 0.1."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

import blur
from blur.models.fit import predict_outputs

FIXTURE = Path(__file__).parent / "fixtures" / "shipped_predictions.npz"
"""Outputs of every genome: on digits 300 to 309 after 10 steps on batches of 64 of the first 300, or in one context."""


def outputs(name: str) -> np.ndarray:
    """What the genome predicts, as when the fixture was made."""
    file = blur.load_genome(name)
    if file.rule.in_context:
        random = np.random.default_rng(0)
        x = random.uniform(-0.5, 0.5, (12, file.rule.inputs)).astype("f")
        y = (x @ random.normal(size=file.rule.inputs)).astype("f")
        return blur.predict_in_context(file.rule, file.genome, x[:10], y[:10], x[10:], steps=file.steps or 1)
    digits = load_digits()
    images = digits.images.astype(np.uint8)
    model = blur.train(file.rule, file.genome, images[:300], digits.target[:300], batch_size=64, steps=10)
    return predict_outputs(model, images[300:400])[:10]


@pytest.mark.skipif("BLUR_TEST_OPTIMISED" not in os.environ, reason="exact only where tests compile as users do")
@pytest.mark.parametrize("name", blur.list_genomes())
def test_a_shipped_genome_predicts_what_it_did(name: str) -> None:
    with np.load(FIXTURE) as expected:
        np.testing.assert_array_equal(outputs(name), expected[name])
