"""Bars from flat files: the same as over REST; faulty, replaced and missing files; what differs is counted by kind."""

import gzip
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.bars.flat_files import HEADER
from smallcaps_assets.domain.bars.source_differences import count_kinds, find_differences
from smallcaps_assets.domain.imports.conflicts import SAME
from smallcaps_assets.errors import MarketDataError, NotEntitled
from smallcaps_assets.lake.bar_files.import_records import ImportRecord
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.shard_coverage import CONTENT
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.files.publish import provenance_of
from smallcaps_assets.lake.flat_bars.store import FlatBarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.lake.verification.lake_files import verify_files
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.market_data.flat_files.bucket import Keys
from smallcaps_assets.market_data.flat_files.client import FlatFiles
from smallcaps_assets.market_data.flat_files.keys import remote_key
from smallcaps_assets.market_data.http.pacing import TokenBucket
from smallcaps_assets.market_data.http.transport import Transport
from smallcaps_assets.pipeline.bars.flat_days import FlatDays
from smallcaps_assets.pipeline.bars.flat_months import FlatMonths, FlatRules
from smallcaps_assets.pipeline.bars.flat_road import FlatRoad
from smallcaps_assets.pipeline.bars.ingest import ingest_bars
from smallcaps_assets.pipeline.events.detection import Detector
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.unexpected import UnexpectedErrors
from smallcaps_assets.simulated.bucket.faults import replaced_file
from smallcaps_assets.simulated.bucket.files import GivenFiles, MarketFiles
from smallcaps_assets.simulated.bucket.service import EMBEDDED_ACCESS_KEY, EMBEDDED_SECRET_KEY
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets.simulated.protocol.exchange import BUCKET_FILES, Exchange
from smallcaps_assets.simulated.protocol.server import serve
from smallcaps_assets_tests.conftest import LATER, new_lake
from smallcaps_assets_tests.flat_scenes import flat_content
from smallcaps_assets_tests.scenarios import bars_from, default_settings, flat, flip_bit, sessions_of

PREFIX = "us_stocks_sip/minute_aggs_v1"
# two months, with a half day
DAYS = sessions_of("2025-11-26", "2025-12-02")["date"].to_list()
TAKES_FILES = FlatRules(compares=False, prefers_files=True)


def key(day: date) -> str:
    return remote_key(PREFIX, day)


@dataclass
class Bench:
    """A vendor with flat files and REST, and a lake."""

    lake: Lake
    files: GivenFiles
    market: MarketFiles
    flat: FlatFiles
    client: MarketDataClient
    symbols: list[str]
    lines: list[str] = field(default_factory=list)

    @property
    def bars(self) -> BarsStore:
        return BarsStore(self.lake)

    def body(self, day: date) -> bytes:
        found = self.market.read(key(day))
        assert found is not None
        return found

    def take(self, days: Sequence[date] = DAYS, *, proves: bool = False) -> dict[date, Outcome]:
        work = FlatDays(self.flat, FlatBarsStore(self.lake), self.lines.append)
        listed = work.listed(days[0], days[-1])
        return {date.fromisoformat(one.partition[0]): one for one in work.take(days, listed, proves=proves)}

    def make(
        self,
        due: Sequence[date] = DAYS,
        rules: FlatRules = TAKES_FILES,
        **changes: Any,
    ) -> dict[str, Outcome]:
        """Materialize the bars of all symbols, of the sessions `due`."""
        store, days = FlatBarsStore(self.lake), FlatDays(self.flat, FlatBarsStore(self.lake))
        listed = {day: file.size for day, file in days.listed(due[0], due[-1]).items()}
        unexpected = UnexpectedErrors(self.lake, "minute_bars")
        months = FlatMonths(self.bars, store, store.files().files, rules, self.lines.append, unexpected)
        return self.ingest(due, FlatRoad(months, listed), **changes)

    def ingest(self, due: Sequence[date] = DAYS, road: FlatRoad | None = None, **changes: Any) -> dict[str, Outcome]:
        found = ingest_bars(self.symbols, due, self.client, self.bars, 2, flat=road, log=self.lines.append, **changes)
        return {one.partition[0]: one for one in found}

    def detect(self) -> dict[str, Outcome]:
        settings, shards = default_settings(), ShardStore(self.lake)
        reference = UniverseStore(self.lake).reference()
        detector = Detector(self.bars, shards, settings.detection, settings.sessions, reference)
        return {one.partition[0]: one for one in detector.run(self.symbols)}

    def shards(self) -> dict[str, tuple[list[tuple[Any, ...]], object]]:
        """Events of each shard, and their digest in its footer, which says more: when which file was last changed."""
        paths = sorted(self.lake.shards.rglob("*.parquet"))
        return {path.name: (pl.read_parquet(path).rows(), (provenance_of(path) or {})[CONTENT]) for path in paths}

    def every_bar(self) -> pl.DataFrame:
        return self.bars.read_together(self.symbols)


