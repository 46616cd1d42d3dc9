"""Checks of MASTER, before and after it is published."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache, partial

import polars as pl

from smallcaps_assets.domain.bars.quality import master_problems
from smallcaps_assets.domain.events import checks as master_checks
from smallcaps_assets.domain.events.master import build_master
from smallcaps_assets.domain.findings import Finding
from smallcaps_assets.domain.sessions import SessionParams
from smallcaps_assets.errors import InputError, LakeError
from smallcaps_assets.lake.events.master import SHARDS_OF_MASTER, load_master, symbols_to_rebuild
from smallcaps_assets.lake.events.shard_proofs import prove_shards
from smallcaps_assets.lake.files.publish import DerivedTable
from smallcaps_assets.lake.files.stored_tables import is_stored
from smallcaps_assets.pipeline.calendar import sessions_between
from smallcaps_assets.pipeline.checks import Checks
from smallcaps_assets.pipeline.events.detection import Detector
from smallcaps_assets.pipeline.events.staleness import shards_current
from smallcaps_assets.settings.settings import Settings

# timestamps outside of these are in no session; no calendar is computed for them
_FIRST, _LAST = datetime(2000, 1, 1, 12, tzinfo=UTC), datetime(2099, 12, 31, 12, tzinfo=UTC)


def publishable_master(detector: Detector, settings: Settings) -> DerivedTable:
    """MASTER of all shards, after its checks; its provenance has the digest of the events of each shard.

    Raises:
        LakeError: a shard is damaged, or MASTER would be invalid; names the problems of the shards.
    """
    shards = detector.shards
    contents = prove_shards(shards)
    # shards of earlier versions may have events of test symbols
    tests = detector.test_symbols.among(shards.symbols())
    events = build_master(shards.load(tests), settings.cooldown)
    problems = master_problems(events)
    session_clock = master_checks.session_clock(events.lazy(), _sessions_of(events.lazy(), settings.sessions))
    if problems or not session_clock.holds:
        reasons = "; ".join(problems + ([] if session_clock.holds else [str(session_clock)]))
        raise LakeError(
            f"{shards.lake.shards}: {reasons}. Remove these shards and materialize event_shards of their symbols again."
        )
    return DerivedTable(events, {SHARDS_OF_MASTER: contents})


def checks_of_master(detector: Detector, settings: Settings) -> Checks:
    """The checks of the published MASTER.

    Raises:
        InputError: there is no MASTER yet.
        LakeError: it is damaged.
    """
    path = detector.shards.lake.master
    if not is_stored(path):
        raise InputError(f"{path}: no MASTER yet. Materialize master_events first.")
    master = load_master(detector.shards.lake).lazy()
    params, survey = settings.checks.master, cache(detector.survey)
    empty = cache(lambda: not int(master.select(pl.len()).collect().item()))
    checks: Checks = {
        "unique_events": lambda: master_checks.unique_events(master),
        "complete_rows": lambda: master_checks.complete_rows(master),
        "session_clock": lambda: master_checks.session_clock(master, _sessions_of(master, settings.sessions)),
        "type_shares": lambda: master_checks.type_shares(master, params),
        "events_per_session": lambda: master_checks.events_per_session(master, int(survey()["sessions"].sum()), params),
        "cooldown": lambda: master_checks.cooldown(master, settings.cooldown),
        "shards_current": lambda: shards_current(survey(), symbols_to_rebuild(detector.shards)),
    }
    return {name: partial(_judged_on_rows, check, empty) for name, check in checks.items()}


def _judged_on_rows(check: Callable[[], Finding], empty: Callable[[], bool]) -> Finding:
    """The finding of a check of MASTER; without events there is nothing that could break it."""
    return check().unjudged_if(empty(), "MASTER has no events")


def _sessions_of(events: pl.LazyFrame, params: SessionParams) -> pl.DataFrame:
    """The sessions (SESSION_TABLE) of the dates of `events`."""
    first, last = events.select(a=pl.col("timestamp").min(), b=pl.col("timestamp").max()).collect().row(0)
    first, last = (min(max(moment or _FIRST, _FIRST), _LAST) for moment in (first, last))
    # after-hours may be on the next day in UTC
    return sessions_between(first.date() - timedelta(days=1), last.date(), params)
