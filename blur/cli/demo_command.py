"""`blur demo`: from random genomes to a table of results, in minutes."""

import dataclasses
from pathlib import Path

from blur.cli.evaluate_command import compare
from blur.evaluation.plan import EvaluationPlan, Learner
from blur.meta import MetaTraining, Setting, meta_train
from blur.parallel.hosts import cores_as_devices
from blur.rules.bidirectional import Bidirectional
from blur.tasks import make_task


@dataclasses.dataclass(frozen=True)
class Size:
    """How large the demo is."""

    hidden: tuple[int, ...]
    steps: int
    batch_size: int
    meta: MetaTraining
    episodes: int
    tuning_episodes: int


FULL = Size(
    hidden=(64,),
    steps=10,
    batch_size=128,
    meta=MetaTraining(meta_steps=1200, candidates=4, learning_rate=2e-2),
    episodes=100,
    tuning_episodes=32,
)

SMOKE = Size(
    hidden=(8,),
    steps=2,
    batch_size=16,
    meta=MetaTraining(meta_steps=2, candidates=1, validation_episodes=2),
    episodes=2,
    tuning_episodes=2,
)


@dataclasses.dataclass(frozen=True)
class Demo:
    """Meta-train on digits from random genomes and compare the best one with tuned SGD, momentum and Adam.

    For instance:
      blur demo --out runs/demo

    Attributes:
      out: folder for the run and the results. The same command continues an interrupted demo.
      smoke: the smallest demo, which only shows that everything works; its genome does not learn.
    """

    out: Path = Path("runs/demo")
    smoke: bool = False

    def run(self) -> None:
        """Meta-trains, evaluates, and prints how to use the genome."""
        cores_as_devices()
        size = SMOKE if self.smoke else FULL
        rule = Bidirectional(hidden=size.hidden)
        setting = Setting(rule, make_task("digits"), steps=size.steps, batch_size=size.batch_size)
        folder = self.out / "meta-training"
        result = meta_train(setting, size.meta, out=folder, resume=(folder / "config.json").exists())
        plan = EvaluationPlan(
            tasks=("digits",),
            hidden=size.hidden,
            steps=(size.steps,),
            batch_sizes=(size.batch_size,),
            episodes=size.episodes,
            tuning_episodes=size.tuning_episodes,
        )
        compare([Learner("blur", rule, result.genome)], (plan,), self.out / "evaluation")
        print(f"{folder / 'genome.safetensors'}  (use it: blur train, blur evaluate; look at it: blur genome show)")
