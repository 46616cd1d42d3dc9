"""Asset `nightly_report`: what the nightly run did, and which symbols are behind."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final

import dagster as dg
import polars as pl

from smallcaps_assets.defs.flat_files import takes_flat_files
from smallcaps_assets.defs.metadata.entries import Metadata, column_schema, in_words, limit_lines, round_value, table
from smallcaps_assets.defs.metadata.flat_files import night_of_flat_files
from smallcaps_assets.defs.partitions import SYMBOLS, in_range
from smallcaps_assets.defs.recording.completeness import PROBLEMS
from smallcaps_assets.defs.recording.group_recorder import REPORT_PRIORITY
from smallcaps_assets.defs.resources import LakeResource, SettingsResource
from smallcaps_assets.domain.words import count_clause, count_noun
from smallcaps_assets.errors import CaptureIncomplete
from smallcaps_assets.lake.unlisted_sessions import unlisted_sessions
from smallcaps_assets.pipeline.calendar import completed_sessions
from smallcaps_assets.pipeline.operations.nightly import BEHIND, find_symbols_behind
from smallcaps_assets.pipeline.problems import Problem, group_problems
from smallcaps_assets.settings.settings import PROFILES, Settings

_SHOWN: Final = 100
# assets whose failures leave a symbol behind
_OF_BEHIND: Final = ("minute_bars", "event_shards")
_RESEARCH_FAILED: Final = (
    "Not all research tables are up to date; bars, events, MASTER and the manifests are not concerned. The next night "
    "makes what is missing."
)
_LISTINGS_FAILED: Final = (
    "Listings or the listings of events are not up to date: the last ones are used. Bars, events and MASTER are not "
    "concerned; events of symbols that were renamed or listed since may be judged by their former listing. The next "
    "night makes what is missing."
)
# steps of a night that failed without ending it, apart from research
_OF_LISTINGS: Final = ("listings", "event_listings")


def build_assets(_: Settings) -> list[dg.AssetsDefinition]:
    """The asset."""
    return [nightly_report]


@dg.asset(
    deps=[dg.AssetKey([profile, "manifest"]) for profile in PROFILES],
    io_manager_key="lake_tables",
    # after all research that the run can still do
    op_tags=REPORT_PRIORITY,
    metadata=column_schema(BEHIND, below=True),
)
def nightly_report(
    context: dg.AssetExecutionContext, settings: SettingsResource, lake: LakeResource
) -> Iterator[dg.MaterializeResult[object]]:
    """Totals of the nightly run, what it took from flat files, its duration by step, and the symbols that are behind.

    One row per symbol that lacks expected sessions, whether it failed in this night or before. If there is any, the run
    fails at its very end, after MASTER and the manifests were built from all other symbols; the next night fetches what
    is missing. A symbol that joined the universe in this run is not behind: its first night is the next.
    """
    loaded, run, instance = settings.load(), context.run, context.instance
    active = lake.universe().followed()
    in_run = set(in_range(instance.get_dynamic_partitions(SYMBOLS.name or ""), run.tags))
    followed = {symbol: last for symbol, last in active.items() if symbol in in_run}
    expected = completed_sessions(loaded.history, loaded.sessions, settings.now())
    done = _materialized(instance, run.run_id)
    causes = _causes([one for one in done if one.asset_key.to_user_string() in _OF_BEHIND])
    research = research_problems(instance, run.run_id, [one for one in done if PROBLEMS in one.metadata])
    listings = listings_problems(instance, run.run_id)
    unlisted = unlisted_sessions(lake.lake, followed, expected)
    behind = find_symbols_behind(lake.detector(loaded), expected, followed, causes, unlisted)
    # such as candidates that could not be published beside a shard that was
    late = set(behind["symbol"])
    research += group_problems(cause for symbol, cause in causes.items() if symbol in followed and symbol not in late)
    of_others = [cause for symbol, cause in causes.items() if symbol not in followed]
    figures: Metadata = {
        "dagster/row_count": behind.height,
        "session": f"{expected[-1]}" if expected else "none",
        "symbols": len(followed),
        "symbols_behind": behind.height,
        "symbols_new": len(active) - len(followed),
        "new symbols next night": ", ".join([symbol for symbol in active if symbol not in in_run][:_SHOWN]) or "none",
        "behind": table(_behind(behind)),
        **({"research": limit_lines(research)} if research else {}),
        **({"listings": limit_lines(listings)} if listings else {}),
        **(night_of_flat_files(done, _without_file(lake, expected)) if takes_flat_files(loaded) else {}),
        **_totals(done),
        **_seconds(instance, run.run_id),
    }
    yield dg.MaterializeResult(value=behind, metadata=figures)
    named = ((_LISTINGS_FAILED, listings), (_RESEARCH_FAILED, research))
    others = [f"{says}\n{limit_lines(lines)}" for says, lines in named if lines]
    if not behind.is_empty():
        raise CaptureIncomplete("\n".join([_behind_message(behind, len(followed)), *others]))
    if of_others:
        raise CaptureIncomplete(f"symbols that left the universe failed:\n{limit_lines(group_problems(of_others))}")
    if others:
        raise CaptureIncomplete("\n".join(others))


def _behind(behind: pl.DataFrame) -> pl.DataFrame:
    """The first rows of BEHIND, narrow enough for the page."""
    columns = {"missing": "sessions_missing", "since": "first_missing"}
    return behind.head(_SHOWN).select("symbol", **columns, cause="cause")


def _without_file(lake: LakeResource, expected: Sequence[date]) -> list[date]:
    """The expected sessions of which the lake has no table of a flat file."""
    known = set(lake.flat_bars().days())
    return [day for day in expected if day not in known]


def _materialized(instance: dg.DagsterInstance, run_id: str) -> list[dg.AssetMaterialization]:
    """The materializations of the run so far."""
    logs = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    return [log.asset_materialization for log in logs if log.asset_materialization]


def _causes(done: list[dg.AssetMaterialization]) -> dict[str, str]:
    """The first problem of each symbol."""
    found = [(str(one.partition), one.metadata[PROBLEMS]) for one in done if PROBLEMS in one.metadata]
    return {symbol: str(cause.value) for symbol, cause in reversed(found)}


def research_problems(
    instance: dg.DagsterInstance, run_id: str, failed: Sequence[dg.AssetMaterialization]
) -> list[str]:
    """What failed of the research of a run, one line per cause.

    Args:
        instance: Dagster's state.
        run_id: the run.
        failed: the partitions recorded with problems.
    """
    partitions = [one for one in failed if one.asset_key.to_user_string() not in _OF_BEHIND]
    causes = dict.fromkeys(str(one.metadata[PROBLEMS].value) for one in partitions)
    return [*causes, *_step_problems(instance, run_id, lambda name: name not in _OF_LISTINGS)]


def listings_problems(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    """What failed of the listings in a run, one line per cause."""
    return _step_problems(instance, run_id, lambda name: name in _OF_LISTINGS)


def _step_problems(instance: dg.DagsterInstance, run_id: str, counts: Callable[[str], bool]) -> list[str]:
    """The problems that steps of a run recorded without a partition, of the assets that count, one line per cause."""
    noted = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_OBSERVATION)
    # what failed of partitions, the step that computed them names once
    observed = (
        one for log in noted if (one := log.asset_observation) and PROBLEMS in one.metadata and one.partition is None
    )
    by_cause = dict[str, list[str]]()
    for one in observed:
        if counts(name := one.asset_key.to_user_string()):
            by_cause.setdefault(str(one.metadata[PROBLEMS].value), []).append(name)
    return [f"{', '.join(names)}: {cause}" for cause, names in by_cause.items()]


def _totals(done: list[dg.AssetMaterialization]) -> Metadata:
    """Totals over all symbols."""

    def total(asset: str, figure: str) -> int:
        of_asset = (one.metadata for one in done if one.asset_key == dg.AssetKey(asset))
        return sum(_number(metadata, figure) for metadata in of_asset)

    fetched = [one.metadata for one in done if one.asset_key == dg.AssetKey("minute_bars")]
    return {
        "sessions": max((_number(metadata, "sessions_fetched") for metadata in fetched), default=0),
        "symbol_sessions": total("minute_bars", "sessions_fetched"),
        "bars": total("minute_bars", "rows"),
        "bars_quarantined": total("minute_bars", "rows_quarantined"),
        "requests": total("minute_bars", "requests"),
        "symbol sessions detected": total("event_shards", "sessions_detected"),
        "events_detected": total("event_shards", "events_detected"),
        "master_rows": total("master_events", "dagster/row_count"),
    }


def _number(metadata: Mapping[str, dg.MetadataValue[Any]], name: str) -> int:
    value = metadata[name].value if name in metadata else 0
    return value if isinstance(value, int) else 0


def _seconds(instance: dg.DagsterInstance, run_id: str) -> Metadata:
    """Seconds of each finished step of the run, from the event log, and of Dagster between the steps."""
    stats = [step for step in instance.get_run_step_stats(run_id) if step.start_time and step.end_time]
    took = {step.step_key: (step.end_time or 0) - (step.start_time or 0) for step in stats}
    if not stats:
        return {}
    first, last = (min(step.start_time or 0 for step in stats), max(step.end_time or 0 for step in stats))
    record = instance.get_run_record_by_id(run_id)
    began = (record.start_time if record else None) or first
    took["between steps"] = max(0.0, last - began - sum(took.values()))
    steps = pl.DataFrame(
        {
            "step": [step.replace("__", "/") for step in took],
            "seconds": [round(seconds, 1) for seconds in took.values()],
        }
    )
    return {"steps": table(steps.with_columns(in_words("step"))), "minutes": round_value((last - began) / 60)}


def _behind_message(behind: pl.DataFrame, followed: int) -> str:
    problems = [
        Problem.about(
            f"{row['symbol']}: {count_noun(row['sessions_missing'], 'session')} missing, "
            f"{row['sessions_undetected']} not detected",
            row["cause"],
            symbol=row["symbol"],
            # what differs between symbols is left out
            cause=row["cause"].replace(row["symbol"], ""),
        )
        for row in behind.to_dicts()
    ]
    return (
        f"{behind.height} of {count_clause(followed, 'symbol is', 'symbols are')} behind; MASTER and the "
        f"manifests are built from everything else. "
        f"The next night fetches what is missing.\n{limit_lines(group_problems(problems))}"
    )
