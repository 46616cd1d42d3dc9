"""What the steps of flat files share: their partitions, and how minute bars come by them."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

import dagster as dg

from smallcaps_assets.defs.recording.partition_recorder import PartitionRecorder
from smallcaps_assets.defs.recording.provenance import provenance_of_asset
from smallcaps_assets.defs.resources import LakeResource, MarketDataResource
from smallcaps_assets.domain.sessions import NEW_YORK
from smallcaps_assets.errors import CaptureIncomplete, MarketDataError, NotAuthenticated, SmallcapsError
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.pipeline.bars.flat_days import FlatDays, describe_backlog
from smallcaps_assets.pipeline.bars.flat_months import FlatMonths, FlatRules
from smallcaps_assets.pipeline.bars.flat_road import FlatRoad
from smallcaps_assets.pipeline.bars.roads import FIRST_FILE
from smallcaps_assets.pipeline.calendar import sessions_between
from smallcaps_assets.pipeline.operations.nightly import has_simulated_nights
from smallcaps_assets.pipeline.unexpected import UnexpectedErrors
from smallcaps_assets.settings.settings import Settings

FLAT_BARS_ASSET: Final = "flat_minute_bars"
_DATE: Final = "%Y-%m-%d"
_WEEKENDS: Final = "0 0 * * 0,6"
# the calendar of the exchange is known so far ahead; the code is loaded again long before
_AHEAD: Final = timedelta(days=300)
# sessions so recent come over REST while the vendor does not list its files
_RECENT: Final = timedelta(days=7)


def takes_flat_files(settings: Settings) -> bool:
    """Whether flat files are a source of bars."""
    return settings.source.bars != "rest"


def session_partitions(settings: Settings) -> dg.TimeWindowPartitionsDefinition:
    """One partition per session of the history, from the next midnight in New York on."""
    history = settings.history
    last = None if has_simulated_nights(settings) else history.last_session
    until = last or datetime.now(UTC).date() + _AHEAD
    sessions = set(sessions_between(history.first_session, until, settings.sessions)["date"])
    every = (history.first_session + timedelta(days=number) for number in range((until - history.first_session).days))
    holidays = [datetime.combine(day, time()) for day in every if day.isoweekday() <= 5 and day not in sessions]  # noqa: PLR2004
    return dg.TimeWindowPartitionsDefinition(
        start=f"{history.first_session:{_DATE}}",
        end=f"{last + timedelta(days=1):{_DATE}}" if last else None,
        fmt=_DATE,
        cron_schedule="0 0 * * *",
        timezone=NEW_YORK,
        exclusions=[_WEEKENDS, *holidays],
    )


def flat_road(  # noqa: PLR0913, PLR0917 -- resources are arguments
    step: dg.OpExecutionContext,
    settings: Settings,
    lake: LakeResource,
    market_data: MarketDataResource,
    expected: Sequence[date],
    client: MarketDataClient,
    tick: Callable[[], None],
    *,
    takes_files: bool,
) -> FlatRoad | None:
    """Which of the `expected` sessions come from flat files; None where bars come over REST alone.

    With `takes_files`, files that are not in the lake are downloaded first, and recorded as partitions of
    flat_minute_bars. Where the vendor does not list its files, sessions of the last week come over REST if they are
    later than the last file in the lake, and the others wait.
    """
    if not takes_flat_files(settings) or not expected:
        return None
    store, log = lake.flat_bars(), step.log.info
    listed: Mapping[date, int] = {}
    why = ""
    try:
        work = FlatDays(market_data.flat_files(lake), store, log)
        remote = work.listed(expected[0], expected[-1])
        listed = {day: remote[day].size for day in expected if day in remote}
        backlog = [day for day in work.backlog(remote) if day in listed]
        if takes_files and backlog:
            log(f"To download: {describe_backlog(remote, backlog)}")
            keys: Mapping[tuple[str, ...], str] = {(f"{day}",): f"{day}" for day in backlog}
            asset = dg.AssetKey(FLAT_BARS_ASSET)
            provenance = provenance_of_asset(step, settings, asset, [])
            recorder = PartitionRecorder(step, asset, keys, provenance)
            recorder.record(work.take(backlog, remote, tick))
    except (CaptureIncomplete, MarketDataError) as error:
        if isinstance(error, NotAuthenticated):
            raise
        why = _why(error)
        step.log.warning("Not all flat files could be had: %s", error)
        if not listed:
            listed = _expected_files(store.days(), expected)
    found = store.files(expected[0], expected[-1])
    # a table that cannot be read is one that is not there: its session waits
    listed = {**dict.fromkeys(found.unreadable, 0), **listed}
    for unreadable in found.unreadable.values():
        step.log.warning("%s", unreadable)
        why = why or _why(unreadable)
    return FlatRoad(
        FlatMonths(
            bars=lake.bars(),
            flat=store,
            files=found.files,
            rules=FlatRules(
                compares=settings.source.bars == "both",
                prefers_files=settings.source.flat_files.prefer == "flat_files",
            ),
            log=log,
            unexpected=UnexpectedErrors(store.lake, "minute_bars", client.clean),
        ),
        listed,
        why,
    )


def _expected_files(in_lake: Sequence[date], expected: Sequence[date]) -> Mapping[date, int]:
    """The sessions that are taken to have a file where the vendor does not say.

    That is all from the vendor's first file on, but recent ones later than the last file in the lake: over REST, a
    history would take a request for each symbol and month.
    """
    last = max([expected[-1] - _RECENT, *in_lake[-1:]])
    return {day: 0 for day in expected if FIRST_FILE <= day <= last}


def _why(error: SmallcapsError) -> str:
    """The cause of an error in a line; of files that failed, the first cause."""
    lines = f"{error}".splitlines()
    return error.cause or (lines[1] if isinstance(error, CaptureIncomplete) and len(lines) > 1 else lines[0])
