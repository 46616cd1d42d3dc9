"""`smallcaps_assets.research`: what each table holds, and what is said where it cannot be read."""

import shutil
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.domain.listings.as_of import EVENT_LISTINGS
from smallcaps_assets.domain.research.tables.cohort_tables import COHORTS
from smallcaps_assets.domain.research.tables.enriched_table import ENRICHED
from smallcaps_assets.domain.research.tables.research_labels import RESEARCH_LABELS
from smallcaps_assets.domain.research.tables.research_table import RESEARCH_TABLE, RESEARCH_TABLE_COLUMNS, TABLE_KEYS
from smallcaps_assets.domain.tables import BARS, EVENTS
from smallcaps_assets.errors import InputError, LakeError, SmallcapsError
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.research import ResearchStore
from smallcaps_assets.research import OUTCOMES, ResearchLake, open_lake
from smallcaps_assets_tests.whole_lake import BARS as WRITTEN_BARS
from smallcaps_assets_tests.whole_lake import MANIFEST, ONE, OTHER


@pytest.fixture
def opened(whole_lake: Lake) -> ResearchLake:
    return open_lake(str(whole_lake.root))


def test_events_are_master(opened: ResearchLake, whole_lake: Lake) -> None:
    found = opened.events()
    assert found.collect_schema() == EVENTS
    assert found.collect().equals(pl.read_parquet(whole_lake.master))
    assert found.select(pl.len()).collect().item() > 0


def test_listings_of_events_are_those_of_master(opened: ResearchLake, whole_lake: Lake) -> None:
    found = opened.event_listings().collect()
    assert found.schema == EVENT_LISTINGS
    assert found["event_id"].equals(pl.read_parquet(whole_lake.master)["event_id"])
    whole_lake.event_listings.unlink()
    with pytest.raises(InputError, match="Materialize listings, then event_listings"):
        opened.event_listings()


def test_bars_of_a_symbol_come_in_order_with_their_symbol(opened: ResearchLake) -> None:
    found = opened.bars(ONE)
    assert found.collect_schema() == BARS
    expected = WRITTEN_BARS.filter(pl.col("symbol") == ONE).sort("timestamp")
    assert found.collect().equals(expected)


def test_features_have_keys_and_what_was_known_only(opened: ResearchLake, whole_lake: Lake) -> None:
    row = pl.DataFrame({"event_id": ["one"], "close": [2.5]}).match_to_schema(RESEARCH_TABLE, missing_columns="insert")
    later = row.with_columns(net_return=pl.lit(0.1))
    ResearchStore(whole_lake).publish(whole_lake.research_table("research_table", "plus"), later, {})
    found = opened.features("plus").collect()
    assert found.select("event_id", "close").rows() == [("one", 2.5)]
    assert set(TABLE_KEYS) < set(found.columns)
    assert {RESEARCH_TABLE_COLUMNS[name].availability for name in found.columns} == {"key", "pre"}


def test_outcomes_join_labels_of_one_spec_with_what_followed(opened: ResearchLake, whole_lake: Lake) -> None:
    store, lake = ResearchStore(whole_lake), whole_lake
    rows = [("one", "15,1,1", 0.1), ("one", "5,1,1", 0.2), ("other", "15,1,1", 0.3)]
    labels = pl.DataFrame(rows, schema=["event_id", "label_spec", "net_return"], orient="row")
    followed = pl.DataFrame({"event_id": ["other"], "mfe_15_bps": [7.0], "outcome": ["stall"]})
    for path, table, schema in (
        (lake.research_table("research_labels", "core"), labels, RESEARCH_LABELS),
        (lake.research_table("events_with_waves_enriched"), followed, ENRICHED),
    ):
        store.publish(path, table.match_to_schema(schema, missing_columns="insert"), {})
    found = opened.outcomes()
    assert found.collect_schema() == OUTCOMES
    columns = ("event_id", "net_return", "mfe_15_bps", "outcome")
    assert found.select(columns).collect().rows() == [("one", 0.1, None, None), ("other", 0.3, 7.0, "stall")]
    assert opened.outcomes("5,1,1").select("event_id", "net_return").collect().rows() == [("one", 0.2)]
    with pytest.raises(InputError, match=r"label spec '30,1,1' is unknown. The specs are '5,1,1', '15,1,1', '60,1,1'"):
        opened.outcomes("30,1,1")


def test_cohorts_are_those_of_a_day_that_may_be_text(opened: ResearchLake, whole_lake: Lake) -> None:
    rows = pl.DataFrame({"as_of": [date(2025, 11, 1), date(2025, 12, 1)], "cohort_id": ["one", "other"]})
    path = whole_lake.research_table("cohorts", "plus")
    ResearchStore(whole_lake).publish(path, rows.match_to_schema(COHORTS, missing_columns="insert"), {})
    for as_of in (date(2025, 12, 1), "2025-12-01"):
        assert opened.cohorts(as_of, "plus").collect()["cohort_id"].to_list() == ["other"]
    assert opened.cohorts(profile="plus").collect().height == 2
    with pytest.raises(InputError, match=r"as_of 2025-12-02: plus has no cohorts .* are 2025-11-01 to 2025-12-01"):
        opened.cohorts(date(2025, 12, 2), "plus")
    wrong: list[Any] = [datetime(2025, 12, 1, tzinfo=UTC), "plus", "2025-12", 20251201]
    for one in wrong:
        with pytest.raises(InputError, match=r'is no date\. Give the first day of a month, such as "2025-11-01"'):
            opened.cohorts(one, "plus")


