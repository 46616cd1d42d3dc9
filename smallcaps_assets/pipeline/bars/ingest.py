"""Minute bars from the vendor: fetch missing sessions, check the bars, publish them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from itertools import groupby
from threading import Event, Lock
from typing import Final

from smallcaps_assets.domain.bars.quality import clean_bars
from smallcaps_assets.domain.bars.unknown import OPTIONAL, count_unknown
from smallcaps_assets.errors import (
    DiskFull,
    LakeError,
    MarketDataError,
    NotAuthenticated,
    NotEntitled,
    Stopped,
    VendorUnavailable,
)
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.month_files import DAY, combine_fingerprints, count_bars
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.pipeline.concurrency import in_threads
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.progress import Progress

# after so many denials and no served request, the plan has no minute bars at all
DENIALS: Final = 3


def ingest_bars(  # noqa: PLR0913 -- what to fetch, from where, to where
    symbols: Sequence[str],
    due: Sequence[date],
    client: MarketDataClient,
    store: BarsStore,
    threads: int,
    *,
    followed: Mapping[str, date] | None = None,
    log: Callable[[str], None] = lambda line: None,  # noqa: ARG005
) -> Iterator[Outcome]:
    """Fetch the missing sessions of `due` for each of `symbols`; yields one outcome per symbol, in order of completion.

    `followed` maps symbols to their last followed day: later sessions are not fetched, and none for other symbols. A
    symbol that the vendor fails to serve, or whose files cannot be read, is reported with its cause and does not stop
    the others. `log` receives lines of progress.

    Raises:
        NotAuthenticated: the key is missing or unknown.
        NotEntitled: the plan does not include minute bars.
    """
    stop = Event()
    stoppable = client.until(stop)

    plan = _Plan()

    def ingest(symbol: str) -> Outcome:
        last = date.max if followed is None else followed.get(symbol, date.min)
        return _ingest_symbol(symbol, [day for day in due if day <= last], stoppable, store, plan)

    progress = Progress(len(symbols), "symbols with bars", log, client)
    for outcome in in_threads(ingest, symbols, threads, tick=progress.tick, stop=stop):
        progress.add(failed=bool(outcome.problems))
        yield outcome


def _ingest_symbol(
    symbol: str, due: Sequence[date], client: MarketDataClient, store: BarsStore, plan: "_Plan"
) -> Outcome:
    figures: dict[str, int | float] = {
        "sessions_due": len(due),
        "sessions_fetched": 0,
        "rows": 0,
        "rows_quarantined": 0,
        "rows_on_other_days": 0,
        **{f"{name}_unknown": 0 for name in OPTIONAL},
        "requests": 0,
        "retries": 0,
    }
    try:
        published = store.fingerprints(symbol)
    except LakeError as error:
        return Outcome((symbol,), figures, (f"{symbol}: {error}",))
    missing, bars = sorted(set(due) - published.keys()), sum(map(count_bars, published.values()))
    problems: list[str] = []
    # newest first: a plan with limited history denies older months
    for month, days in groupby(reversed(missing), key=lambda day: day.replace(day=1)):
        try:
            added = _fetch_month(symbol, month, sorted(days), client, store)
        except NotEntitled as error:
            plan.denied(error)
            problems.append(f"{symbol}, {month:%Y-%m} and before: {error} Or set a later history.first_session.")
            break
        except (NotAuthenticated, DiskFull, Stopped):
            raise
        except (MarketDataError, LakeError) as error:
            problems.append(f"{symbol}, {month:%Y-%m}: {error}")
            if isinstance(error, VendorUnavailable):
                break
        else:
            plan.served()
            figures |= {name: figures[name] + count for name, count in added.items()}
    version = store.version(symbol) if figures["sessions_fetched"] else combine_fingerprints(published)
    return Outcome((symbol,), figures, tuple(problems), rows=bars + int(figures["rows"]), version=version)


class _Plan:
    """What the vendor's plan includes: a few denials and no served request mean that it has no minute bars."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._served = False
        self._denials = 0

    def served(self) -> None:
        """Record a served request."""
        self._served = True

    def denied(self, error: NotEntitled) -> None:
        """Record a denied request.

        Raises:
            NotEntitled: repeated denials without a served request.
        """
        with self._lock:
            self._denials += 1
            if self._denials >= DENIALS and not self._served:
                raise error


def _fetch_month(
    symbol: str, month: date, sessions: list[date], client: MarketDataClient, store: BarsStore
) -> dict[str, int]:
    """Fetch and publish sessions of one month."""
    fetched = client.minute_bars(symbol, sessions[0], sessions[-1])
    clean = clean_bars(fetched.frame)
    wanted = clean.good.filter(DAY.is_in(sessions))
    store.add(symbol, month, sessions, wanted, clean.quarantined)
    return {
        "sessions_fetched": len(sessions),
        "rows": wanted.height,
        "rows_quarantined": clean.quarantined.filter(DAY.is_in(sessions).fill_null(value=True)).height,
        "rows_on_other_days": clean.good.height - wanted.height,
        **count_unknown(clean.unknown.filter(DAY.is_in(sessions))),
        "requests": fetched.requests,
        "retries": fetched.retries,
    }
