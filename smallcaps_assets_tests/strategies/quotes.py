"""Quotes with many repeats."""

from typing import Final

import polars as pl
from hypothesis import strategies as st

from smallcaps_assets.domain.tables import QUOTES

_NS: Final = 1_000_000_000
# gaps around the intervals of 50, 20, 5, 1 and 0.5 Hz; 0 repeats the timestamp
_SHORT_GAPS: Final = (0, 0, 0, 1, 999, 7_000_001, 19_999_999, 20_000_000, 50_000_000, 130_000_000, 200_000_000)
_GAPS: Final = (*_SHORT_GAPS, _NS, 2 * _NS, 61 * _NS)


@st.composite
def quote_streams(draw: st.DrawFn, *, max_rows: int = 60) -> pl.DataFrame:
    """Quotes sorted by (timestamp, sequence_number): equal times, unchanged rows, gaps, times on interval edges."""
    row = st.tuples(
        st.sampled_from(_GAPS),
        st.sampled_from((100, 100, 101)),
        st.sampled_from((102, 102, 103)),
        st.sampled_from((1, 1, 2)),
    )
    at = 1_762_180_200 * _NS + draw(st.sampled_from((0, 1, 123_456_789, 199_999_999)))
    rows = []
    for number, (gap, bid, ask, size) in enumerate(draw(st.lists(row, max_size=max_rows))):
        at += gap
        rows.append(
            {
                "timestamp": at,
                "bid_price": bid / 100,
                "bid_size": float(size),
                "ask_price": ask / 100,
                "ask_size": 1.0,
                "bid_exchange": number % 3,
                "ask_exchange": 1,
                "indicators": [number % 2] if number % 4 else None,
                "conditions": [1],
                "sequence_number": number,
            }
        )
    physical = {**QUOTES, "timestamp": pl.Int64()}
    return pl.DataFrame(rows, schema=physical, orient="row").cast(QUOTES)
