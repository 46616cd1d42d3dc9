"""What is published, held against what it should be: loads what each check of a table needs, and no more."""

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import cache

import polars as pl

from smallcaps_assets.domain.bars import checks as bar_checks
from smallcaps_assets.domain.bars.quality import master_problems
from smallcaps_assets.domain.events import checks as master_checks
from smallcaps_assets.domain.events.detection import build_master
from smallcaps_assets.domain.findings import Finding, finding
from smallcaps_assets.domain.manifests import checks as manifest_checks
from smallcaps_assets.domain.manifests.selection import ProfileParams, RankingParams, profile_hash
from smallcaps_assets.domain.sessions import SESSION_TABLE, SessionParams
from smallcaps_assets.domain.tables import EVENTS, MANIFEST, match_columns
from smallcaps_assets.domain.tape.kpis import STATES
from smallcaps_assets.errors import InputError, LakeError
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.publish import disk_errors, sha256
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.pipeline.calendar import sessions_between, sessions_due
from smallcaps_assets.pipeline.events.detection import Detector
from smallcaps_assets.settings.settings import Profile, Settings

Checks = Mapping[str, Callable[[], Finding]]
# no calendar is made for a timestamp outside: it is in no session
_FIRST, _LAST = datetime(2000, 1, 1, 12, tzinfo=UTC), datetime(2099, 12, 31, 12, tzinfo=UTC)


def publishable_master(detector: Detector, settings: Settings) -> pl.DataFrame:
    """MASTER of all shards.

    Raises:
        LakeError: shards would poison it; names what is wrong with them.
    """
    shards = detector.shards
    events = build_master(shards.scan().collect(), settings.cooldown)
    problems = master_problems(events)
    clock = master_checks.session_clock(events.lazy(), _sessions_of(events.lazy(), settings.sessions))
    if problems or not clock.holds:
        told = "; ".join(problems + ([] if clock.holds else [str(clock)]))
        raise LakeError(f"{shards.lake.shards}: {told}. Remove the shards concerned and detect them again.")
    return events


def require_sound_manifest(manifest: pl.DataFrame, profile: ProfileParams, ranking: RankingParams) -> None:
    """Make sure that a selection keeps its own limits, before it is frozen.

    Raises:
        LakeError: it does not; names what is wrong.
    """
    found = [
        manifest_checks.caps(manifest, profile),
        manifest_checks.ranks(manifest, ranking),
        manifest_checks.windows(manifest, profile),
    ]
    broken = [str(one) for one in found if not one.holds]
    if broken:
        raise LakeError(
            f"the selection breaks its own limits: {'; '.join(broken)}. Nothing was frozen. Check that MASTER has one "
            "row per event (materialize master_events again), then choose again."
        )


def require_whole_ledger(ledger: pl.DataFrame, manifest: pl.DataFrame) -> None:
    """Make sure, before a ledger is published, that it certifies every event of its manifest, once and in order.

    Raises:
        LakeError: it does not.
    """
    told, asked = ledger["event_id"], manifest["event_id"]
    if not told.equals(asked) or not ledger["state"].is_in(STATES).all():
        raise LakeError(
            f"the ledger does not certify its manifest: {told.len():,} rows, {told.n_unique():,} events, for "
            f"{asked.len():,} events. Nothing was published. Run `smallcaps verify`, then materialize the ledger again."
        )


def judged(checks: Checks, chosen: Collection[str]) -> Iterator[Finding]:
    """What the `chosen` of the checks find, one after the other; none holds over files that cannot be read."""
    for name, check in checks.items():
        if name in chosen:
            try:
                yield check()
            except LakeError as error:
                yield Finding(name, holds=False, figures={"cannot_be_read": str(error)}, examples=pl.DataFrame())


