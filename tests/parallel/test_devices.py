"""Eight devices, and two processes of two devices each, find what one device finds; their folder is written once."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import jax
import many_devices
import numpy as np
import pytest
from jax.sharding import Mesh
from many_devices import CASES, INTERRUPTED, KNOWN, run

from blur.files.genomes import load_genome
from blur.meta.run.folder import parts_of_run
from blur.parallel.devices import replicate, training_mesh
from blur.parallel.hosts import Machines

pytestmark = pytest.mark.xdist_group("devices")  # one process makes the fixtures


def start(folder: Path, devices: int, processes: int) -> list[list[str]]:
    """What every process of `many_devices.py` said until its end, in lines."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    words = [sys.executable, many_devices.__file__, str(folder), str(devices), str(processes)]
    children = [
        subprocess.Popen([*words, str(i), address], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for i in range(processes)
    ]
    try:
        said = [child.communicate(timeout=300)[1] for child in children]
    finally:
        for child in children:
            child.kill()
    assert [child.returncode for child in children] == [0] * processes, said
    return [text.splitlines() for text in said]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The folder of all cases on one device."""
    folder = tmp_path_factory.mktemp("alone")
    for case in CASES:
        run(case, folder)
    return folder


@pytest.fixture(scope="module")
def eight(tmp_path_factory):
    """The folder of all cases on eight devices, and what its process said."""
    folder = tmp_path_factory.mktemp("eight")
    return folder, start(folder, 8, 1)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The folder of all cases in two processes, and what they said."""
    folder = tmp_path_factory.mktemp("two")
    return folder, start(folder, 2, 2)


def assert_same(folder: Path, other: Path) -> None:
    """Genomes and metrics of two runs agree to 1e-5, meta-step by meta-step, each of which is written once."""
    there, here = (
        [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()] for path in (folder, other)
    )
    assert len(there) == len(here) == 12 + 2
    for a, b in zip(there, here, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_allclose(np.array(a[name], float), np.array(b[name], float), rtol=1e-5, err_msg=name)
    first, second = (load_genome(path / "genome.safetensors", known=KNOWN) for path in (folder, other))
    np.testing.assert_allclose(first.genome["log_rate"], second.genome["log_rate"], rtol=1e-5)
    assert first.card["metrics"]["meta_step"] == second.card["metrics"]["meta_step"]
    assert (folder / "config.json").read_text() == (other / "config.json").read_text()
    assert sorted(file.name for file in folder.iterdir()) == sorted(file.name for file in other.iterdir())


@pytest.mark.parametrize("machines", ["eight", "two"])
@pytest.mark.parametrize("case", [case for case in CASES if case != INTERRUPTED])
def test_many_devices_find_what_one_finds(machines, case, alone, request):
    folder, _ = request.getfixturevalue(machines)
    assert_same(folder / case, alone / case)


@pytest.mark.parametrize("machines", ["eight", "two"])
def test_a_run_on_many_devices_is_resumed_on_one(machines, alone, request):
    folder, _ = request.getfixturevalue(machines)
    assert [path.name for path in (folder / INTERRUPTED / "checkpoints").iterdir()] == ["1"]  # within a life
    assert not (folder / INTERRUPTED / "genome.safetensors").exists()
    run(INTERRUPTED, folder, resume=True)
    assert_same(folder / INTERRUPTED, alone / INTERRUPTED)


def test_devices_divide_the_learners_and_replicate_the_data(eight):
    _, [said] = eight
    assert "learners: {(1, 2)}" in said  # of 2 candidates with a population of 8
    assert "copies of data: {8}" in said


def test_one_interrupted_process_stops_all_and_the_first_one_speaks(two):
    folder, [first, second] = two
    assert "interrupted" in first and "interrupted" in second
    message = f"interrupted after 1 of 12 meta-steps; resume with --resume --out {folder / INTERRUPTED}"
    assert first.count(message) == 1
    assert message not in second


def test_what_one_process_cannot_do_all_refuse(two):
    folder, [first, second] = two
    elsewhere = "another process of this run could not go on; its message says why"
    assert f"{folder / 'adam'} holds a run already; resume it (--resume) or choose another folder" in first
    assert "holds a run with meta_training.seed = 0, not 1;" in "\n".join(second)
    assert first.count(elsewhere) == second.count(elsewhere) == 1  # each speaks for what it saw itself


@pytest.mark.parametrize(
    "message",
    [
        "a population of 10 cannot be divided evenly over 8 devices; "
        "expected a multiple of 8 (--population), or --devices 5",
        "1 episode cannot be divided evenly over 8 devices; expected a multiple of 8 (--episodes), or --devices 1",
        "9 devices were asked for, but JAX sees 8; expected a number from 1 to 8",
        "2 candidates × 4 episodes cannot be divided evenly over 3 devices; "
        "expected a multiple of 3 (--episodes), or --devices 2",
    ],
)
def test_what_does_not_divide_is_refused(message, eight):
    folder, [said] = eight
    assert message in said
    assert not parts_of_run(folder / "new" / "adam") and not parts_of_run(folder / "new" / "CMA_ES")


def test_several_processes_use_all_devices(two):
    _, all_said = two
    for said in all_said:
        assert "2 of 4 devices were asked for, but with several hosts all of them take part" in said


def test_one_device_needs_no_mesh():
    assert training_mesh(1, 3, "episodes", 5) is None


def test_a_task_s_plain_numbers_are_replicated_too():
    tree = replicate((1.5, jax.random.key(3)), Mesh(np.array(jax.devices()[:1]), ("episodes",)))
    assert float(tree[0]) == 1.5
    assert tree[0].dtype == np.float32
    assert jax.numpy.array_equal(jax.random.key_data(tree[1]), jax.random.key_data(jax.random.key(3)))


def test_half_an_address_is_refused():
    with pytest.raises(ValueError, match="--coordinator, --processes and --process go together"):
        Machines(coordinator="127.0.0.1:1").join()


def test_no_cluster_is_one_clear_line():
    words = [sys.executable, "-m", "blur", "meta-train", "digits", "--out", "nowhere", "--distributed"]
    end = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert end.returncode == 2
    assert end.stderr.startswith("blur: error: cannot join the processes of this run: ")
    assert "give --coordinator HOST:PORT, --processes N and --process I" in end.stderr
