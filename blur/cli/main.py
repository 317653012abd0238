"""The command line: finds the command, runs it, and turns every error into one line.

A command is a dataclass in `blur.cli`: its fields are the options (many are dataclasses of the API), and its method
`run` does the work. Only the module of the typed command is imported, so `blur --help` is quick.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import NamedTuple

from blur import __version__
from blur.cli.options import translate


class Command(NamedTuple):
    """A command: the module and class of its options, and one line for the overview."""

    module: str
    options: str
    summary: str


COMMANDS = {
    "demo": Command("demo_command", "Demo", "meta-train on digits and compare with tuned baselines, in minutes"),
    "meta-train": Command("meta_train_command", "MetaTrain", "find a genome for a task"),
    "evaluate": Command("evaluate_command", "Evaluate", "compare genomes with tuned baselines"),
    "train": Command("train_command", "Train", "train a network on your data with a genome"),
    "predict": Command("predict_command", "Predict", "predict with a trained network"),
    "genome": Command("genome_command", "GenomeCommand", "show, validate or convert a genome file"),
    "benchmark": Command(
        "benchmark_command", "Benchmark", "time the engine against large matrix products, a naive version and SGD"
    ),
    "genomes": Command("lists", "Genomes", "list the genomes that ship with blur"),
    "rules": Command("lists", "Rules", "list the update rules"),
    "tasks": Command("lists", "Tasks", "list the tasks"),
}

EXAMPLES = """\
  blur demo --out runs/demo
  blur meta-train digits --out runs/digits
  blur evaluate runs/digits/genome.safetensors --task digits --steps 10 50 --out runs/digits/evaluation
  blur train runs/digits/genome.safetensors --data mine.npz --steps 50 --out model.safetensors
  blur predict model.safetensors --data new.npz"""

COMPUTING = {"demo", "meta-train", "evaluate", "train", "benchmark"}
"""Commands that compute for a long time."""

TUNABLES, AGAIN = "GLIBC_TUNABLES", "blur_again"
"""The variable of the environment, and the option of the interpreter that marks a second start."""

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130

EXPECTED_ERRORS = (ValueError, TypeError, OSError, FloatingPointError, ImportError)
"""Errors that the library raises for users' mistakes. Other errors are mistakes of the library."""


def start() -> int:
    """The program `blur`: `main` with large pages of memory, on Linux.

    Large pages make gradients of wide networks faster. A process must ask for them before it starts, so the program
    starts itself a second time. A GLIBC_TUNABLES that is set already stays as it is.
    """
    command = next((word for word in sys.argv[1:] if word != "--debug"), "")
    if sys.platform == "linux" and command in COMPUTING and TUNABLES not in os.environ and AGAIN not in sys._xoptions:
        environment = os.environ | {TUNABLES: "glibc.malloc.hugetlb=1"}
        with contextlib.suppress(OSError):  # then without large pages
            os.execve(sys.executable, [sys.executable, "-X", AGAIN, *sys.orig_argv[1:]], environment)
    return main()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit status: 0, 2 after an error, 130 after an interruption."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        return _dispatch(words)
    except KeyboardInterrupt:
        return _fail("interrupted", EXIT_INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader closed the pipe
        return 0
    except Exception as error:
        if debug:
            traceback.print_exc()
        message = " ".join(str(error).split())
        if isinstance(error, EXPECTED_ERRORS):
            return _fail(message or type(error).__name__, EXIT_ERROR)
        return _fail(f"{type(error).__name__}: {message} (unexpected; --debug shows where)", EXIT_ERROR)


def overview() -> str:
    """The text of `blur --help`."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name.ljust(width)}  {entry.summary}" for name, entry in COMMANDS.items()]
    return "\n".join(
        [
            "usage: blur COMMAND [OPTIONS]",
            "",
            "Meta-learn update rules, ship them as small files, measure how far they generalise.",
            "A genome is a small set of numbers that says how a network changes while it learns.",
            "",
            "commands (each has its own --help):",
            *lines,
            "",
            "options:",
            "  --help     this text",
            "  --version  the version of blur",
            "  --debug    show the traceback of an error",
            "",
            "examples:",
            EXAMPLES,
        ]
    )


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("--help", "-h", "help"):
        print(overview())
        return 0
    if words[0] == "--version":
        print(f"blur {__version__}")
        return 0
    if words[0] not in COMMANDS:
        raise ValueError(f"unknown command {words[0]!r}; commands are {', '.join(COMMANDS)}; see blur --help")
    command = _parse(words[0], translate(words[1:]))
    if command is not None:
        command()
    return 0


def _parse(name: str, words: list[str]) -> Callable[[], None] | None:
    """The command's method `run`, with all options read; None after `--help`, which is printed.

    Raises:
      ValueError: the options do not fit; the message is one line.
    """
    import tyro

    entry = COMMANDS[name]
    options = getattr(import_module(f"blur.cli.{entry.module}"), entry.options)
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            command = tyro.cli(options, prog=f"blur {name}", args=words)
    except SystemExit as stop:
        if stop.code in (None, 0):
            return None
        raise ValueError(f"{_plain(complaint.getvalue())}; see blur {name} --help") from None
    return dataclasses.replace(command, words=tuple(words)).run if hasattr(command, "words") else command.run


def _plain(box: str) -> str:
    """The first paragraph of a message that was drawn in a box, as one line."""
    lines = [line.strip("│ \n") for line in box.splitlines() if not line.startswith(("╭", "╰"))]
    end = next((index for index, line in enumerate(lines) if line.startswith("──")), len(lines))
    return " ".join(" ".join(lines[:end]).split()) or "the options do not fit"


def _fail(message: str, status: int) -> int:
    print(f"blur: error: {message}" if status == EXIT_ERROR else f"blur: {message}", file=sys.stderr)
    return status
