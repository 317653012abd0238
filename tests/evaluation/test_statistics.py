"""Bootstrap intervals against the normal theory, scipy's, and their own coverage."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from blur.evaluation.statistics import bootstrap_interval


def test_interval_of_a_large_sample_is_the_normal_one():
    values = np.random.default_rng(0).normal(3.0, 2.0, size=2000)
    half = 1.959964 * values.std() / np.sqrt(2000)
    low, high = bootstrap_interval(values)
    assert low == pytest.approx(values.mean() - half, abs=0.05 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.05 * half)


def test_interval_of_a_skewed_sample_is_scipys():
    values = np.random.default_rng(1).exponential(size=50)
    theirs = scipy.stats.bootstrap((values,), np.mean, method="percentile", n_resamples=20_000, rng=3)
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    np.testing.assert_allclose(bootstrap_interval(values), theirs.confidence_interval, atol=0.03 * width)


def test_ninety_five_of_a_hundred_intervals_cover_the_mean():
    samples = np.random.default_rng(2).exponential(size=(100, 300))
    low, high = bootstrap_interval(samples)  # 300 samples of 100 episodes each
    assert 0.91 <= np.mean((low <= 1) & (high >= 1)) <= 0.98


def test_every_point_has_the_interval_it_has_alone():
    values = np.random.default_rng(3).normal(size=(20, 2, 3))
    low, high = bootstrap_interval(values, seed=5)
    assert low.shape == high.shape == (2, 3)
    np.testing.assert_allclose((low[1, 2], high[1, 2]), bootstrap_interval(values[:, 1, 2], seed=5), rtol=1e-12)


def test_equal_values_have_no_width_and_one_nan_has_no_interval():
    assert bootstrap_interval(np.full(10, 0.25)) == (0.25, 0.25)
    values = np.stack([np.arange(10.0), np.where(np.arange(10) == 3, np.nan, 1.0)], axis=1)
    low, high = bootstrap_interval(values)
    assert np.isfinite((low[0], high[0])).all()
    assert np.isnan((low[1], high[1])).all()


def test_one_episode_is_one_clear_line():
    with pytest.raises(ValueError, match="1 episodes have no interval; expected at least 2"):
        bootstrap_interval(np.ones(1))
