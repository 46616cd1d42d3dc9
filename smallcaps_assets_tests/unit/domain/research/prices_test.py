"""Shares of a price in whole micro-dollars (research specification, sections 0.1 and 4.2)."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from smallcaps_assets.domain.research.prices import least_move


@given(st.integers(0, 2**63 - 1), st.integers(0, 1_000_000))
@example(2**63 - 1, 1_000_000)
@example(2_000_000, 5_000)
def test_the_least_move_is_where_the_products_meet(price: int, millionths: int) -> None:
    """Against Python's integers, which do not overflow."""
    move = int(least_move(np.array([price]), np.array([millionths]))[0])
    assert 10**6 * move >= millionths * price > 10**6 * (move - 1)
