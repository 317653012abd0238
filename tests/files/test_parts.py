"""Every part that a configuration may hold is found, saved and loaded; nothing else is found."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import numpy as np
import part_examples as examples
import pytest

from blur.core.parts import collect_parts, nameable
from blur.core.phases import Phase
from blur.core.rule import UpdateRule
from blur.files.config import from_config, to_config
from blur.files.genomes import load_genome, save_genome
from blur.network.synapses import DenseSynapses
from blur.rules import RULES
from blur.rules.bidirectional import Bidirectional
from blur.rules.in_context.transformer import Layer, Transformer

PHASES = {
    name: chain.phases.named[place][1] for name in examples.PHASES for chain, place in [examples.phase_example(name)]
}
CHAINS = {f"chain of {name}": chain for name, chain in examples.CHAINS.items()}
PARTS: dict[str, Any] = {**examples.RULES, **CHAINS, **PHASES, **examples.LAYERS, **examples.CALLABLES}


def names(kind: type | None) -> set[str]:
    """Names of the collected classes of a kind; of everything that is of no kind for None."""
    kinds = (UpdateRule, Phase, Layer) if kind is None else (kind,)
    is_of = {name: isinstance(part, type) and issubclass(part, kinds) for name, part in RULES.items()}
    return {name for name, known in is_of.items() if known == (kind is not None)}


@pytest.mark.parametrize(
    ("kind", "table"),
    [(UpdateRule, examples.RULES), (Phase, PHASES), (Layer, examples.LAYERS)],
    ids=["rules", "phases", "layers"],
)
def test_every_collected_part_has_an_example(kind: type, table: dict[str, Any]) -> None:
    assert {type(part).__name__ for part in table.values()} == names(kind)


def test_everything_else_has_an_example() -> None:
    assert set(examples.CALLABLES) == names(None)


@pytest.mark.parametrize("name", PARTS)
def test_every_part_is_saved_and_loaded_as_a_configuration(name: str) -> None:
    config = to_config(PARTS[name], RULES)
    restored = from_config(config, RULES)
    assert restored == PARTS[name]
    assert hash(restored) == hash(PARTS[name])
    assert type(restored) is type(PARTS[name])


@pytest.mark.parametrize("name", {**examples.RULES, **CHAINS})
def test_every_rule_s_genome_file_is_exact(tmp_path: Path, name: str) -> None:
    rule = PARTS[name]
    genome = rule.init_genome(jax.random.key(3))
    file = load_genome(save_genome(tmp_path / "g.safetensors", rule, genome))
    assert file.rule == rule
    assert jax.tree.structure(file.genome) == jax.tree.structure(genome)
    jax.tree.map(np.testing.assert_array_equal, file.genome, genome)
    assert [leaf.dtype for leaf in jax.tree.leaves(file.genome)] == [leaf.dtype for leaf in jax.tree.leaves(genome)]


@pytest.mark.parametrize("layer", examples.LAYERS.values(), ids=examples.LAYERS.keys())
def test_every_layer_s_genome_file_is_exact(tmp_path: Path, layer: Layer) -> None:
    rule = Transformer(3, 2, layers=(layer,))
    genome = rule.init_genome(jax.random.key(3))
    file = load_genome(save_genome(tmp_path / "g.safetensors", rule, genome))
    assert file.rule == rule
    jax.tree.map(np.testing.assert_array_equal, file.genome, genome)


def test_the_chain_of_a_rule_is_saved_too(tmp_path: Path) -> None:
    rule = Bidirectional((8,)).chain
    genome = rule.init_genome(jax.random.key(0))
    assert load_genome(save_genome(tmp_path / "g.safetensors", rule, genome)).rule == rule


# A module as a user might write it.


@dataclasses.dataclass(frozen=True)
class Convolution(DenseSynapses):
    """A new phase, which nobody lists."""

    kernel: int = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unfinished(Phase):
    """Abstract: there is no `apply`."""


@dataclasses.dataclass
class Mutable:
    """Not frozen."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Weights:
    """A pytree: data, not configuration."""

    matrix: Any


@dataclasses.dataclass(frozen=True)
class _Private:
    """Not public."""


class Plain(Bidirectional):
    """Not a dataclass of its own."""


@nameable
def declared(state: Any) -> Any:
    return state


def undeclared(command: str) -> None:
    raise AssertionError("a file must not reach this")


def this_module() -> ModuleType:
    return sys.modules[__name__]


def test_frozen_dataclasses_and_declared_functions_are_collected_and_nothing_else() -> None:
    assert collect_parts([this_module()]) == {"Convolution": Convolution, "declared": declared}


def test_two_parts_of_one_name_are_refused() -> None:
    twin = ModuleType("twin")
    twin.Convolution = dataclasses.make_dataclass("Convolution", [], frozen=True)  # type: ignore[attr-defined]
    twin.Convolution.__module__ = "twin"  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=r"twin and .*test_parts both define Convolution; rename one"):
        collect_parts([this_module(), twin])


def test_what_a_file_may_name_is_defined_in_blur_and_frozen() -> None:
    for name, part in RULES.items():
        if name in examples.ACTIVATIONS:
            continue
        assert part.__module__.startswith(("blur.network", "blur.rules", "blur.core.phases")), name
        if isinstance(part, type):
            assert part.__dataclass_params__.frozen, name
        else:
            assert name in ("prediction", "present_target")


def test_a_rule_is_imported_without_all_others() -> None:
    code = "import sys, blur.rules.bidirectional; assert 'blur.rules.optax_mlp' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
