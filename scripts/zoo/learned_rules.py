"""Meta-train the update rules that ship with blur: python scripts/zoo/learned_rules.py NAME … [--data-dir DIR]

Every genome has a recipe, which this script follows stage by stage. The runs of all stages are kept: an interrupted
command continues its runs when it is started again. The same recipe gives the same file on the same kind of machine
with the same versions of this package and its libraries. On other machines rounding leads to another genome, mostly of
the same quality. `regression-k4` is an exception: only some of its four first candidates learn sines, and with other
rounding perhaps none does. Its validation figures show this; another seed helps.

`scripts/zoo/cards.py` then adds test figures to the genome's card.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

import blur
from blur.core.rule import Genome, UpdateRule
from blur.files.genomes import GenomeFile, load_genome, save_genome
from blur.meta.run.folder import parts_of_run
from blur.tasks.task import Task


@dataclasses.dataclass(frozen=True)
class Part:
    """A setting of a mixture, without its data; see `blur.Setting`."""

    task: str
    resolution: int | None = None
    hidden: tuple[int, ...] = (64,)
    steps: int = 10
    batch_size: int = 128
    weight: float = 1.0

    def setting(self, rule: UpdateRule, data_dir: str | None) -> blur.Setting:
        """The setting, with the rule's hidden layers replaced."""
        task = load_task(self.task, self.resolution, data_dir)
        return blur.Setting(rule.with_hidden(self.hidden), task, self.steps, self.batch_size, self.weight)


@dataclasses.dataclass(frozen=True)
class Stage:
    """Meta-training on a mixture. The first stage starts from random genomes, a later one from the stage before."""

    mixture: tuple[Part, ...]
    training: blur.MetaTraining


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The recipe of a genome, and the text of its card.

    Attributes:
      what: the genome, in one sentence.
      works: where it works.
      fails: where it does not work.
      rule: the rule of the genome.
      stages: stages of meta-training, one after the other; without a stage, the rule's own genome ships.
      minutes: the approximate time of all stages.
      machine: the machine of that time.
    """

    what: str
    works: str
    fails: str
    rule: UpdateRule
    stages: tuple[Stage, ...] = ()
    minutes: float = 0.0
    machine: str = "2 CPU cores"

    @property
    def description(self) -> str:
        """The description on the card."""
        return f"{self.what} Works: {self.works} Fails: {self.fails}"


def mnist(depth: int, steps: int = 10, *, weight: float = 1.0) -> Part:
    """MNIST 10×10 with `depth` hidden layers of 64."""
    return Part("mnist", 10, (64,) * depth, steps, weight=weight)


MNIST = (mnist(1),)
BOOLEAN = (Part("xor"), Part("or"))
REGRESSION = (Part("linear_regression"), Part("sine"))


def from_random(mixture: tuple[Part, ...], meta_steps: int, *, learning_rate: float = 2e-2) -> Stage:
    """A first stage: the best of four random genomes."""
    return Stage(mixture, blur.MetaTraining(meta_steps=meta_steps, candidates=4, learning_rate=learning_rate))


def refined(mixture: tuple[Part, ...], meta_steps: int, *, episodes: int = 4, learning_rate: float = 2e-3) -> Stage:
    """A later stage: small steps along means of several meta-gradients, with hard clipping.

    With the default `clip`, a single exploding meta-gradient can undo hundreds of meta-steps in such a stage.
    """
    training = blur.MetaTraining(
        meta_steps=meta_steps, candidates=1, episodes=episodes, learning_rate=learning_rate, clip=0.1
    )
    return Stage(mixture, training)


DEEPER = (
    Stage(
        (mnist(1), mnist(2)),
        blur.MetaTraining(meta_steps=2500, candidates=1, learning_rate=2e-2, seed=1),
    ),
    Stage(
        (
            mnist(1, weight=2.0),
            mnist(2),
            mnist(4, weight=2.0),
            mnist(1, 50, weight=0.5),
            mnist(4, 50, weight=0.25),
        ),
        blur.MetaTraining(meta_steps=3000, candidates=1, learning_rate=1e-2),
    ),
)
"""From one random genome, 1 and 2 hidden layers first: a random genome does not learn in deeper networks."""

SHALLOW_LAST = (*DEEPER, refined(MNIST, 1500))
"""The stages of `DEEPER`, then one hidden layer and 10 steps as in the paper."""

DEEP = (
    mnist(1, weight=2.0),
    mnist(4, weight=2.0),
    mnist(8, weight=0.5),
    mnist(1, 50, weight=2.0),
    mnist(4, 50, weight=2.0),
)


def _boolean(states: int, learning_rate: float) -> Recipe:
    return Recipe(
        what=f"{states} states, meta-trained on xor and or of the plane: 1 hidden layer of 64, 10 steps of 128.",
        works="logical functions of signs, at least as well as tuned SGD.",
        fails="on circles, squares, moons and shifted xor, where tuned SGD is far ahead (claim B9), most of all on "
        "concentric circles.",
        rule=blur.Bidirectional(hidden=(64,), states=states),
        stages=(from_random(BOOLEAN, 3000, learning_rate=learning_rate),),
        minutes=2,
    )


RECIPES: dict[str, Recipe] = {
    "mnist-k4": Recipe(
        what="4 states, meta-trained on MNIST 10×10: first with 1 to 4 hidden layers of 64 and 10 to 50 steps of 128, "
        "last with 1 layer and 10 steps.",
        works="MNIST at 10×10 and 28×28 with 1 hidden layer of any width, at about 10 steps, and with any batch size.",
        fails="no better than tuned baselines with batch normalisation on Fashion-MNIST and with 2 to 5 hidden layers; "
        "forgets after 100 steps.",
        rule=blur.Bidirectional(hidden=(64,), states=4),
        stages=SHALLOW_LAST,
        minutes=15,
        machine="1 CPU core",
    ),
    "mnist-k4-deep": Recipe(
        what="4 states, meta-trained on MNIST 10×10: as mnist-k4, then with 1 to 8 hidden layers of 64 and 10 to 50 "
        "steps of 128.",
        works="1 to 10 hidden layers of any width at 10 steps, images of any size; up to 50 steps with few layers.",
        fails="on Fashion-MNIST, at 200 steps and at 50 with 4 layers, behind tuned momentum with batch normalisation.",
        rule=blur.Bidirectional(hidden=(64,), states=4),
        stages=(*SHALLOW_LAST, refined(DEEP, 1800, episodes=2, learning_rate=3e-3)),
        minutes=30,
        machine="1 CPU core",
    ),
    "mnist-k4-evolved": Recipe(
        what="4 states, one genome for all layers, meta-trained by CMA-ES on MNIST 10×10: 1 hidden layer of 64, 10 "
        "steps of 128.",
        works="MNIST at about 10 steps with 1 hidden layer.",
        fails="behind mnist-k4.",
        rule=blur.Bidirectional(hidden=(64,), states=4, per_layer=None),
        stages=(Stage(MNIST, blur.MetaTraining(outer="CMA_ES", meta_steps=1200, population=64)),),
        minutes=5,
    ),
    "boolean-k2": _boolean(2, 2e-2),
    "boolean-k4": _boolean(4, 5e-3),
    "sgd": Recipe(
        what="Backpropagation with SGD on the softmax cross-entropy as a genome of two states; rate 0.1.",
        works="exactly as SGD does, on any network of ReLUs.",
        fails="where SGD at that rate does: it is there to start from and to compare with.",
        rule=blur.TwoStateSGD(),
    ),
    "regression-k4": Recipe(
        what="4 states, meta-trained on linear and on sine regression: 1 hidden layer of 64, 10 steps of 128.",
        works="sines and linear functions of order one.",
        fails="targets beyond ±4, which its outputs cannot reach.",
        rule=blur.Bidirectional(hidden=(64,), states=4, reference_fan_in=None),
        stages=(from_random(REGRESSION, 3000), refined(REGRESSION, 1500)),
        minutes=10,
    ),
}


@functools.cache
def load_task(name: str, resolution: int | None, data_dir: str | None) -> Task:
    """The task of this name, loaded once."""
    return blur.make_task(name, resolution=resolution, data_dir=data_dir)


def make(name: str, recipe: Recipe, out: Path, runs: Path, data_dir: str | None = None) -> Path:
    """Follows a recipe and writes its genome file.

    Args:
      name: the file's name, without suffix.
      recipe: the recipe.
      out: folder of the file.
      runs: folder of the stages' runs. Runs that it holds already are continued.
      data_dir: folder with raw or prepared data sets.

    Raises:
      ValueError: the folder holds a run of another recipe.
    """
    command = f"python scripts/zoo/learned_rules.py {name}"
    genome: Genome = recipe.rule.init_genome(jax.random.key(0)) if not recipe.stages else None
    files = []
    for number, stage in enumerate(recipe.stages, start=1):
        file = run_stage(stage, recipe.rule, genome, runs / name / f"stage{number}", data_dir)
        genome = file.genome
        files.append(file)
    path = out / f"{name}.safetensors"
    return save_genome(
        path, recipe.rule, genome, **card(recipe, files), description=recipe.description, command=command
    )


def run_stage(stage: Stage, rule: UpdateRule, init: Genome | None, folder: Path, data_dir: str | None) -> GenomeFile:
    """Starts or continues a stage's run."""
    settings = [part.setting(rule, data_dir) for part in stage.mixture]
    blur.meta_train(settings, stage.training, init=init, out=folder, resume=bool(parts_of_run(folder)))
    return load_genome(folder / "genome.safetensors")


