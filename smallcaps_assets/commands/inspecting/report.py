"""The report of a capture in `smallcaps status` and after a demo: windows by state, KPIs, GO or NO-GO and why."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import polars as pl

from smallcaps_assets.commands.console import Line, Printable, Style, TextTable, plain_text
from smallcaps_assets.domain.research.controls.figures import describe_controls
from smallcaps_assets.domain.tape.budget import BYTES_PER_MB
from smallcaps_assets.domain.tape.contradictions import count_contradicted, describe_contradicted, is_contradicted
from smallcaps_assets.domain.tape.kpis import capture_kpis, describe_verdict, state_counts
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS, TapeKind, describe_stale
from smallcaps_assets.domain.words import count_noun, describe_rate, estimate_duration
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.controls import ControlStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.ledger import build_control_ledger, build_ledger, capture_effort
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.selecting_cohorts import COHORTS_ENTRY, describe_selecting
from smallcaps_assets.lake.tape.failures import EFFORT_NAMES
from smallcaps_assets.lake.tape.files import describe_damage
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.pipeline.manifests.selecting import changes_of_kept
from smallcaps_assets.pipeline.research.tape.reconciled import reconciled_windows
from smallcaps_assets.pipeline.research.tape.tape_step import TapeResearch
from smallcaps_assets.pipeline.review.review import Review
from smallcaps_assets.pipeline.source import profile_tape
from smallcaps_assets.settings.settings import Profile, Settings

RECENT: Final = timedelta(minutes=5)
_MINUTE: Final = timedelta(minutes=1)
_LARGE: Final = 1_000


class CaptureReport(NamedTuple):
    """The state of one profile's capture: what to print, and how many files of it are damaged."""

    items: list[Printable]
    damaged: int


def profile_report(lake: Lake, profile: Profile, settings: Settings, now: datetime) -> str:
    """The state of one profile's capture as plain text, while nothing runs."""
    return plain_text(capture_report(lake, profile, settings, now).items)


def capture_report(  # noqa: PLR0913 -- two of them are choices
    lake: Lake, profile: Profile, settings: Settings, now: datetime, *, is_running: bool = False, proves: bool = False
) -> CaptureReport:
    """The state of one profile's capture, counted from published files; the time left only while a run works on it.

    With `proves` every byte of the tape is read, and the windows of altered files count as missing, as in the ledger.
    """
    tape = profile_tape(lake, profile, settings)
    manifest = ManifestStore.in_lake(lake, profile)
    rows, sidecar = current = manifest.current()
    published = tape.listing()
    altered = list[LakeError]()
    ledger = build_ledger(rows, tape, hashes=proves, published=published, damaged=altered)
    research = TapeResearch(tape, settings.research.params, settings.sessions)
    reconciled = reconciled_windows(research, rows, published)
    kpis = capture_kpis(ledger, capture_effort(tape, published), settings.kpis, reconciled.minutes)
    judgement, *reasons = describe_verdict(kpis, ledger)
    of_events = ControlStore(lake, profile).find(current)
    windows = build_control_ledger(
        of_events.rows, tape, sidecar["manifest_id"], hashes=proves, published=published, damaged=altered
    )
    damaged = [*tape.all_damaged(published), *altered]
    of = f"{count_noun(sidecar['rows'], 'event')} of {count_noun(sidecar['symbols'], 'symbol')}"
    style: Style = "good" if judgement.startswith("GO") else "bad"
    beside = [*reconciled.damaged, *([of_events.damage] if of_events.damage else [])]
    review = _review(Review(lake, profile, settings), beside)
    items: list[Printable] = [
        Line(f"profile {profile}: {of} in {sidecar['manifest_id']}", "heading"),
        *_cohorts(lake, profile, sidecar, beside),
        _states(ledger),
        _kinds(ledger, tape, published, now),
        *([f"  controls: {describe_controls(windows)}"] if windows.height else []),
        *([Line(f"  {of_events.outdated}", "note", hanging=4)] if of_events.outdated else []),
        *([Line(f"  controls: {of_events.problem}", "bad", hanging=4)] if of_events.problem else []),
        *(_time_left(ledger, published, now) if is_running else []),
        *(
            Line(text, "note", hanging=4)
            for text in (*_stale(ledger, profile), *_contradicted(ledger, profile), *_rejected(published))
        ),
        *(Line(text, "bad", hanging=4) for text in (*describe_damaged(damaged), *_causes(ledger))),
        *([Line(f"  research: {reconciled.problem}", "bad", hanging=4)] if reconciled.problem else []),
        # hours left are those of a capture under way
        _kpis(kpis if is_running else kpis.filter(pl.col("figure") != "hours_left")),
        review,
        Line(f"  {judgement}", style),
        *(f"    {reason}" for reason in reasons),
    ]
    return CaptureReport(items, len(damaged) + len(beside))


