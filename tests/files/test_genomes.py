"""Genome files: what goes in comes out, the same bytes every time, and one clear line for every bad file."""

from __future__ import annotations

import dataclasses
import json
import pickle
import struct
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import blur
from blur import files
from blur.cli.main import main
from blur.core.episode import Batch, Spec
from blur.core.rule import UpdateRule
from blur.files.genomes import (
    GenomeFileError,
    find_genome,
    genome_to_json,
    list_genomes,
    load_genome,
    parameter_count,
    save_genome,
    validate_genome,
)
from blur.network.amendments import Oja
from blur.network.ends import LossGradient
from blur.rules import RULES
from blur.rules.bidirectional import Bidirectional
from blur.rules.optax_mlp import OptaxMLP
from blur.rules.original import OriginalNetwork, backprop_network


@dataclasses.dataclass(frozen=True)
class Tiny(UpdateRule):
    """A linear model with a genome of every container."""

    states: int = 2

    def init_genome(self, key):
        transforms = jax.random.normal(key, (2, self.states, self.states))
        return {
            "forward": {"nu": transforms[0], "scalars": (jnp.full((), 2 / self.states), jnp.zeros(3))},
            "layers": [transforms[1]],
        }

    def init_state(self, genome, key, spec: Spec | Batch):
        return {"weights": jnp.zeros((spec.inputs.shape[-1], spec.targets.shape[-1])), "key": key}

    def step(self, genome, state, batch: Batch):
        return state

    def predict(self, genome, state, inputs):
        return inputs @ state["weights"]


KNOWN = {"Tiny": Tiny}
GENOME = Tiny().init_genome(jax.random.key(3))
CARD = {"description": "a test", "metrics": {"accuracy": 0.5, "command": "blur evaluate"}, "created": "2020-01-01"}


def save_tiny(folder: Path, **card: Any) -> Path:
    return save_genome(folder / "tiny.safetensors", Tiny(), GENOME, known=KNOWN, **card)


def assert_same(a: Any, b: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, a, b)


def raw_file(path: Path, header: Any, tensors: dict[str, np.ndarray] | None = None) -> Path:
    """A safetensors file with any header."""
    tensors = files.tensors.flatten_tensors({"genome": GENOME}) if tensors is None else tensors
    text = header if isinstance(header, str) else json.dumps(header)
    path.write_bytes(safetensors.numpy.save(tensors, {"blur": text}))
    return path


def good_header(**changes: Any) -> dict[str, Any]:
    return {
        "format": "genome",
        "format_version": files.tensors.FORMAT_VERSION,
        "rule": {"type": "Tiny", "states": 2},
        **changes,
    }


def test_round_trip(tmp_path: Path) -> None:
    file = load_genome(save_tiny(tmp_path, **CARD), known=KNOWN)
    assert file.rule == Tiny()
    assert_same(file.genome, GENOME)
    assert {name: file.card[name] for name in CARD} == CARD
    assert file.card["licence"] == "Apache-2.0"
    assert file.card["versions"]["jax"] == jax.__version__
    assert file.card["versions"]["blur"] == blur.__version__
    assert parameter_count(file.genome) == 4 + 1 + 3 + 4


def has_defaults(cls: Any) -> bool:
    """Whether it is a rule that can be made without arguments."""
    try:
        return isinstance(cls(), UpdateRule)
    except TypeError:
        return False


@pytest.mark.parametrize("name", sorted(name for name, cls in RULES.items() if has_defaults(cls)))
def test_round_trip_of_every_known_rule(tmp_path: Path, name: str) -> None:
    rule = RULES[name]()
    genome = rule.init_genome(jax.random.key(0))
    file = load_genome(save_genome(tmp_path / "g.safetensors", rule, genome))
    assert file.rule == rule
    assert_same(file.genome, genome)


