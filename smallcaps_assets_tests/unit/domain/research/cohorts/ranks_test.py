"""Quantiles from ranks in bins, beside NumPy's own of each cohort."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from smallcaps_assets.domain.research.cohorts.levels import TERCILES, levels_of, sorted_by
from smallcaps_assets.domain.research.cohorts.ranks import cohort_quantiles, rank_values, rank_windows, window_thirds

SHARES = (0.0, 0.05, 0.5, 0.95, 1.0)


@pytest.mark.parametrize(("rows", "distinct"), [(3, 2), (200, 1), (4000, 30), (4000, 100_000)])
def test_quantiles_of_every_cohort_are_those_of_its_values(rows: int, distinct: int) -> None:
    """5 groups, the first 3 of one parent; the last group has no rows."""
    random = np.random.default_rng(rows + distinct)
    levels = levels_of(np.array([0, 0, 0, 1, 1]))
    group, tercile = random.integers(0, 4, rows), random.integers(0, TERCILES, rows)
    values = random.integers(0, distinct, rows) / 7
    ranked = rank_values(values, np.argsort(values), group * TERCILES)
    sample = slice(rows // 5, rows)
    found = cohort_quantiles(levels, ranked, sample, tercile[sample], SHARES)
    cohorts = [(group == g) & (tercile == t) for g in range(5) for t in range(TERCILES)]
    cohorts += [group == g for g in range(5)] + [group < 3, group >= 3]
    assert len(found) == len(cohorts) == 5 * TERCILES + 5 + 2
    for quantiles, inside in zip(found, cohorts, strict=True):
        own = values[sample][inside[sample]]
        if len(own):
            assert quantiles == pytest.approx(np.quantile(own, SHARES), rel=1e-13)
            assert (quantiles[0], quantiles[4]) == (own.min(), own.max())
        else:
            assert np.isnan(quantiles).all()


@pytest.mark.parametrize("rows", [1, 2, 7, 3000])
def test_thirds_of_a_window_are_those_of_its_known_values(rows: int) -> None:
    random = np.random.default_rng(rows)
    day = np.sort(random.integers(0, 10, rows))
    values = np.round(random.gamma(2, 0.5, rows), 2)
    values[random.random(rows) < 0.3] = np.nan
    known = np.flatnonzero(~np.isnan(values))
    ranks = rank_windows(values, known[np.argsort(values[known])], day, 10)
    for first, end in ((0, 10), (3, 8), (4, 5), (5, 5)):
        low, high = day.searchsorted((first, end))
        inside = values[low:high][~np.isnan(values[low:high])]
        found = window_thirds(ranks, slice(first, end), slice(int(low), int(high)))
        if len(inside):
            assert found == pytest.approx(np.quantile(inside, (1 / 3, 2 / 3)), rel=1e-13)
        else:
            assert found is None


def test_several_keys_sort_as_one_also_where_their_product_is_too_large_for_a_number() -> None:
    random = np.random.default_rng(1)
    keys = [random.integers(0, 4, 300) for _ in range(3)]
    order = sorted_by(*((key, 4) for key in keys))
    large = sorted_by(*((key, 2**30) for key in keys))
    expected = sorted(zip(*keys, strict=True))
    assert_array_equal(np.stack(keys, axis=1)[order], expected)
    assert_array_equal(np.stack(keys, axis=1)[large], expected)