@pytest.fixture(scope="module")
def made_files(small_market: SimulatedMarket) -> MarketFiles:
    """The files of the market, made once."""
    return MarketFiles(small_market, clock=lambda: LATER)


@contextmanager
def opened(market: SimulatedMarket, made: MarketFiles, root: Path, **changes: Any) -> Iterator[Bench]:
    files = GivenFiles({}, beside=made)
    exchange = Exchange(market, clock=lambda: LATER, files=files, **changes)
    with serve(exchange) as server:
        keys = Keys(EMBEDDED_ACCESS_KEY, EMBEDDED_SECRET_KEY)
        flat_files = FlatFiles(server.base_url, bucket="flatfiles", prefix=PREFIX, keys=keys, max_retries=1)
        transport = Transport(server.base_url, "a-key-of-tests", bucket=TokenBucket(None), max_retries=1)
        with MarketDataClient(transport) as client:
            yield Bench(new_lake(root), files, made, flat_files, client, sorted(market.symbols()))


@pytest.fixture
def bench(small_market: SimulatedMarket, made_files: MarketFiles, tmp_path: Path) -> Iterator[Bench]:
    with opened(small_market, made_files, tmp_path / "flat") as made:
        yield made


def problems(outcomes: Mapping[Any, Outcome]) -> list[str]:
    return [str(problem) for one in outcomes.values() for problem in one.problems]


def total(outcomes: Mapping[Any, Outcome], name: str) -> float:
    return sum(one.figures.get(name, 0) for one in outcomes.values())


# ------------------------------------------------------------------------------------------------- both roads


def test_both_roads_lead_to_the_same_bars_and_events(bench: Bench, tmp_path: Path) -> None:
    rest = Bench(new_lake(tmp_path / "rest"), bench.files, bench.market, bench.flat, bench.client, bench.symbols)
    assert problems(bench.take()) == []
    made = bench.make()
    assert problems(made) == []
    # not one request, and every session of every symbol
    assert total(made, "requests") == 0
    assert total(made, "sessions_from_files") == total(made, "sessions_fetched") == len(DAYS) * len(bench.symbols)
    over_rest = rest.ingest()
    assert problems(over_rest) == []
    assert total(over_rest, "requests") == 2 * len(bench.symbols)
    assert total(made, "rows") == total(over_rest, "rows") > 0
    assert_frame_equal(bench.every_bar().drop("vwap"), rest.every_bar().drop("vwap"))
    assert bench.every_bar()["vwap"].null_count() == bench.every_bar().height
    for symbol in bench.symbols:
        assert bench.bars.fingerprints(symbol) == rest.bars.fingerprints(symbol)
        assert (made[symbol].version, made[symbol].rows) == (over_rest[symbol].version, over_rest[symbol].rows)
    bench.detect()
    rest.detect()
    assert bench.shards() == rest.shards()
    assert total(bench.detect(), "events") > 0
    assert verify_files(bench.lake).findings == verify_files(rest.lake).findings == ()


