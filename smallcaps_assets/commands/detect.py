"""`smallcaps detect`: events of any bars, without Dagster and without a lake."""

from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Final

import polars as pl

from smallcaps_assets.commands.files import parquet_files, scan_bars
from smallcaps_assets.domain.events import Detection, build_master, detect
from smallcaps_assets.domain.quality import QUARANTINED_BARS, clean_bars, reasons
from smallcaps_assets.domain.sessions import new_york_date
from smallcaps_assets.domain.tables import SHARD
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.publish import publish_frame, require_writable
from smallcaps_assets.pipeline.history import sessions_between
from smallcaps_assets.settings import Settings, load_settings

# about 2 GB with their features
ROWS_AT_ONCE: Final = 3_000_000
# the calendar's own bounds
FIRST_DATE, LAST_DATE = date(1900, 1, 1), date(2199, 12, 31)


def run(arguments: Namespace) -> int:
    """Detect events in `--bars`, write them to `--out`, say what was found and what was set aside."""
    settings = load_settings(arguments.config)
    out = Path(arguments.out)
    if out.is_dir():
        raise InputError(
            f"--out {out}: is a folder. Give the path of the file to write, e.g. {out / 'events.parquet'}."
        )
    aside = out.with_name(f"{out.stem}.quarantine.parquet")
    bars = pl.concat([scan_bars(file) for file in parquet_files(arguments.bars, but=[out, aside])])
    require_writable(out.parent)
    shards, refused, counts = [SHARD.to_frame()], [QUARANTINED_BARS.to_frame()], Counter[str]()
    for batch in _batches(bars, arguments.bars):
        clean = clean_bars(batch)
        refused.append(clean.quarantined)
        counts += Counter(bars=batch.height)
        if clean.good.height:
            found = _detected(clean.good, settings)
            shards.append(found.events)
            counts += Counter(found.counts)
    quarantined = pl.concat(refused)
    _tell_quarantine(quarantined, aside)
    if quarantined.height == counts["bars"]:
        raise InputError(f"{arguments.bars}: not one usable bar in {counts['bars']:,} rows. No events were written.")
    events = build_master(pl.concat(shards), settings.cooldown)
    publish_frame(out, events)
    _tell(events, counts, out)
    return 0


def _detected(bars: pl.DataFrame, settings: Settings) -> Detection:
    day = new_york_date(pl.col("timestamp"))
    known = bars.filter(day.is_between(FIRST_DATE, LAST_DATE))
    first, last = known.select(first=day.min(), last=day.max()).row(0) if known.height else (FIRST_DATE, FIRST_DATE)
    return detect(bars, sessions_between(first, last, settings.sessions), settings.detection)


def _batches(bars: pl.LazyFrame, named: str) -> Iterator[pl.DataFrame]:
    """All rows, whole symbols together, at most about ROWS_AT_ONCE at a time."""
    try:
        yield from _whole_symbols(bars)
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{named}: cannot be read to its end ({reason}). Write the damaged file again.") from error


def _whole_symbols(bars: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    sizes = bars.group_by("symbol").len().sort("symbol").collect()
    numbered = sizes.with_columns(batch=(pl.col("len").cast(pl.Int64).cum_sum() - 1) // ROWS_AT_ONCE)
    for batch in numbered.partition_by("batch"):
        wanted = pl.col("symbol").is_in(batch["symbol"].drop_nulls().implode())
        if batch["symbol"].null_count():
            wanted |= pl.col("symbol").is_null()
        yield bars.filter(wanted).collect()


def _tell(events: pl.DataFrame, counts: Counter[str], out: Path) -> None:
    print(f"{counts['bars']:,} bars, {counts['bars_outside_sessions']:,} outside every session and left out")
    print(
        f"{counts['events_found']:,} events found, {counts['events_filtered']:,} below the global filters, "
        f"{counts['events_cooled_down']:,} within a cooldown; "
        f"{counts['reference_unknown']:,} passed without reference data"
    )
    by_type = events.group_by("event_type", "direction").len().sort("event_type", "direction")
    for event_type, direction, rows in by_type.iter_rows():
        print(f"  {event_type:<20} {direction:<5} {rows:>9,}")
    print(f"{events.height:,} events written to {out}")


def _tell_quarantine(quarantined: pl.DataFrame, path: Path) -> None:
    if quarantined.is_empty():
        path.unlink(missing_ok=True)
        return
    publish_frame(path, quarantined)
    told = "; ".join(f"{count:,} {reason}" for reason, count in reasons(quarantined).items())
    print(f"{quarantined.height:,} bars set aside in {path}: {told}")