def checks_of_master(detector: Detector, settings: Settings) -> Checks:
    """The checks of the published MASTER.

    Raises:
        InputError: there is none yet.
    """
    path = detector.shards.lake.master
    if not path.is_file():
        raise InputError(f"{path}: no MASTER yet. Materialize master_events first.")
    master = match_columns(pl.scan_parquet(path, hive_partitioning=False), EVENTS, str(path))
    params, survey = settings.checks.master, cache(detector.survey)
    return {
        "unique_events": lambda: master_checks.unique_events(master),
        "complete_rows": lambda: master_checks.complete_rows(master),
        "session_clock": lambda: master_checks.session_clock(master, _sessions_of(master, settings.sessions)),
        "type_shares": lambda: master_checks.type_shares(master, params),
        "events_per_session": lambda: master_checks.events_per_session(master, int(survey()["sessions"].sum()), params),
        "cooldown": lambda: master_checks.cooldown(master, settings.cooldown),
        "shards_current": lambda: _shards_current(survey()),
    }


def _shards_current(shards: pl.DataFrame) -> Finding:
    return finding(
        "shards_current", shards.filter(~pl.col("current")).select("symbol"), {"shards": shards.height}, severe=False
    )


def checks_of_manifest(store: ManifestStore, profile: Profile, settings: Settings, master_sha256: str | None) -> Checks:
    """The checks of the current manifest of a profile.

    Its limits are those of the settings in force; where it was chosen with others, it may break them and be right.

    Raises:
        InputError: there is none yet.
    """
    sidecar = store.sidecar()
    path = store.folder / f"{sidecar['manifest_id']}.parquet"
    own, ranking = settings.profiles[profile], settings.ranking
    config_hash = profile_hash(own, ranking)
    with disk_errors("read", path):
        rows = match_columns(pl.scan_parquet(path, hive_partitioning=False), MANIFEST, str(path)).collect()

    def judged(found: Finding) -> Finding:
        return found._replace(severe=sidecar["config_hash"] == config_hash)

    return {
        "caps": lambda: judged(manifest_checks.caps(rows, own)),
        "buckets": lambda: judged(manifest_checks.buckets(rows, sidecar, own, ranking)),
        "ranks": lambda: judged(manifest_checks.ranks(rows, ranking)),
        "windows": lambda: judged(manifest_checks.windows(rows, own)),
        "unchanged": lambda: manifest_checks.unchanged(sidecar, sha256(path), rows.height),
        "up_to_date": lambda: manifest_checks.up_to_date(sidecar, master_sha256 or "no MASTER", config_hash),
    }


def checks_of_bars(bars: BarsStore, universe: UniverseStore, settings: Settings, now: datetime) -> Checks:
    """The checks of the minute bars of all symbols."""
    params = settings.checks.bars
    due = sessions_due(settings.history, settings.sessions, now)
    followed = universe.listings().filter("active")
    here = cache(lambda: bars.session_bars(followed["symbol"].to_list()))
    return {
        "session_coverage": lambda: bar_checks.session_coverage(
            here(), bar_checks.expected_sessions(followed, due), params
        ),
        "empty_sessions": lambda: bar_checks.empty_sessions(here(), params),
        "missing_minutes": lambda: _missing_minutes(bars, due[-params.last_sessions :], settings),
    }


def _missing_minutes(bars: BarsStore, days: list[date], settings: Settings) -> Finding:
    sessions = sessions_between(days[0], days[-1], settings.sessions) if days else SESSION_TABLE.to_frame()
    params = settings.checks.bars
    counts = bar_checks.minute_counts(bars.regular_minutes(sessions), sessions, params)
    return bar_checks.missing_minutes(counts, params)


def _sessions_of(events: pl.LazyFrame, params: SessionParams) -> pl.DataFrame:
    """Bounds of the sessions of the dates of events."""
    first, last = events.select(a=pl.col("timestamp").min(), b=pl.col("timestamp").max()).collect().row(0)
    first, last = (min(max(moment or _FIRST, _FIRST), _LAST) for moment in (first, last))
    # after-hours of a day may lie on the next one in UTC
    return sessions_between(first.date() - timedelta(days=1), last.date(), params)
