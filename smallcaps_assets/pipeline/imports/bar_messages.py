"""Messages about users' bars that are the same wherever these are read."""

from collections.abc import Callable
from typing import Final

import polars as pl

from smallcaps_assets.domain.bars.lengths import is_of_other_length
from smallcaps_assets.domain.bars.whole_prices import WHOLE_PRICES
from smallcaps_assets.domain.words import count_clause, count_noun
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.pipeline.imports.bar_files import MOST_NAMES
from smallcaps_assets.pipeline.imports.bar_tables import FILE

# a share of fewer rows proves nothing
LEAST: Final = 100
# A vendor's files have hardly any bad row; of more, something is wrong with how they are read.
MOST_BAD_PCT: Final = 5.0


def is_beyond(part: int, of: int, most_pct: float) -> bool:
    """Whether a part exceeds a share of a total that is large enough to judge."""
    return of >= LEAST and 100 * part > most_pct * of


def describe_bad_rows(source: object, bad: int, rows: int) -> list[str]:
    """The message about many bad rows; none where there are few."""
    if not is_beyond(bad, rows, MOST_BAD_PCT):
        return []
    return [f"{source}: {bad:,} of {count_clause(rows, 'row is', 'rows are')} bad, for the reasons above."]


def is_of_bad_session() -> pl.Expr:
    """Whether a rejected row has the `reason` of its session."""
    return is_of_other_length() | (pl.col("reason") == WHOLE_PRICES)


def describe_sessions(rejected: pl.DataFrame, name: Callable[[pl.DataFrame], str]) -> list[str]:
    """One message for each reason for which whole sessions were rejected: another length, or another unit of prices.

    Args:
        rejected: QUARANTINED_BARS.
        name: names the source of some of these rows.
    """
    rows = rejected.filter(is_of_bad_session())
    messages = []
    for (reason,), found in rows.group_by("reason", maintain_order=True):
        sessions = name_sessions(found.select("symbol", day=DAY).unique())
        messages.append(
            f"{name(found)}: {reason} ({sessions}). {_unused(found.height)} quarantined: "
            f"{_in_dollars(found['close'][0]) if reason == WHOLE_PRICES else 'give bars of one minute'}."
        )
    return messages


def _unused(rows: int) -> str:
    return "Its 1 row is not used, it is" if rows == 1 else f"None of these {rows:,} rows is used, they are"


def _in_dollars(price: float) -> str:
    return (
        f"write these rows, such as a close of {price:,.0f}, into files of their own and give their unit with "
        "--price-scale; or give --price-scale 1 if they are dollars"
    )


def name_sessions(sessions: pl.DataFrame) -> str:
    """The first few of sessions (`symbol`, `day`), and the number of the others."""
    names = [f"{symbol} on {day}" for symbol, day in sessions.sort("symbol", "day").select("symbol", "day").iter_rows()]
    more = f" and {count_noun(len(names) - MOST_NAMES, 'more session')}" if len(names) > MOST_NAMES else ""
    return f"{', '.join(names[:MOST_NAMES])}{more}"


def name_files(rows: pl.DataFrame) -> str:
    """List the files of rows (FILE)."""
    names = rows[FILE].unique().sort().to_list()
    more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
    return f"{', '.join(names[:MOST_NAMES])}{more}"
