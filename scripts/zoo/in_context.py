"""Train the in-context learners that ship with blur: python scripts/zoo/in_context.py [--out genomes] [NAME …]

Without a name, all are trained. The recipes are the quick ones of claims A3, A4, A7, A8 and A9; they take about fifteen
minutes on two cores.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import sys
import tempfile
from pathlib import Path

from blur.core.rule import UpdateRule
from blur.files.genomes import load_genome, save_genome
from blur.identify.probes import losses_of
from blur.tasks import Task

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "claims"))

from attention import a07_sine, a08_copying, a09_softmax
from attention.common import ATTENTION, CONTEXT, RECIPES, TASK, TEST_KEY, Training, train

TEST_TASKS = 100_000

LINEAR_SCALE = "For 10 inputs uniform on (−½, ½) and y = w·x, w ~ N(0, I)"
SINE_SCALE = (
    "For an input √3 u, u uniform on (−1, 1), so on (−√3, √3), and y = A sin(5 u + φ), A on (0.1, 0.5), φ on (0, π)"
)
MORE_ARE_BETTER = "more are better (up to 100 tried), up to 3 no better than a prediction of 0, or worse"
FEW_DIVERGE = "more are better (up to 100 tried), up to 5 worse than a prediction of 0; with 1 or 2 it diverges"


@dataclasses.dataclass(frozen=True)
class Shipped:
    """A genome that ships, and its training.

    Attributes:
      summary: what the genome does, in one or two sentences.
      other_contexts: how well it does with other numbers of pairs than `CONTEXT`.
      rule: the rule of the genome.
      training: the recipe.
      task: the task of the training.
      scale: the scale of inputs and targets.
    """

    summary: str
    other_contexts: str
    rule: UpdateRule
    training: Training
    task: Task = TASK
    scale: str = LINEAR_SCALE

    @property
    def description(self) -> str:
        """The description on its card."""
        trained = f"{self.scale}, as they are; meta-trained on contexts of {CONTEXT} pairs"
        return f"{self.summary} {trained}: {self.other_contexts}."


def _stack(layers: int) -> Shipped:
    does = "a step of gradient descent" if layers == 1 else f"{layers} steps of GD++"
    stack = "1 layer" if layers == 1 else f"{layers} tied layers"
    start = RECIPES[layers].start
    first = f", with {start.layers} layers at first" if start else ""
    return Shipped(
        f"{stack} of linear self-attention, trained on linear regression in context{first}: nearly {does} (claims A3, "
        "A4).",
        FEW_DIVERGE if layers == 5 else MORE_ARE_BETTER,
        ATTENTION,
        RECIPES[layers],
    )


GENOMES = {
    **{f"linear_attention_{layers}": _stack(layers) for layers in RECIPES},
    "sine_transformer": Shipped(
        "An embedding, a perceptron and a layer of linear attention, trained on sine regression in context (claim A7).",
        "more are better (up to 100 tried), fewer worse",
        a07_sine.ATTENTION,
        a07_sine.RECIPE,
        task=a07_sine.TASK,
        scale=SINE_SCALE,
    ),
    "copying_transformer": Shipped(
        "A softmax and a linear layer on unpaired tokens, trained on linear regression in context: the first gives "
        "every token the next one, so an x its y; the loss is that of a step of gradient descent (claim A8).",
        "up to 3, or 40 and more, are hardly better than a prediction of 0, or worse",
        a08_copying.RULE,
        a08_copying.RECIPE,
    ),
    "softmax_attention": Shipped(
        "Two heads of softmax attention, trained on linear regression in context: roughly a step of gradient descent, "
        "with a larger loss (claim A9).",
        MORE_ARE_BETTER,
        a09_softmax.RULES["2 heads"],
        a09_softmax.RECIPE,
    ),
}


def ship(name: str, folder: Path) -> None:
    """Trains one genome, measures it on test tasks and writes its file."""
    shipped = GENOMES[name]
    with tempfile.TemporaryDirectory() as scratch:
        train(shipped.rule, shipped.training, task=shipped.task, out=Path(scratch) / "run")
        file = load_genome(Path(scratch) / "run" / "genome.safetensors")
    layers, learners = shipped.training.layers, {"genome": (file.rule, file.genome)}
    losses = losses_of(learners, shipped.task, TEST_KEY, TEST_TASKS, context=CONTEXT, steps=layers)["genome"]
    card = {
        **file.card,
        "description": shipped.description,
        "metrics": {**file.card["metrics"], "test_half_squared_error": float(losses.mean()), "test_tasks": TEST_TASKS},
        "command": f"python scripts/zoo/in_context.py {name}",
        "created": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    path = save_genome(folder / f"{name}.safetensors", file.rule, file.genome, **card)
    print(f"{path}: loss {losses.mean():.5f} on {TEST_TASKS:,} test tasks, {path.stat().st_size:,} bytes", flush=True)


def main() -> None:
    """Trains the genomes that the command line names, or all of them."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("names", nargs="*", choices=[[], *GENOMES], metavar="NAME", help=", ".join(GENOMES))
    options.add_argument("--out", type=Path, default=Path("genomes"))
    arguments = options.parse_args()
    for name in arguments.names or GENOMES:
        ship(name, arguments.out)


if __name__ == "__main__":
    main()