def _cohorts(lake: Lake, profile: Profile, sidecar: dict[str, Any], damaged: list[LakeError]) -> list[Printable]:
    """The cohorts that selected the events, and whether they have changed since; nothing where none did.

    `damaged` receives why they cannot be read, which is no reason to show nothing else.
    """
    if COHORTS_ENTRY not in sidecar:
        return []
    selected = Line(f"  {describe_selecting(sidecar[COHORTS_ENTRY])}", hanging=4)
    try:
        changed = changes_of_kept(lake, profile, sidecar)
    except LakeError as error:
        damaged.append(error)
        return [selected, Line(f"  cohorts: {error}", "bad", hanging=4)]
    return [selected, *([Line(f"  {changed}", "note", hanging=4)] if changed else [])]


def _review(review: Review, damaged: list[LakeError]) -> Printable:
    """What the labels say; `damaged` receives why they cannot be read, which is no reason to show nothing else."""
    try:
        sheet = review.store.latest_sheet()
        if sheet is None:
            return f"  review: no sheet yet, materialize {review.profile}/review_sheet"
        return f"  review of {sheet.manifest_id}: {review.assess(sheet).verdict.words}"
    except LakeError as error:
        damaged.append(error)
        return Line(f"  review: {error}", "bad", hanging=4)


def _states(ledger: pl.DataFrame) -> TextTable:
    """Windows by wave and state; those of which only trades or only quotes are published yet are separate."""
    missing = pl.col("state") == "missing"
    halves = {
        "quotes missing": missing & pl.col("trades_rows").is_not_null(),
        "trades missing": missing & pl.col("quotes_rows").is_not_null(),
    }
    half = ledger.group_by("wave").agg(**{name: which.sum() for name, which in halves.items()})
    whole = ledger.select(wave=pl.lit("all"), **{name: which.sum() for name, which in halves.items()})
    counts = state_counts(ledger).join(pl.concat([half, whole]), on="wave", how="left", maintain_order="left")
    shown = [name for name in halves if counts[name].sum()]
    columns = ("wave", "windows", "complete", "empty", "partly", "failed", *shown, "missing", "MB")
    return TextTable(
        columns,
        [
            (
                row["wave"],
                *(f"{row[name]:,}" for name in ("windows", "complete", "empty")),
                f"{row['trades_only'] + row['quotes_only']:,}",
                f"{row['failed'] + row['denied']:,}",
                *(f"{row[name]:,}" for name in shown),
                f"{row['missing'] - sum(row[name] for name in shown):,}",
                f"{row['bytes'] / BYTES_PER_MB:,.2f}",
            )
            for row in counts.to_dicts()
        ],
    )


