"""Bars that were there when events were detected from them, and are gone: their events go as well, but not unsaid."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from smallcaps_assets.domain.words import count_clause
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.pipeline.outcome import Outcome

# the figure of an outcome that counts them
SESSIONS_GONE: Final = "sessions_gone"


def log_lost_bars(outcomes: Iterable[Outcome], lake: Lake, log: Callable[[str], None]) -> Iterator[Outcome]:
    """Pass outcomes of symbols on; log those whose shard lost the events of sessions without bars."""
    for outcome in outcomes:
        if gone := int(outcome.figures.get(SESSIONS_GONE, 0)):
            (symbol,) = outcome.partition
            log(
                f"{lake.bars(symbol)}: the bars of {count_clause(gone, 'session is', 'sessions are')} gone that events "
                f"of {symbol} were detected from, and so are these events. Restore them, or materialize minute_bars of "
                f"{symbol}, which fetches them again (imported bars: `smallcaps import bars`); then materialize "
                f"event_shards of {symbol}."
            )
        yield outcome
