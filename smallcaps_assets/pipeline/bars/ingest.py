"""Minute bars of symbols: fetch the sessions that are missing, check them, store them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from itertools import groupby
from threading import Event, Lock
from typing import Final

from smallcaps_assets.domain.bars.quality import clean_bars
from smallcaps_assets.errors import (
    DiskFull,
    LakeError,
    MarketDataError,
    NotAuthenticated,
    NotEntitled,
    Stopped,
    VendorUnavailable,
)
from smallcaps_assets.lake.bars import DAY, BarsStore, bars_counted, version_of
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.pipeline.concurrency import in_threads
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.progress import Progress

# so many denials with nothing served in between: the plan has no minute bars at all
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
    """Bring the bars of `symbols` up to the sessions in `due`; one outcome per symbol, in order of completion.

    Of a symbol nothing is asked after the last day that it is `followed`, and nothing at all if it is not: it keeps
    what it has. A symbol that the vendor fails to serve, or whose files cannot be read, is reported with its cause and
    does not stop the others. `log` takes lines about progress.

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
        "requests": 0,
        "retries": 0,
    }
    try:
        marks = store.fingerprints(symbol)
    except LakeError as error:
        return Outcome((symbol,), figures, (f"{symbol}: {error}",))
    missing, held = sorted(set(due) - marks.keys()), sum(map(bars_counted, marks.values()))
    problems: list[str] = []
    # the newest first: a plan that reaches back only so far denies what is older
    for month, days in groupby(reversed(missing), key=lambda day: day.replace(day=1)):
        try:
            added = _fetch_month(symbol, month, sorted(days), client, store)
        except NotEntitled as error:
            plan.denied(error)
            problems.append(f"{symbol}, {month:%Y-%m} and before: {error} Or begin later: history.first_session.")
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
    version = store.version(symbol) if figures["sessions_fetched"] else version_of(marks)
    return Outcome((symbol,), figures, tuple(problems), rows=held + int(figures["rows"]), version=version)


class _Plan:
    """What the vendor's plan turned out to include: where nothing was served, few denials tell that bars are not."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._served = False
        self._denials = 0

    def served(self) -> None:
        """Bars came."""
        self._served = True

    def denied(self, error: NotEntitled) -> None:
        """Bars were denied.

        Raises:
            NotEntitled: again and again, and nothing was served.
        """
        with self._lock:
            self._denials += 1
            if self._denials >= DENIALS and not self._served:
                raise error


def _fetch_month(
    symbol: str, month: date, sessions: list[date], client: MarketDataClient, store: BarsStore
) -> dict[str, int]:
    """Fetch and store sessions of one month."""
    fetched = client.minute_bars(symbol, sessions[0], sessions[-1])
    clean = clean_bars(fetched.frame)
    asked = clean.good.filter(DAY.is_in(sessions))
    store.add(symbol, month, sessions, asked, clean.quarantined)
    return {
        "sessions_fetched": len(sessions),
        "rows": asked.height,
        "rows_quarantined": clean.quarantined.filter(DAY.is_in(sessions).fill_null(value=True)).height,
        "rows_on_other_days": clean.good.height - asked.height,
        "requests": fetched.requests,
        "retries": fetched.retries,
    }
