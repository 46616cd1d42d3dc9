"""The ledger: one certificate per event of a manifest, from the footers and rows of the tape files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import polars as pl

from smallcaps_assets.domain.research.controls.tables import (
    CONTROL,
    CONTROL_LEDGER,
    control_windows,
    serves_controls_only,
)
from smallcaps_assets.domain.tape.budget import BYTES_PER_MB
from smallcaps_assets.domain.tape.contradictions import contradiction
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS, TapeKind
from smallcaps_assets.domain.tape.tables import EFFORT, LEDGER, RECONCILED_EVENTS, WINDOWS
from smallcaps_assets.domain.tape.windows import choose_pieces, event_windows, uncovered_windows
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.proven_files import prove_anew
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.tape.bar_minutes import events_with_volume
from smallcaps_assets.lake.tape.store import TapeStore

# key of the footer of a report: the content hash of the ledger that it was made from
LEDGER_OF_REPORT: Final = "ledger_sha256"
_HASHES: Final = pl.Schema({"path": pl.String(), "file": pl.String(), "sha256": pl.String()})
_SUMS: Final = ("received", "pages", "requests")
# files of earlier releases did not count them
_COUNTED: Final = ("repeats", "rejected")
_RECONCILED: Final = tuple(name for name in RECONCILED_EVENTS if name != "event_id")


def build_ledger(  # noqa: PLR0913 -- what callers know already spares reading it again
    manifest: pl.DataFrame,
    tape: TapeStore,
    manifest_id: str | None = None,
    *,
    hashes: bool = True,
    published: Mapping[TapeKind, pl.DataFrame] | None = None,
    damaged: list[LakeError] | None = None,
    reconciled: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """One row per event of `manifest` (LEDGER), in rank order.

    `bytes` is the event's share of its files, by rows. Pages, requests and rows received are those of the event's
    spans, which other events may share. An event without trades or without quotes is `denied` or `failed` if the
    cause is known, otherwise `missing`. The cause of an event without trades or quotes although there was trading is
    one of CONTRADICTIONS; bars are read for its minutes only.

    Args:
        manifest: the events (MANIFEST).
        tape: their tape.
        manifest_id: the name of the manifest.
        hashes: whether to read every file for its SHA-256, which is null otherwise. A file that cannot be read, or
            whose content is not what was published, is not certified.
        published: what `tape.listing` returned; listed here if it is not given.
        damaged: receives what is wrong with such files, whose windows then count as missing.
        reconciled: RECONCILED_EVENTS, of events whose bars were compared with the trades that are published now.

    Raises:
        LakeError: a record of a failed window is damaged, or bars of an empty one; without `damaged`, also tape.
    """
    windows, listing = event_windows(manifest), published or tape.listing()
    compared = RECONCILED_EVENTS.to_frame() if reconciled is None else reconciled
    trades, quotes = (
        _published_windows(windows, tape, kind, *_pieces(windows, listing[kind], damaged, hashes=hashes))
        for kind in TAPE_KINDS
    )
    has_trades, has_quotes = pl.col("trades_rows") > 0, pl.col("quotes_rows") > 0
    is_published = pl.col("trades_rows").is_not_null() & pl.col("quotes_rows").is_not_null()

    def of_missing_kind(what: str) -> pl.Expr:
        missing = (pl.when(pl.col(f"{kind}_rows").is_null()).then(f"{kind}_{what}") for kind in TAPE_KINDS)
        return pl.coalesce(*missing)

    def of_both_kinds(what: str) -> pl.Expr:
        both = pl.concat_list(pl.col(f"{kind}_{what}").fill_null([]) for kind in TAPE_KINDS)
        return both.list.unique().list.sort()

    state = (
        pl.when(~is_published)
        .then(of_missing_kind("state").fill_null("missing"))
        .when(has_trades & has_quotes)
        .then(pl.lit("complete"))
        .when(has_trades)
        .then(pl.lit("trades_only"))
        .when(has_quotes)
        .then(pl.lit("quotes_only"))
        .otherwise(pl.lit("empty"))
    )
    found = (
        windows.with_columns(
            profile=pl.lit(tape.profile),
            manifest_id=pl.lit(manifest_id, pl.String),
            extended=manifest["extended"],
        )
        .join(trades, on="event_id", how="left", maintain_order="left")
        .join(quotes, on="event_id", how="left", maintain_order="left")
        .with_columns(
            state=state,
            cause=of_missing_kind("cause"),
            bytes=pl.sum_horizontal("trades_bytes", "quotes_bytes"),
            thinning=pl.col("quotes_thinning"),
            budget_hz=pl.col("quotes_budget_hz"),
            over_budget=pl.col("quotes_over_budget").fill_null(value=False) | _too_large(tape),
            **{name: of_both_kinds(name) for name in ("events_merged", "config_hash", "package_version")},
        )
        .join(compared, on="event_id", how="left", maintain_order="left")
        .with_columns(pl.when(pl.col("trades_rows").is_not_null()).then(pl.col(*_RECONCILED)).name.keep())
        .select(*LEDGER)
        .match_to_schema(LEDGER)
    )
    return found.with_columns(cause=pl.coalesce("cause", contradiction(traded_events(found, tape.lake))))


def traded_events(ledger: pl.DataFrame, lake: Lake) -> set[str]:
    """Events of a ledger without trades or quotes whose minutes have volume according to the published bars.

    Raises:
        LakeError: a file of bars cannot be read.
    """
    empty = ledger.filter((pl.col("trades_rows") == 0) | (pl.col("quotes_rows") == 0))
    return events_with_volume(lake, empty.select(*WINDOWS))


def build_control_ledger(  # noqa: PLR0913 -- as build_ledger
    controls: pl.DataFrame,
    tape: TapeStore,
    manifest_id: str,
    *,
    hashes: bool = True,
    published: Mapping[TapeKind, pl.DataFrame] | None = None,
    damaged: list[LakeError] | None = None,
) -> pl.DataFrame:
    """One row per window of the controls of a profile (CONTROL_LEDGER), in the order of the control manifest.

    `controls` are its rows (CONTROL_MANIFEST) of the events of `manifest_id`; for the rest see `build_ledger`.
    """
    if controls.is_empty():
        return CONTROL_LEDGER.to_frame()
    windows = control_windows(controls)
    ledger = build_ledger(windows, tape, manifest_id, hashes=hashes, published=published, damaged=damaged)
    return ledger.with_columns(event_type=pl.lit(CONTROL)).match_to_schema(CONTROL_LEDGER)


def capture_effort(
    tape: TapeStore, published: Mapping[TapeKind, pl.DataFrame] | None = None, *, of_controls: bool = False
) -> pl.DataFrame:
    """Requests, retries and throttled answers (EFFORT) behind every published or failed span, by wave.

    Args:
        tape: the tape.
        published: what `tape.listing` returned; listed here if it is not given.
        of_controls: of the spans that were fetched for controls alone; otherwise of all others.
    """
    columns = {**EFFORT, "events_merged": pl.List(pl.String())}
    spans = pl.concat((published or tape.listing()).values()).select(*columns)
    records = [{**record, "events_merged": record["events"]} for kind in TAPE_KINDS for record in tape.failures(kind)]
    failed = pl.DataFrame(records, schema=columns)
    asked = pl.concat([spans, failed]).filter(serves_controls_only() == of_controls)
    return asked.select(*EFFORT).group_by("wave").sum()


def _pieces(
    windows: pl.DataFrame, published: pl.DataFrame, damaged: list[LakeError] | None, *, hashes: bool
) -> tuple[pl.DataFrame, dict[str, str | None]]:
    """The pieces of the covered windows, and the SHA-256 of their files; `damaged` receives why others are left out."""
    proved: dict[str, str | None] = {}
    while True:
        missing = uncovered_windows(windows, published).select("event_id")
        where = choose_pieces(windows.join(missing, on="event_id", how="anti"), published)
        left_out = []
        for path in where["path"].unique().sort():
            try:
                proved[path] = proved.get(path) or (prove_anew(Path(path)) if hashes else None)
            except LakeError as error:
                if damaged is None:
                    raise
                damaged.append(error)
                left_out.append(path)
        if not left_out:
            return where, proved
        published = published.filter(~pl.col("path").is_in(left_out))


def _published_windows(
    windows: pl.DataFrame, tape: TapeStore, kind: TapeKind, where: pl.DataFrame, proved: Mapping[str, str | None]
) -> pl.DataFrame:
    """What is published of each window that is covered, and why others are not; names begin with `kind`."""
    named = _file_names(where["path"].unique().sort(), tape.lake.root, proved)
    covered = (
        where.unique(["event_id", "path"], keep="first", maintain_order=True)
        .rename({"rows": "total"})
        .join(tape.count_pieces(kind, where), on=["event_id", "path"], how="left", maintain_order="left")
        .join(named, on="path", how="left", maintain_order="left")
        .with_columns(pl.col("rows").fill_null(0))
        .group_by("event_id", maintain_order=True)
        .agg(
            pl.col("rows").sum(),
            pl.col("first").min(),
            pl.col("last").max(),
            (pl.col("bytes") * pl.col("rows") / pl.col("total").clip(1)).sum().alias("bytes"),
            pl.col("file").alias("files"),
            pl.col("sha256"),
            pl.struct(start="start_span", end="end_span").alias("spans"),
            *(pl.col(name).sum() for name in _SUMS),
            *(pl.when(pl.col(name).count() > 0).then(pl.col(name).sum()).alias(name) for name in _COUNTED),
            pl.col("request_ids").list.explode(),
            pl.col("fetched_at").max(),
            pl.col("skipped").drop_nulls().first(),
            *(pl.col(name).list.explode().drop_nulls().unique().sort() for name in ("taken_from", "adopted_from")),
            pl.col("events_merged").list.explode().unique(),
            pl.col("missing_columns").list.explode(keep_nulls=False, empty_as_null=False).unique().sort(),
            *(pl.col(name).drop_nulls().unique() for name in ("config_hash", "package_version")),
            *_thinning_text(),
        )
    )
    failures = pl.DataFrame(
        [(event, record["state"], record["cause"]) for record in tape.failures(kind) for event in record["events"]],
        schema={"event_id": pl.String, "state": pl.String, "cause": pl.String},
        orient="row",
    ).unique("event_id", keep="last")
    rows = windows.select("event_id")
    for facts in (covered, _budget(where), failures):
        rows = rows.join(facts, on="event_id", how="left")
    return rows.rename(lambda name: name if name == "event_id" else f"{kind}_{name}")


def _too_large(tape: TapeStore) -> pl.Expr:
    """Whether the files of an event exceed the budget, regardless of what was known when its quotes were published."""
    bytes_of_event = pl.sum_horizontal("trades_bytes", "quotes_bytes")
    return pl.lit(value=False) if tape.budget is None else bytes_of_event > tape.budget.event_mb * BYTES_PER_MB


def _thinning_text() -> list[pl.Expr]:
    """How the quotes of the files were thinned, as text."""
    rate = pl.col("thinning").struct.field("max_hz").cast(pl.String)
    changes = pl.col("thinning").struct.field("by_change_only")
    text = pl.format("{}{} Hz", pl.when(changes).then(pl.lit("changes, ")).otherwise(pl.lit("")), rate)
    return [text.drop_nulls().unique().sort().str.join("; ").alias("thinning")]


def _budget(where: pl.DataFrame) -> pl.DataFrame:
    """event_id, budget_hz, over_budget: the rate of the quotes after the event, and whether it is still too large.

    A file that was fetched for another manifest does not name the event: any part of its window may have the file's
    lowest rate, so that rate is reported.
    """
    listed = where.select("event_id", "events_merged", "budget_events", "budget_hz", "over_budget")
    is_unnamed = ~pl.col("events_merged").list.contains(pl.col("event_id"))
    rates = listed.explode("budget_events", "budget_hz").filter(
        (pl.col("budget_events") == pl.col("event_id")) | is_unnamed
    )
    return (
        listed.group_by("event_id")
        .agg(over_budget=pl.col("over_budget").list.contains(pl.col("event_id")).any())
        .join(rates.group_by("event_id").agg(pl.col("budget_hz").min()), on="event_id", how="left")
    )


def _file_names(paths: pl.Series, root: Path, proved: Mapping[str, str | None]) -> pl.DataFrame:
    """The path of each file within the lake, and its hash."""
    rows = [(path, Path(path).relative_to(root).as_posix(), proved[path]) for path in paths]
    return pl.DataFrame(rows, schema=_HASHES, orient="row")
