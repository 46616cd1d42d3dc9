"""The report of a capture in `smallcaps status` and after a demo: windows by state, KPIs, GO or NO-GO and why."""

from datetime import datetime, timedelta
from typing import Final

import polars as pl

from smallcaps_assets.domain.tape.contradictions import count_contradicted, describe_contradicted, is_contradicted
from smallcaps_assets.domain.tape.kpis import capture_kpis, describe_verdict, state_counts
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS, describe_stale
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.ledger import build_ledger, capture_effort
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.pipeline.review.review import Review
from smallcaps_assets.pipeline.source import profile_tape
from smallcaps_assets.settings.settings import Profile, Settings

RECENT: Final = timedelta(minutes=5)


def profile_report(lake: Lake, profile: Profile, settings: Settings, now: datetime) -> str:
    """The state of one profile's capture, counted from published files."""
    tape = profile_tape(lake, profile, settings)
    manifest = ManifestStore.in_lake(lake, profile)
    rows, sidecar = manifest.current()
    published = tape.listing()
    ledger = build_ledger(rows, tape, hashes=False, published=published)
    kpis = capture_kpis(ledger, capture_effort(tape, published), settings.kpis)
    judgement, *reasons = describe_verdict(kpis, ledger)
    lines = [
        f"profile {profile}: {sidecar['rows']:,} events of {sidecar['symbols']:,} symbols in {sidecar['manifest_id']}",
        _states(state_counts(ledger)),
        _progress(ledger, pl.concat(published.values()), settings.source.requests_per_minute, now),
        *_stale(ledger, profile),
        *_contradicted(ledger, profile),
        *_causes(ledger),
        _kpis(kpis),
        _review(Review(lake, profile, settings)),
        f"  {judgement}",
        *(f"    {reason}" for reason in reasons),
    ]
    return "\n".join(lines)


def _review(review: Review) -> str:
    sheet = review.store.latest_sheet()
    if sheet is None:
        return f"  review: no sheet yet, materialize {review.profile}/review_sheet"
    return f"  review of {sheet.manifest_id}: {review.assess(sheet).verdict.words}"


def _states(counts: pl.DataFrame) -> str:
    head = f"  {'wave':<5}{'windows':>9}{'complete':>10}{'empty':>7}{'partly':>8}{'failed':>8}{'missing':>9}{'MB':>10}"
    rows = [
        f"  {row['wave']:<5}{row['windows']:>9,}{row['complete']:>10,}{row['empty']:>7,}"
        f"{row['trades_only'] + row['quotes_only']:>8,}{row['failed'] + row['denied']:>8,}{row['missing']:>9,}"
        f"{row['bytes'] / 1e6:>10,.2f}"
        for row in counts.to_dicts()
    ]
    return "\n".join([head, *rows])


def _progress(ledger: pl.DataFrame, published: pl.DataFrame, budget: float | None, now: datetime) -> str:
    """Progress of each kind and speed of the last minutes, as in the log of a run, but from the lake alone."""
    published_windows = {kind: ledger[f"{kind}_rows"].count() for kind in TAPE_KINDS}
    parts = [f"{kind} of {published_windows[kind]:,} of {ledger.height:,} windows" for kind in TAPE_KINDS]
    recent = published.filter(pl.col("fetched_at").is_between(now - RECENT, now), pl.col("requests") > 0)
    if recent.is_empty():
        return f"  {', '.join(parts)}; nothing in the last {RECENT.seconds // 60} minutes"
    minutes = max((now - min(recent["fetched_at"].to_list())).total_seconds() / 60, 1 / 60)
    windows, requests, retries, throttled = recent.select(
        pl.col("events_merged").list.len().sum(), pl.col("requests", "retries", "throttled").sum()
    ).row(0)
    left = 2 * ledger.height - sum(published_windows.values())
    failed = ledger.filter(pl.col("state").is_in(["failed", "denied"])).height
    limit = f" of {budget:,.0f}" if budget else ""
    return (
        f"  {', '.join(parts)}; in the last {minutes:.1f} minutes {windows / minutes:,.0f} windows a minute, "
        f"{requests / minutes:,.0f}{limit} requests a minute, {retries:,} retries, {throttled:,} times 429, "
        f"{int(recent['bytes'].sum()) / 1e6:,.1f} MB; {failed:,} failed; about "
        f"{timedelta(seconds=round(60 * left * minutes / windows))} left"
    )


def _stale(ledger: pl.DataFrame, profile: Profile) -> list[str]:
    """Windows whose files lack columns, by kind, and the remedy."""
    stale = {kind: describe_stale(ledger[f"{kind}_missing_columns"]) for kind in TAPE_KINDS}
    parts = [f"{kind} of {words}" for kind, words in stale.items() if words]
    if not parts:
        return []
    remedy = f"`smallcaps plan --profile {profile} --upgrade` shows the cost of fetching them again"
    return [f"  stale: {'; '.join(parts)}. They are read with nulls there; {remedy}"]


def _contradicted(ledger: pl.DataFrame, profile: Profile) -> list[str]:
    """Empty windows that bars or trades contradict, by kind, one of them, and the remedy."""
    words = describe_contradicted(count_contradicted(ledger))
    if words is None:
        return []
    event_id, cause = ledger.filter(is_contradicted()).select("event_id", "cause").row(0)
    remedy = f"`smallcaps plan --profile {profile} --retry-empty` shows the cost of asking for them again"
    return [f"  contradicted: {words}, such as {event_id} ({cause}); {remedy}"]


def _causes(ledger: pl.DataFrame) -> list[str]:
    """Why windows are failed or denied: one example per wave and state, and the number of windows."""
    causes = (
        ledger.filter(pl.col("cause").is_not_null() & ~is_contradicted())
        .group_by("wave", "state", maintain_order=True)
        .agg(pl.len(), pl.col("event_id").first(), pl.col("cause").first())
    )
    return [
        f"  {wave} {state} {windows:,}, such as {event_id}: {cause}"
        for wave, state, windows, event_id, cause in causes.iter_rows()
    ]


def _kpis(kpis: pl.DataFrame) -> str:
    """One line per figure: target, and value per wave and in total, marked `!` if it misses the target."""
    shown = kpis.with_columns(
        text=pl.when(pl.col("value").is_null())
        .then(pl.when("holds").then(pl.lit("-")).otherwise(pl.lit("unknown!")))
        .otherwise(
            pl.col("value").round_sig_figs(5).cast(pl.String)
            + pl.when("holds").then(pl.lit(" ")).otherwise(pl.lit("!"))
        )
    )
    waves = kpis["wave"].unique(maintain_order=True).to_list()
    wide = shown.pivot(on="wave", index="figure", values="text", aggregate_function="first")
    targets = shown.group_by("figure", maintain_order=True).agg(
        pl.col("target").unique(maintain_order=True).str.join(", ").fill_null("")
    )
    head = f"  {'figure (! misses its target)':<30}{'target':<24}" + "".join(f"{wave:>10}" for wave in waves)
    rows = [
        f"  {row['figure']:<30}{row['target']:<24}" + "".join(f"{row[wave] or '':>10}" for wave in waves)
        for row in targets.join(wide, on="figure", how="left", maintain_order="left").to_dicts()
    ]
    return "\n".join([head, *rows])
