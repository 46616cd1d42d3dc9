"""Prices and sizes that no market has: figures stay finite, and a price that counts as 0 makes no spread."""

import random
import warnings

import numpy as np
import polars as pl
import pytest

from smallcaps_assets.domain.research.micro.features import micro_features
from smallcaps_assets.domain.research.micro.quote_states import QUOTE_STATES, read_book
from smallcaps_assets.domain.research.tape.reading import TapeReading
from smallcaps_assets_tests.unit.domain.research.micro.tapes import RULES, scenario, sessions

PRICES = (5e-324, 1e-308, 1e-9, 4.9e-7, 5e-7, 1e6)
SIZES = (5e-324, 1e-308, 1e-6, 1.0, 2e9)


def spoil(rows: pl.DataFrame, rng: random.Random, share: float) -> pl.DataFrame:
    """`rows` with odd values in this share of the prices and sizes."""
    odd = {name: PRICES if "price" in name else SIZES for name in rows.columns if name.endswith(("price", "size"))}
    return rows.with_columns(
        pl.Series(name, [rng.choice(values) if rng.random() < share else value for value in rows[name]], pl.Float64)
        for name, values in odd.items()
    )


@pytest.mark.parametrize("share", [0.05, 0.5, 1.0])
def test_figures_of_odd_values_are_finite(share: float) -> None:
    rng = random.Random(1)  # noqa: S311 -- repeats what it made
    calendar = sessions()
    for seed in (6, 17, 20):  # with many trades and quotes
        world = scenario(seed)
        windows, trades, quotes = world.frames()
        reading = TapeReading(RULES, calendar, world.params)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # numpy warns of integers that overflow
            found = micro_features(windows, spoil(trades, rng, share), spoil(quotes, rng, share), reading)
        measured = found.select(pl.selectors.float().is_finite().all())
        assert all(value in (True, None) for value in measured.row(0))


def test_a_side_whose_price_counts_as_0_is_none() -> None:
    quotes = pl.DataFrame(
        {"bid_price": [4.9e-7, 5e-7, 1e-308], "ask_price": [2.0, 2.0, 4e-7], "bid_size": 100.0, "ask_size": 100.0}
    )
    book = read_book(quotes, np.arange(3), np.ones(3))
    assert [QUOTE_STATES[state] for state in book.state] == ["one_sided", "normal", "empty", "none"]
    assert book.total.tolist() == [0, 2_000_001, 0, 0]
