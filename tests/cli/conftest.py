"""Files that several commands take."""

from __future__ import annotations

from pathlib import Path

import jax
import pytest

from blur.files.genomes import save_genome
from blur.rules.optax_mlp import OptaxMLP


@pytest.fixture
def adam(tmp_path: Path) -> Path:
    """A genome file: Adam on a small network."""
    rule = OptaxMLP(hidden=(16,), optimizer="adam")
    genome = {**rule.init_genome(jax.random.key(0)), "learning_rate": jax.numpy.asarray(1e-2)}
    return save_genome(tmp_path / "adam.safetensors", rule, genome, description="Adam")
