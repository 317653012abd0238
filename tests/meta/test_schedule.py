"""Which setting is played when, and how long chunks are."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from meta_toys import linear_setting

from blur.meta.schedule import CHUNK_CAPACITY, draw_settings, next_length, same_setting


def test_settings_are_drawn_by_weight():
    settings = [linear_setting(weight=3.0), linear_setting(weight=1.0)]
    drawn = draw_settings(settings, [1, 1], 20000, seed=0)
    np.testing.assert_allclose(np.mean(drawn == 0), 0.75, atol=0.015)
    np.testing.assert_array_equal(drawn, draw_settings(settings, [1, 1], 20000, seed=0))
    assert np.any(drawn != draw_settings(settings, [1, 1], 20000, seed=1))


def test_weights_are_shares_of_meta_steps_whatever_the_periods():
    drawn = draw_settings([linear_setting(), linear_setting()], [1, 5], 60000, seed=0)
    np.testing.assert_allclose(np.mean(drawn == 0), 0.5, atol=0.02)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(1, 60), st.integers(0, 5))
def test_a_period_is_never_broken(periods, meta_steps, seed):
    drawn = draw_settings([linear_setting()] * len(periods), periods, meta_steps, seed)
    assert len(drawn) == meta_steps
    for number, first, length in same_setting(drawn, 0, meta_steps):
        assert length % periods[number] == 0 or first + length == meta_steps


@given(st.lists(st.integers(0, 2), min_size=1, max_size=30), st.data())
def test_stretches_cover_a_chunk_in_order(drawn, data):
    start = data.draw(st.integers(0, len(drawn) - 1))
    stop = data.draw(st.integers(start + 1, len(drawn)))
    stretches = same_setting(np.array(drawn), start, stop)
    rebuilt = [number for number, _, length in stretches for _ in range(length)]
    assert rebuilt == drawn[start:stop]
    ends = [start, *(first + length for _, first, length in stretches)]
    assert [first for _, first, _ in stretches] == ends[:-1]


def test_chunks_last_about_a_second():
    assert next_length(10, 10, seconds=0.5) == 20
    assert next_length(10, 5, seconds=0.5) == 10
    assert next_length(10, 10, seconds=1e-3) == 80
    assert next_length(10, 10, seconds=100.0) == 1
    assert next_length(CHUNK_CAPACITY, CHUNK_CAPACITY, seconds=0.1) == CHUNK_CAPACITY
