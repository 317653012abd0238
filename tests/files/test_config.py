"""Configurations: round trips, and one clear line for everything that does not fit."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blur.files.config import config_hash, from_config, to_config


def square(x: float) -> float:
    return x * x


def cube(x: float) -> float:
    return x**3


@dataclasses.dataclass(frozen=True)
class Leaf:
    rate: float = 0.5
    mode: Literal["sum", "mean"] = "sum"
    activation: Callable[[float], float] | None = None


@dataclasses.dataclass(frozen=True)
class Tree:
    hidden: tuple[int, ...] = (64,)
    pair: tuple[str, float] = ("a", 1.0)
    every: int | None = None
    leaf: Leaf = Leaf()
    phases: tuple[tuple[str, Leaf], ...] = ()
    label: Any = None

    def __post_init__(self) -> None:
        if any(width < 1 for width in self.hidden):
            raise ValueError(f"hidden is {self.hidden}, expected positive widths")


KNOWN = {"Tree": Tree, "Leaf": Leaf, "square": square}

leaves = st.builds(
    Leaf,
    rate=st.floats(allow_nan=False, allow_infinity=False),
    mode=st.sampled_from(["sum", "mean"]),
    activation=st.sampled_from([None, square]),
)
trees = st.builds(
    Tree,
    hidden=st.lists(st.integers(1, 10**6), max_size=4).map(tuple),
    pair=st.tuples(st.text(), st.floats(allow_nan=False, allow_infinity=False)),
    every=st.none() | st.integers(),
    leaf=leaves,
    phases=st.lists(st.tuples(st.text(), leaves), max_size=3).map(tuple),
    label=st.none() | st.booleans() | st.text() | leaves,
)


@given(tree=trees)
def test_round_trip_through_json_is_exact(tree: Tree) -> None:
    config = json.loads(json.dumps(to_config(tree, KNOWN), allow_nan=False))
    restored = from_config(config, KNOWN)
    assert restored == tree
    assert hash(restored) == hash(tree)


def test_the_form_is_plain() -> None:
    assert to_config(Tree(leaf=Leaf(activation=square)), KNOWN) == {
        "type": "Tree",
        "hidden": [64],
        "pair": ["a", 1.0],
        "every": None,
        "leaf": {"type": "Leaf", "rate": 0.5, "mode": "sum", "activation": {"function": "square"}},
        "phases": [],
        "label": None,
    }


def test_absent_fields_take_their_defaults_and_ints_become_floats() -> None:
    restored = from_config({"type": "Leaf", "rate": 2}, KNOWN)
    assert restored == Leaf(rate=2.0)
    assert isinstance(restored.rate, float)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"type": "os.system"}, r"config has the unknown type 'os.system'; known are \['Leaf', 'Tree', 'square'\]"),
        ({"hidden": [3]}, "unknown type None"),
        ({"type": ["Leaf"]}, "unknown type"),
        ({"type": "square"}, "is a function, not a type"),
        ({"type": "Leaf", "speed": 1}, "unknown field 'speed'"),
        ({"type": "Leaf", "rate": "fast"}, r"config\.rate is 'fast', expected float"),
        ({"type": "Leaf", "rate": True}, r"config\.rate is True, expected float"),
        ({"type": "Leaf", "mode": "median"}, r"config\.mode is 'median', expected \('sum', 'mean'\)"),
        ({"type": "Leaf", "mode": ["sum"]}, r"config\.mode"),
        ({"type": "Leaf", "activation": {"function": "cube"}}, "unknown type 'cube'"),
        ({"type": "Leaf", "activation": "square"}, r"config\.activation"),
        ({"type": "Tree", "hidden": "64"}, r"config\.hidden is '64'"),
        ({"type": "Tree", "hidden": 64}, r"config\.hidden is 64"),
        ({"type": "Tree", "hidden": [1.5]}, r"config\.hidden\[0\] is 1\.5, expected int"),
        ({"type": "Tree", "hidden": [True]}, r"config\.hidden\[0\] is True, expected int"),
        ({"type": "Tree", "hidden": [0]}, "expected positive widths"),
        ({"type": "Tree", "pair": ["a"]}, r"config\.pair"),
        ({"type": "Tree", "leaf": {"type": "Tree"}}, r"config\.leaf is 'Tree', expected Leaf"),
        ({"type": "Tree", "leaf": [1]}, r"config\.leaf is \[1\], expected Leaf"),
        ({"type": "Tree", "leaf": None}, r"config\.leaf is None, expected Leaf"),
        ({"type": "Tree", "leaf": {"function": "square"}}, r"config\.leaf"),
        ({"type": "Tree", "phases": [["a", 3]]}, r"config\.phases\[0\]\[1\] is 3"),
    ],
)
def test_what_does_not_fit_is_named(config: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        from_config(config, KNOWN)
    assert "\n" not in str(caught.value)


def test_a_missing_field_is_named() -> None:
    @dataclasses.dataclass(frozen=True)
    class Needy:
        width: int

    with pytest.raises(ValueError, match=r"\(Needy\) lacks the field 'width'"):
        from_config({"type": "Needy"}, {"Needy": Needy})


def test_unknown_functions_and_classes_ask_for_known() -> None:
    with pytest.raises(TypeError, match=r"config\.leaf\.activation is cube, .*pass known="):
        to_config(Tree(leaf=Leaf(activation=cube)), KNOWN)
    with pytest.raises(TypeError, match="config is Leaf, which is not in the table"):
        to_config(Leaf(), {})


def test_values_without_a_json_form_are_refused() -> None:
    with pytest.raises(TypeError, match=r"config\.label is a set"):
        to_config(Tree(label={1}), KNOWN)
    with pytest.raises(ValueError, match=r"config\.rate is inf"):
        to_config(Leaf(rate=float("inf")), KNOWN)


def test_the_hash_ignores_the_order_of_keys_and_sees_values() -> None:
    assert config_hash({"a": 1, "b": [2]}) == config_hash({"b": [2], "a": 1})
    assert config_hash({"a": 1}) != config_hash({"a": 2})
    assert config_hash({"a": 1}) == "015abd7f5cc5"
