"""Reference data and imported events with figures that mean "not known": they pass as unknown ones do."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets.domain.events.detection import reference_verdicts
from smallcaps_assets.domain.imports.bar_facts import FACTS
from smallcaps_assets.domain.imports.events import ROWS, import_events
from smallcaps_assets.domain.manifests.selection import select_events
from smallcaps_assets.domain.symbols import ExchangeTestSymbols
from smallcaps_assets.domain.tables import EVENTS, REFERENCE
from smallcaps_assets.domain.universe import UNIVERSE, known_reference, measure_composition
from smallcaps_assets.pipeline.universe.symbol_file import read_symbols
from smallcaps_assets_tests.conftest import event
from smallcaps_assets_tests.scenarios import default_settings, sessions_of

SETTINGS = default_settings()


@pytest.mark.parametrize("shares", [None, 0.0, -1.0, float("nan")])
def test_a_float_that_is_not_positive_passes_and_is_unknown(shares: float | None) -> None:
    reference = pl.DataFrame([("AEMD", shares, 1e6, 2.0)], REFERENCE, orient="row")
    verdict = reference_verdicts(reference, SETTINGS.filters).row(0, named=True)
    assert verdict == {"symbol": "AEMD", "may_rise": True, "may_fall": True, "float_known": False}


@pytest.mark.parametrize(
    ("short", "cover", "may_fall"),
    [(-1.0, -1.0, True), (0.0, 0.0, True), (5e6, -1.0, False), (-1.0, 6.0, False), (None, None, True)],
)
def test_short_interest_below_zero_is_unknown(short: float | None, cover: float | None, may_fall: bool) -> None:
    # short of 5 million is half of the float
    reference = pl.DataFrame([("AEMD", 1e7, short, cover)], REFERENCE, orient="row")
    assert reference_verdicts(reference, SETTINGS.filters)["may_fall"].to_list() == [may_fall]


def test_no_shares_sold_short_are_known_and_no_value_of_a_company_is_not() -> None:
    names = ["float_shares", "market_cap_usd", "price_usd", "short_interest_shares", "days_to_cover"]
    rows = pl.DataFrame({name: [0.0, -1.0, 2.0, None, float("inf"), 1e308] for name in names})
    known = rows.with_columns(known_reference(names))
    assert {name: known[name].to_list() for name in names} == {
        **{name: [None, None, 2.0, None, None, None] for name in names[:3]},
        **{name: [0.0, None, 2.0, None, None, None] for name in names[3:]},
    }


def test_a_market_cap_of_zero_counts_as_unknown_before_anything_is_paid() -> None:
    rows = [{"symbol": f"S{number}", "active": True, "market_cap_usd": float(number > 0)} for number in range(4)]
    universe = pl.DataFrame(rows).match_to_schema(UNIVERSE, missing_columns="insert")
    composition = measure_composition(universe, SETTINGS.universe.limits)
    assert (composition.unknown_market_caps, composition.unvalued) == (1, ("S0",))


def test_zeros_of_a_file_of_symbols_are_unknown_and_said(tmp_path: Path) -> None:
    path = tmp_path / "symbols.csv"
    path.write_text("symbol,market_cap_usd,float_shares,short_interest_shares\nA,0,0,0\nB,5,0,7\n")
    found = read_symbols(path)
    columns = ("market_cap_usd", "float_shares", "short_interest_shares")
    assert found.rows.select(columns).rows() == [(None, None, 0.0), (5.0, None, 7.0)]
    assert found.notes == (
        "a market_cap_usd of 0, read as unknown: 1 symbol",
        "a float_shares of 0, read as unknown: 2 symbols",
    )


def imported(**values: float) -> tuple[pl.DataFrame, dict[str, object]]:
    given = event() | values | {"copies": 1, "here": False}
    rows = pl.DataFrame([{name: given[name] for name in ROWS}], ROWS, orient="row")
    tables, params = (rows, sessions_of("2025-11-05"), FACTS.to_frame()), (SETTINGS.cooldown, [0.6, 0.5, 0.4])
    found = import_events(*tables, *params, test_symbols=ExchangeTestSymbols())
    return found.events, found.repairs


@pytest.mark.parametrize(("given", "spike_x"), [(7.0, 7.0), (0.0, None), (-1.0, None), (1e308, None)])
def test_a_spike_that_no_volume_has_is_unknown_and_counted(given: float, spike_x: float | None) -> None:
    events, repairs = imported(spike_x=given)
    assert events["spike_x"].to_list() == [spike_x]
    assert repairs["spike_x_unknown"] == int(spike_x is None)


@pytest.mark.parametrize("name", ["volume", "dollar_volume"])
def test_events_with_a_figure_too_large_for_any_market_are_quarantined(name: str) -> None:
    events, repairs = imported(**{name: 1e308})
    assert events.is_empty()
    assert repairs["quarantined_because"] == {"volume or dollar_volume is too large for any market": 1}


def test_counts_that_earlier_releases_gave_events_are_unknown_in_a_selection() -> None:
    days = [date(2025, 11, day) for day in (3, 4, 5, 6)]
    rows = [event(f"{day} 15:00", transactions=count) for day, count in zip(days, (0, -1, 100, 300), strict=True)]
    profile = SETTINGS.profiles["core"].model_copy(update={"max_per_symbol": 9})
    found = select_events(pl.DataFrame(rows, EVENTS, orient="row"), profile, SETTINGS.ranking)
    assert sorted(found.manifest["transactions"].to_list(), key=str) == [100, 300, None, None]
    # the 90th percentile of 100 and 300
    assert found.extension["transactions_threshold"] == 280.0
