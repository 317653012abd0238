"""Genome files: a meta-trained update rule as one small, safe, self-describing file."""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Mapping
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from blur import __version__
from blur.core.episode import batch_spec, make_batch
from blur.core.genome import flatten_tensors, genome_shapes
from blur.core.rule import Genome, UpdateRule
from blur.files.config import Known, from_config, to_config
from blur.files.tensors import GenomeFileError, read_tensor_file, restore_tensors, write_tensor_file
from blur.rules import RULES
from blur.support.errors import one_line, short
from blur.support.renamed import tell_new_name

SUFFIX = ".safetensors"

CARD = {
    "description": str,
    "meta_training": dict,
    "data": dict,
    "metrics": dict,
    "command": str,
    "licence": str,
    "created": str,
    "versions": dict,
}
"""What a card may say, and the types: `meta_training` is its resolved configuration, `data` its provenance, `metrics`
what was measured with `command`, `created` a UTC date (given by the caller, so that the same run makes the same bytes),
`versions` of the libraries."""

DEFAULT_LICENCE = "Apache-2.0"


@dataclasses.dataclass(frozen=True)
class GenomeFile:
    """What a genome file holds.

    Attributes:
      rule: the update rule, rebuilt from its configuration.
      genome: its meta-parameters.
      card: where they come from; see `CARD`.

    Examples:
      >>> file = blur.load_genome("sgd")
      >>> file.rule
      TwoStateSGD(hidden=(64,), activation='relu', loss='cross_entropy', learning_rate=0.1)
      >>> file.card["licence"]
      'Apache-2.0'
    """

    rule: UpdateRule
    genome: Genome
    card: Mapping[str, Any]

    @property
    def steps(self) -> int | None:
        """The longest life of its meta-training, in inner steps; None if the card does not say it."""
        data = self.card.get("data")
        settings = data.get("settings") if isinstance(data, Mapping) else None
        settings = settings if isinstance(settings, list) else []
        lives = [setting.get("steps") for setting in settings if isinstance(setting, Mapping)]
        return max((steps for steps in lives if isinstance(steps, int) and steps > 0), default=None)

    @property
    def horizon(self) -> int | None:
        """The old name of `steps`."""
        tell_new_name("GenomeFile.horizon", "GenomeFile.steps")
        return self.steps


def save_genome(path: str | Path, rule: UpdateRule, genome: Genome, *, known: Known | None = None, **card: Any) -> Path:
    """Writes a genome file (`*.safetensors`), whole or not at all. The same arguments give the same bytes.

    Args:
      path: where to.
      rule: the update rule; its configuration is written, so that `load_genome` can rebuild it.
      genome: its meta-parameters, of the structure and shapes that `rule.init_genome` makes.
      known: classes and functions in the configuration that are not in `blur.rules.RULES`, by name.
      **card: entries of the card, see `CARD`; the licence defaults to Apache-2.0, `versions` is filled in.

    Raises:
      TypeError: an entry of the card is unknown or of the wrong type; or the rule's configuration needs `known`.
      ValueError: the genome does not fit the rule or is not finite; or the path has another suffix.

    Examples:
      >>> import jax
      >>> rule = blur.TwoStateSGD(hidden=(8,))
      >>> genome = rule.init_genome(jax.random.key(0))
      >>> path = blur.save_genome("sgd.safetensors", rule, genome, description="plain SGD")
      >>> blur.load_genome(path).rule == rule
      True
    """
    check_suffix(path, "genome")
    card = {"licence": DEFAULT_LICENCE, "versions": library_versions(), **card}
    if problem := _card_problem(card):
        raise TypeError(problem)
    restore_tensors({"genome": genome_shapes(rule)}, flatten_tensors({"genome": genome}), "the genome")
    header = {**card, "rule": rule_config(rule, known)}
    return write_tensor_file(path, "genome", header, {"genome": genome})


def load_genome(path_or_name: str | Path, *, rule: UpdateRule | None = None, known: Known | None = None) -> GenomeFile:
    """Reads a genome file.

    Args:
      path_or_name: a file, or the name of a genome that ships with the package (`list_genomes`).
      rule: used instead of the rule that the file describes.
      known: classes and functions in the rule's configuration that are not in `blur.rules.RULES`, by name.

    Raises:
      FileNotFoundError: there is no such file or name.
      GenomeFileError: the file cannot be used; a `ValueError`.

    Examples:
      >>> file = blur.load_genome("mnist-k4")
      >>> file.rule.states, file.steps
      (4, 50)
    """
    path = find_genome(path_or_name)
    header, tensors = read_tensor_file(path, "genome")
    config = header.pop("rule", None)
    rule = rule or restore_rule(config, known, path)
    genome = restore_tensors(_checked_spec(rule, path), tensors, path)["genome"]
    card = {name: value for name, value in header.items() if name not in ("format", "format_version")}
    if problem := _card_problem(card):
        raise GenomeFileError(f"{path}: {problem}")
    return GenomeFile(rule, genome, card)


