"""Asset `coverage`, materialized on a small lake, complete and with lost data."""

import base64
from collections.abc import Iterator

import dagster as dg
import polars as pl
import pytest

from smallcaps_assets.domain.bars.coverage import COVERAGE
from smallcaps_assets_tests.assets.platform import SYMBOLS_OF_MARKET, Platform, Sites, metadata_of, rows_of

FIRST, LAST = SYMBOLS_OF_MARKET[0], SYMBOLS_OF_MARKET[-1]
# 24 November to 1 December 2025, Thanksgiving left out
SESSIONS = {"2025-11": 4, "2025-12": 1}


@pytest.fixture(scope="module")
def made(sites: Sites) -> Iterator[Platform]:
    """Four symbols and five sessions."""
    for platform in sites.opened():
        platform.stages["universe"] = platform.run("universe")
        platform.stages["bars"] = platform.run("minute_bars", first=FIRST, last=LAST)
        platform.stages["coverage"] = platform.run("coverage")
        yield platform


def test_a_complete_lake_is_fully_covered(made: Platform) -> None:
    table = pl.read_parquet(made.lake.coverage)
    assert table.schema == COVERAGE
    expected = [
        (symbol, f"{month}-01", count, count, 0) for symbol in SYMBOLS_OF_MARKET for month, count in SESSIONS.items()
    ]
    month = pl.col("month").dt.to_string()
    found = table.select("symbol", month, "sessions_expected", "sessions_here", "sessions_missing")
    assert found.rows() == sorted(expected)
    bars = pl.scan_parquet(made.root / "bars" / "minute").select(pl.len()).collect().item()
    assert table["bars"].sum() == bars
    # the market has the listing dates of its symbols
    assert table["listed"].null_count() == 0
    # about half of its volumes are odd
    assert table["volumes_judged"].sum() > 1_000
    assert 0.35 < table["volumes_odd"].sum() / table["volumes_judged"].sum() < 0.65


def test_metadata_describes_the_bars(made: Platform) -> None:
    figures = metadata_of(made.stages["coverage"], "coverage")[None]
    assert figures["dagster/row_count"].value == 8
    counts = dict(rows_of(figures["counts"]))
    assert counts["symbols complete"] == figures["symbols"].value == 4
    assert counts["symbol sessions here"] == counts["symbol sessions expected"] == 20
    assert figures["published_pct"].value == 100
    assert figures["verdict"].value == "20 of 20 expected sessions of all symbols are published; none is missing."
    assert figures["idle partitions"].value == "none"
    assert "worst" not in figures
    picture = str(figures["picture/coverage"].value).partition("base64,")[2]
    assert base64.b64decode(picture[:-1]).startswith(b"\x89PNG")


def test_its_checks_pass_on_a_complete_lake(made: Platform) -> None:
    checks = {check.check_name: check for check in made.stages["coverage"].get_asset_check_evaluations()}
    passed = {name: check.passed for name, check in checks.items()}
    assert passed == {"all_published": True, "doubled_volumes": True, "missing_minutes": True, "suspect_print": True}
    assert checks["doubled_volumes"].metadata["symbol_months"].value == 8


def test_lost_sessions_and_minutes_are_reported(made: Platform) -> None:
    november = made.lake.bars(FIRST) / "2025-11.parquet"
    footer = pl.read_parquet_metadata(november)["smallcaps"]
    twice = pl.read_parquet(november, hive_partitioning=False).with_columns(pl.col("volume") * 2)
    twice.write_parquet(november, metadata={"smallcaps": footer})
    (made.lake.bars(LAST) / "2025-12.parquet").unlink()
    made.instance.add_dynamic_partitions("symbols", ["IDLE"])
    result = made.run("coverage")
    figures = metadata_of(result, "coverage")[None]
    assert dict(rows_of(figures["counts"]))["symbols holes"] == 1
    assert figures["sessions missing"].value == 1
    assert figures["idle partitions"].value == "IDLE"
    worst = {record.data["symbol"]: record.data for record in figures["worst"].records}  # type: ignore[attr-defined]
    assert set(worst) == {FIRST, LAST}
    assert (worst[LAST]["missing"], worst[LAST]["first"]) == (1, "2025-12-01")
    assert worst[FIRST]["doubled"] == 4
    failed = {check.check_name: check for check in result.get_asset_check_evaluations() if not check.passed}
    assert set(failed) == {"all_published", "doubled_volumes"}
    assert {check.severity for check in failed.values()} == {dg.AssetCheckSeverity.WARN}
    words = "19 of 20 expected sessions of all symbols are published; 1 is missing."
    assert failed["all_published"].metadata["verdict"].value == figures["verdict"].value == words


def test_an_empty_lake_has_no_coverage(sites: Sites) -> None:
    for platform in sites.opened():
        result = platform.run("coverage")
        checks = list(result.get_asset_check_evaluations())
        assert len(checks) == 4
        # nothing is green where nothing is there
        assert {(check.passed, check.severity) for check in checks} == {(False, dg.AssetCheckSeverity.WARN)}
        assert all(str(check.description).startswith("Not judged yet: ") for check in checks)
        figures = metadata_of(result, "coverage")[None]
        assert figures["symbols"].value == 0
        assert "picture/coverage" not in figures
        assert pl.read_parquet(platform.lake.coverage).schema == COVERAGE


def test_sessions_of_which_none_is_published_are_not_green(sites: Sites) -> None:
    for platform in sites.opened():
        platform.run("universe")
        result = platform.run("coverage")
        checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
        assert {(check.passed, check.severity) for check in checks.values()} == {(False, dg.AssetCheckSeverity.WARN)}
        words = "0 of 20 expected sessions of all symbols are published; 20 are missing."
        assert checks["all_published"].description == words
        assert checks["doubled_volumes"].description == "Not judged yet: no bars are published."
        figures = metadata_of(result, "coverage")[None]
        assert next(iter(figures)) == "verdict"
        assert (figures["verdict"].value, figures["published_pct"].value) == (words, 0)