def test_a_second_run_does_nothing(bench: Bench) -> None:
    bench.take()
    bench.make()
    before = {path: path.stat().st_mtime_ns for path in bench.lake.root.rglob("*.parquet")}
    requests = bench.flat.requests
    again = bench.take(proves=True)
    assert (problems(again), total(again, "files_fetched"), bench.flat.requests - requests) == ([], 0, 2)
    assert total(bench.make(), "sessions_fetched") == 0
    assert {path: path.stat().st_mtime_ns for path in bench.lake.root.rglob("*.parquet")} == before


def test_recent_sessions_without_a_file_come_over_rest(bench: Bench) -> None:
    """The file of the last session is published the next day: then it is compared where a setting says so."""
    bench.files.files[key(DAYS[-1])] = None
    taken = bench.take()
    (problem,) = problems(taken)
    assert problem == (
        f"{DAYS[-1]}: the vendor has no flat file of this session. It publishes one about 11:00 New York time of the "
        "next day; until then minute_bars fetches the session over REST."
    )
    made = bench.make()
    assert (problems(made), total(made, "requests")) == ([], len(bench.symbols))
    assert total(made, "sessions_fetched") == len(DAYS) * len(bench.symbols)
    assert total(made, "sessions_from_files") == (len(DAYS) - 1) * len(bench.symbols)
    last = bench.bars.read(bench.symbols[0], DAYS[-1])
    assert last["vwap"].null_count() == 0
    del bench.files.files[key(DAYS[-1])]
    assert problems(bench.take()) == []
    assert total(bench.make(), "sessions_compared") == 0
    both = bench.make(rules=FlatRules(compares=True, prefers_files=True))
    assert (total(both, "sessions_compared"), total(both, "sessions_differing")) == (len(bench.symbols), 0)
    # equal bars stay, and with them the vwap that only REST has
    assert_frame_equal(bench.bars.read(bench.symbols[0], DAYS[-1]), last)
    assert total(bench.make(rules=FlatRules(compares=True, prefers_files=True)), "sessions_compared") == 0


def test_sessions_without_a_listing_are_taken_from_files_and_not_asked_for(bench: Bench) -> None:
    """The vendor's lists may lack a listing. Rows of a file cost nothing, so nothing of it is left out."""
    bench.take(DAYS[:2])
    unlisted, symbol = {bench.symbols[0]: {*DAYS[1:]}}, bench.symbols[0]
    made = bench.make(DAYS[:3], unlisted=unlisted)
    assert bench.bars.read(symbol, DAYS[1]).height > 0
    # a session whose file is not in the lake is neither asked for nor waited for
    assert (made[symbol].figures["sessions_not_listed"], made[symbol].problems) == (1, ())
    assert all(made[other].problems for other in bench.symbols[1:])


def test_sessions_whose_file_is_not_downloaded_wait_for_it(bench: Bench) -> None:
    """REST would take a request for each symbol and month: nobody who chose files expects that."""
    bench.take(DAYS[:2])
    requests = bench.client.totals().requests_sent
    made = bench.make()
    assert bench.client.totals().requests_sent == requests
    assert total(made, "sessions_fetched") == 2 * len(bench.symbols)
    (found,) = {problem.partition(": ")[2] for problem in problems(made)}
    size = sum(len(bench.body(day)) for day in DAYS[2:])
    assert found == (
        f"2 sessions have flat files that are not in the lake: materialize flat_minute_bars of {DAYS[2]} "
        f"to {DAYS[-1]} ({size / 1e9:.2f} GB), then minute_bars again; or set source.bars to rest."
    )


# ------------------------------------------------------------------------------------------------- planted differences


def _rows(body: bytes) -> list[str]:
    return gzip.decompress(body).decode().splitlines()[1:]


def expected_kinds(bench: Bench, day: date) -> dict[str, int]:
    """Counted from the two texts, line by line: rows that are gone, and rows whose close or volume is another."""
    old, new = (
        {line.split(",")[0] + line.split(",")[6]: line.split(",") for line in _rows(body)}
        for body in (
            bench.body(day),
            replaced_file(bench.body(day)),
        )
    )
    counts = {"only_first": len(old.keys() - new.keys()), "prices": 0, "volume": 0, "rounding": 0}
    for minute in old.keys() & new.keys():
        one, other = old[minute], new[minute]
        volume = abs(float(one[1]) - float(other[1])) > SAME * float(one[1])
        closes = abs(float(one[3]) - float(other[3])) > SAME * float(one[3])
        counts["prices"] += closes
        counts["volume"] += volume
        counts["rounding"] += one != other and not (volume or closes)
    return {kind: count for kind, count in counts.items() if count}