def test_a_genome_that_cannot_take_a_step_is_not_valid(tmp_path: Path) -> None:
    rule = dataclasses.replace(OriginalNetwork(hidden=(4,), states=2), feedback=LossGradient(loss="nope"))
    path = save_genome(tmp_path / "g.safetensors", rule, rule.init_genome(jax.random.key(0)))
    load_genome(path)
    with pytest.raises(GenomeFileError, match=r"g\.safetensors: the rule cannot learn: 'nope'"):
        validate_genome(path)
    rule = dataclasses.replace(rule, feedback=LossGradient())
    validate_genome(save_genome(path, rule, rule.init_genome(jax.random.key(0))))


@pytest.mark.parametrize(("field", "value"), [("activation", "nope"), ("hidden", [10**9]), ("normalise", "backward")])
def test_a_rule_of_impossible_options_is_refused(tmp_path: Path, field: str, value: Any) -> None:
    config = {**files.genomes.rule_config(Bidirectional()), field: value}
    with pytest.raises(GenomeFileError, match=field):
        files.genomes.restore_rule(config, None, tmp_path)


def test_genome_show_escapes_control_characters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rule = OptaxMLP()
    card: dict[str, Any] = {"description": "\x1b[2Jgone\x9b", "metrics": {"\x7f": "\u202e"}}
    path = save_genome(tmp_path / "g.safetensors", rule, rule.init_genome(jax.random.key(0)), **card)
    assert main(["genome", "show", str(path)]) == 0
    shown = capsys.readouterr().out
    assert r"description: \x1b[2Jgone\x9b" in shown
    assert r'"\x7f": "\u202e"' in shown
    assert all(line.isprintable() for line in shown.split("\n"))


def test_the_same_genome_gives_the_same_bytes_and_json(tmp_path: Path) -> None:
    first = save_tiny(tmp_path, **CARD).read_bytes()
    assert save_tiny(tmp_path, **dict(reversed(CARD.items()))).read_bytes() == first
    texts = {genome_to_json(load_genome(tmp_path / "tiny.safetensors", known=KNOWN), KNOWN) for _ in range(2)}
    document = json.loads(texts.pop())
    assert not texts
    assert document["rule"] == {"type": "Tiny", "states": 2}
    assert document["tensors"]["genome/forward/scalars/1"] == [0.0, 0.0, 0.0]
    np.testing.assert_array_equal(np.float32(document["tensors"]["genome/layers/0"]), GENOME["layers"][0])


def test_a_given_rule_replaces_the_file_s(tmp_path: Path) -> None:
    path = save_tiny(tmp_path)
    with pytest.raises(GenomeFileError, match=r"unknown type 'Tiny'.*pass known="):
        load_genome(path)
    assert load_genome(path, rule=Tiny()).rule == Tiny()
    with pytest.raises(GenomeFileError, match=r"'genome/forward/nu' has shape \(2, 2\), expected \(3, 3\)"):
        load_genome(path, rule=Tiny(states=3))


def test_precision_follows_the_session(tmp_path: Path) -> None:
    path = save_tiny(tmp_path)
    with jax.enable_x64(True):
        genome = load_genome(path, known=KNOWN).genome
        assert genome["layers"][0].dtype == jnp.float64
        np.testing.assert_array_equal(genome["layers"][0], np.float64(GENOME["layers"][0]))


def test_saving_checks_genome_and_card(tmp_path: Path) -> None:
    path = tmp_path / "g.safetensors"
    with pytest.raises(ValueError, match="lacks the tensor 'genome/forward/nu'"):
        save_genome(path, Tiny(), {"layers": GENOME["layers"]}, known=KNOWN)
    with pytest.raises(ValueError, match="1 of 4 entries that are not finite"):
        save_genome(path, Tiny(), {**GENOME, "layers": [GENOME["layers"][0].at[0, 0].set(jnp.nan)]}, known=KNOWN)
    with pytest.raises(TypeError, match="the card has the unknown entry 'metric'"):
        save_tiny(tmp_path, metric=1)
    with pytest.raises(TypeError, match="the card's metrics is a list, expected dict"):
        save_tiny(tmp_path, metrics=[1])
    with pytest.raises(TypeError, match="pass known="):
        save_genome(path, Tiny(), GENOME)
    with pytest.raises(ValueError, match=r"suffix '.pkl', a genome file is called \*.safetensors"):
        save_genome(tmp_path / "g.pkl", Tiny(), GENOME, known=KNOWN)
    assert list(tmp_path.iterdir()) == []


