"""The README's examples run as they are printed."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from blur.core.episode import episode_spec
from blur.core.inner_loop import unroll
from blur.core.losses import accuracy
from blur.files.genomes import load_genome, save_genome
from blur.tasks import make_task

README = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_python_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    source = EXAMPLES[0]
    for full, small in {
        "meta_steps=1200, candidates=3": "meta_steps=2, candidates=1, validation_episodes=2",
        'tasks=("digits",)': 'tasks=("digits",), episodes=2, tuning_episodes=2, baselines=("sgd",)',
        "steps=10": "steps=2",
    }.items():
        assert full in source
        source = source.replace(full, small)
    exec(source, {})
    assert "mine" in capsys.readouterr().out


def test_the_example_of_attention_runs(capsys):
    source = EXAMPLES[2]
    full = "meta_steps=1000, candidates=1, episodes=2048, validation_episodes=2**16"
    assert full in source
    exec(source.replace(full, "meta_steps=2, candidates=1, episodes=8, validation_episodes=8"), {})
    assert "half squared error" in capsys.readouterr().out


def test_the_shipped_attention_predicts_better_than_zero():
    names = {}
    exec(EXAMPLES[3], names)
    predicted, y = names["predicted"], names["y"]
    assert predicted.shape == (5,)
    assert np.mean((predicted - y[20:]) ** 2) < np.mean(y[20:] ** 2) / 2


def example_rule():
    names = {"__name__": "example"}
    exec(EXAMPLES[1], names)
    return names


def test_the_rule_of_the_readme_is_saved_with_its_own_phase_alone(tmp_path):
    names = example_rule()
    rule, known = names["feedback_alignment"]((8,)), {"FreezeBackward": names["FreezeBackward"]}
    path = save_genome(tmp_path / "g.safetensors", rule, rule.init_genome(jax.random.key(0)), known=known)
    assert load_genome(path, known=known).rule == rule


def test_the_rule_of_the_readme_learns_digits_through_its_fixed_feedback():
    names, task = example_rule(), make_task("digits")
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
