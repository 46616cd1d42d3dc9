"""The check that the sizes of captured quotes do not contradict their unit, month by month."""

from typing import Final

import polars as pl

from smallcaps_assets.domain.findings import Figure, Finding
from smallcaps_assets.domain.research.tape.quote_sizes import contradictions_by_month, span_sizes, with_unit
from smallcaps_assets.domain.tables import UTC_NS
from smallcaps_assets.domain.tape.tables import PUBLISHED
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.lake.files.publish import disk_errors
from smallcaps_assets.lake.tape.reading import scan_files
from smallcaps_assets.pipeline.imports.bar_tables import in_batches
from smallcaps_assets.pipeline.research.tape.tape_step import TapeResearch

QUOTE_SIZE_CHECK: Final = "quote_size_unit"
# spans of a month that are judged: the unit is that of a day, so that a part of them shows it
SPANS_PER_MONTH: Final = 200
_ROWS_AT_ONCE: Final = 2_000_000
_MONTHS_NAMED: Final = 12
_SIZES: Final = ("timestamp", "bid_size", "ask_size")
_SEED: Final = 0


def check_quote_sizes(research: TapeResearch, manifest: pl.DataFrame) -> Finding:
    """How many spans of each month have sizes that contradict their unit; warns where any has.

    Args:
        research: the tape, and how it is read.
        manifest: the events (MANIFEST); quotes at or after the first one of a span are not read.

    Raises:
        LakeError: a file of quotes cannot be read.
    """
    spans = _spans(research, manifest)
    rows = spans.join(_sizes(research, spans), on="path", how="inner", maintain_order="left")
    by_month = contradictions_by_month(rows)
    broken = by_month.filter(pl.col("contradicting") > 0)
    figures: dict[str, Figure] = {
        "spans": rows.height,
        "contradicting": int(broken["contradicting"].sum()),
        "months": by_month.height,
        **({} if broken.is_empty() else {"verdict": _describe(broken)}),
    }
    found = Finding(QUOTE_SIZE_CHECK, broken.is_empty(), figures, broken, severe=False)
    return found.unjudged_if(rows.is_empty(), "no captured quote with a size lies before an event")


def _spans(research: TapeResearch, manifest: pl.DataFrame) -> pl.DataFrame:
    """At most SPANS_PER_MONTH spans of each month with their first event: `path`, `month`, `unit`, `first`, `rows`."""
    published = research.tape.published("quotes") if manifest.height else PUBLISHED.to_frame()
    first = (
        published.select("path", event_id="events_merged")
        .explode("event_id", empty_as_null=False, keep_nulls=False)
        .join(manifest.select("event_id", "timestamp"), on="event_id", how="inner")
        .group_by("path")
        .agg(first=pl.col("timestamp").min())
    )
    known = with_unit(published, research.params.quote_sizes_in_shares_from)
    place = pl.concat_str("symbol", pl.col("start").cast(pl.String)).hash(_SEED).rank("ordinal").over("month", "unit")
    return (
        known.join(first, on="path", how="inner")
        .filter(place <= SPANS_PER_MONTH)
        .select("path", "month", "unit", "first", "rows")
        .sort("path")
    )


def _sizes(research: TapeResearch, spans: pl.DataFrame) -> pl.DataFrame:
    """SPAN_SIZES of spans, read in batches of bounded size."""
    schema = {name: research.tape.schema("quotes")[name] for name in _SIZES}
    folder = research.tape.lake.tape(research.tape.profile, "quotes")
    bounds = spans.lazy().select("path", pl.col("first").cast(UTC_NS))
    found = [span_sizes(pl.LazyFrame(schema={"path": pl.String(), **schema})).collect()]
    for batch in in_batches(zip(spans["path"], spans["rows"], strict=True), _ROWS_AT_ONCE):
        quotes = scan_files([path for path, _ in batch], schema).join(bounds, on="path", how="inner")
        with disk_errors("read", folder):
            found.append(span_sizes(quotes.filter(pl.col("timestamp") < pl.col("first"))).collect())
    return pl.concat(found)


def _describe(broken: pl.DataFrame) -> str:
    named = [
        f"{month} ({contradicting:,} of {count_noun(spans, 'span')} in {unit})"
        for month, unit, spans, contradicting in broken.head(_MONTHS_NAMED).iter_rows()
    ]
    if broken.height > _MONTHS_NAMED:
        named.append(f"{count_noun(broken.height - _MONTHS_NAMED, 'more month')}")
    return (
        f"Sizes of quotes contradict their unit in {', '.join(named)}. A few spans may do so by chance; where most do, "
        "set research.quote_sizes_in_shares_from to the first day whose sizes are in shares."
    )
