"""Five calm days of one symbol with 60 trades in every minute, of which five of six bars do not know their count."""

from typing import Any

import polars as pl

from smallcaps_assets.domain.tables import BARS
from smallcaps_assets_tests.scenarios import Row, bars_from

DAYS = ("2025-11-03", "2025-11-04", "2025-11-05", "2025-11-06", "2025-11-07")
MINUTES = 390
# a cent up, a cent down: the bars are green and red in turn
_MINUTES: list[Row] = [(10.0, 10.03, 9.98, 10.01 if at % 2 else 9.99, 20_000.0, 60) for at in range(MINUTES)]
TRUE = pl.concat([bars_from(f"{day} 09:30", _MINUTES, "ABCD") for day in DAYS])
# of each day all but 65 bars
UNKNOWN = 5 * 325


def with_unknown(value: Any, of: pl.DataFrame = TRUE) -> pl.DataFrame:
    """The bars with a value in place of the counts that are not known."""
    column = (
        pl.when(pl.int_range(pl.len()) % 6 == 0).then("transactions").otherwise(pl.lit(value, BARS["transactions"]))
    )
    return of.with_columns(column.alias("transactions"))


NULL = with_unknown(None)
