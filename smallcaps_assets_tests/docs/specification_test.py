"""The numbers and columns of the specification are those of the shipped settings and of the tables."""

import re
from datetime import UTC, datetime

import polars as pl
import pytest

from smallcaps_assets.domain.bars.lengths import LEAST_BARS, LEAST_BITS
from smallcaps_assets.domain.bars.unknown import MOST_PRICE_USD, MOST_SHARES, UNSET_COUNT
from smallcaps_assets.domain.events.detection import event_ids
from smallcaps_assets.domain.tables import BARS, EVENTS, MANIFEST, QUOTES, QUOTES_ALL, TRADES, TRADES_ALL
from smallcaps_assets.domain.tape.contradictions import CONTRADICTIONS
from smallcaps_assets.settings.settings import PROFILES, load_settings
from smallcaps_assets_tests.repository import REPOSITORY

NONE = "\u2013"
TEXT = (REPOSITORY / "docs" / "specification.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^##+ (\d(?:\.\d)?)\.? [^\n]*\n(.*?)(?=^##+ \d|\Z)", TEXT, re.MULTILINE | re.DOTALL))
SETTINGS = load_settings(REPOSITORY / "config" / "config.yaml", {})
FEATURES, DETECTORS, FILTERS = SETTINGS.features, SETTINGS.detectors, SETTINGS.filters
SCORE, COOLDOWN, RANKING, KPIS = SETTINGS.score, SETTINGS.cooldown, SETTINGS.ranking, SETTINGS.kpis
SPIKE, VWAP, MOMENTUM = DETECTORS.volume_spike, DETECTORS.vwap_break, DETECTORS.price_momentum
BASE, RANGE, SPEED, FLUSH = (
    DETECTORS.consolidation_break,
    DETECTORS.opening_range_break,
    DETECTORS.tape_speed,
    DETECTORS.flush,
)
BY_PROFILE = [SETTINGS.profiles[name] for name in PROFILES]
CLOCK, PRINT = SETTINGS.sessions, SETTINGS.checks.bars.suspect_print


def row(name: str, *cells: object) -> str:
    return f"| {name} | {' | '.join(map(str, cells))} |"


def per_profile(name: str, cell: str) -> str:
    """A row of the table of profiles; `cell` is formatted with each profile as `p`."""
    return row(name, *(cell.format(p=profile) for profile in BY_PROFILE))


