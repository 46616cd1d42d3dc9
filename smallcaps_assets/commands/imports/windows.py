"""`smallcaps import windows`: import trades and quotes of events that were downloaded by another system."""

import json
import re
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import dagster as dg
import polars as pl

from smallcaps_assets.commands.console import show
from smallcaps_assets.commands.flag_types import positive_number, price_scale
from smallcaps_assets.commands.imports.command import choose_from
from smallcaps_assets.commands.inspecting.report import describe_damaged
from smallcaps_assets.commands.services.state import open_state_as_is
from smallcaps_assets.commands.workplace import add_data_flags, enter
from smallcaps_assets.defs.partitions import SYMBOLS, tape_key
from smallcaps_assets.defs.recording.events import report_imported
from smallcaps_assets.domain.imports.columns import require_timezone
from smallcaps_assets.domain.tables import MANIFEST, match_columns
from smallcaps_assets.domain.tape.nbbo import Thinning
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS, TapeKind
from smallcaps_assets.domain.words import count_clause, count_noun
from smallcaps_assets.errors import InputError, LakeError
from smallcaps_assets.lake.controls import ControlStore
from smallcaps_assets.lake.files.publish import disk_errors, publish_changed
from smallcaps_assets.lake.imports import record_import
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.ledger import build_control_ledger, build_ledger
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.pipeline.imports.window_bounds import require_resolution
from smallcaps_assets.pipeline.imports.windows import (
    COVERED,
    REJECTED_FILES,
    TapeFile,
    WindowsImport,
    WindowsOutcome,
    still_rejected_files,
    tape_files,
)
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.research.tape.reconciled import reconciled_windows
from smallcaps_assets.pipeline.research.tape.tape_step import TapeResearch
from smallcaps_assets.pipeline.source import profile_tape, require_real
from smallcaps_assets.pipeline.tape.checks import require_whole_ledger
from smallcaps_assets.settings.settings import PROFILES, Profile, Settings, lake_path

NEEDS: Final = """symbol=X/event=ID/trades.parquet and quotes.parquet, or ID_trades.parquet and ID_quotes.parquet:
trades and quotes of events of the current manifest. No capture fetches them again."""
EXAMPLE: Final = "smallcaps import windows old/tape --profile core --before 3 --after 7 --resolution full"

_INCOMPLETE: Final = 1
MOST_SHOWN: Final = 50
_RESOLUTION: Final = r"(changes,)?([1-9][0-9]{0,2}|1000)"


