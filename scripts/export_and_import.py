"""A genome's three forms: safetensors, JSON for reading, and the original implementation's dictionary of arrays.

python scripts/export_and_import.py runs/export
"""

from __future__ import annotations

import sys
from pathlib import Path

import jax
import numpy as np

import blur
from blur.files.genomes import genome_to_json
from blur.rules.original import OriginalNetwork, from_original, to_original


def main(folder: Path) -> None:
    """Writes a random genome in all three forms into the folder, and reads it back from two of them."""
    network = OriginalNetwork(hidden=(20,), states=2)
    genome = network.init_genome(jax.random.key(0))

    path = blur.save_genome(folder / "random.safetensors", network, genome, description="random")
    file = blur.load_genome(path)
    assert file.rule == network
    jax.tree.map(np.testing.assert_array_equal, file.genome, genome)

    (folder / "random.json").write_text(genome_to_json(file), encoding="utf-8")

    np.savez(folder / "random.npz", **to_original(network, genome))  # type: ignore[arg-type]
    with np.load(folder / "random.npz", allow_pickle=False) as arrays:
        restored = from_original(network, dict(arrays))
    jax.tree.map(np.testing.assert_array_equal, restored, genome)
    print(*sorted(folder.iterdir()), sep="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/export"))
