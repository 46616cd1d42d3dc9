"""The asset checks, evaluated on a small lake: they pass on an intact lake, and fail on a damaged one."""

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from smallcaps_assets.defs.registry import facts_of
from smallcaps_assets.domain.sessions import new_york_date
from smallcaps_assets.lake.bar_files.month_files import DAY, fingerprint_sessions
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.files.content_hash import content_sha256
from smallcaps_assets.lake.files.publish import provenance_of, publish_frame
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.ledger import LEDGER_OF_REPORT
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests.assets.platform import SYMBOLS_OF_MARKET, Platform, Sites, failure, metadata_of
from smallcaps_assets_tests.scenarios import flip_bit

MASTER = {
    "up_to_date",
    "unique_events",
    "complete_rows",
    "session_clock",
    "type_shares",
    "events_per_session",
    "cooldown",
    "shards_current",
}
MANIFEST = {"profile_limits", "time_buckets", "ranks", "windows", "file_unchanged", "up_to_date"}
BARS = {"session_coverage", "empty_sessions", "missing_minutes", "suspect_print", "up_to_date"}
Verdicts = dict[str, dg.AssetCheckEvaluation]
FIRST, LAST = SYMBOLS_OF_MARKET[0], SYMBOLS_OF_MARKET[-1]


@pytest.fixture(scope="module")
def made(sites: Sites) -> Iterator[Platform]:
    """Four symbols, five sessions, a manifest of core, and no tape."""
    for platform in sites.opened():
        platform.overrides["checks"] = {"bars": {"min_symbols": 2, "min_active_symbols": 2, "active_minutes_pct": 50.0}}
        platform.stages["universe"] = platform.run("universe")
        platform.stages["bars"] = platform.run("minute_bars", first=FIRST, last=LAST)
        platform.stages["shards"] = platform.run("event_shards", first=FIRST, last=LAST)
        platform.stages["tables"] = platform.run("master_events", ["core", "manifest"])
        yield platform


@pytest.fixture
def damaged(made: Platform, sites: Sites) -> Iterator[Platform]:
    """A copy of the lake that a test may damage."""
    with sites.free() as (root, _):
        shutil.copytree(made.root, root)
        yield Platform(made.gate, root, made.instance, made.overrides | {"lake": {"path": str(root)}})


def checked(platform: Platform, asset: str, *names: str) -> Verdicts:
    """Run all or the named checks of an asset, without materializing it."""
    definitions = platform.definitions
    key = dg.AssetKey.from_user_string(asset)
    keys = {one for one in definitions.resolve_asset_graph().asset_check_keys if one.asset_key == key}
    wanted = {one for one in keys if not names or one.name in names}
    job = definitions.resolve_implicit_global_asset_job_def().get_subset(
        asset_selection=set(), asset_check_selection=wanted
    )
    result = job.execute_in_process(instance=platform.instance, raise_on_error=False)
    assert result.success
    return {check.check_name: check for check in result.get_asset_check_evaluations()}


def red(verdicts: Verdicts) -> set[str]:
    return {name for name, check in verdicts.items() if not check.passed}


