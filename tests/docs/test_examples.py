"""The examples of the README, the documentation and its notebooks run as they are printed, only smaller."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

from blur.core.episode import batch_spec, episode_spec, make_batch
from blur.core.inner_loop import unroll
from blur.core.losses import accuracy
from blur.files.genomes import load_genome, save_genome
from blur.tasks import make_task

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "docs").rglob("*.ipynb"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]

TINY = "meta_steps=2, candidates=1, validation_episodes=2"
FEW_EPISODES = 'episodes=2, tuning_episodes=2, baselines=("sgd",), baseline_sizes=("width",)'
SMALLER = {
    "README.md": {
        "meta_steps=1200, candidates=3": TINY,
        "blur.Setting(rule, task, steps=10)": "blur.Setting(rule, task, steps=2, batch_size=16)",
        "hidden=(64,), states=4": "hidden=(8,), states=2",
        "[:1500], steps=10": "[:1500], steps=2",
    },
    "docs/first_steps.md": {
        "meta_steps=1200, candidates=3": TINY,
        "hidden=(64,), states=4": "hidden=(8,), states=2",
        "task, steps=10": "task, steps=2, batch_size=16",
        '("digits",), steps=(10,)': f'("digits",), steps=(2,), batch_sizes=(16,), {FEW_EPISODES}',
    },
    "docs/your_own_data.md": {
        "meta_steps=200, candidates=1": TINY,
        "steps=10, batch_size=64": "steps=2, batch_size=16",
    },
    "docs/your_own_rule.md": {
        '"sgd",), baseline_sizes=("width",)': '"sgd",), baseline_sizes=("width",), episodes=2, tuning_episodes=2',
        '("digits",), steps=(10,)': '("digits",), steps=(2,), batch_sizes=(16,)',
    },
    "docs/your_own_task.md": {
        "meta_steps=400, candidates=2": TINY,
        "meta_steps=200, candidates=1": TINY,
        "hidden=(32,)": "hidden=(8,), states=2",
        "steps=10, batch_size=32": "steps=2, batch_size=8",
        "steps=(10,), batch_sizes=(32,)": f"steps=(2,), batch_sizes=(8,), {FEW_EPISODES}",
    },
    "docs/attention.md": {
        "meta_steps=1000, candidates=1, episodes=2048, validation_episodes=2**16": f"{TINY}, episodes=8",
    },
    "docs/identify.md": {"key(0), 1000": "key(0), 50", "key(1), 1000": "key(1), 50"},
    "docs/notebooks/meta_train.ipynb": {
        "META_STEPS = 1200": "META_STEPS = 2",
        "EPISODES = 100": "EPISODES = 2",
        "hidden=(64,), states=4": "hidden=(8,), states=2",
        "steps=10, batch_size=128": "steps=2, batch_size=16",
        "candidates=2": "candidates=1, validation_episodes=2",
        '    tasks=("digits",),': '    tasks=("digits",), steps=(2,), batch_sizes=(16,),',
        "validation_every=100": "validation_every=200",
    },
    "docs/notebooks/write_a_rule.ipynb": {
        "META_STEPS = 300": "META_STEPS = 2",
        "TwoStateSGD((32,)": "TwoStateSGD((8,)",
        "steps=10, batch_size=128": "steps=2, batch_size=16",
        "candidates=1": "candidates=1, validation_episodes=2",
    },
}
"""What is replaced in a page's examples, so that they take seconds: every entry must occur."""


def examples(name: str) -> list[str]:
    """The Python blocks of a page; of a notebook, all its code as one."""
    text = (ROOT / name).read_text(encoding="utf-8")
    if name.endswith(".md"):
        return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    return ["\n\n".join("".join(cell["source"]) for cell in cells)]


def smaller(name: str, source: str) -> str:
    """An example with the replacements of its page."""
    for full, small in SMALLER.get(name, {}).items():
        source = source.replace(full, small)
    return source


def run(name: str, number: int) -> dict[str, object]:
    """Runs an example and returns its names."""
    names: dict[str, object] = {"__name__": "example"}
    exec(compile(smaller(name, examples(name)[number]), f"{name} {number}", "exec", dont_inherit=True), names)
    return names


def find(name: str, text: str) -> int:
    """The number of the page's first example that has this text."""
    return next(number for number, source in enumerate(examples(name)) if text in source)


