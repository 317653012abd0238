"""States are immutable, and can be copied and pickled as any value."""

from __future__ import annotations

import copy
import pickle

import jax
import jax.numpy as jnp
import pytest

from blur.core.state import State
from blur.network.batch_norm import Statistics

STATE = State(step=jnp.zeros((), jnp.int32), key=jax.random.key(3), statistics=(Statistics(jnp.ones(2), jnp.zeros(2)),))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda state: pickle.loads(pickle.dumps(state))])
def test_copies_and_pickles_are_equal(copied):
    made = copied(STATE)
    assert list(made) == list(STATE)
    assert jax.tree.structure(made) == jax.tree.structure(STATE)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), made, STATE))


def test_a_copy_shares_no_container():
    made = copy.deepcopy(STATE)
    assert made.replace(step=1).step == 1
    assert "extra" not in STATE.replace(step=2)
    assert STATE.step == 0


def test_a_state_is_immutable_and_names_what_it_lacks():
    with pytest.raises(AttributeError, match=r"immutable; use state.replace\(step=…\)"):
        STATE.step = 1
    with pytest.raises(AttributeError, match=r"no field 'neurons', only \['key', 'statistics', 'step'\]"):
        _ = STATE.neurons