def add_flags(parser: ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("path", type=Path, metavar="PATH", help="the folder of the files")
    parser.add_argument("--profile", choices=PROFILES, help="whose manifest and tape (default: active_profile)")
    files = parser.add_argument_group("what the files cover (they do not record it)")
    files.add_argument("--before", type=positive_number, metavar="MIN", help="minutes before each event")
    files.add_argument("--after", type=positive_number, metavar="MIN", help="minutes after each event")
    files.add_argument(
        "--manifest", type=Path, metavar="FILE", help="alternatively, the manifest that they were downloaded for"
    )
    files.add_argument(
        "--held-for-sure",
        action="store_true",
        help="accept files although none has rows near the first and last of these minutes",
    )
    files.add_argument("--resolution", metavar="HOW", help="resolution of quotes: full, 20 (per second), or changes,5")
    files.add_argument("--timezone", metavar="ZONE", help="time zone of timestamps without one, such as UTC")
    parser.add_argument(
        "--price-scale",
        type=price_scale,
        metavar="DOLLARS",
        help="dollars that a price of 1 stands for: 1e-9, 1e-4, 0.01 for cents, or 1 for whole dollars",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    add_data_flags(parser)


def run(arguments: Namespace) -> int:
    """Import the files below PATH, update the ledger, record partitions in Dagster.

    Returns 1 where files were rejected, or files of tape are damaged.

    Raises:
        InputError: no files, no manifest, or missing flags on what the files cover.
        LakeError: the disk refuses.
    """
    require_timezone(arguments.timezone)
    settings = enter(arguments)
    profile: Profile = arguments.profile or settings.active_profile
    lake = Lake(lake_path(settings))
    files = tape_files(arguments.path, _log if arguments.json else show)
    if not files:
        raise InputError(
            f"{arguments.path}: no files of events there. Expected names: symbol=X/event=ID/trades.parquet and "
            "quotes.parquet, or ID_trades.parquet and ID_quotes.parquet."
        )
    require_real(UniverseStore(lake), settings.source, "windows")
    store = ManifestStore.in_lake(lake, profile)
    if store.current_id() is None:
        choice = choose_from(lake, profile, lake.imported_events, arguments.config)
        raise InputError(
            f"{store.folder}: no manifest of profile {profile} yet, so the windows of its events are unknown. Where "
            f"`smallcaps import events` brought the events: {choice}; else "
            f"materialize {profile}/manifest."
        )
    manifest, sidecar = store.current()
    work = WindowsImport(
        folder=arguments.path,
        tape=profile_tape(lake, profile, settings),
        manifest=manifest,
        covered=_covered(arguments, manifest),
        sessions=None if arguments.held_for_sure else settings.sessions,
        resolution=_resolution(arguments, files, settings, profile),
        timezone=arguments.timezone,
        scale=arguments.price_scale,
        config_hash=sidecar["config_hash"],
        log=_log,
    )
    record_import(lake, "windows")
    done = work.run(files)
    aside = lake.quarantine_path(lake.tape(profile, "adopted.parquet"))
    published = work.tape.listing()
    altered = list[LakeError]()
    research = TapeResearch(work.tape, settings.research.params, settings.sessions)
    reconciled = reconciled_windows(research, manifest, published).events
    ledger = build_ledger(
        manifest, work.tape, sidecar["manifest_id"], published=published, damaged=altered, reconciled=reconciled
    )
    # before the ledger of the events, as the capture publishes them
    _certify_controls(work, sidecar["manifest_id"], published, altered)
    damaged = describe_damaged([*work.tape.all_damaged(published), *altered])
    require_whole_ledger(ledger, manifest)
    publish_changed(lake.ledger(profile), ledger, below=lake.root)
    if done.rejected.height or aside.is_file():
        rejected = still_rejected_files(_rejected_before(aside), done.rejected, files, ledger)
        publish_changed(aside, rejected, below=lake.root)
    recorded = _record_partitions(settings, work, done, ledger)
    if arguments.json:
        print(json.dumps(_document(done, ledger, recorded)))
    else:
        show(*_text(done, ledger, recorded, aside))
    for row in done.rejected.head(MOST_SHOWN).to_dicts():
        show(f"rejected: {row['file']}: {row['reason']}", file=sys.stderr)
    for line in damaged:
        show(line, file=sys.stderr)
    if done.stopped is not None:
        raise done.stopped
    return _INCOMPLETE if done.rejected.height or damaged else 0


def _certify_controls(
    work: WindowsImport, manifest_id: str, published: Mapping[TapeKind, pl.DataFrame], altered: list[LakeError]
) -> None:
    """Publish the ledger of the controls of the profile: some of their windows may lie inside imported spans.

    Files of controls are not imported: the price and the volume of the event's bar, by which files of events are
    judged, are those of no control. Their windows are captured. A damaged control manifest keeps no event from being
    certified: the ledger of the controls then stays as it is.
    """
    store = ControlStore(work.tape.lake, work.tape.profile)
    try:
        controls = store.load(work.manifest)
    except LakeError as error:
        altered.append(error)
        return
    store.publish_ledger(build_control_ledger(controls, work.tape, manifest_id, published=published, damaged=altered))


def _log(line: str) -> None:
    show(line, file=sys.stderr)


def _covered(arguments: Namespace, manifest: pl.DataFrame) -> pl.DataFrame:
    """The minutes that the files cover by flag or manifest (COVERED).

    Raises:
        InputError: neither is given, or both.
    """
    minutes = (arguments.before, arguments.after)
    if arguments.manifest is None and None not in minutes:
        both = {"held_before": pl.lit(arguments.before, pl.Int64), "held_after": pl.lit(arguments.after, pl.Int64)}
        return manifest.select("event_id", **both)
    if arguments.manifest is None or minutes != (None, None):
        raise InputError(
            "the files do not record which minutes around each event they cover, and it is not guessed: give "
            "--before MIN and --after MIN, or --manifest FILE, a parquet file with event_id, window_before_min and "
            "window_after_min."
        )
    columns = {name: MANIFEST[name] for name in ("event_id", "window_before_min", "window_after_min")}
    try:
        scanned = pl.scan_parquet(arguments.manifest, hive_partitioning=False, glob=False).cast(
            {name: pl.Int64 for name in columns if name != "event_id"}
        )
        covered = match_columns(scanned, columns, str(arguments.manifest)).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"--manifest {arguments.manifest}: {str(error).splitlines()[0]}") from error
    return covered.unique("event_id", keep="none").rename(dict(zip(columns, COVERED, strict=True)))


def _resolution(
    arguments: Namespace, files: Sequence[TapeFile], settings: Settings, profile: Profile
) -> Thinning | None:
    """The thinning of quotes by flag; None for the full stream.

    Raises:
        InputError: there are quotes and no flag, or they are too thin for the profile.
    """
    how = arguments.resolution
    if how == "full" or (how is None and all(file.kind != "quotes" for file in files)):
        return None
    match = re.fullmatch(_RESOLUTION, how or "")
    if match is None:
        raise InputError(
            f"--resolution {'is missing' if how is None else how}: no file records how quotes were thinned, and it "
            "is not guessed. Give full for every "
            "quote the vendor has, 20 for the last of each twentieth of a second, or changes,5 for the same of fifths "
            "of a second without those that change nothing."
        )
    given = Thinning(by_change_only=match[1] is not None, max_hz=int(match[2]))
    require_resolution(given, settings.profiles[profile].quotes)
    return given


def _rejected_before(aside: Path) -> pl.DataFrame:
    """The files that earlier imports rejected (REJECTED_FILES)."""
    if not aside.is_file():
        return REJECTED_FILES.to_frame()
    with disk_errors("read", aside):
        return match_columns(
            pl.scan_parquet(aside, hive_partitioning=False, glob=False), REJECTED_FILES, str(aside)
        ).collect()


def _record_partitions(
    settings: Settings, work: WindowsImport, done: WindowsOutcome, ledger: pl.DataFrame
) -> dict[str, int]:
    """Record partitions with imported windows as materialized if all windows are published; returns their number."""
    whole = {kind: _by_key(work.whole(kind, _pairs(kind, ledger))) for kind in TAPE_KINDS}
    if not any(whole.values()):
        return {str(kind): 0 for kind in TAPE_KINDS}
    recorded: dict[str, int] = {}
    with open_state_as_is(settings) as instance:
        for kind, outcomes in whole.items():
            key = dg.AssetKey([work.tape.profile, f"tape_{kind}"])
            known = instance.get_materialized_partitions(key)
            news = {
                name: outcome
                for name, outcome in outcomes.items()
                if name not in known or outcome.partition in done.changed[kind]
            }
            instance.add_dynamic_partitions(SYMBOLS.name or "", sorted({one.partition[0] for one in news.values()}))
            report_imported(instance, settings, key, news, upstream=[dg.AssetKey([work.tape.profile, "manifest"])])
            recorded[kind] = len(news)
    return recorded


def _pairs(kind: TapeKind, ledger: pl.DataFrame) -> list[tuple[str, str]]:
    """The partitions with imported windows."""
    imported = ledger.filter(pl.col(f"{kind}_adopted_from").list.len() > 0)
    return imported.select("symbol", "wave").unique().sort(pl.all()).rows()


def _by_key(outcomes: Sequence[Outcome]) -> dict[str, Outcome]:
    symbol_and_wave = (outcome.partition for outcome in outcomes)
    return {tape_key(symbol, wave): one for (symbol, wave), one in zip(symbol_and_wave, outcomes, strict=True)}


def _document(done: WindowsOutcome, ledger: pl.DataFrame, recorded: dict[str, int]) -> dict[str, Any]:
    return {
        **{str(kind): figures for kind, figures in done.figures.items()},
        "refused": done.rejected.to_dicts(),
        "held": _published_by_kind(ledger),
        "events": dict(ledger.group_by("state").len().sort("state").iter_rows()),
        "partitions_told_to_dagster": recorded,
    }


def _published_by_kind(ledger: pl.DataFrame) -> dict[str, int]:
    """The number of events whose trades and quotes are published, even if there are none."""
    return {str(kind): ledger[f"{kind}_rows"].count() for kind in TAPE_KINDS}


def _text(done: WindowsOutcome, ledger: pl.DataFrame, recorded: dict[str, int], aside: Path) -> list[str]:
    lines = []
    for kind, figures in done.figures.items():
        lines.append(
            f"{kind}: {count_noun(figures['files'], 'file')}, {count_noun(figures['adopted'], 'window')} "
            f"imported ({count_noun(figures['rows'], 'row')}), "
            f"{figures['there_already']:,} already published, {count_noun(figures['refused'], 'file')} rejected"
        )
        if figures["repeats"]:
            lines.append(
                f"  {count_clause(figures['repeats'], 'row repeats', 'rows repeat')} another of the same file "
                f"exactly: counted once"
            )
        if figures["rows_rejected"]:
            lines.append(
                f"  {count_clause(figures['rows_rejected'], 'impossible row is', 'impossible rows are')} in "
                f"the quarantine, each with its reason"
            )
        lines.append(
            f"  left out: {count_noun(figures['not_in_manifest'], 'event')} not in the manifest, "
            f"{figures['shorter_than_the_window']:,} whose files cover less than the window; the capture fetches it"
        )
    states = ", ".join(f"{count:,} {state}" for state, count in ledger["state"].value_counts(sort=True).iter_rows())
    lines.append(f"ledger: {count_noun(ledger.height, 'event')}: {states}")
    held = _published_by_kind(ledger)
    lines.append(f"  published: {', '.join(f'{kind} of {count:,}' for kind, count in held.items())}")
    missing = {kind: ledger.height - count for kind, count in held.items() if count < ledger.height}
    if missing:
        lines.append(f"  still to capture: {', '.join(f'{kind} of {count:,}' for kind, count in missing.items())}")
    lines.append(f"{count_noun(sum(recorded.values()), 'partition')} newly complete, recorded in Dagster")
    if done.rejected.height:
        lines.append(
            f"{aside} lists every rejected file with its reason, also of earlier imports if nothing replaced it"
        )
    return lines