def _kinds(
    ledger: pl.DataFrame, tape: TapeStore, published: Mapping[TapeKind, pl.DataFrame], now: datetime
) -> TextTable:
    """Windows of each kind, and the requests behind published and failed spans, as the log of a run counts them.

    The last column counts windows published in the last minute.
    """
    columns = ("kind", "published", "failed", "missing", "requests", "retries", "429", "MB", "last min")
    rows = []
    for kind in TAPE_KINDS:
        unpublished = set(ledger.filter(pl.col(f"{kind}_rows").is_null())["event_id"])
        failures = tape.failures(kind)
        failed = len(unpublished.intersection(event for record in failures for event in record["events"]))
        spans = published[kind]
        effort = [int(spans[name].sum()) + sum(record[name] for record in failures) for name in EFFORT_NAMES]
        recent = spans.filter(pl.col("fetched_at").is_between(now - _MINUTE, now))["events_merged"].list.len().sum()
        counts = (ledger.height - len(unpublished), failed, len(unpublished) - failed, *effort)
        megabytes = f"{int(spans['bytes'].sum()) / BYTES_PER_MB:,.2f}"
        rows.append((kind, *(f"{count:,}" for count in counts), megabytes, f"{int(recent):,}"))
    return TextTable(columns, rows)


def _time_left(ledger: pl.DataFrame, published: Mapping[TapeKind, pl.DataFrame], now: datetime) -> list[Printable]:
    """About how long the rest takes at the speed of the last minutes."""
    recent = pl.concat(published.values()).filter(
        pl.col("fetched_at").is_between(now - RECENT, now), pl.col("requests") > 0
    )
    missing = sum(ledger[f"{kind}_rows"].null_count() for kind in TAPE_KINDS)
    windows = int(recent["events_merged"].list.len().sum())
    elapsed_s = (now - min(recent["fetched_at"].to_list(), default=now)).total_seconds()
    if not missing or not windows or elapsed_s < _MINUTE.total_seconds():
        return []
    left = estimate_duration(missing * elapsed_s / windows)
    rate = describe_rate(60 * windows / elapsed_s)
    return [f"  {left} left for {count_noun(missing, 'window')} of trades or quotes, at {rate} of late"]


def _rejected(published: Mapping[TapeKind, pl.DataFrame]) -> list[str]:
    """Rows of published spans that were set aside, by kind."""
    counts = {kind: int(spans["rejected"].sum()) for kind, spans in published.items()}
    parts = [f"{count:,} of {kind}" for kind, count in counts.items() if count]
    return [f"  impossible rows in the quarantine: {', '.join(parts)}"] if parts else []


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


def describe_damaged(errors: Sequence[LakeError]) -> list[str]:
    """A line on the damaged files of tape, if there are any."""
    words = describe_damage(errors)
    return [] if words is None else [f"  damaged: {words}"]


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


def _kpis(kpis: pl.DataFrame) -> TextTable:
    """One line per figure: target, and value per wave and in total, marked `!` if it misses the target."""
    texts = [_figure_text(value, holds=holds) for value, holds in kpis.select("value", "holds").iter_rows()]
    shown = kpis.with_columns(text=pl.Series(texts, dtype=pl.String))
    waves = kpis["wave"].unique(maintain_order=True).to_list()
    wide = shown.pivot(on="wave", index="figure", values="text", aggregate_function="first")
    targets = shown.group_by("figure", maintain_order=True).agg(
        pl.col("target").str.strip_prefix("within ").unique(maintain_order=True).str.join(", ").fill_null("")
    )
    rows = targets.join(wide, on="figure", how="left", maintain_order="left").to_dicts()
    cells = [(row["figure"], row["target"], *(row[wave] or "" for wave in waves)) for row in rows]
    return TextTable(("figure", "target (! missed)", *waves), cells, left=2)


def _figure_text(value: float | None, *, holds: bool) -> str:
    """A figure, rounded; a mark where it misses its target."""
    if value is None:
        return "-" if holds else "unknown!"
    text = f"{value:,.0f}" if abs(value) >= _LARGE else f"{value:.4g}"
    return text if holds else f"{text}!"