def rewrite(path: Path, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    """Change a published table, but not its footer."""
    footer = pl.read_parquet_metadata(path)
    change(pl.read_parquet(path, hive_partitioning=False)).write_parquet(
        path, metadata={name: text for name, text in footer.items() if name == "smallcaps"}
    )


def test_checks_run_with_their_assets(made: Platform) -> None:
    for stage, expected in (("bars", BARS), ("shards", {"current_settings"}), ("tables", MASTER | MANIFEST)):
        found = list(made.stages[stage].get_asset_check_evaluations())
        assert {check.check_name for check in found} == expected
        assert all(check.passed for check in found), [check.check_name for check in found if not check.passed]


@pytest.mark.parametrize(
    ("asset", "names"), [("minute_bars", BARS), ("master_events", MASTER), ("core/manifest", MANIFEST)]
)
def test_checks_run_without_materializing_the_asset(made: Platform, asset: str, names: set[str]) -> None:
    before = len(made.instance.fetch_materializations(dg.AssetKey.from_user_string(asset), limit=100).records)
    verdicts = checked(made, asset)
    assert set(verdicts) == names
    assert red(verdicts) == set()
    one = min(names)
    assert set(checked(made, asset, one)) == {one}
    after = len(made.instance.fetch_materializations(dg.AssetKey.from_user_string(asset), limit=100).records)
    assert after == before


def test_figures_of_the_checks_are_counted(made: Platform) -> None:
    master = pl.read_parquet(made.lake.master)
    per_day = master.group_by("symbol", "date").len()
    verdicts = checked(made, "master_events")
    assert verdicts["type_shares"].metadata["events"].value == master.height
    figures = verdicts["events_per_session"].metadata
    assert figures["most_on_one_day"].value == per_day["len"].max()
    assert figures["mean"].value == pytest.approx(master.height / 20)
    bars = checked(made, "minute_bars")
    assert bars["session_coverage"].metadata["symbols"].value == 4
    assert bars["session_coverage"].metadata["sessions_due"].value == 5
    # four whole days and the half day after Thanksgiving; with few active symbols there is no verdict
    assert bars["missing_minutes"].metadata["sessions"].value == 5
    assert bars["missing_minutes"].metadata["minutes"].value == 4 * 390 + 210


SPIKE = pl.int_range(pl.len()) == 0


def first_row(**values: pl.Expr) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda frame: frame.with_columns(
        pl.when(SPIKE).then(value).otherwise(name).alias(name) for name, value in values.items()
    )


def crowded(master: pl.DataFrame) -> pl.DataFrame:
    """The first event repeated every minute of its session, with the same score."""
    first = master.head(1)
    again = [
        first.with_columns(
            event_id=pl.lit(f"again {number}"), timestamp=pl.col("timestamp") + timedelta(microseconds=number)
        )
        for number in range(41)
    ]
    return pl.concat([master, *again])


def low_between(master: pl.DataFrame) -> pl.DataFrame:
    """After the first event one with a tenth of its score, then one like the first, a minute apart."""
    first = master.head(1)
    more = [
        first.with_columns(
            event_id=pl.lit(f"more {number}"),
            timestamp=pl.col("timestamp") + timedelta(seconds=number),
            score=pl.col("score") * factor,
        )
        for number, factor in ((1, 0.1), (2, 1.0))
    ]
    return pl.concat([master, *more])


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda master: pl.concat([master, master.tail(1)]), {"unique_events"}),
        (first_row(spike_x=pl.lit(float("nan"))), {"complete_rows"}),
        (first_row(event_group_id=pl.lit(None, pl.String)), {"complete_rows"}),
        (first_row(date=pl.lit("2025-11-01")), {"session_clock"}),
        (first_row(is_premarket=~pl.col("is_premarket")), {"session_clock"}),
        (lambda master: master.with_columns(event_type=pl.lit("flush")), {"type_shares"}),
        (crowded, {"events_per_session"}),
        (low_between, {"cooldown"}),
    ],
)
def test_a_damaged_master_fails_the_right_check(
    damaged: Platform, damage: Callable[[pl.DataFrame], pl.DataFrame], expected: set[str]
) -> None:
    damaged.overrides["checks"] = {"master": {"min_events_for_shares": 1}}
    assert red(checked(damaged, "master_events")) == set()
    rewrite(damaged.lake.master, damage)
    verdicts = checked(damaged, "master_events")
    if expected == {"type_shares"}:  # a cooldown cannot hold with this many events of one type
        verdicts.pop("cooldown")
    assert red(verdicts) == expected
    (name,) = expected
    assert verdicts[name].metadata["examples"].records


def test_shards_of_other_settings_are_a_warning(damaged: Platform) -> None:
    damaged.overrides["detectors"] = {"flush": {"min_spike_x": 5.0}}
    verdicts = checked(damaged, "master_events")
    assert red(verdicts) == {"shards_current"}
    assert verdicts["shards_current"].severity == dg.AssetCheckSeverity.WARN
    named = [record.data["symbol"] for record in verdicts["shards_current"].metadata["examples"].records]
    assert named == SYMBOLS_OF_MARKET


def manifest_path(platform: Platform) -> Path:
    store = ManifestStore.in_lake(platform.lake, "core")
    return store.folder / f"{store.sidecar()['manifest_id']}.parquet"


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (first_row(close=pl.col("close") + 1), set()),
        (first_row(rank=pl.lit(9, pl.Int64)), {"ranks"}),
        (first_row(window_after_min=pl.lit(500, pl.Int64)), {"windows"}),
        (first_row(time_bucket=pl.lit("lunch")), {"time_buckets"}),
        (lambda rows: rows.with_columns(symbol=pl.lit("AVLO"), date=pl.lit("2025-11-26")), {"profile_limits"}),
    ],
)
def test_an_edited_manifest_fails_its_check(
    damaged: Platform, damage: Callable[[pl.DataFrame], pl.DataFrame], expected: set[str]
) -> None:
    rewrite(manifest_path(damaged), damage)
    verdicts = checked(damaged, "core/manifest")
    assert red(verdicts) == expected | {"file_unchanged"}
    assert all(verdicts[name].severity == dg.AssetCheckSeverity.ERROR for name in red(verdicts))


