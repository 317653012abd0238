"""Labels beside curves do not overlap and stay near their curves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blur.support.figures import spread

POSITIONS = st.lists(st.floats(0, 1), min_size=1, max_size=12)


@given(POSITIONS)
def test_spread_positions_keep_their_order_distance_and_mean(positions):
    placed = np.asarray(spread(positions, 0.05))
    order = np.argsort(positions, kind="stable")
    assert np.all(np.diff(placed[order]) >= 0.05 - 1e-9)
    assert placed.mean() == pytest.approx(np.mean(positions), abs=1e-9)


@given(POSITIONS)
def test_positions_far_enough_apart_stay(positions):
    apart = [index * 2 + position for index, position in enumerate(positions)]
    np.testing.assert_allclose(spread(apart, 0.5), apart, atol=1e-9)


def test_two_labels_at_one_place_move_by_half_a_gap_each():
    np.testing.assert_allclose(spread([0.5, 0.5, 0.9], 0.1), [0.45, 0.55, 0.9])