@pytest.mark.parametrize("kind", ["trades", "quotes"])
def test_tape_of_each_event_lies_in_its_window(kind: str, opened: ResearchLake) -> None:
    read: Callable[[Iterable[str]], pl.LazyFrame] = getattr(opened, kind)
    both = read(pl.Series(["other", "one", "one"])).collect()
    assert both["event_id"].unique(maintain_order=True).to_list() == ["one", "other"]
    windows = MANIFEST.filter(pl.col("event_id").is_in(["one", "other"]))
    joined = both.join(windows.select("event_id", at="timestamp"), on="event_id")
    since = joined["timestamp"] - joined["at"]
    assert since.min() >= -timedelta(minutes=3)  # type: ignore[operator]  # durations
    assert joined.group_by("event_id").len()["len"].to_list() == [59, 59]
    assert both.equals(both.sort("event_id", "timestamp", "sequence_number"))
    # one id is no list of letters
    assert read("one").collect().equals(both.filter(pl.col("event_id") == "one"))


WRONG: dict[str, tuple[Callable[[ResearchLake], object], str]] = {
    "a profile": (lambda lake: lake.features("cores"), "profile 'cores' is unknown. The profiles are core, plus, pre"),  # type: ignore[arg-type]
    "a profile of tape": (lambda lake: lake.trades(["one"], "x"), "profile 'x' is unknown"),  # type: ignore[arg-type]
    "a table to come": (lambda lake: lake.features("premium"), "Materialize premium/research_table"),
    "an event": (lambda lake: lake.trades(["one", "nobody"]), "not in the current manifest of profile core: nobody."),
    "no tape": (
        lambda lake: lake.quotes(["failed"]),
        "quotes of failed are not in the lake yet: materialize core/tape_",
    ),
    "a symbol": (lambda lake: lake.bars("NOBODY"), "NOBODY: no bars in "),
    "no symbol": (lambda lake: lake.bars("../x"), "symbol '../x' is not usable"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_not_there_is_named_when_it_is_asked_for(case: str, opened: ResearchLake) -> None:
    ask, message = WRONG[case]
    with pytest.raises((InputError, LakeError)) as raised:
        ask(opened)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_folders_that_hold_no_lake_are_named(tmp_path: Path, lake: Lake) -> None:
    with pytest.raises(InputError, match="is no folder"):
        open_lake(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no lake"):
        open_lake(tmp_path)
    (lake.root / "bars").mkdir(parents=True)
    with pytest.raises(InputError, match=r"no MASTER yet\. Materialize master_events first"):
        open_lake(lake.root).events()
    with pytest.raises(InputError, match="no symbol has any"):
        open_lake(lake.root).bars("AAA")


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


def test_damaged_files_are_named_in_one_sentence(opened: ResearchLake, whole_lake: Lake) -> None:
    (one, *_), (trades, *_) = (
        sorted(folder.rglob("*.parquet")) for folder in (whole_lake.bars(ONE), whole_lake.tape("core", "trades"))
    )
    table = whole_lake.research_table("research_table", "core")
    asked: list[tuple[Path, Callable[[], object]]] = [
        (whole_lake.master, opened.events),
        (one, lambda: opened.bars(ONE)),
        (table, opened.features),
        (trades, lambda: opened.trades(["one", "other"])),
    ]
    for path, ask in asked:
        damage(path)
        with pytest.raises(SmallcapsError, match="damaged") as raised:
            ask()
        assert str(path) in str(raised.value)
        assert "\n" not in str(raised.value)


def test_sound_files_in_the_place_of_others_are_named(opened: ResearchLake, whole_lake: Lake) -> None:
    """Each is what was published, and its rows would be taken for those of another symbol, month or profile."""
    first, second = sorted(whole_lake.bars(ONE).glob("*.parquet"))
    content, of_other = first.read_bytes(), (whole_lake.bars(OTHER) / first.name).read_bytes()
    for other, words in (
        (of_other, f"has bars of {OTHER}, not of {ONE}. Move it back"),
        (second.read_bytes(), "has sessions of another month"),
    ):
        first.write_bytes(other)
        with pytest.raises(LakeError, match=words) as raised:
            opened.bars(ONE)
        assert str(first) in str(raised.value)
    first.write_bytes(content)
    assert opened.bars(ONE).collect().height > 0
    store = ResearchStore(whole_lake)
    tables: dict[str, tuple[str, Callable[[], object]]] = {
        "research_table": ("research_table", opened.features),
        "cohorts": ("cohorts", opened.cohorts),
        "research_labels": ("research_labels", opened.outcomes),
        "control_labels": ("control_features", opened.control_labels),
        "control_features": ("control_features", opened.controls),
    }
    for table, (asset, ask) in tables.items():
        own, other = (whole_lake.research_table(table, profile) for profile in ("core", "plus"))
        ask()
        shutil.copy(other, own)
        with pytest.raises(LakeError, match=f"is not the file of its place: .*'plus'.*Materialize core/{asset}"):
            ask()
        # what makes it sets it aside
        assert store.computed_from(own) is None
        assert not own.exists()


@pytest.mark.parametrize("tool", ["to_pandas", "to_arrow"])
def test_other_tools_take_every_table(tool: str, opened: ResearchLake) -> None:
    pytest.importorskip("pandas")
    for table in (opened.events(), opened.features(), opened.bars(ONE), opened.trades(["one"])):
        frame = table.collect()
        assert getattr(frame, tool)().shape == frame.shape
