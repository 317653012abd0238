"""Meta-train an update rule on regression from random genomes and compare it with tuned optimisers.

python scripts/meta_train_regression.py runs/regression [sine|linear_regression|polynomial]
"""

from __future__ import annotations

import sys
from pathlib import Path

import blur


def main(folder: Path, name: str) -> None:
    """Four minutes on two cores: a run folder, and results beside it."""
    rule = blur.Bidirectional(hidden=(64,), states=4)
    setting = blur.Setting(rule, blur.make_task(name), steps=10, batch_size=128)
    config = blur.MetaTraining(meta_steps=1000, candidates=4)
    result = blur.meta_train(setting, config, out=folder / name / "run")

    plan = blur.EvaluationPlan(tasks=(name,), steps=(10,), episodes=100)
    records = blur.evaluate([blur.Learner("learned", rule, result.genome)], plan)
    blur.write_results(records, plan, folder / name / "evaluation")
    blur.print_results(records)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/regression"), sys.argv[2] if len(sys.argv) > 2 else "sine")
