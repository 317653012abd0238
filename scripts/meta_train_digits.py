"""Meta-train an update rule on the bundled digits and compare it with tuned optimisers.

python scripts/meta_train_digits.py runs/digits
"""

from __future__ import annotations

import sys
from pathlib import Path

import blur


def main(folder: Path) -> None:
    """Two minutes on two cores: a run folder, and results beside it."""
    rule = blur.Bidirectional(hidden=(64,), states=4)
    setting = blur.Setting(rule, blur.make_task("digits"), steps=10, batch_size=128)
    config = blur.MetaTraining(meta_steps=1200, candidates=4, learning_rate=2e-2)
    result = blur.meta_train(setting, config, out=folder / "run")

    plan = blur.EvaluationPlan(tasks=("digits",), steps=(10,), episodes=100)
    records = blur.evaluate([blur.Learner("learned", rule, result.genome)], plan)
    blur.write_results(records, plan, folder / "evaluation")
    blur.print_results(records)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/digits"))
