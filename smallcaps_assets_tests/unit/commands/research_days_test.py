"""`smallcaps research` at the edges of days: sessions, early closes, the end of summer time, halts; and odd tape."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from smallcaps_assets.cli import main

NEW_YORK = ZoneInfo("America/New_York")
# Friday before and Monday after the end of summer time, and a Friday that closes at 13:00, AH at 17:00
SUMMER, WINTER, EARLY = "2025-10-31", "2025-11-03", "2025-11-28"
CLOSES = {SUMMER: "20:00", WINTER: "20:00", EARLY: "17:00"}
MINUTE = timedelta(minutes=1)
# a trade a second from three minutes before each event to seven after it, but none from the end of its minute to the
# end of the sixth in the window that a halt cuts
EVENTS = [
    (SUMMER, "04:00"),
    (SUMMER, "09:28"),
    (SUMMER, "09:30"),
    (WINTER, "09:29"),
    (WINTER, "09:30"),
    (WINTER, "11:00"),  # the halt
    (WINTER, "15:59"),
    (EARLY, "12:58"),
    (EARLY, "13:00"),
    (EARLY, "16:59"),
]
HALTED = (WINTER, "11:00")


def at(day: str, clock: str) -> datetime:
    return datetime.fromisoformat(f"{day} {clock}").replace(tzinfo=NEW_YORK).astimezone(UTC)


def event_id(day: str, clock: str) -> str:
    return f"EDGE_{day}_{clock}"


def write_market(folder: Path) -> None:
    folder.mkdir()
    bars, ns = [], pl.Datetime("ns", "UTC")
    for day, close in CLOSES.items():
        start, end = at(day, "04:00"), at(day, close)
        bars += [start + number * MINUTE for number in range((end - start) // MINUTE)]
    prices = dict.fromkeys(("open", "high", "low", "close", "vwap"), 5.0)
    pl.DataFrame({"timestamp": bars}).with_columns(
        symbol=pl.lit("EDGE"),
        volume=pl.lit(1_000.0),
        transactions=pl.lit(10),
        **{k: pl.lit(v) for k, v in prices.items()},
    ).write_parquet(folder / "bars.parquet")
    rows = [
        {"event_id": event_id(day, clock), "symbol": "EDGE", "timestamp": at(day, clock), "direction": "up"}
        for day, clock in EVENTS
    ]
    pl.DataFrame(rows).with_columns(event_type=pl.lit("flush")).write_parquet(folder / "events.parquet")
    moments = set()
    for day, clock in EVENTS:
        seconds = range(-180, 420) if (day, clock) != HALTED else (*range(-180, 60), *range(360, 420))
        moments |= {at(day, clock) + timedelta(seconds=second, milliseconds=500) for second in seconds}
    tape = pl.DataFrame({"timestamp": sorted(moments)}).with_columns(
        pl.col("timestamp").cast(ns), symbol=pl.lit("EDGE")
    )
    trades = tape.with_columns(
        price=pl.lit(5.0),
        size=pl.lit(100.0),
        exchange=pl.lit(11),
        conditions=pl.lit([], pl.List(pl.Int64)),
        sequence_number=pl.int_range(pl.len()),
    )
    trades.write_parquet(folder / "trades.parquet")
    quotes = tape.select(
        "symbol",
        pl.col("timestamp") - pl.duration(milliseconds=250),
        bid_price=pl.lit(4.99),
        bid_size=pl.lit(300.0),
        ask_price=pl.lit(5.01),
        ask_size=pl.lit(300.0),
        sequence_number=pl.int_range(pl.len()),
    )
    quotes.write_parquet(folder / "quotes.parquet")


def compute(market: Path, out: Path) -> dict[str, pl.DataFrame]:
    given = [
        str(word)
        for name in ("events", "bars", "trades", "quotes")
        for word in (f"--{name}", market / f"{name}.parquet")
    ]
    assert main(["research", *given, "--out", str(out)]) == 0
    return {file.stem: pl.read_parquet(file) for file in out.iterdir()}


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("days") / "market"
    write_market(folder)
    return folder


@pytest.fixture(scope="module")
def computed(market: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pl.DataFrame]:
    return compute(market, tmp_path_factory.mktemp("computed") / "out")


def segments(table: pl.DataFrame, event: tuple[str, str], *names: str) -> dict[str, tuple[object, ...]]:
    rows = table.filter(pl.col("event_id") == event_id(*event)).select("segment", *names)
    return {row[0]: row[1:] for row in rows.iter_rows()}


@pytest.mark.parametrize(
    ("event", "session", "crossing"),
    [
        # 04:00 is the start of PM: the window begins before it, and no segment reaches over it
        ((SUMMER, "04:00"), "PM", set()),
        ((SUMMER, "09:28"), "PM", {"m5", "post_all"}),
        ((SUMMER, "09:30"), "RTH", set()),
        # known at 09:30 exactly
        ((WINTER, "09:29"), "PM", set()),
        ((WINTER, "09:30"), "RTH", set()),
        ((WINTER, "15:59"), "RTH", set()),
        ((EARLY, "12:58"), "RTH", {"m5", "post_all"}),
        ((EARLY, "13:00"), "AH", set()),
        ((EARLY, "16:59"), "AH", set()),
    ],
)
def test_sessions_and_what_crosses_their_bounds(
    event: tuple[str, str], session: str, crossing: set[str], computed: dict[str, pl.DataFrame]
) -> None:
    found = segments(computed["micro_features"], event, "session", "crosses_session", "trades", "seconds")
    assert {name for name, row in found.items() if row[1]} == crossing
    assert {row[0] for row in found.values()} == {session}
    # one trade a second in every segment, on the last minute of AH too
    assert {name: row[2] for name, row in found.items()} == {
        "pre3": 180,
        "pre_all": 180,
        "bar": 60,
        "m5": 300,
        "post_all": 360,
    }
    assert all(row[2] == row[3] for row in found.values())


def test_minutes_from_open_and_to_close_follow_the_clock_and_the_early_close(computed: dict[str, pl.DataFrame]) -> None:
    features = computed["event_bar_features"]
    found = {
        row[0]: row[1:] for row in features.select("event_id", "minutes_from_open", "minutes_to_close").iter_rows()
    }
    expected = {
        (SUMMER, "04:00"): (-330, 720),
        (SUMMER, "09:30"): (0, 390),
        (WINTER, "09:30"): (0, 390),
        (WINTER, "15:59"): (389, 1),
        (EARLY, "12:58"): (208, 2),
        (EARLY, "13:00"): (210, 0),
    }
    assert {event: found[event_id(*event)] for event in expected} == expected


def test_a_day_with_tape_ends_with_its_after_hours(computed: dict[str, pl.DataFrame]) -> None:
    minutes = computed["bar_reconciliation"]
    day = pl.col("timestamp").dt.convert_time_zone("America/New_York").dt.date().cast(pl.String)
    found = minutes.group_by(day.alias("day")).agg(
        pl.len(), pl.col("timestamp").min(), pl.col("timestamp").max().alias("last")
    )
    # in winter 04:00 is an hour later in UTC
    assert found.sort("day").rows() == [
        (SUMMER, 960, datetime(2025, 10, 31, 8, tzinfo=UTC), datetime(2025, 10, 31, 23, 59, tzinfo=UTC)),
        (WINTER, 960, datetime(2025, 11, 3, 9, tzinfo=UTC), datetime(2025, 11, 4, 0, 59, tzinfo=UTC)),
        (EARLY, 780, datetime(2025, 11, 28, 9, tzinfo=UTC), datetime(2025, 11, 28, 21, 59, tzinfo=UTC)),
    ]


def test_a_halt_cuts_a_window(computed: dict[str, pl.DataFrame]) -> None:
    start = at(WINTER, "11:00") + timedelta(seconds=59, milliseconds=500)
    halts = computed["halts"].filter(confidence=2)
    # 240 trades in the window before it; the next is 301 s later
    assert halts.select("event_id", "date", "start", "end", "seconds", "n5").rows() == [
        (event_id(*HALTED), WINTER, start, start + timedelta(seconds=301), 301.0, 240)
    ]
    names = ("trades", "longest_gap_s", "normal_share", "stale_share", "imbalance_shares", "slippage_vwap_1000_bps")
    found = segments(computed["micro_features"], HALTED, *names)
    # the book stands still, as it does in every window
    assert found["m5"] == (0, 300.0, 1.0, 1.0, None, None)
    assert found["post_all"][:2] == (60, 300.5)


def test_unknown_conditions_count_for_nothing_and_are_counted(market: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for file in market.iterdir():
        rows = pl.read_parquet(file)
        if file.stem == "trades":
            rows = rows.with_columns(conditions=pl.lit([14, 997], pl.List(pl.Int64)))
        rows.write_parquet(other / file.name)
    found = compute(other, tmp_path / "out")
    columns = ("trades", "volume_shares", "imbalance_shares", "unknown_condition_trades")
    assert segments(found["micro_features"], (SUMMER, "09:30"), *columns)["bar"] == (0, 0.0, None, 60)
    assert set(found["bar_reconciliation"]["class"]) == {"bar_without_trades"}


def test_repeated_rows_count_and_are_reported(
    market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], computed: dict[str, pl.DataFrame]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for file in market.iterdir():
        rows = pl.read_parquet(file)
        if file.stem in {"trades", "quotes"}:
            rows = pl.concat([rows.tail(3), rows])
        if file.stem == "bars":
            rows = pl.concat([rows.head(2), rows])
        rows.write_parquet(other / file.name)
    capsys.readouterr()
    found = compute(other, tmp_path / "out")
    lines = capsys.readouterr().err.splitlines()
    for name in ("trades", "quotes"):
        assert f"--{name}: 3 rows repeat symbol, timestamp, sequence_number of another one; they count as well" in lines
    assert [line for line in lines if line.startswith("--bars: ")]
    event = (EARLY, "16:59")
    before, after = (segments(made["micro_features"], event, "trades")["post_all"][0] for made in (computed, found))
    assert (before, after) == (360, 363)


def test_tape_of_an_older_release_beside_newer_files(market: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "trades.parquet").mkdir(parents=True)
    for file in market.iterdir():
        rows = pl.read_parquet(file)
        if file.stem != "trades":
            rows.write_parquet(other / file.name)
            continue
        is_new = pl.col("timestamp") >= at(EARLY, "04:00")
        rows.filter(~is_new).write_parquet(other / file.name / "old.parquet")
        newer = rows.filter(is_new).with_columns(participant_timestamp="timestamp", correction=pl.lit(10, pl.Int64))
        newer.write_parquet(other / file.name / "new.parquet")
    micro = compute(other, tmp_path / "out")["micro_features"]
    # messages of the newer files are no trades; the older ones cannot say
    assert segments(micro, (EARLY, "12:58"), "trades", "corrections_known")["bar"] == (0, True)
    assert segments(micro, (WINTER, "09:30"), "trades", "corrections_known")["bar"] == (60, True)