def test_a_newer_master_and_other_settings_are_warnings(damaged: Platform) -> None:
    rewrite(damaged.lake.master, lambda master: master.head(1))
    verdicts = checked(damaged, "core/manifest")
    assert red(verdicts) == {"up_to_date"}
    assert verdicts["up_to_date"].severity == dg.AssetCheckSeverity.WARN
    # it was selected with other limits: it exceeds the present ones, which is no error
    damaged.overrides["profiles"] = {"core": {"max_events": 1}}
    verdicts = checked(damaged, "core/manifest")
    assert red(verdicts) == {"up_to_date", "profile_limits"}
    assert verdicts["profile_limits"].severity == dg.AssetCheckSeverity.WARN


def test_lost_sessions_and_minutes_fail_their_checks(damaged: Platform) -> None:
    day = new_york_date(pl.col("timestamp"))
    december = damaged.lake.bars(FIRST) / "2025-12.parquet"
    december.unlink()
    verdicts = checked(damaged, "minute_bars")
    assert red(verdicts) == {"session_coverage", "up_to_date"}
    assert verdicts["session_coverage"].severity == dg.AssetCheckSeverity.WARN
    assert [record.data["symbol"] for record in verdicts["session_coverage"].metadata["examples"].records] == [FIRST]
    for symbol in SYMBOLS_OF_MARKET:
        rewrite(
            damaged.lake.bars(symbol) / "2025-11.parquet",
            lambda bars: bars.filter(
                (day != pl.date(2025, 11, 26)) | ~pl.col("timestamp").dt.hour().is_between(16, 16)
            ),
        )
    verdicts = checked(damaged, "minute_bars")
    assert red(verdicts) == {"session_coverage", "up_to_date", "missing_minutes"}
    assert verdicts["missing_minutes"].metadata["rows_that_break_it"].value == 60


def test_a_session_without_any_bars_fails_its_check(damaged: Platform) -> None:
    for symbol in SYMBOLS_OF_MARKET:
        path = damaged.lake.bars(symbol) / "2025-11.parquet"
        footer = json.loads(pl.read_parquet_metadata(path)["smallcaps"])
        footer["sessions"]["2025-11-25"] = "0-0000000000000000"
        pl.read_parquet(path, hive_partitioning=False).write_parquet(path, metadata={"smallcaps": json.dumps(footer)})
    verdicts = checked(damaged, "minute_bars")
    assert red(verdicts) == {"empty_sessions"}
    assert verdicts["empty_sessions"].severity == dg.AssetCheckSeverity.ERROR


def test_an_unreadable_file_fails_its_checks(damaged: Platform) -> None:
    (damaged.lake.bars(FIRST) / "2025-11.parquet").write_bytes(b"PAR1 no more")
    verdicts = checked(damaged, "minute_bars")
    assert red(verdicts) == BARS - {"up_to_date"}  # which reads the newest month only
    for name, place in (("session_coverage", "2025-11.parquet"), ("missing_minutes", "2025-11.parquet: is damaged")):
        assert place in verdicts[name].metadata["cannot_be_read"].value


def test_nothing_is_missing_before_the_first_session_is_over(damaged: Platform) -> None:
    damaged.overrides |= {"history": {"first_session": "2099-12-31", "last_session": None}}
    verdicts = checked(damaged, "minute_bars")
    # nothing was expected: nothing is green but what judges the bars that are there, and nothing is an error
    assert red(verdicts) == {"session_coverage", "missing_minutes", "up_to_date"}
    for name in red(verdicts):
        assert verdicts[name].severity == dg.AssetCheckSeverity.WARN
        assert str(verdicts[name].description).startswith("Not judged yet")
    assert verdicts["missing_minutes"].metadata["minutes"].value == 0


def test_checks_of_missing_tables_name_the_remedy(damaged: Platform) -> None:
    damaged.lake.master.unlink()
    definitions = damaged.definitions
    keys = {key for key in definitions.resolve_asset_graph().asset_check_keys if key.name == "cooldown"}
    job = definitions.resolve_implicit_global_asset_job_def()
    result = job.get_subset(asset_selection=set(), asset_check_selection=keys).execute_in_process(
        instance=damaged.instance, raise_on_error=False
    )
    assert "Materialize master_events first" in failure(result)


# ------------------------------------------------------------------------------------------------- before publishing


def test_an_invalid_shard_does_not_enter_master(damaged: Platform) -> None:
    before = damaged.lake.master.read_bytes()
    # a valid shard, except for its clock
    rewrite(damaged.lake.shard(FIRST), first_row(session=pl.lit("AH"), is_afterhours=pl.lit(value=True)))
    error = failure(damaged.run("master_events", fails=True))
    assert "session_clock" in error
    assert "Remove these shards and materialize event_shards of their symbols again" in error
    assert damaged.lake.master.read_bytes() == before


