"""Whether work can begin: key, lake, disk, calendar, and what the vendor's plan allows; each with a remedy."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

import polars as pl

from smallcaps_assets.domain.sessions import NEW_YORK, SessionParams
from smallcaps_assets.domain.tape.schemas import TapeKind
from smallcaps_assets.domain.universe import UniverseParams
from smallcaps_assets.domain.words import count_clause, count_noun
from smallcaps_assets.errors import (
    MarketDataError,
    NotAuthenticated,
    NotEntitled,
    NotFound,
    SmallcapsError,
    VendorUnavailable,
)
from smallcaps_assets.lake.files.publish import require_writable
from smallcaps_assets.lake.flat_bars.store import FlatBarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.market_data.http.answers import required_plan
from smallcaps_assets.market_data.http.api_key import BearerKey
from smallcaps_assets.pipeline.calendar import completed_sessions, sessions_between
from smallcaps_assets.pipeline.source import require_payable
from smallcaps_assets.pipeline.tape.cost_estimate import BYTES_PER_GB, describe_reserve
from smallcaps_assets.settings.sections import FreeDiskParams, SourceParams
from smallcaps_assets.settings.settings import Settings, api_key, flat_file_keys, key_variable

# note: works, but not as it could; problem: something that the settings need cannot work
Verdict = Literal["ok", "note", "problem"]

# upper bound for the parquet files of a symbol and session; those of the simulated market take 5,700 with 508 bars
BAR_BYTES_PER_SESSION: Final = 16_000
# of the table that is made of a flat file; as large as the file, of which it takes about 85 %
FLAT_BYTES_PER_SESSION: Final = 28_000_000
# answers for this symbol show what a plan includes, until the lake follows symbols
KNOWN_SYMBOL: Final = "AAPL"
# trades and quotes are requested of a window of this length
_PROBED: Final = timedelta(seconds=1)
_AHEAD: Final = timedelta(days=14)
_SHOWN_SESSIONS: Final = 3

_NO_BARS: Final = "Change the plan, or import bars of your own (smallcaps import bars)."
_NO_HISTORY: Final = "Set history.first_session to a session that the plan reaches back to, or change the plan."
_NO_TAPE: Final = "Without it there are bars, events and manifests, but no tape."
_UNKNOWN: Final = "It counts as unknown; nothing else depends on it."
_PINNED: Final = "Optional: the conditions of this package are used; trades with an id that it lacks count for nothing."
_NO_TICKER_EVENTS: Final = "Optional: renames are inferred by FIGI, and without one by CIK and type."
_NO_SPLITS: Final = (
    "Optional: where the older list of splits is not included either, split_ratio, days_since_split and the other "
    "figures of splits are null, and prior closes are as traded."
)


class ReadinessCheck(NamedTuple):
    """One thing that was checked. `remedy` is empty where there is nothing to do or the message says it."""

    name: str
    verdict: Verdict
    message: str
    remedy: str = ""


class EndpointCheck(NamedTuple):
    """One request to the vendor, and what follows where the plan does not include its data.

    `name` is the endpoint's in `smallcaps exchange --denied`. `is_list`: no symbol is asked for, so that HTTP 404 says
    that the vendor has no such endpoint.
    """

    name: str
    ask: Callable[[], object]
    denied: Verdict
    consequence: str
    is_list: bool = False


def check_key(source: SourceParams) -> ReadinessCheck:
    """Whether there is a key that can be sent, and those of flat files if they are used; names variables, no values."""
    if source.kind == "embedded":
        return ReadinessCheck("key", "ok", "the simulated exchange needs none")
    try:
        BearerKey(api_key(source).get_secret_value())
        if source.uses_flat_files:
            flat_file_keys(source)
    except SmallcapsError as error:
        return ReadinessCheck("key", "problem", str(error))
    also = " and so are the keys of the flat files" if source.uses_flat_files else ""
    return ReadinessCheck("key", "ok", f"{key_variable(source)} is set in the environment{also}")


def check_lake(lake: Lake, settings: Settings) -> ReadinessCheck:
    """Whether the lake can be written and belongs to the configured source, and its universe to small caps."""
    store = UniverseStore(lake)
    try:
        require_writable(_existing(lake.root))
        require_payable(store, settings)
        followed = len(store.followed())
    except SmallcapsError as error:
        return ReadinessCheck("lake", "problem", str(error))
    if not lake.root.is_dir():
        return ReadinessCheck("lake", "ok", f"{lake.root}: is created by the first materialization")
    if not followed:
        return ReadinessCheck("lake", "ok", f"{lake.root}: follows no symbols yet", "Materialize `universe` first.")
    return ReadinessCheck("lake", "ok", f"{lake.root}: follows {count_noun(followed, 'symbol')}")


def check_disk(lake: Lake, settings: Settings, symbols: int | None, now: datetime) -> ReadinessCheck:
    """Whether the disk of the lake has room for the bars of all sessions and the space to be kept free.

    `symbols` is None where it is not known yet how many there will be.
    """
    free = shutil.disk_usage(_existing(lake.root)).free / BYTES_PER_GB
    params: FreeDiskParams = settings.capture.free_disk
    sessions = len(completed_sessions(settings.history, settings.sessions, now))
    bars = (symbols or 0) * sessions * BAR_BYTES_PER_SESSION / BYTES_PER_GB
    files = _flat_sessions(lake, settings, sessions) * FLAT_BYTES_PER_SESSION / BYTES_PER_GB
    market = f", about {files:,.2f} GB for flat files of the whole market" if files else ""
    known = f"{symbols:,}" if symbols else "not known yet"
    message = (
        f"{free:,.1f} GB free, {params.keep_gb + bars + files:,.2f} GB needed: {params.keep_gb:,.2f} GB to keep free "
        f"(capture.free_disk.keep_gb), about {bars:,.2f} GB for bars (symbols: {known}; sessions: {sessions:,})"
        f"{market}; `smallcaps plan` adds the capture"
    )
    if free >= params.keep_gb + bars + files:
        return ReadinessCheck("disk", "ok", message)
    remedy = (
        "Free space, keep less free (capture.free_disk.keep_gb), or put the lake on another disk (lake.path, --lake "
        f"DIR).{describe_reserve(lake.root, params)}"
    )
    return ReadinessCheck("disk", "problem" if params.check else "note", message, remedy)


def _flat_sessions(lake: Lake, settings: Settings, sessions: int) -> int:
    """Sessions whose flat file is still to come into the lake; those of the simulated market take no room."""
    if not settings.source.uses_flat_files or settings.source.kind == "embedded":
        return 0
    return max(sessions - len(FlatBarsStore(lake).days()), 0)


def check_calendar(settings: Settings, now: datetime) -> ReadinessCheck:
    """Whether the trading calendar covers today and the two weeks after it."""
    today = now.astimezone(ZoneInfo(NEW_YORK)).date()
    ahead = sessions_between(today, today + _AHEAD, settings.sessions)
    days: list[date] = ahead["date"].to_list()
    following = [day for day in days if day > today]
    if not following:
        remedy = "Update it: python -m pip install --upgrade exchange-calendars."
        return ReadinessCheck("calendar", "problem", f"has no session in the {_AHEAD.days} days after {today}", remedy)
    shown = ", ".join(f"{day}" for day in following[:_SHOWN_SESSIONS])
    early = ", ".join(f"{day}" for day in _early_closes(ahead, settings.sessions))
    complete = completed_sessions(settings.history, settings.sessions, now)
    history = f"last complete session {complete[-1]}" if complete else "no session of history is complete"
    message = (
        f"today, {today}, is {'a' if today in days else 'no'} session; next {shown}; early closes until "
        f"{today + _AHEAD}: {early or 'none'}; {history}"
    )
    if complete:
        return ReadinessCheck("calendar", "ok", message)
    return ReadinessCheck("calendar", "problem", message, "Correct history.first_session and history.last_session.")


def endpoint_checks(client: MarketDataClient, symbol: str, settings: Settings, now: datetime) -> list[EndpointCheck]:
    """One request for each endpoint that the product uses, and one for the first session of history.

    At least one session is complete.
    """
    reference, sessions = client.reference, completed_sessions(settings.history, settings.sessions, now)
    first, day = sessions[0], sessions[-1]
    start: datetime = sessions_between(day, day, settings.sessions)["regular_open"][0]
    listed = partial(reference.tickers, market="stocks", ticker=symbol)
    return [
        EndpointCheck("minute_bars", partial(client.minute_bars, symbol, day, day), "problem", _NO_BARS),
        EndpointCheck("first_session", partial(client.minute_bars, symbol, first, first), "problem", _NO_HISTORY),
        EndpointCheck("trades", partial(request_tick, client, "trades", symbol, start), "problem", _NO_TAPE),
        EndpointCheck("quotes", partial(request_tick, client, "quotes", symbol, start), "problem", _NO_TAPE),
        EndpointCheck("tickers", listed, *_listing_needs(settings.universe)),
        EndpointCheck("ticker_details", partial(reference.ticker_details, symbol, day), "note", _UNKNOWN),
        EndpointCheck("ticker_events", partial(reference.ticker_events, symbol), "note", _NO_TICKER_EVENTS),
        EndpointCheck("daily_bars", partial(reference.closes, day), "note", _UNKNOWN),
        EndpointCheck("float", partial(reference.float_shares, [symbol]), "note", _UNKNOWN),
        EndpointCheck("short_interest", partial(reference.short_interest, [symbol]), "note", _UNKNOWN),
        EndpointCheck("conditions", reference.trade_conditions, "note", _PINNED, is_list=True),
        EndpointCheck("splits", partial(reference.splits, day, day, older=False), "note", _NO_SPLITS, is_list=True),
    ]


def request_tick(client: MarketDataClient, kind: TapeKind, symbol: str, start: datetime) -> None:
    """Request trades or quotes of one second, to find out whether key and plan allow it.

    Raises:
        MarketDataError: they do not, or the vendor did not deliver.
    """
    download = client.trades if kind == "trades" else client.quotes
    download(symbol, start, start + _PROBED)


def ask_endpoints(checks: Sequence[EndpointCheck]) -> Iterator[ReadinessCheck]:
    """Send the requests in order; if the key is unknown or the vendor cannot be reached, the others are not sent."""
    for number, check in enumerate(checks, 1):
        try:
            yield _ask(check)
        except (NotAuthenticated, VendorUnavailable) as error:
            unknown = isinstance(error, NotAuthenticated)
            remedy = "" if unknown else "Check the connection and source.base_url."
            yield ReadinessCheck("key" if unknown else check.name, "problem", str(error), remedy)
            yield ReadinessCheck(
                "endpoints",
                "note",
                f"{count_clause(len(checks) - number, 'more request was', 'more requests were')} not sent",
            )
            return


def _ask(check: EndpointCheck) -> ReadinessCheck:
    try:
        check.ask()
    except NotEntitled:
        remedy = f"{required_plan(check.name)}{check.consequence}"
        return ReadinessCheck(check.name, check.denied, "the plan does not include it (HTTP 403)", remedy)
    except NotFound:
        if check.is_list:
            return ReadinessCheck(check.name, check.denied, "the vendor has no such list (HTTP 404)", check.consequence)
        return ReadinessCheck(check.name, "ok", "allowed; the vendor does not know the symbol on that day")
    except (NotAuthenticated, VendorUnavailable):
        raise
    except MarketDataError as error:
        return ReadinessCheck(check.name, "problem", str(error))
    return ReadinessCheck(check.name, "ok", "allowed")


def _listing_needs(params: UniverseParams) -> tuple[Verdict, str]:
    if params.is_named:
        return "note", "Not needed: universe.file or universe.symbols names the symbols."
    return "problem", "Change the plan, or name the symbols in universe.symbols or universe.file."


def _early_closes(sessions: pl.DataFrame, params: SessionParams) -> list[date]:
    close = pl.col("regular_close").dt.convert_time_zone(NEW_YORK).dt.time()
    days: list[date] = sessions.filter(close < params.regular_close)["date"].to_list()
    return days


def _existing(path: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.exists())