def validate_genome(path_or_name: str | Path) -> None:
    """Reads a genome file, and traces an inner step and a prediction with it, without computing them.

    Raises:
      FileNotFoundError: there is no such file or name.
      GenomeFileError: the file cannot be used; a `ValueError`.
    """
    file = load_genome(path_or_name)
    try:
        jax.eval_shape(lambda genome: _step_and_predict(file.rule, genome), file.genome)
    except Exception as error:  # a rule rebuilt from hostile values
        raise GenomeFileError(f"{path_or_name}: the rule cannot learn: {one_line(error)}") from error


def genome_to_json(file: GenomeFile, known: Known | None = None) -> str:
    """Rule, card and tensors (as nested lists, by path) as JSON text; the same file gives the same text."""
    document = {
        "card": dict(file.card),
        "rule": rule_config(file.rule, known),
        "tensors": {name: array.tolist() for name, array in flatten_tensors({"genome": file.genome}).items()},
    }
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def list_genomes() -> list[str]:
    """Names of the genomes that ship with the package.

    Examples:
      >>> "mnist-k4" in blur.list_genomes()
      True
    """
    return sorted(path.stem for folder in _zoo() for path in folder.glob(f"*{SUFFIX}"))


def find_genome(path_or_name: str | Path) -> Path:
    """The path of a file, or of a genome that ships with the package.

    Raises:
      FileNotFoundError: it is neither.
    """
    path = Path(path_or_name)
    if path.exists():
        return path
    for folder in _zoo():
        if path.name == str(path_or_name) and (folder / f"{path.name}{SUFFIX}").is_file():
            return folder / f"{path.name}{SUFFIX}"
    raise FileNotFoundError(f"{path} is neither a file nor a genome of the package; those are {list_genomes()}")


def check_suffix(path: str | Path, kind: str) -> None:
    """Raises ValueError unless the name of a file of this kind ends with `SUFFIX`."""
    if Path(path).suffix != SUFFIX:
        raise ValueError(f"{path} has the suffix {Path(path).suffix!r}, a {kind} file is called *{SUFFIX}")


def rule_config(rule: UpdateRule, known: Known | None = None) -> dict[str, Any]:
    """A rule's configuration as JSON values; the inverse of `restore_rule`.

    Raises:
      TypeError: it mentions a class or function that is neither in `blur.rules.RULES` nor in `known`.
    """
    return to_config(rule, {**RULES, **(known or {})}, "rule")


def restore_rule(config: Any, known: Known | None, source: str | Path) -> UpdateRule:
    """The update rule that a file's configuration describes.

    Raises:
      GenomeFileError: it does not describe one.
    """
    try:
        rule = from_config(config, {**RULES, **(known or {})}, "rule")
    except Exception as error:  # constructors meet hostile values here
        raise GenomeFileError(f"{source}: {one_line(error)}") from error
    if not isinstance(rule, UpdateRule):
        raise GenomeFileError(f"{source}: rule is a {type(rule).__name__}, expected an update rule")
    return rule


def library_versions() -> dict[str, str]:
    """Versions of Python, blur and what its numbers depend on."""
    others = {name: metadata.version(name) for name in ("jax", "numpy", "optax", "evosax")}
    return {"python": platform.python_version(), "blur": __version__, **others}


def parameter_count(genome: Genome) -> int:
    """How many numbers a genome has."""
    return sum(jnp.size(leaf) for leaf in jax.tree.leaves(genome))


def _checked_spec(rule: UpdateRule, source: str | Path) -> PyTree:
    try:
        return {"genome": genome_shapes(rule)}
    except Exception as error:  # a rule rebuilt from hostile values
        raise GenomeFileError(f"{source}: the rule makes no genome: {one_line(error)}") from error


def _step_and_predict(rule: UpdateRule, genome: Genome) -> jax.Array:
    """Predictions after one inner step on a small batch, of the widths that the rule is made for if it names them."""
    widths = rule.inputs or 5, rule.outputs or 3
    batch = make_batch(*(jnp.ones((4, width)) for width in widths))
    state = rule.step(genome, rule.init_state(genome, jax.random.key(0), batch_spec(batch, 1)), batch)
    return rule.predict(genome, state, batch.inputs)


def _card_problem(card: Mapping[str, Any]) -> str | None:
    """What is wrong with a card, if anything."""
    for name, value in card.items():
        if name not in CARD:
            return f"the card has the unknown entry {short(name)}; known: {list(CARD)}"
        if not isinstance(value, CARD[name]):
            return f"the card's {name} is a {type(value).__name__}, expected {CARD[name].__name__}"
    return None


def _zoo() -> list[Path]:
    """The folder of shipped genomes: inside an installed package, beside it in a checkout."""
    package = Path(str(resources.files("blur")))
    checkout = package.parent
    inside, beside = package / "genomes", checkout / "genomes"
    if inside.is_dir():
        return [inside]
    return [beside] if beside.is_dir() and (checkout / "pyproject.toml").is_file() else []
