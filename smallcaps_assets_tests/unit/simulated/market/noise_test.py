import numpy as np
import pytest

from smallcaps_assets.simulated.market.noise import Noise


def test_the_numbers_are_those_of_every_platform_and_numpy():
    assert Noise(7, "AVLO").below(3, 6, 1000).tolist() == GOLDEN_BELOW
    assert [Noise(7, "AVLO").one(stream, -5, 5) for stream in range(6)] == GOLDEN_ONE


def test_a_longer_draw_begins_with_the_shorter_one():
    noise = Noise("key")
    assert noise.below(1, 100, 7)[:10].tolist() == noise.below(1, 10, 7).tolist()


@pytest.mark.parametrize("bound", [1, 2, 3, 100, 2**31 - 1])
def test_draws_stay_in_bounds_and_are_even(bound):
    draws = Noise("even", bound).below(0, 20_000, bound)
    assert draws.dtype == np.int64
    assert draws.min() >= 0
    assert draws.max() < bound
    assert abs(draws.mean() / bound - 0.5 * (bound - 1) / bound) < 0.01


def test_bounds_may_differ_from_draw_to_draw():
    bounds = np.arange(1, 501)
    draws = Noise("each").below(0, 500, bounds)
    assert (draws < bounds).all()


def test_streams_and_keys_are_independent():
    draws = {tuple(Noise(key).below(stream, 8, 10**6)) for key in ("a", "b") for stream in range(50)}
    assert len(draws) == 100


GOLDEN_BELOW = [562, 955, 713, 175, 31, 450]
GOLDEN_ONE = [0, 4, -2, -4, -2, 2]
