"""Meta-train on 10×10 MNIST, then look how the genome generalises: image size, depth, data set, unroll length.

python scripts/meta_train_mnist.py runs/mnist [DATA_DIR]

DATA_DIR holds `mnist/` and `fashion_mnist/` with their published files; without it they are downloaded.
"""

from __future__ import annotations

import sys
from pathlib import Path

import blur


def main(folder: Path, data_dir: str | None) -> None:
    """About ten minutes on two cores for the genome, and a few for each table."""
    rule = blur.Bidirectional(hidden=(64,), states=4)
    task = blur.make_task("mnist", resolution=10, data_dir=data_dir)
    config = blur.MetaTraining(meta_steps=4000, candidates=4, learning_rate=2e-2)
    result = blur.meta_train(blur.Setting(rule, task, unroll=10, batch_size=128), config, out=folder / "run", devices=1)

    learner = blur.Learner("learned", rule, result.genome)
    plans = {
        "image_size": blur.EvaluationPlan(tasks=("mnist",), resolutions=(10, 28), data_dir=data_dir),
        "depth": blur.EvaluationPlan(tasks=("mnist",), resolutions=(10,), depths=(2, 4), data_dir=data_dir),
        "unroll": blur.EvaluationPlan(tasks=("mnist",), resolutions=(10,), unrolls=(50,), data_dir=data_dir),
        "data": blur.EvaluationPlan(tasks=("fashion_mnist",), resolutions=(28,), data_dir=data_dir),
    }
    for name, plan in plans.items():
        records = blur.evaluate([learner], plan)
        blur.write_results(records, plan, folder / name)
        blur.print_results(records)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/mnist"), sys.argv[2] if len(sys.argv) > 2 else None)