STATED = [
    ("1", f"at least {100 * PRINT.min_excess_share:.0f} % of that high"),
    ("1", f"at least {PRINT.min_excess_ranges} times their range"),
    ("1", f"the {PRINT.neighbour_bars} bars of the symbol before and the {PRINT.neighbour_bars} after"),
    ("1", f"at most {PRINT.neighbour_min} minutes away; a bar with fewer than {PRINT.min_neighbours} on either side"),
    ("1", f"k^n >= 2^{LEAST_BITS} and there are at least {LEAST_BARS} of them"),
    ("2", row("PM", f"[{CLOCK.premarket_open:%H:%M}, {CLOCK.regular_open:%H:%M})")),
    ("2", row("RTH", f"[{CLOCK.regular_open:%H:%M}, {CLOCK.regular_close:%H:%M})")),
    ("2", row("AH", f"[{CLOCK.regular_close:%H:%M}, {CLOCK.afterhours_close:%H:%M})")),
    ("2", f"median volume of the up to {FEATURES.baseline_bars} bars before i"),
    ("2", f"`min_history` ({FEATURES.min_history})"),
    ("2", f"close / close {FEATURES.return_bars} bars earlier - 1"),
    ("2", f"sqrt({FEATURES.base_bars})"),
    (
        "2",
        f"the last up to {FEATURES.rvol_days} days with bars among the {FEATURES.rvol_sessions} XNYS sessions before",
    ),
    ("2", f"before this date; null with fewer than {FEATURES.rvol_min_days} such days"),
    ("2", f"The bound of {FEATURES.rvol_sessions} sessions (`rvol_sessions`)"),
    ("1", f"of {UNSET_COUNT:,} or more, or that is not whole, is unknown"),
    ("1", f"above {MOST_PRICE_USD:,.0f} dollars. Vendors write"),
    ("1", f"the volume is above {MOST_SHARES:,.0f} shares"),
    ("2", f"rounded to {FEATURES.vwap_decimals} decimals"),
    ("3.1", row("spike_x >=", SPIKE.regular.min_spike_x, SPIKE.extended.min_spike_x)),
    ("3.1", row("volume >=", f"{SPIKE.regular.min_volume_shares:,.0f}", f"{SPIKE.extended.min_volume_shares:,.0f}")),
    (
        "3.1",
        row(
            "dollar_volume >=",
            f"{SPIKE.regular.min_dollar_volume_usd:,.0f}",
            f"{SPIKE.extended.min_dollar_volume_usd:,.0f}",
        ),
    ),
    ("3.1", f"(high - low) / open >= {SPIKE.min_range_share}"),
    (
        "3.1",
        f"red_run >= {SPIKE.down_min_red_run_bars}, and (day_high - close) / day_high >= {SPIKE.down_min_drop_share}",
    ),
    ("3.2", f">= {VWAP.up_min_run_bars} consecutive bars with close >= vwap_rth x {1 + VWAP.up_min_above_share}"),
    ("3.2", f">= {VWAP.down_min_run_bars} consecutive bars with close <= vwap_rth x (1 - {VWAP.down_min_below_share})"),
    ("3.2", f"spike_x >= {VWAP.up_min_spike_x} at i; and an earlier"),
    ("3.2", f"spike_x >= {VWAP.down_min_spike_x} at i; and a failed"),
    ("3.2", f"among the {VWAP.failed_reclaim_bars} bars before i"),
    ("3.3", f"return_5 >= {MOMENTUM.up_min_return:.3f}, close > high_20, spike_x >= {MOMENTUM.up_min_spike_x}"),
    ("3.3", f"return_5 <= {MOMENTUM.down_max_return}, close < low_20"),
    ("3.3", f"{MOMENTUM.down_min_earlier_return}) >= {MOMENTUM.down_min_acceleration_x}"),
    ("3.3", f"return_5 of bar i-{MOMENTUM.down_acceleration_bars}|"),
    ("3.4", f"flatness <= {BASE.max_flatness} and spike_x >= {BASE.min_spike_x}"),
    ("3.4", f"{FEATURES.base_bars} bars before) x {1 + BASE.up_min_above_share:.3f}"),
    ("3.4", f"{FEATURES.base_bars} bars before) x {1 - BASE.down_min_below_share:.3f}"),
    ("3.5", f"within {RANGE.range_min} minutes of the RTH open, at least {RANGE.min_range_bars} bars"),
    ("3.5", f"range high x {1 + RANGE.up_min_above_share}"),
    ("3.5", f"range low x {1 - RANGE.down_min_below_share}"),
    ("3.5", f"spike_x >= {RANGE.min_spike_x}"),
    ("3.6", f"transactions >= {SPEED.min_transactions}, and transactions / baseline >= {SPEED.min_speed_x}"),
    (
        "3.7",
        f"day_high >= {FLUSH.min_drop_share}; close is the lowest close of the last {FLUSH.lowest_close_bars} bars",
    ),
    ("3.7", f"spike_x >= {FLUSH.min_spike_x}; red_run >= {FLUSH.min_red_run_bars}"),
    ("3.8", row("close", *[f"{FILTERS.min_close_usd} to {FILTERS.max_close_usd:.0f}"] * 2)),
    (
        "3.8",
        row(
            "dollar_volume_day >=",
            f"{FILTERS.min_dollar_volume_day_bullish_usd:,.0f}",
            f"{FILTERS.min_dollar_volume_day_bearish_usd:,.0f}",
        ),
    ),
    (
        "3.8",
        row(
            "float >=",
            f"{FILTERS.min_float_bullish_shares / 1e6:.0f} M",
            f"{FILTERS.min_float_bearish_shares / 1e6:.0f} M",
        ),
    ),
    ("3.8", row("short interest / float <=", NONE, f"{100 * FILTERS.max_short_interest_share:.0f} %")),
    ("3.8", row("days to cover <=", NONE, f"{FILTERS.max_days_to_cover:.0f}")),
    *(("4", f"| {name} | {weight:.2f} | ") for name, weight in SCORE.weights.model_dump().items()),
    ("4", f"ln(spike_x) / ln({SCORE.full_spike_x:.0f})"),
    ("4", f"abs(return_5) / {SCORE.full_price_change:.2f}; if"),
    ("4", f"log10(dollar_volume / {SCORE.dollar_volume_floor_usd:,.0f}) / {SCORE.dollar_volume_decades:.0f}"),
    ("4", f"else red_run) / {SCORE.full_run_bars}"),
    ("4", f"abs(close / vwap_session - 1) / {SCORE.full_vwap_distance:.2f}"),
    ("4", f"[t, t + {COOLDOWN.window_min} min)"),
    ("4", f"score >= {COOLDOWN.keep_share_of_best} x the window's"),
    ("4", f"the same window rule with {COOLDOWN.group_window_min} minutes"),
    *(("5", row(name, f"{weight:.2f}")) for name, weight in RANKING.type_weights.items()),
    *(("5", f"| `{bucket.name}` | {bucket.session} | ") for bucket in RANKING.time_buckets),
    *(("5", f" | {bucket.share:.2f} |\n") for bucket in RANKING.time_buckets),
    (
        "5",
        per_profile(
            "max_events / per symbol / per symbol-day",
            "{p.max_events:,} / {p.max_per_symbol} / {p.max_per_symbol_day}",
        ),
    ),
    ("5", per_profile("min_event_score", "{p.min_event_score:.2f}")),
    ("5", per_profile("window, minutes before / after", "{p.window.before_min} / {p.window.after_min}")),
    ("5", per_profile("extended window", "{p.extended_window.before_min} / {p.extended_window.after_min}")),
    (
        "5",
        per_profile(
            "extension: speed percentile, spread percentile, spike_x",
            "{p.extension.speed_percentile:.0f}, {p.extension.spread_percentile:.0f}, {p.extension.min_spike_x}",
        ),
    ),
    ("5", per_profile("extension: largest share", "{p.extension.max_extended_share}")),
    (
        "5",
        row(
            "quotes: changes only, max Hz",
            *(f"{'yes' if p.quotes.by_change_only else 'no'}, {p.quotes.max_hz}" for p in BY_PROFILE),
        ),
    ),
    (
        "5",
        per_profile(
            "bar: dollars / shares / spread %",
            "{p.min_bar_dollar_volume_usd:,.0f} / {p.min_bar_volume_shares:,.0f} / {p.max_bar_spread_pct:.0f}",
        ),
    ),
    ("5", per_profile("day: dollars / rvol", "{p.min_day_dollar_volume_usd:,.0f} / {p.min_day_rvol}")),
    ("5", per_profile("columns kept", "{p.columns}")),
    ("6", f"{SETTINGS.capture.size_budget.event_mb:.0f} MB of parquet"),
    ("7", f"| >= {KPIS.min_success_pct:.0f} % |"),
    ("7", f"retries / requests | < {KPIS.max_retries_pct:.0f} % |"),
    ("7", f"429 / requests | < {KPIS.max_throttled_pct} % |"),
    ("7", f"| < {KPIS.max_p90_event_mb:.0f} MB |"),
    ("7", "within +-{PM:.0f} (PM, RTH), +-{AH:.0f} (AH)".format(**KPIS.max_session_drift_pp)),
]


