"""`blur train`: train a network on one's own data with a genome."""

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

    The .npz file holds inputs (or images, x): [examples, features] or images; and targets (or labels, y): integers or
    text for classes, floating-point numbers for regression.

    For instance:
      blur train runs/digits/genome.safetensors --data mine.npz --out model.safetensors

    Attributes:
      genome: a genome file, or the name of one that ships with blur.
      data: .npz file with inputs and labels.
      out: the model file to write.
      steps: inner steps; by default as many as in the genome's meta-training (50, if its card does not say). Most
        genomes get worse when they run much longer.
      batch_size: examples per inner step; by default 128, or all where there are fewer.
      hidden: widths of the hidden layers; by default the genome's own.
      seed: decides the initial network and the order of the examples.
    """

    genome: Annotated[Positional[str], arg(metavar="GENOME")]
    data: Path
    out: Path
    steps: int | None = None
    batch_size: int | None = None
    hidden: tuple[int, ...] | None = None
    seed: int = 0

    def run(self) -> None:
        """Trains, saves and says how well the training data are fitted."""
        file = load_genome(self.genome)
        rule = file.rule if self.hidden is None else file.rule.with_hidden(self.hidden)
        inputs, labels = read_labelled_examples(self.data)
        steps = (file.steps or 50) if self.steps is None else self.steps
        model = train(rule, file.genome, inputs, labels, steps=steps, batch_size=self.batch_size, seed=self.seed)
        save_model(self.out, model)
        print(f"{steps} inner steps; on the training data: {describe_fit(predict(model, inputs), labels)}")
        print(f"model: {self.out}")
