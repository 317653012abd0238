"""The README's examples run as they are printed."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp

from blur.genome_io import load_genome, save_genome

README = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_python_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    source = EXAMPLES[0]
    for full, small in {
        "meta_steps=300, candidates=2": "meta_steps=2, candidates=1, validation_episodes=2",
        'tasks=("digits",)': 'tasks=("digits",), episodes=2, tuning_episodes=2, baselines=("sgd",)',
        "unroll=10": "unroll=2",
        "unroll=50": "unroll=2",
    }.items():
        assert full in source
        source = source.replace(full, small)
    exec(source, {})
    assert "mine" in capsys.readouterr().out


def example_rule():
    names = {"__name__": "example"}
    exec(EXAMPLES[1], names)
    return names


def test_the_rule_of_the_readme_is_saved_with_its_own_phase_alone(tmp_path):
    names = example_rule()
    rule, known = names["feedback_alignment"]((8,)), {"FreezeBackward": names["FreezeBackward"]}
    path = save_genome(tmp_path / "g.safetensors", rule, rule.init_genome(jax.random.key(0)), known=known)
    assert load_genome(path, known=known).rule == rule


def test_the_rule_of_the_readme_learns():
    from blur.rule import make_batch

    rule = example_rule()["feedback_alignment"]((8,))
    genome = rule.init_genome(jax.random.key(0))
    batch = make_batch(jnp.ones((4, 3)), jnp.ones((4, 2)))
    state = rule.init_state(genome, jax.random.key(1), batch)
    after = rule.step(genome, state, batch)
    assert jnp.array_equal(after.synapses[1].backward, state.synapses[1].backward)
    assert not jnp.array_equal(after.synapses[1].forward, state.synapses[1].forward)
