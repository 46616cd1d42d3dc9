"""A scan of many events returns for each event what a single-event reader returns and plain Python counts."""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.manifests.selection import Selection
from smallcaps_assets.domain.tables import TRADES
from smallcaps_assets.domain.tape.windows import event_windows
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.tape.files import Span, spans_of
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets_tests.conftest import event, manifest_of, trades_at
from smallcaps_assets_tests.scenarios import default_settings

TEN = datetime(2025, 11, 5, 15, tzinfo=UTC)
SYMBOLS = ("AEMD", "BRK.B")
SECOND = timedelta(seconds=1)
# windows from three minutes before to seven after, with trades at regular intervals around all of them
EVENTS = st.lists(st.tuples(st.sampled_from(SYMBOLS), st.integers(0, 40)), min_size=1, max_size=8, unique=True)
# also published: overlapping spans, as left by several manifests
FURTHER = st.lists(st.tuples(st.sampled_from(SYMBOLS), st.integers(-10, 40), st.integers(1, 20)), max_size=4)
TRADED = st.dictionaries(
    st.sampled_from(SYMBOLS), st.sets(st.integers(-600, 3600), max_size=60).map(sorted), min_size=2
)


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(events=EVENTS, further=FURTHER, traded=TRADED)
def test_scan_equals_the_readers_of_its_events(
    events: list[tuple[str, int]], further: list[tuple[str, int, int]], traded: dict[str, list[int]]
) -> None:
    manifest = manifest_of(
        *(
            event(f"2025-11-05 10:{minute:02d}", event_id=f"{symbol} {minute}", symbol=symbol)
            for symbol, minute in events
        )
    )
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Path(folder))
        tape = TapeStore(lake, "core", default_settings().profiles["core"])
        store = ManifestStore.in_lake(lake, "core")
        store.freeze(Selection(manifest, [], {}), config_hash="c", master_sha256="m", now=TEN)
        spans = [
            Span(symbol, "PM", TEN + 60 * start * SECOND, TEN + 60 * (start + length) * SECOND, ())
            for symbol, start, length in further
        ]
        for span in spans:
            publish(tape, span, traded)
        for span in spans_of(tape.missing_spans("trades", event_windows(manifest))):
            publish(tape, span, traded)

        scanned = tape.scan("trades", manifest["event_id"]).collect().sort("event_id", "timestamp", "sequence_number")
        readers = [
            tape.trades(event_id).select(pl.lit(event_id).alias("event_id"), *TRADES)
            for event_id in manifest["event_id"]
        ]
        assert_frame_equal(scanned, pl.concat(readers).sort("event_id", "timestamp", "sequence_number"))
        found = {(name, moment) for name, moment in scanned.select("event_id", "timestamp").iter_rows()}
        expected = {
            (f"{symbol} {minute}", TEN + second * SECOND)
            for symbol, minute in events
            for second in traded[symbol]
            if 60 * (minute - 3) <= second < 60 * (minute + 7)
        }
        assert found == expected
        assert scanned.height == len(expected)


def publish(tape: TapeStore, span: Span, traded: dict[str, list[int]]) -> None:
    """Publish the trades of a span; trades of one time are the same in every file."""
    moments = [TEN + second * SECOND for second in traded[span.symbol]]
    rows = trades_at(*moments).select(*TRADES)
    inside = pl.col("timestamp").is_between(span.start, span.end, closed="left")
    tape.publish("trades", span, rows.filter(inside), {})