@pytest.mark.parametrize("prefers_files", [True, False])
def test_differences_to_rest_are_counted_by_kind_and_the_rule_decides(bench: Bench, prefers_files: bool) -> None:
    day, rules = DAYS[2], FlatRules(compares=True, prefers_files=prefers_files)
    bench.ingest()
    before = bench.every_bar()
    bench.files.files[key(day)] = replaced_file(bench.body(day))
    bench.take()
    made = bench.make(rules=rules)
    expected = expected_kinds(bench, day)
    assert expected.keys() >= {"only_first", "prices", "volume"}
    assert {kind: total(made, f"minutes_{kind}") for kind in expected} == expected
    assert total(made, "sessions_compared") == len(DAYS) * len(bench.symbols)
    assert total(made, "sessions_differing") == len(bench.symbols)
    assert sum("bars of REST and of flat files differ" in line for line in bench.lines) == len(bench.symbols)
    after = bench.every_bar()
    if prefers_files:
        assert count_kinds(find_differences(before, after)) == expected
        # vwap stays where the minute is the same
        same = after.join(before, on=["symbol", "timestamp", "open", "high", "low", "close", "volume"], how="semi")
        assert same["vwap"].null_count() == 0
        assert after.height - same.height == after["vwap"].null_count() > 0
    else:
        assert_frame_equal(after, before)
    # once compared, a session is not compared again
    assert total(bench.make(rules=rules), "sessions_compared") == 0


def test_imported_bars_are_never_replaced(bench: Bench) -> None:
    symbol = bench.symbols[0]
    bars = bars_from(f"{DAYS[0]} 09:30", flat(5, price=3.0), symbol)
    bench.bars.merge(symbol, DAYS[0].replace(day=1), bars, import_record=ImportRecord("one", 1, {}))
    bench.take()
    bench.make(rules=FlatRules(compares=True, prefers_files=True))
    assert_frame_equal(bench.bars.read(symbol, DAYS[0], DAYS[0]), bars)
    assert bench.bars.covered(symbol) == set(DAYS)


# ------------------------------------------------------------------------------------------------- replaced files


def test_a_replaced_file_makes_its_day_and_its_symbols_anew(bench: Bench) -> None:
    day = DAYS[1]
    bench.take()
    bench.make()
    bench.detect()
    bench.lines.clear()
    versions = {symbol: bench.bars.fingerprints(symbol) for symbol in bench.symbols}
    # only the bars of the second symbol change
    changed = bench.symbols[1]
    rows = [line for line in _rows(replaced_file(bench.body(day))) if line.startswith(f"{changed},")]
    others = [line for line in _rows(bench.body(day)) if not line.startswith(f"{changed},")]
    bench.files.files[key(day)] = gzip.compress("\n".join([HEADER, *sorted(rows + others), ""]).encode())
    taken = bench.take()
    assert total(taken, "files_fetched") == total(taken, "files_replaced") == total(taken, "symbols_changed") == 1
    assert taken[day].figures["minutes_only_first"] > 0
    assert sum(f"{day}: its flat file was replaced" in line and changed in line for line in bench.lines) == 1
    made = bench.make()
    assert (problems(made), total(made, "requests")) == ([], 0)
    assert {symbol: one.figures["sessions_replaced"] for symbol, one in made.items()} == {
        symbol: int(symbol == changed) for symbol in bench.symbols
    }
    for symbol in bench.symbols:
        now = bench.bars.fingerprints(symbol)
        assert {one for one in DAYS if now[one] != versions[symbol][one]} == ({day} if symbol == changed else set())
    # detection looks at bars, not at where they are from: only the changed symbol is detected again
    detected = bench.detect()
    assert {symbol for symbol, one in detected.items() if one.figures["sessions_detected"]} == {changed}
    assert total(bench.make(), "sessions_replaced") == 0