def card(recipe: Recipe, stages: Sequence[GenomeFile]) -> Mapping[str, Any]:
    """The card: all settings, each once; for every stage its configuration and the numbers of its settings."""
    settings: list[Any] = []
    trainings = []
    for file in stages:
        own = file.card["data"]["settings"]
        settings += [setting for setting in own if setting not in settings]
        numbers = [settings.index(setting) for setting in own]
        trainings.append({**file.card["meta_training"], "settings": numbers, "validation": file.card["metrics"]})
    training = {"stages": trainings, "minutes": recipe.minutes, "machine": recipe.machine}
    data = {"settings": settings}
    return {"meta_training": training, "data": data, "metrics": stages[-1].card["metrics"]} if stages else {}


def main() -> None:
    """Makes the genomes that the command line names."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("names", nargs="+", choices=RECIPES, metavar="NAME", help=", ".join(RECIPES))
    options.add_argument(
        "--data-dir", help="folder with mnist/ as published; by default BLUR_DATA_DIR, else downloaded"
    )
    options.add_argument("--out", type=Path, default=Path("genomes"), help="folder for genome files")
    options.add_argument("--runs", type=Path, default=Path("runs/zoo"), help="folder for the runs of all stages")
    arguments = options.parse_args()
    for name in arguments.names:
        path = make(name, RECIPES[name], arguments.out, arguments.runs, arguments.data_dir)
        print(f"{path}: {path.stat().st_size:,} bytes", flush=True)


if __name__ == "__main__":
    try:
        main()
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command continues")
