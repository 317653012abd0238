"""`blur genome`: show, validate or convert a genome file."""

import dataclasses
import io
import json
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from tyro.conf import Positional, arg

from blur.core.genome import flatten_tensors
from blur.data.npz_source import read_arrays
from blur.files.genomes import (
    SUFFIX,
    find_genome,
    genome_to_json,
    load_genome,
    parameter_count,
    rule_config,
    save_genome,
    validate_genome,
)
from blur.rules.original import OriginalNetwork, backprop_network, from_original, to_original
from blur.support.atomic import write_file
from blur.support.errors import printable


@dataclasses.dataclass(frozen=True)
class Show:
    """Print a genome's rule, card and tensors.

    Attributes:
      file: a genome file, or the name of one that ships with blur.
    """

    file: Annotated[Positional[str], arg(metavar="FILE")]

    def run(self) -> None:
        """Prints the genome."""
        genome = load_genome(self.file)
        print(f"file: {find_genome(self.file)}")
        print(f"parameters: {parameter_count(genome.genome)}")
        for name, value in {"rule": rule_config(genome.rule), **genome.card}.items():
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
            print(f"{name}:", "\n".join(printable(line) for line in text.split("\n")))
        for name, array in flatten_tensors(genome.genome).items():
            print(f"{name} {list(array.shape)}: {np.array2string(array, precision=4, threshold=64, prefix='  ')}")


@dataclasses.dataclass(frozen=True)
class Validate:
    """Check genome files: exit 0 if all are valid; otherwise print one line about the first invalid file.

    Attributes:
      files: genome files, or names of those that ship with blur.
    """

    files: Annotated[Positional[tuple[str, ...]], arg(metavar="FILE …")]

    def run(self) -> None:
        """Checks every file."""
        if not self.files:
            raise ValueError("no file was given; expected at least one genome file")
        for file in self.files:
            validate_genome(file)
            print(f"{file}: valid")


@dataclasses.dataclass(frozen=True)
class Convert:
    """Convert a genome by suffix: .safetensors to .json, and to or from the original implementation's .npz dictionary.

    For instance:
      blur genome convert runs/digits/genome.safetensors genome.json
      blur genome convert original.npz genome.safetensors --hidden 20

    Attributes:
      source: a genome file, the name of one that ships with blur, or an .npz file of the original's arrays.
      target: the file to write.
      hidden: from .npz only: widths of the hidden layers, which the dictionary does not record.
      species: from .npz only: the species whose genome is read.
      backprop: from .npz only: the network is the original's backpropagation network instead of its default network.
        blur.rules.original imports genomes of other networks in Python.
    """

    source: Annotated[Positional[str], arg(metavar="SOURCE")]
    target: Annotated[Positional[Path], arg(metavar="TARGET")]
    hidden: tuple[int, ...] = (64,)
    species: int = 0
    backprop: bool = False

    def run(self) -> None:
        """Converts and prints the name of the new file."""
        if Path(self.source).suffix == ".npz" and self.target.suffix == SUFFIX:
            self._import()
        elif self.target.suffix == ".json":
            write_file(self.target, genome_to_json(load_genome(self.source)))
        elif self.target.suffix == ".npz":
            self._export()
        else:
            raise ValueError(
                f"cannot convert {self.source} to {self.target}; known are {SUFFIX} to .json, {SUFFIX} to .npz and "
                f".npz to {SUFFIX}"
            )
        print(self.target)

    def _import(self) -> None:
        arrays = read_arrays(Path(self.source))
        if "synapse/transform/pre" not in arrays:
            raise ValueError(f"{self.source} has no array 'synapse/transform/pre'; is it the original's dictionary?")
        states = arrays["synapse/transform/pre"].shape[-1]
        if self.backprop and states != 2:
            raise ValueError(f"{self.source} has {states} states, but --backprop is the original's network of 2")
        network = backprop_network(self.hidden) if self.backprop else OriginalNetwork(self.hidden, states)
        genome = from_original(network, arrays, self.species)
        save_genome(self.target, network, genome, description="imported from the original implementation's dictionary")

    def _export(self) -> None:
        file = load_genome(self.source)
        buffer = io.BytesIO()
        np.savez(buffer, **to_original(file.rule, file.genome))  # type: ignore[arg-type]
        write_file(self.target, buffer.getvalue())


GenomeCommand = (
    Annotated[Show, tyro.conf.subcommand("show")]
    | Annotated[Validate, tyro.conf.subcommand("validate")]
    | Annotated[Convert, tyro.conf.subcommand("convert")]
)