def test_a_file_that_is_replaced_by_the_same_rows_changes_no_bar(bench: Bench) -> None:
    bench.take()
    bench.make()
    bench.detect()
    bench.files.files[key(DAYS[0])] = gzip.compress(gzip.decompress(bench.body(DAYS[0])), 1)
    taken = bench.take()
    assert (total(taken, "files_replaced"), total(taken, "symbols_changed")) == (1, 0)
    assert total(bench.make(), "sessions_replaced") == 0
    assert total(bench.detect(), "sessions_detected") == 0


# ------------------------------------------------------------------------------------------------- faulty files


def test_faulty_files_are_named_and_stop_no_other(bench: Bench) -> None:
    """A truncated one, one of another day, one of another kind; nothing of them reaches the lake."""
    cut, swapped, other = DAYS[0], DAYS[2], DAYS[3]
    bench.files.files |= {key(cut): bench.body(cut)[: len(bench.body(cut)) // 2], key(swapped): bench.body(DAYS[-1])}
    bench.files.files[key(other)] = b"<html>"
    taken = bench.take()
    found = {day: str(one.problems[0]) for day, one in taken.items() if one.problems}
    assert found.keys() == {cut, swapped, other}
    assert "cannot be used: it is not whole: gzip ends within its data" in found[cut]
    assert f"cannot be used: it has bars of {DAYS[-1]}, not of {swapped}" in found[swapped]
    assert "cannot be used: it is not whole: gzip says" in found[other]
    assert FlatBarsStore(bench.lake).days() == [day for day in DAYS if day not in found]
    assert list((bench.lake.cache / "flat_files").iterdir()) == []
    # their sessions wait; once the vendor has mended them, they are taken
    assert bench.bars.covered(bench.symbols[0]) == set()
    bench.make()
    assert bench.bars.covered(bench.symbols[0]) == set(DAYS) - found.keys()
    bench.files.files.clear()
    taken = bench.take()
    assert (problems(taken), total(taken, "files_fetched")) == ([], 3)
    assert problems(bench.make()) == []


def test_a_file_without_most_tickers_is_named(bench: Bench) -> None:
    """Of each symbol that it lacks, the session would be stored as one without trades."""
    first, rest = DAYS[0], DAYS[1:]
    assert problems(bench.take(rest)) == []
    bench.files.files[key(first)] = gzip.compress("\n".join([HEADER, *_rows(bench.body(first))[:5], ""]).encode())
    (problem,) = problems(bench.take())
    usual = sorted(file.bars for file in FlatBarsStore(bench.lake).files().files.values())[1]
    assert f"it is not complete: it has 5 bars, files of sessions nearby have {usual:,}" in problem
    assert FlatBarsStore(bench.lake).days() == rest
    bench.make()
    assert {day for name in bench.symbols for day in bench.bars.covered(name)} == set(rest)


def test_hostile_tickers_reach_the_right_symbols(bench: Bench) -> None:
    names = ["1E5", "BFPA", "BFpA", "NA", "NULL", "TRUE", "ZVZZT"]
    bars = pl.concat([bars_from(f"{DAYS[0]} 09:30", flat(9, float(at + 1)), name) for at, name in enumerate(names)])
    bench.files.files[key(DAYS[0])] = flat_content(bars)
    bench.symbols = names
    bench.take(DAYS[:1])
    assert problems(bench.make(DAYS[:1])) == []
    for place, name in enumerate(names):
        assert set(bench.bars.read(name)["close"]) == {float(place + 1)}


def test_bad_rows_of_a_symbol_go_to_its_quarantine_as_over_rest(bench: Bench) -> None:
    symbol, day = bench.symbols[0], DAYS[0]
    good = bars_from(f"{day} 09:30", flat(30, 5.0), symbol)
    bad = good.head(2).with_columns(volume=pl.lit(0.0), timestamp=pl.col("timestamp") - timedelta(minutes=20))
    other = good.tail(1).with_columns(volume=pl.lit(77.0))
    bench.files.files[key(day)] = flat_content(pl.concat([good, bad, other]))
    bench.take([day])
    made = bench.make([day])
    assert made[symbol].figures["rows_quarantined"] == 4
    aside = pl.read_parquet(bench.lake.quarantine_path(bench.lake.bars(symbol) / "2025-11.parquet"))
    assert aside["reason"].value_counts().sort("count")["count"].to_list() == [2, 2]
    assert bench.bars.read(symbol).height == 29


def test_a_session_that_is_wrong_as_a_whole_is_reported_and_stays_missing(bench: Bench) -> None:
    """Most of a symbol's bars are impossible: the others are not to be believed. Other symbols are stored."""
    symbol, day = bench.symbols[0], DAYS[0]
    wrong = bars_from(f"{day} 09:30", flat(10, 5.0), symbol).with_columns(low=pl.lit(-1.0))
    right = pl.concat([bars_from(f"{day} 09:30", flat(10, 5.0), name) for name in bench.symbols[1:]])
    bench.files.files[key(day)] = flat_content(pl.concat([wrong, right]))
    bench.take([day])
    made = bench.make([day])
    assert problems(made)[0].startswith(f"{symbol}, {day}: its flat file has impossible bars: a price is missing")
    assert [name for name in bench.symbols if bench.bars.covers(name, day)] == bench.symbols[1:]


@pytest.mark.parametrize("damage", [flip_bit, lambda path: path.write_bytes(path.read_bytes()[:-40])], ids=["", "cut"])
def test_a_damaged_table_is_made_again(bench: Bench, damage: Callable[[Path], object]) -> None:
    bench.take(DAYS[:2])
    path = FlatBarsStore(bench.lake).path(DAYS[0])
    damage(path)
    made = bench.make(DAYS[:2])
    assert all("materialize flat_minute_bars" in problem for problem in problems(made))
    assert {symbol: bench.bars.covered(symbol) for symbol in bench.symbols} == {
        symbol: {DAYS[1]} for symbol in bench.symbols
    }
    again = bench.take(DAYS[:2], proves=True)
    assert (problems(again), total(again, "files_set_aside"), total(again, "files_fetched")) == ([], 1, 1)
    assert problems(bench.make(DAYS[:2])) == []


def test_damaged_months_are_made_again_from_files(bench: Bench) -> None:
    bench.take()
    bench.make()
    symbol = bench.symbols[0]
    path = bench.lake.bars(symbol) / "2025-11.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert problems(bench.make()) != []
    made = bench.make(refetch_damaged=True)
    assert (problems(made), total(made, "requests"), total(made, "files_set_aside")) == ([], 0, 1)
    assert path.read_bytes() == whole


def test_a_plan_without_files_says_so_and_nothing_is_fetched(
    small_market: SimulatedMarket, made_files: MarketFiles, tmp_path: Path
) -> None:
    with opened(small_market, made_files, tmp_path / "lake", denied=[BUCKET_FILES]) as bench:
        with pytest.raises(NotEntitled, match="files are a separate entitlement for each data type"):
            bench.take()
        assert FlatBarsStore(bench.lake).days() == []
        # fewer denials than show that the plan has none are named by session
        assert all(
            "does not include the files of minute_aggs_v1" in problem for problem in problems(bench.take(DAYS[:2]))
        )


def test_an_unfinished_download_is_continued(bench: Bench) -> None:
    """A file that a killed process had downloaded, but not yet made a table of, is not downloaded again."""
    work = FlatDays(bench.flat, FlatBarsStore(bench.lake))
    remote = work.listed(DAYS[0], DAYS[0])[DAYS[0]]
    place = work._place(remote)
    place.parent.mkdir(parents=True)
    place.write_bytes(bench.body(DAYS[0]))
    requests = bench.flat.requests
    taken = bench.take(DAYS[:1])
    assert (problems(taken), taken[DAYS[0]].figures["bytes"], bench.flat.requests - requests) == ([], 0, 1)


def test_an_error_of_the_list_names_the_bucket(bench: Bench) -> None:
    bench.files._beside = None
    with pytest.raises(MarketDataError, match="although there must be some"):
        bench.take()
