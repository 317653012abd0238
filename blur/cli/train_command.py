"""`blur train`: train a network on a user's data with a genome."""

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from blur.data.readers import read_labelled_examples
from blur.files.genomes import load_genome
from blur.models.files import save_model
from blur.models.fit import describe_fit, predict, train


@dataclasses.dataclass(frozen=True)
class Train:
    """Train a network on your data with a genome.

    The .npz file holds inputs (or images, x) of shape [examples, features] or [examples, height, width, …], and targets
    (or labels, y): integers or text for classes, floating-point numbers for regression.

    For instance:
      blur train runs/digits/genome.safetensors --data mine.npz --out model.safetensors

    Attributes:
      genome: a genome file, or the name of one that ships with blur.
      data: .npz file with inputs and labels.
      out: the model file to write.
      steps: inner steps; by default the number of the genome's meta-training, or 50 if its card has none. Most genomes
        get worse with many more steps.
      batch_size: examples per inner step; by default 128, or all examples if there are fewer.
      hidden: widths of the hidden layers; by default the genome's own.
      seed: seed of the initial network and of the order of the examples.
    """

    genome: Annotated[Positional[str], arg(metavar="GENOME")]
    data: Path
    out: Path
    steps: int | None = None
    batch_size: int | None = None
    hidden: tuple[int, ...] | None = None
    seed: int = 0

    def run(self) -> None:
        """Trains, saves the model and prints the fit on the training data."""
        file = load_genome(self.genome)
        rule = file.rule if self.hidden is None else file.rule.with_hidden(self.hidden)
        inputs, labels = read_labelled_examples(self.data)
        steps = (file.steps or 50) if self.steps is None else self.steps
        model = train(rule, file.genome, inputs, labels, steps=steps, batch_size=self.batch_size, seed=self.seed)
        save_model(self.out, model)
        print(f"{steps} inner steps; on the training data: {describe_fit(predict(model, inputs), labels)}")
        print(f"model: {self.out}")