@pytest.mark.parametrize(("section", "words"), STATED, ids=[f"{section} {words[:50]}" for section, words in STATED])
def test_every_number_equals_the_settings(section: str, words: str) -> None:
    assert words in SECTIONS[section] or words in " ".join(SECTIONS[section].split())


def test_the_drift_allowed_in_pm_and_rth_is_the_same() -> None:
    assert KPIS.max_session_drift_pp["PM"] == KPIS.max_session_drift_pp["RTH"]


def cells(section: str, first: str) -> list[str]:
    """The cells of the table row that starts with the cell `first`."""
    (line,) = [line for line in SECTIONS[section].splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize(("kind", "minimal", "every"), [("trades", TRADES, TRADES_ALL), ("quotes", QUOTES, QUOTES_ALL)])
def test_the_columns_of_the_tape(kind: str, minimal: pl.Schema, every: pl.Schema) -> None:
    _, kept, added = cells("6", kind)
    assert kept.replace(" (SIP)", "").split(", ") == list(minimal)
    assert added.split(", ") == [name for name in every if name not in minimal]


@pytest.mark.parametrize("schema", [BARS, EVENTS], ids=["bars", "events"])
def test_the_columns_of_bars_and_events(schema: pl.Schema) -> None:
    first = {
        name for line in SECTIONS["1"].splitlines() if line.startswith("| ") for name in line.split("|")[1].split(",")
    }
    assert set(schema) <= {name.strip() for name in first}


def test_the_causes_of_a_contradicted_window() -> None:
    (paragraph,) = re.findall(r"\*\*Contradicted\.\*\* (.*?)\n\n", SECTIONS["6"], re.DOTALL)
    assert all(f"`{cause}`" in paragraph for cause in CONTRADICTIONS)


def test_the_columns_that_a_manifest_adds() -> None:
    (sentence,) = re.findall(r"\*\*Row\.\*\* (.*?)\n\n", SECTIONS["5"], re.DOTALL)
    assert list(re.findall(r"`(\w+)`", sentence)) == [name for name in MANIFEST if name not in EVENTS]


def test_the_example_of_an_event_id() -> None:
    moment = pl.Series([datetime(2022, 10, 10, 13, 30, tzinfo=UTC)], dtype=EVENTS["timestamp"])
    events = pl.DataFrame({"symbol": "ATRA", "event_type": "vwap_break", "timestamp": moment})
    assert event_ids(events).to_list() == ["ATRA_vwap_break_20221010_133000_1ba26d93"]
    assert "`ATRA_vwap_break_20221010_133000_1ba26d93`" in SECTIONS["1"]


def test_the_weights_of_all_types_and_shares_of_all_buckets_are_listed_and_no_others() -> None:
    listed = re.findall(r"^\| (\w+) \| \d\.\d\d \|$", SECTIONS["5"], re.MULTILINE)
    assert listed == list(RANKING.type_weights)
    shares = re.findall(r"^\| `(\S+)` \| .* \| (\d\.\d\d) \|$", SECTIONS["5"], re.MULTILINE)
    assert shares == [(bucket.name, f"{bucket.share:.2f}") for bucket in RANKING.time_buckets]