def test_damaged_bars_are_not_published_again(damaged: Platform) -> None:
    path = Lake(damaged.root).bars(FIRST) / "2025-11.parquet"
    footer = json.loads(pl.read_parquet_metadata(path)["smallcaps"])
    bars = pl.read_parquet(path, hive_partitioning=False).with_columns(close=pl.lit(float("nan")))
    bars = bars.filter(date(2025, 11, 25) != DAY)
    footer["sessions"] = {f"{day}": mark for day, mark in fingerprint_sessions(bars).items()}
    publish_frame(path, bars, footer)  # intact, but not what we publish
    before = path.read_bytes()
    error = failure(damaged.run("minute_bars", first=FIRST, last=FIRST, fails=True))
    for words in ("missing or not positive", f"materialize minute_bars of {FIRST} again"):
        assert words in error
    assert path.read_bytes() == before


def test_master_records_its_shards_and_is_made_again_where_it_is_damaged(damaged: Platform) -> None:
    path = damaged.lake.master
    sound, recorded = path.read_bytes(), provenance_of(path)
    assert recorded is not None
    assert recorded["shards"] == {symbol: ShardStore(damaged.lake).version(symbol) for symbol in SYMBOLS_OF_MARKET}
    assert recorded["code_version"] == facts_of(dg.AssetKey("master_events")).code_version(
        load_settings(overrides=damaged.overrides)
    )
    flip_bit(path)
    found = failure(damaged.run(["core", "manifest"], fails=True))
    assert "master.parquet: is damaged" in found
    assert "Materialize master_events" in found
    damaged.run("master_events", ["core", "manifest"])
    assert path.read_bytes() == sound


def test_damaged_bars_are_fetched_again_on_request(damaged: Platform) -> None:
    path = damaged.lake.bars(FIRST) / "2025-11.parquet"
    sound = path.read_bytes()
    flip_bit(path)
    damaged.run("minute_bars", first=FIRST, last=FIRST)  # nothing is missing, so no bars are read
    config = {"minute_bars": {"refetch_damaged": True}}
    result = damaged.run("minute_bars", first=FIRST, last=FIRST, config=config)
    (figures,) = metadata_of(result, "minute_bars").values()
    assert (figures["files_set_aside"].value, figures["requests"].value) == (1, 1)
    assert path.read_bytes() == sound


# ------------------------------------------------------------------------------------------------- figures over time


def test_plotted_figures_are_recorded(made: Platform) -> None:
    master = pl.read_parquet(made.lake.master)
    (figures,) = metadata_of(made.stages["tables"], "master_events").values()
    values = {name: value.value for name, value in figures.items()}
    numbers = {name for name, value in values.items() if isinstance(value, int | float)}
    assert numbers == {"dagster/row_count", "symbols", "median_score", "up_pct"}
    assert values["symbols"] == master["symbol"].n_unique()


def test_partitions_record_their_number_of_rows(made: Platform) -> None:
    bars = metadata_of(made.stages["bars"], "minute_bars")
    shards = metadata_of(made.stages["shards"], "event_shards")
    for symbol in SYMBOLS_OF_MARKET:
        stored = pl.scan_parquet(made.lake.bars(symbol) / "*.parquet", hive_partitioning=False)
        assert bars[symbol]["dagster/partition_row_count"].value == stored.select(pl.len()).collect().item()
        events = pl.read_parquet(made.lake.shard(symbol)).height
        assert shards[symbol]["dagster/partition_row_count"].value == events


def test_a_capture_that_has_not_started_is_a_warning(damaged: Platform) -> None:
    result = damaged.run(["core", "capture_ledger"], ["core", "capture_report"])
    ledger = damaged.lake.ledger("core")
    assert provenance_of(ledger.with_name("report.parquet")) == {LEDGER_OF_REPORT: content_sha256(ledger)}
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert not checks["success_rate"].passed
    assert {check.severity for check in checks.values()} == {dg.AssetCheckSeverity.WARN}
    (figures,) = metadata_of(result, "core", "capture_report").values()
    assert next(iter(figures)) == "verdict"
    windows = figures["windows_left"].value
    reason = f"the capture has not begun: none of its {windows} windows has been requested"
    assert figures["verdict"].value == f"**NO-GO: {reason}**"
    assert not any(check.passed for check in checks.values())
    assert {str(check.description).partition(":")[0] for check in checks.values()} == {"Not judged yet"}
    assert figures["complete_pct"].value == 0.0
    assert figures["windows_left"].value == checks["success_rate"].metadata["windows_missing"].value > 0