def deep_json(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


BAD_FILES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "not a safetensors file, or is cut off"),
    "text": (lambda path: path.write_text("hello, I am no genome"), "not a safetensors file"),
    "pickle": (lambda path: path.write_bytes(pickle.dumps({"a": np.zeros(3)})), "not a safetensors file"),
    "folder": (lambda path: path.mkdir(), "is not a file"),
    "long header": (
        lambda path: path.write_bytes(struct.pack("<Q", 2**20 + 1) + b" " * (2**20 + 100)),
        "header of 1048577 bytes, more than the limit of 1048576",
    ),
    "impossible header": (lambda path: path.write_bytes(struct.pack("<Q", 2**63) + b"{}" * 9), "cut off"),
    "foreign": (lambda path: safetensors.numpy.save_file({"a": np.zeros(3)}, path), "but not blur's"),
    "foreign metadata": (lambda path: safetensors.numpy.save_file({}, path, {"x": "y"}), "but not blur's"),
    "not JSON": (lambda path: raw_file(path, "{"), "header that is not JSON"),
    "list": (lambda path: raw_file(path, []), "header that is a list"),
    "NaN in JSON": (lambda path: raw_file(path, '{"format": NaN}'), "NaN is not a JSON number"),
    "nested": (lambda path: raw_file(path, deep_json(60)), "nested deeper than 40"),
    "very nested": (lambda path: raw_file(path, deep_json(50_000)), "not JSON"),
    "model": (lambda path: raw_file(path, good_header(format="model")), "not a genome file: its format is 'model'"),
    "format": (lambda path: raw_file(path, good_header(format=[1])), "not a genome file"),
    "newer": (
        lambda path: raw_file(path, good_header(format_version=3, versions={"blur": "0.7.1"})),
        rf"has format version 3, but this blur-rules {blur.__version__} reads 1 to 2; update blur-rules: "
        r"it needs blur-rules 0\.7\.1, which wrote it, or newer",
    ),
    "newer, by nobody": (
        lambda path: raw_file(path, good_header(format_version=3)),
        r"reads 1 to 2; update blur-rules: it needs a newer one",
    ),
    "version 0": (
        lambda path: raw_file(path, good_header(format_version=0)),
        "has the format version 0; expected a whole number from 1 to 2",
    ),
    "version true": (lambda path: raw_file(path, good_header(format_version=True)), "the format version True"),
    "no rule": (lambda path: raw_file(path, good_header(rule=None)), "rule is a NoneType"),
    "rule is text": (lambda path: raw_file(path, good_header(rule="Tiny")), "rule is a str"),
    "unknown rule": (lambda path: raw_file(path, good_header(rule={"type": "os"})), "unknown type 'os'"),
    "rule field": (lambda path: raw_file(path, good_header(rule={"type": "Tiny", "k": 1})), "unknown field 'k'"),
    "rule value": (lambda path: raw_file(path, good_header(rule={"type": "Tiny", "states": "2"})), "expected int"),
    "bad rule": (lambda path: raw_file(path, good_header(rule={"type": "Tiny", "states": 0})), "makes no genome"),
    "card entry": (lambda path: raw_file(path, good_header(secret=1)), "unknown entry 'secret'"),
    "card type": (lambda path: raw_file(path, good_header(metrics="good")), "metrics is a str, expected dict"),
    "no tensors": (lambda path: raw_file(path, good_header(), {}), "lacks the tensor 'genome/forward/nu'"),
    "more tensors": (
        lambda path: raw_file(path, good_header(), files.tensors.flatten_tensors({"genome": GENOME, "x": np.zeros(2)})),
        "unexpected tensor 'x'",
    ),
    "shape": (lambda path: raw_file(path, good_header(rule={"type": "Tiny", "states": 5})), r"has shape \(2, 2\)"),
    "dtype": (
        lambda path: raw_file(
            path, good_header(), files.tensors.flatten_tensors({"genome": jax.tree.map(jnp.int32, GENOME)})
        ),
        "'genome/forward/nu' has dtype int32, expected float32",
    ),
    "NaN": (
        lambda path: raw_file(
            path, good_header(), files.tensors.flatten_tensors({"genome": jax.tree.map(lambda x: x * np.nan, GENOME)})
        ),
        "'genome/forward/nu' has 4 of 4 entries that are not finite",
    ),
    "overflow": (
        lambda path: raw_file(
            path,
            good_header(),
            files.tensors.flatten_tensors({"genome": jax.tree.map(lambda x: np.full(x.shape, 1e300), GENOME)}),
        ),
        "not finite",
    ),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_every_bad_file_gives_one_line(tmp_path: Path, name: str) -> None:
    make, message = BAD_FILES[name]
    path = tmp_path / "bad.safetensors"
    make(path)
    with pytest.raises(GenomeFileError, match=message) as caught:
        load_genome(path, known=KNOWN)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_an_oversized_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_tiny(tmp_path)
    monkeypatch.setattr(files.tensors, "MAX_FILE_BYTES", 100)
    with pytest.raises(GenomeFileError, match="more than the limit of 100"):
        load_genome(path, known=KNOWN)
    with pytest.raises(ValueError, match="limits are 100"):
        save_tiny(tmp_path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_never_raise_anything_else(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(save_tiny(tmp_path, **CARD).read_bytes())
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        file = load_genome(path, known=KNOWN)
    except GenomeFileError as error:
        assert "\n" not in str(error)
    else:
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(file.genome))


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    content = save_tiny(tmp_path).read_bytes()
    path = tmp_path / "cut.safetensors"
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(GenomeFileError):
            load_genome(path, known=KNOWN)


def test_names_lead_to_the_zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.genomes, "_zoo", lambda: [tmp_path])
    path = save_tiny(tmp_path)
    assert list_genomes() == ["tiny"]
    assert find_genome("tiny") == path
    assert load_genome("tiny", known=KNOWN).rule == Tiny()
    with pytest.raises(FileNotFoundError, match=r"nobody is neither a file nor a genome of the package.*\['tiny'\]"):
        load_genome("nobody")
    with pytest.raises(FileNotFoundError):
        find_genome(f"../{tmp_path.name}/tiny")


