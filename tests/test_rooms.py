"""The rooms of the package: imports go in one direction, and only the rooms of rules ask which rule they have."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FLOORS = [floor.split(", ") for floor in re.findall(r"^`(.+ ← .+)`$", CONTRIBUTING, re.MULTILINE)[0].split(" ← ")]
RANKS = {room: rank for rank, floor in enumerate(FLOORS) for room in floor}
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "blur").rglob("*.py"))}
ROOMS_OF_RULES = {"rules", "network"}


def room_of(path: Path) -> str:
    """The folder below `blur/`; empty for `blur/__init__.py` and `blur/__main__.py`."""
    return "/".join(path.relative_to(ROOT / "blur").parts[:-1][:1])


def imported(tree: ast.AST) -> Iterator[str]:
    """What a module imports of blur, as dotted names below `blur`, wherever the import stands."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names]
        yield from (name.removeprefix("blur.") for name in names if name.startswith(("blur.", ".")) or name == "blur")


def wrong_imports(room: str, tree: ast.AST) -> list[str]:
    """Imports that do not go to the room itself or to one on a lower floor."""
    allowed = {other for other, rank in RANKS.items() if rank < RANKS[room]} | {room, "__version__"}
    return [name for name in imported(tree) if name.split(".")[0] not in allowed]


def update_rules(trees: Sequence[ast.AST]) -> set[str]:
    """Names of all classes that stand on `UpdateRule`."""
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    found, before = {"UpdateRule"}, set[str]()
    while found != before:
        before = set(found)
        found |= {cls.name for cls in classes if any(name_of(base) in found for base in cls.bases)}
    return found - {"UpdateRule"}


def name_of(node: ast.AST) -> str:
    """The last word of a name: `c` of `a.b.c`, and of `c[T]`."""
    if isinstance(node, ast.Subscript):
        return name_of(node.value)
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def guesses(tree: ast.AST, rules: set[str]) -> list[str]:
    """Calls that ask a rule which class it is of, or what it happens to have."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and len(node.args) > 1]
    return [
        ast.unparse(call)
        for call in calls
        if (name_of(call.func) in ("isinstance", "issubclass") and rules & {*map(name_of, ast.walk(call.args[1]))})
        or (name_of(call.func) in ("getattr", "hasattr") and name_of(call.args[0]).endswith("rule"))
    ]


def test_the_table_of_contributing_and_the_folders_name_the_same_rooms() -> None:
    table = re.findall(r"^\| `blur/(\w+)/` \|", CONTRIBUTING, re.MULTILINE)
    assert table == list(RANKS)
    assert {room_of(path) for path in TREES} == {"", *RANKS}
    assert {path.name for path in TREES if not room_of(path)} == {"__init__.py", "__main__.py"}


@pytest.mark.parametrize("room", RANKS)
def test_imports_go_to_lower_floors(room: str) -> None:
    found = {str(path.relative_to(ROOT)): wrong_imports(room, tree) for path, tree in TREES.items()}
    assert {path: names for path, names in found.items() if names and path.startswith(f"blur/{room}/")} == {}


@pytest.mark.parametrize(
    ("room", "statement", "right"),
    [
        ("core", "from blur.support.errors import short", True),
        ("core", "from blur.core.episode import Batch", True),
        ("core", "from blur.rules import RULES", False),
        ("core", "def f():\n    import blur.rules.original", False),
        ("tasks", "from blur import rules", False),  # a neighbour on the same floor
        ("reports", "from blur import __version__", True),
        ("reports", "from blur import load_genome", False),  # a public name, from its room instead
        ("cli", "from .main import main", False),
        ("core", "import jax", True),
    ],
)
def test_wrong_imports_are_found(room: str, statement: str, right: bool) -> None:
    assert (wrong_imports(room, ast.parse(statement)) == []) == right


def test_rules_are_never_asked_what_they_are() -> None:
    rules = update_rules(list(TREES.values()))
    found = {path: guesses(tree, rules) for path, tree in TREES.items() if room_of(path) not in ROOMS_OF_RULES}
    assert {str(path.relative_to(ROOT)): calls for path, calls in found.items() if calls} == {}


@pytest.mark.parametrize(
    "call",
    [
        "isinstance(rule, Bidirectional)",
        "isinstance(learner.rule, int | rules.Transformer)",
        "isinstance(rule, (int, OptaxMLP))",
        "getattr(rule, 'inputs', 5)",
        "hasattr(self.rule, 'hidden')",
    ],
)
def test_questions_to_rules_are_found(call: str) -> None:
    rules = update_rules(list(TREES.values()))
    assert {"Bidirectional", "Transformer", "OptaxMLP", "Chain"} <= rules
    assert guesses(ast.parse(call), rules) == [ast.unparse(ast.parse(call))]
    assert guesses(ast.parse("isinstance(rule, UpdateRule)\ngetattr(task, 'stream')"), rules) == []
