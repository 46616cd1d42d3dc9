"""A plan as text: what each wave costs, what the figures rest on, and whether the disk has room."""

from argparse import Namespace
from typing import Final

import polars as pl

from smallcaps_assets.commands.console import Printable, TextTable
from smallcaps_assets.domain.research.controls.tables import CONTROLS
from smallcaps_assets.domain.tape.budget import BYTES_PER_MB
from smallcaps_assets.domain.tape.cost_estimate import Rate
from smallcaps_assets.domain.tape.schemas import describe_stale
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.pipeline.tape.cost_estimate import BYTES_PER_GB, CapturePlan
from smallcaps_assets.settings.settings import Settings

DAYS_FROM_HOURS: Final = 48
HOURS_PER_DAY: Final = 24
_WORDS: Final = {
    "quotes_per_trade": "quotes per trade",
    "bytes_per_trade": "bytes per trade",
    "bytes_per_quote": "bytes per quote kept",
    "quotes_kept": "of the quotes kept",
}


def plan_text(plan: CapturePlan, settings: Settings, check: dict[str, str], arguments: Namespace) -> list[Printable]:
    """The table of the waves, what its figures rest on, the disk, and the vendor's answer; see `plan_document`."""
    disk = settings.capture.free_disk
    limit = settings.source.requests_per_minute
    rate_limit = f"at {limit:,g} request{'s' * (limit != 1)} a minute" if limit else "no rate limit set"
    lines: list[Printable] = [
        _table(plan.table),
        f"  hours: {rate_limit}; bytes: parquet",
        *(["  controls: windows that no event needs; `all` has their cost"] if CONTROLS in plan.table["wave"] else []),
        *_basis(plan),
        f"  disk: needs {plan.bytes / BYTES_PER_GB:,.2f} GB and keeps {disk.keep_gb:,.1f} GB free, has "
        f"{plan.free_bytes / BYTES_PER_GB:,.2f} GB: {'enough' if plan.fits(disk) else 'not enough'}"
        + ("" if disk.check else " (not checked before a capture)"),
    ]
    lines += _stale(plan)
    lines += [f"  check of {kind}: {answer}" for kind, answer in check.items()]
    if arguments.check and not check:
        lines.append("  check: nothing is left to fetch, no request was sent")
    return lines


def _stale(plan: CapturePlan) -> list[str]:
    """Windows that the plan leaves stale, by kind."""
    stale = {kind: describe_stale(backlog.stale["missing_columns"]) for kind, backlog in plan.backlogs.items()}
    parts = [f"{kind} of {words}" for kind, words in stale.items() if words]
    return [f"  stale, not in this plan: {'; '.join(parts)}; --upgrade plans them as well"] if parts else []


def _table(table: pl.DataFrame) -> TextTable:
    columns = ("wave", "events", "missing", "trades spans", "quotes spans", "requests", "hours", "MB")
    rows = [
        (
            row["wave"],
            *(f"{row[name]:,}" for name in ("events", "events_due", "trades_spans", "quotes_spans", "requests")),
            in_hours(row["hours"]),
            f"{row['bytes'] / BYTES_PER_MB:,.2f}",
            _megabytes(row["bytes_p50"]),
            _megabytes(row["bytes_p90"]),
        )
        for row in table.to_dicts()
    ]
    return TextTable((*columns, "MB/event p50", "p90"), rows)


def in_hours(hours: float | None) -> str:
    """Hours as text, with the days where there are many; `-` if not known."""
    if hours is None:
        return "-"
    days = f" ({hours / HOURS_PER_DAY:,.1f} days)" if hours > DAYS_FROM_HOURS else ""
    return f"{hours:,.2f}{days}"


def _megabytes(size: float | None) -> str:
    return "-" if size is None else f"{size / BYTES_PER_MB:,.3f}"


def _basis(plan: CapturePlan) -> list[str]:
    """The basis of the figures: bars, measured ratios, assumptions."""
    rates = plan.rates._asdict()
    assumed = [_figure(name, rate) for name, rate in rates.items() if not rate.spans and name != "trades_per_bar"]
    learned = [
        f"{_figure(name, rate)} (from {count_noun(rate.spans, 'span')})" for name, rate in rates.items() if rate.spans
    ]
    unknown = [
        f"{count_noun(plan.bars_without_transactions, 'bar')} without a count" * (plan.bars_without_transactions > 0),
        f"{count_noun(plan.windows_without_bars, 'window')} without bars" * (plan.windows_without_bars > 0),
    ]
    where = " and ".join(filter(None, unknown))
    there = f"; {rates['trades_per_bar'].value:g} per minute assumed in {where}" if where else ""
    lines = [f"  trades: as counted by {count_noun(plan.bars, 'minute bar')}{there}"]
    if learned:
        lines.append(f"  measured: {', '.join(learned)}")
    if assumed:
        lines.append(f"  assumed: {', '.join(assumed)}")
    return lines


def _figure(name: str, rate: Rate) -> str:
    value = f"{100 * rate.value:.1f} %" if name == "quotes_kept" else f"{rate.value:,.2f}"
    return f"{value} {_WORDS[name]}"