@pytest.mark.parametrize("name", SMALLER)
def test_what_is_replaced_occurs(name: str) -> None:
    text = "\n".join(examples(name))
    assert [full for full in SMALLER[name] if full not in text] == []


@pytest.mark.parametrize(
    ("name", "number"), [(name, number) for name in NAMES for number in range(len(examples(name)))]
)
def test_examples_run(name: str, number: int, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["example"])
    matplotlib.use("agg")
    monkeypatch.setattr("matplotlib.pyplot.show", lambda: plt.close("all"))  # there is no screen
    run(name, number)


def test_the_shipped_attention_predicts_better_than_zero() -> None:
    names = run("docs/attention.md", find("docs/attention.md", "linear_attention_5"))
    predicted, y = names["predicted"], names["y"]
    assert predicted.shape == (5,)
    assert np.mean((predicted - y[20:]) ** 2) < np.mean(y[20:] ** 2) / 2


def test_one_layer_is_identified_as_a_step_of_gradient_descent() -> None:
    assert run("docs/identify.md", 0)["found"].cosine > 0.99


def test_a_genome_from_mnist_learns_the_digits_of_the_example(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("docs/your_own_data.md", 0)["accuracy"] > 0.85


def test_sign_descent_changes_every_synapse_by_the_same_amount() -> None:
    names = run("README.md", find("README.md", "SignOfChange"))
    rule, episode = names["rule"], make_task("digits").sample(jax.random.key(1), steps=1, batch_size=8)
    genome = names["blur"].TwoStateSGD((64,)).init_genome(jax.random.key(0))
    start = rule.init_state(genome, jax.random.key(2), episode_spec(episode))
    end, _ = unroll(rule, genome, start, episode.support)
    change = jnp.abs(end.synapses[1].forward - start.synapses[1].forward)
    assert set(np.unique(np.round(change, 6)).tolist()) <= {0.0, np.float32(1e-3).item()}
    assert jnp.any(change > 0)


def test_the_step_size_of_your_own_rule_decays_over_the_life_that_the_spec_gives() -> None:
    rule = run("docs/your_own_rule.md", find("docs/your_own_rule.md", "DecayingDelta"))["rule"]
    genome, batch = {"rate": jnp.asarray(0.5)}, make_batch(jnp.ones((1, 1)), jnp.ones((1, 1)))

    def weight(steps: int, horizon: int | None) -> float:
        start = rule.init_state(genome, jax.random.key(0), batch_spec(batch, horizon))
        return unroll(rule, genome, start, batch, steps)[0].weights.item()

    assert weight(2, 2) == 1 - 0.5 * 0.75
    assert weight(4, 4) == 1 - 0.5 * 0.625 * 0.75 * 0.875
    assert weight(4, None) == 1 - 0.5**4


def test_sgd_learns_digits_on_the_convolutional_network_of_the_example() -> None:
    assert run("docs/your_own_rule.md", find("docs/your_own_rule.md", "Convolution"))["curve"][-1] > 0.8


def feedback_alignment() -> dict[str, object]:
    return run("docs/your_own_rule.md", find("docs/your_own_rule.md", "def feedback_alignment"))


def test_the_new_rule_is_saved_with_its_own_phase_alone(tmp_path) -> None:
    names = feedback_alignment()
    rule, known = names["feedback_alignment"]((8,)), {"FreezeBackward": names["FreezeBackward"]}
    path = save_genome(tmp_path / "g.safetensors", rule, rule.init_genome(jax.random.key(0)), known=known)
    assert load_genome(path, known=known).rule == rule


def test_the_new_rule_learns_digits_through_its_fixed_feedback() -> None:
    names, task = feedback_alignment(), make_task("digits")
    rule, genome = names["rule"], names["genome"]
    episode = task.sample(jax.random.key(1), steps=60, batch_size=128)

    @jax.jit
    def learn(genome, episode):
        start = rule.init_state(genome, jax.random.key(2), episode_spec(episode))
        end, _ = unroll(rule, genome, start, episode.support)
        outputs = rule.predict(genome, end, episode.query.inputs)
        return start, end, accuracy(outputs, episode.query.targets, episode.query.weight)

    start, end, reached = learn(genome, episode)
    assert jnp.array_equal(start.synapses[1].backward, end.synapses[1].backward)
    assert reached > 0.8
