"""The book in force when a span begins: kept, checked, and read on request only."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from smallcaps_assets.domain.manifests.selection import Selection
from smallcaps_assets.domain.tape.nbbo import Thinning, thin_frame
from smallcaps_assets.domain.tape.opening_book import keep_opening_book
from smallcaps_assets.domain.tape.rules import tape_rules
from smallcaps_assets.lake.files.publish import provenance_of
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.ledger import build_ledger
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.tape.files import Span
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.lake.verification.verify import verify
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.pipeline.tape.capture import Capture
from smallcaps_assets.simulated.protocol.wire import Reply
from smallcaps_assets_tests.conftest import Gate, event, manifest_of, quotes_at, trades_at
from smallcaps_assets_tests.scenarios import default_settings

TEN = datetime(2025, 11, 5, 15, tzinfo=UTC)  # 10:00 in New York
CORE = default_settings().profiles["core"]
# windows [9:57, 10:07) and [10:02, 10:12): one span
MANIFEST = manifest_of(
    event("2025-11-05 10:00", event_id="first"),
    event("2025-11-05 10:05", event_id="second"),
)
SPAN = Span("AEMD", "RTH", TEN - timedelta(minutes=3), TEN + timedelta(minutes=12), ("first", "second"))


def after(*seconds: float) -> list[datetime]:
    """Times, in seconds after the start of the span."""
    return [SPAN.start + timedelta(seconds=second) for second in seconds]


def seconds(rows: pl.DataFrame) -> list[float]:
    return [(when - SPAN.start).total_seconds() for when in rows["timestamp"]]


@pytest.mark.parametrize(
    ("before", "kept"),
    [([], []), ([-60], [-60]), ([-59, -3, -3], [-3]), ([-0.000001], [-0.000001])],
)
def test_of_the_rows_before_a_span_the_last_is_kept(before: list[float], kept: list[float]) -> None:
    rows = quotes_at(*after(*before, 0, 5))
    found = keep_opening_book(rows, SPAN.start)
    assert seconds(found) == [*kept, 0, 5]
    # of two at one time the later in stored order
    assert found["sequence_number"].to_list() == list(range(len(before) - len(kept) + 1, len(before) + 3))


def test_only_rows_before_the_span_and_none_at_all() -> None:
    assert seconds(keep_opening_book(quotes_at(*after(-9, -2)), SPAN.start)) == [-2]
    assert keep_opening_book(quotes_at(), SPAN.start).is_empty()


def test_the_opening_book_is_the_first_row_of_thinning() -> None:
    """Rows at -1, 0.1, 0.15 and 0.3 s at 5 Hz: the last of [0, 0.2) and of [0.2, 0.4) stay, and the first of all."""
    rows = quotes_at(*after(-1, 0.1, 0.15, 0.3))
    assert seconds(thin_frame(rows, Thinning(by_change_only=False, max_hz=5))) == [-1, 0.15, 0.3]
    # a row that repeats the opening book is no change
    still = rows.with_columns(pl.col("bid_price", "ask_price").first())
    assert seconds(thin_frame(still, Thinning(by_change_only=True, max_hz=5))) == [-1]


@pytest.mark.parametrize(
    ("moments", "outside"),
    [([-60, 0], 0), ([-60.1, 0], 1), ([-2, -1, 0], 1), ([0, 899], 0), ([0, 900], 1), ([-1], 0)],
)
def test_one_row_of_the_minute_before_may_come_first(moments: list[float], outside: int) -> None:
    rows = quotes_at(*after(*moments))
    with_book, without = (
        next(rule for rule in rules if rule.what == "rows outside its span")
        for rules in (tape_rules("quotes", SPAN.start, SPAN.end, opening_book=is_first) for is_first in (True, False))
    )
    assert rows.select(with_book.broken).item() == outside
    assert rows.select(without.broken).item() == sum(not 0 <= moment < 900 for moment in moments)


@pytest.fixture
def store(lake: Lake) -> TapeStore:
    """A published span, whose windows begin 0 s and 300 s after it."""
    store = TapeStore(lake, "core", CORE)
    manifest = ManifestStore.in_lake(lake, "core")
    manifest.freeze(Selection(MANIFEST, [], {}), config_hash="c", master_sha256="m", now=TEN)
    store.publish("quotes", SPAN, quotes_at(*after(-7, 1, 299, 299, 300, 500)).select(*store.schema("quotes")), {})
    store.publish("trades", SPAN, trades_at(*after(1, 301)).select(*store.schema("trades")), {})
    return store


def test_readers_return_the_last_stored_quote_before_a_window_on_request_only(store: TapeStore) -> None:
    assert seconds(store.quotes("first")) == [1, 299, 299, 300, 500]
    assert seconds(store.quotes("first", opening_book=True)) == [-7, 1, 299, 299, 300, 500]
    # for a window within the span it is an ordinary row: of two at one time the later
    assert seconds(store.quotes("second")) == [300, 500]
    assert store.quotes("second", opening_book=True)["sequence_number"].to_list() == [4, 5, 6]
    both = store.scan("quotes", ["first", "second"], opening_book=True).collect()
    for event_id in ("first", "second"):
        rows = both.filter(event_id=event_id).drop("event_id").sort("timestamp", "sequence_number")
        assert rows.equals(store.quotes(event_id, opening_book=True))
    assert store.scan("trades", ["first"], opening_book=True).collect().height == 2


def test_the_opening_book_is_in_no_window(store: TapeStore) -> None:
    ledger = build_ledger(MANIFEST, store)
    assert ledger.select("event_id", "quotes_rows").rows() == [("first", 5), ("second", 2)]
    assert ledger["quotes_first"].to_list() == after(1, 300)
    assert store.published("quotes")["opening_book"].to_list() == [1]
    ledger.write_parquet(store.lake.ledger("core"))
    assert [one.what for one in verify(store).findings if "span" in one.what] == []


def test_a_span_with_nothing_but_an_opening_book_is_empty(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    book = int(SPAN.start.timestamp()) * 10**9 - 1
    row = f'{{"sip_timestamp":{book},"participant_timestamp":{book},"sequence_number":1,"bid_price":5.0,"bid_size":1}}'

    def rule(path: str, query: Mapping[str, str]) -> Reply:  # noqa: ARG001
        rows = row if "quotes" in path else ""
        return Reply(200, {"Content-Type": "application/json"}, f'{{"results":[{rows}],"status":"OK"}}'.encode())

    gate.rule = rule
    store = TapeStore(lake, "core", CORE)
    for kind in ("trades", "quotes"):
        work = Capture(kind, store, client, 1, "abc", log=lambda line: None)  # noqa: ARG005
        (outcome,) = work.run(MANIFEST, [("AEMD", "RTH")])
        assert (outcome.figures["rows"], outcome.figures["spans_fetched"]) == (0, 1)
    (path,) = (lake.tape("core", "quotes")).rglob("*.parquet")
    assert pl.read_parquet(path, hive_partitioning=False).height == 1
    footer = provenance_of(path)
    assert footer is not None
    assert (footer["opening_book"], footer["rows"]) == (1, 1)
    assert build_ledger(MANIFEST, store)["state"].to_list() == ["empty", "empty"]


@pytest.mark.parametrize(("day", "unit"), [(5, "shares"), (6, "lots")])
def test_the_footer_of_quotes_says_the_unit_of_their_sizes(lake: Lake, day: int, unit: str) -> None:
    """The span is of 5 November 2025."""
    store = TapeStore(lake, "core", CORE, quote_sizes_in_shares_from=date(2025, 11, day))
    for kind, rows in (("quotes", quotes_at(*after(1))), ("trades", trades_at(*after(1)))):
        path = store.publish(kind, SPAN, rows.select(*store.schema(kind)), {})  # type: ignore[arg-type] # a kind of tape
        footer = provenance_of(path)
        assert footer is not None
        facts = {name: footer[name] for name in footer if name.startswith("quote_size")}
        expected = {"quote_size_unit": unit, "quote_sizes_in_shares_from": f"2025-11-0{day}"}
        assert facts == (expected if kind == "quotes" else {})
    assert store.published("quotes")["quote_size_unit"].to_list() == [unit]
