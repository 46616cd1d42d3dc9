"""Schemas of the tables about the tape: windows, spans, certificates, ledger, figures, costs."""

from typing import Final

import polars as pl

from smallcaps_assets.domain.tables import UTC_NS, UTC_US
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS

WINDOWS: Final = pl.Schema(
    {"event_id": pl.String(), "symbol": pl.String(), "wave": pl.String(), "start": UTC_US, "end": UTC_US}
)

SPANS: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "wave": pl.String(),
        "start": UTC_US,
        "end": UTC_US,
        "events_merged": pl.List(pl.String()),
    }
)

# Published windows whose files lack columns that the profile requires.
STALE: Final = pl.Schema({**WINDOWS, "missing_columns": pl.List(pl.String())})

# What the footer of a tape file records of its origin. `skipped`: why the vendor was not asked; `taken_from`: files of
# other profiles that the rows were copied from instead; `adopted_from`: imported files of a user. `budget_events`
# had their quotes from `budget_from` on thinned to `budget_hz` because their tape was too large (null: from their
# timestamp on, as release 0.1 did); `over_budget` are too large even so. `repeats`: rows removed because they repeat
# another exactly, besides those `received`; `rejected`: rows among those received that were set aside because they are
# impossible. Both are null where they were not counted.
# `opening_book`: rows of quotes before the start of the span, 0 or 1; null where release 0.1 wrote none.
# `quote_size_unit`: see `domain.tape.size_units`; null of trades, and of quotes of releases that recorded none.
CERTIFICATE: Final = pl.Schema(
    {
        "events_merged": pl.List(pl.String()),
        "pages": pl.Int64(),
        "requests": pl.Int64(),
        "retries": pl.Int64(),
        "throttled": pl.Int64(),
        "received": pl.Int64(),
        "repeats": pl.Int64(),
        "rejected": pl.Int64(),
        "rows": pl.Int64(),
        "opening_book": pl.Int64(),
        "quote_size_unit": pl.String(),
        "request_ids": pl.List(pl.String()),
        "fetched_at": UTC_US,
        "skipped": pl.String(),
        "taken_from": pl.List(pl.String()),
        "adopted_from": pl.List(pl.String()),
        "thinning": pl.Struct({"by_change_only": pl.Boolean(), "max_hz": pl.Int64()}),
        "budget_mb": pl.Float64(),
        "budget_events": pl.List(pl.String()),
        "budget_hz": pl.List(pl.Float64()),
        "budget_from": pl.String(),
        "over_budget": pl.List(pl.String()),
        "config_hash": pl.String(),
        "package_version": pl.String(),
    }
)

# One row per published span. `bytes` is the size of its file; `missing_columns` are those that the profile requires and
# the file lacks: a span with any is stale.
PUBLISHED: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "wave": pl.String(),
        "start": UTC_US,
        "end": UTC_US,
        "path": pl.String(),
        "bytes": pl.Int64(),
        "missing_columns": pl.List(pl.String()),
        **CERTIFICATE,
    }
)

# Rows of each event in each of its tape files.
PIECE_COUNTS: Final = pl.Schema(
    {"event_id": pl.String(), "path": pl.String(), "rows": pl.Int64(), "first": UTC_NS, "last": UTC_NS}
)