def test_the_zoo_is_found_in_a_checkout_and_in_a_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "blur"
    (tmp_path / "genomes").mkdir()
    package.mkdir()
    monkeypatch.setattr(files.genomes.resources, "files", lambda _: package)
    assert files.genomes._zoo() == []
    (tmp_path / "pyproject.toml").touch()
    assert files.genomes._zoo() == [tmp_path / "genomes"]
    (package / "genomes").mkdir()
    assert files.genomes._zoo() == [package / "genomes"]


def test_the_wheel_maps_the_zoo_into_the_package() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"] == {"genomes": "blur/genomes"}


def test_every_shipped_genome_is_valid() -> None:
    for name in list_genomes():
        validate_genome(name)


@pytest.mark.parametrize(
    "rule",
    [
        OriginalNetwork(hidden=(5,), states=4, oja=Oja(), supervised_every=2),
        backprop_network((5, 3)),
        Bidirectional(hidden=(8, 8), per_layer=3, reference_batch=None),
        OptaxMLP(hidden=(), optimizer="momentum"),
    ],
    ids=lambda rule: type(rule).__name__,
)
def test_round_trip_with_other_options(tmp_path: Path, rule: UpdateRule) -> None:
    genome = rule.init_genome(jax.random.key(1))
    file = load_genome(save_genome(tmp_path / "g.safetensors", rule, genome))
    assert file.rule == rule
    assert hash(file.rule) == hash(rule)
    assert_same(file.genome, genome)