LEDGER: Final = pl.Schema(
    {
        "profile": pl.String(),
        "manifest_id": pl.String(),
        "event_id": pl.String(),
        "symbol": pl.String(),
        "wave": pl.String(),
        "start": UTC_US,
        "end": UTC_US,
        "extended": pl.Boolean(),
        "state": pl.String(),
        "cause": pl.String(),
        "events_merged": pl.List(pl.String()),
        **{f"{kind}_rows": pl.Int64() for kind in TAPE_KINDS},
        **{f"{kind}_first": UTC_NS for kind in TAPE_KINDS},
        **{f"{kind}_last": UTC_NS for kind in TAPE_KINDS},
        "bytes": pl.Float64(),
        "thinning": pl.String(),
        "budget_hz": pl.Float64(),
        "over_budget": pl.Boolean(),
        "quotes_skipped": pl.String(),
        "trades_taken_from": pl.List(pl.String()),
        **{f"{kind}_adopted_from": pl.List(pl.String()) for kind in TAPE_KINDS},
        **{f"{kind}_missing_columns": pl.List(pl.String()) for kind in TAPE_KINDS},
        **{
            f"{kind}_{name}": dtype
            for kind in TAPE_KINDS
            for name, dtype in {
                "files": pl.List(pl.String()),
                "sha256": pl.List(pl.String()),
                "spans": pl.List(pl.Struct({"start": UTC_US, "end": UTC_US})),
                "received": pl.Int64(),
                "repeats": pl.Int64(),
                "rejected": pl.Int64(),
                "pages": pl.Int64(),
                "requests": pl.Int64(),
                "request_ids": pl.List(pl.String()),
                "fetched_at": UTC_US,
            }.items()
        },
        "config_hash": pl.List(pl.String()),
        "package_version": pl.List(pl.String()),
        "reconciled_share": pl.Float64(),
        "worst_class": pl.String(),
    }
)

# Columns that release 0.1 did not write.
LEDGER_ADDED: Final = (
    *(f"{kind}_{name}" for kind in TAPE_KINDS for name in ("missing_columns", "repeats", "rejected")),
    "reconciled_share",
    "worst_class",
)

# How bars and trades of an event agree, and the minutes of a wave: how many agree exactly, of those that have either.
RECONCILED_EVENTS: Final = pl.Schema(
    {"event_id": pl.String(), "reconciled_share": pl.Float64(), "worst_class": pl.String()}
)
RECONCILED_MINUTES: Final = pl.Schema({"wave": pl.String(), "exact": pl.Int64(), "compared": pl.Int64()})

# Requests behind published and failed spans.
EFFORT: Final = pl.Schema({"wave": pl.String(), "requests": pl.Int64(), "retries": pl.Int64(), "throttled": pl.Int64()})

KPIS: Final = pl.Schema(
    {
        "wave": pl.String(),
        "figure": pl.String(),
        "value": pl.Float64(),
        "target": pl.String(),
        "holds": pl.Boolean(),
    }
)

# One row per file that the ledger names. `fetched_at` is the time its file was fetched, or later.
CERTIFIED: Final = pl.Schema(
    {
        "kind": pl.String(),
        "file": pl.String(),
        "symbol": pl.String(),
        "sha256": pl.String(),
        "start": UTC_US,
        "end": UTC_US,
        "fetched_at": UTC_US,
        "events": pl.List(pl.String()),
    }
)

# Spans to fetch and the trades expected in each. `copied`: cut out of another profile's tape, without a request.
SPANS_TO_FETCH: Final = pl.Schema({"kind": pl.String(), **SPANS, "copied": pl.Boolean(), "trades": pl.Float64()})

# Cost per wave of what is missing. `events` are those of the selection, `events_due` those without trades or quotes;
# bytes are of parquet, `bytes_p50` and `bytes_p90` those of one event to fetch (null: there is none).
COST_ESTIMATE: Final = pl.Schema(
    {
        "wave": pl.String(),
        "events": pl.Int64(),
        "events_due": pl.Int64(),
        "trades_spans": pl.Int64(),
        "quotes_spans": pl.Int64(),
        "requests": pl.Int64(),
        "hours": pl.Float64(),
        "bytes": pl.Float64(),
        "bytes_p50": pl.Float64(),
        "bytes_p90": pl.Float64(),
    }
)

# One row per sampled span: the rows of its file and how they changed, or the cause why that is not known.
AUDIT: Final = pl.Schema(
    {
        "kind": pl.String(),
        "symbol": pl.String(),
        "wave": pl.String(),
        "start": UTC_US,
        "end": UTC_US,
        "fetched_at": UTC_US,
        "rows": pl.Int64(),
        "added": pl.Int64(),
        "removed": pl.Int64(),
        "altered": pl.Int64(),
        "cause": pl.String(),
    }
)
