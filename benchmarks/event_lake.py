"""A lake of event shards of a large universe, for benchmarks of the steps after detection."""

import json
from datetime import date, time, timedelta
from typing import Final

import numpy as np
import polars as pl

from smallcaps_assets.domain.events.cooldown import window_numbers
from smallcaps_assets.domain.events.detection import BAR_DURATION, event_ids
from smallcaps_assets.domain.events.detectors import EVENT_TYPES
from smallcaps_assets.domain.sessions import with_session
from smallcaps_assets.domain.tables import BARS, SHARD, UTC_US
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.shard_coverage import ShardCoverage
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.files.publish import PROVENANCE
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.universe import UNIVERSE, UniverseStore
from smallcaps_assets.pipeline.calendar import sessions_between
from smallcaps_assets.pipeline.events.detection import Detector
from smallcaps_assets.settings.settings import Settings

LAST: Final = date(2025, 11, 28)
BOUNDS: Final = ("premarket_open", "regular_open", "regular_close", "afterhours_close")
SHARES_OF_SESSIONS: Final = (0.22, 0.6, 0.18)
SHARES_OF_TYPES: Final = (0.32, 0.18, 0.14, 0.06, 0.05, 0.18, 0.07)
MINUTE_US: Final = 60_000_000
# the cooldown removes about a fifth of the events that are drawn
DRAWN_PER_EVENT: Final = 1.35
BOTH_DIRECTIONS, RISING, ROUND_SCORES, WITHOUT_FLATNESS, WITHOUT_RVOL = 0.004, 0.6, 0.02, 0.4, 0.02


def names(count: int) -> list[str]:
    """Symbols of the universe."""
    return [f"S{number:04}" for number in range(count)]


def last_sessions(count: int, settings: Settings) -> pl.DataFrame:
    """The last `count` sessions (SESSION_TABLE)."""
    return sessions_between(date(2015, 1, 2), LAST, settings.sessions).tail(count)


def make_events(count: int, symbols: list[str], sessions: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    """`count` events (SHARD) after a cooldown, of all types, sessions and symbols; identical on every run.

    Events are clustered in time, and some symbols have many times the events of others. One score in 50 is one of 100
    values. One event in 250 is found in both directions, half of these with equal scores.
    """
    rng = np.random.default_rng(5)
    order, backwards = ["symbol", "event_type", "timestamp", "direction"], [False, False, False, True]
    found = _draw(round(DRAWN_PER_EVENT * count), symbols, sessions, rng)
    other = found.filter(pl.Series(rng.random(found.height) < BOTH_DIRECTIONS)).with_columns(
        direction=pl.col("direction").replace_strict({"up": "down", "down": "up"}),
        score=pl.col("score") * pl.col("minute").mod(2).replace_strict({0: 1.0, 1: 0.97}),
    )
    both = pl.concat([found, other]).sort(order, descending=backwards)
    window = window_numbers(both, ["symbol", "event_type", "day"], timedelta(minutes=settings.cooldown.window_min))
    best = pl.col("score").max().over(window)
    cooled = both.filter(pl.col("score") >= settings.cooldown.keep_share_of_best * best)
    # the surplus is removed by whole days, so that the rest stays as the cooldown left it
    kept = cooled.sort("lot", maintain_order=True).head(count)
    assert kept.height == count, "draw more"  # noqa: S101
    return _add_columns(kept, rng)


def _draw(count: int, symbols: list[str], sessions: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """One row per symbol, type and minute, with direction and score."""
    clusters = count // 2
    liveliness = rng.lognormal(0, 0.7, len(symbols))
    symbol = rng.choice(len(symbols), clusters, p=liveliness / liveliness.sum())
    day, part = rng.integers(0, sessions.height, clusters), rng.choice(3, clusters, p=SHARES_OF_SESSIONS)
    bounds = sessions.select(pl.col(BOUNDS).to_physical()).to_numpy()
    opened, closed = bounds[day, part], bounds[day, part + 1]
    minutes = (closed - opened) // MINUTE_US
    first = np.floor(rng.beta(0.7, 1.3, clusters) * minutes)
    of = np.repeat(np.arange(clusters), rng.geometric(0.5, clusters))
    rows = of.size
    minute = np.minimum(first[of] + np.floor(rng.exponential(3, rows)), minutes[of] - 1).astype(np.int64)
    kind = rng.choice(len(EVENT_TYPES), rows, p=SHARES_OF_TYPES)
    rises = (rng.random(rows) < RISING) & (kind != EVENT_TYPES.index("flush"))
    score = rng.beta(3.2, 3.4, rows)
    drawn = pl.DataFrame(
        {
            "symbol": np.asarray(symbols)[symbol[of]],
            "event_type": np.asarray(EVENT_TYPES)[kind],
            "timestamp": pl.Series(opened[of] + minute * MINUTE_US).cast(UTC_US),
            "direction": np.where(rises, "up", "down"),
            "score": np.where(rng.random(rows) < ROUND_SCORES, score.round(2), score),
            "minute": minute,
            "lot": (symbol[of] * sessions.height + day[of]) * 2_654_435_761 % 2**32,
        }
    ).unique(["symbol", "event_type", "timestamp"], keep="first", maintain_order=True)
    return with_session(drawn, sessions).with_columns(pl.col("session").cast(pl.String)).drop("regular_open")


def _add_columns(events: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Events with all other columns of SHARD, in the order of shards."""
    rows = events.height
    opened = np.round(np.clip(rng.lognormal(1.6, 0.9, rows), 1.05, 400), 4)
    closed = np.round(opened * np.exp(0.03 * rng.standard_normal(rows)), 4)
    volume = np.floor(rng.lognormal(11, 1.1, rows)) + 1
    day_usd = closed * volume * rng.lognormal(2, 0.8, rows)
    rises, colour = pl.col("direction") == "up", pl.col("close") - pl.col("open")
    figures = {
        "spike_x": rng.lognormal(2, 0.6, rows),
        "open": opened,
        "high": np.maximum(opened, closed) * (1 + 0.01 * rng.random(rows)),
        "low": np.minimum(opened, closed) * (1 - 0.01 * rng.random(rows)),
        "close": closed,
        "volume": volume,
        "dollar_volume": closed * volume,
        "vwap_at_event": closed * (1 + 0.02 * rng.standard_normal(rows)),
        "flatness_score": np.where(rng.random(rows) < WITHOUT_FLATNESS, np.nan, rng.random(rows)),
        "rvol_day": np.where(rng.random(rows) < WITHOUT_RVOL, np.nan, rng.lognormal(1, 0.8, rows)),
        "dollar_volume_day": day_usd,
        "dollar_volume_to_event": day_usd * rng.random(rows),
        "transactions": (volume / 80).astype(np.int64) + 1,
    }
    shown = events.with_columns(
        pl.Series(name, values, dtype=SHARD[name], nan_to_null=True) for name, values in figures.items()
    ).with_columns(
        date=pl.col("day").dt.to_string("%Y-%m-%d"),
        event_bias=pl.when(rises).then(pl.lit("bullish")).otherwise(pl.lit("bearish")),
        close_vs_open=pl.when(colour > 0).then(pl.lit("green")).when(colour < 0).then(pl.lit("red"))
        .otherwise(pl.lit("flat")),
        tier=4 - pl.sum_horizontal((pl.col("score") >= least).cast(pl.Int64) for least in (0.4, 0.5, 0.6)),
        known_at=pl.col("timestamp") + BAR_DURATION,
        is_premarket=pl.col("session") == "PM",
        is_afterhours=pl.col("session") == "AH",
        event_id=event_ids(events),
    )  # fmt: skip
    order = ("symbol", "timestamp", "event_type", "direction")
    return shown.select(*SHARD).match_to_schema(SHARD).sort(order, descending=[False, False, False, True])


def make_shards(
    lake: Lake, events: pl.DataFrame, symbols: list[str], sessions: pl.DataFrame, settings: Settings
) -> None:
    """Publish a universe of `symbols` and their shards, which cover all sessions with the current settings."""
    lake.root.mkdir(exist_ok=True)
    listed = pl.DataFrame({"symbol": symbols, "active": [True] * len(symbols)})
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in UNIVERSE.items() if name not in listed.columns]
    UniverseStore(lake).replace(listed.with_columns(missing).select(*UNIVERSE), {})
    store, days = ShardStore(lake), sessions["date"].to_list()
    fingerprints = {
        day: f"{400 + place % 90}-{(place + 1) * 0x9E3779B97F4A7C15 % 2**64:016x}" for place, day in enumerate(days)
    }
    volumes = {day: 1e6 * (1 + place / 7) for place, day in enumerate(days)}
    by_symbol = events.partition_by("symbol", as_dict=True)
    reference = UniverseStore(lake).reference()
    detector = Detector(BarsStore(lake), store, settings.detection, settings.sessions, reference)
    for symbol in symbols:
        found = by_symbol.get((symbol,), SHARD.to_frame())
        tiers = settings.detection.tier_min_scores
        store.replace(
            symbol, found, ShardCoverage.of(detector.identities(symbol), tiers, fingerprints, volumes, found.height)
        )


def make_bars(lake: Lake, symbols: list[str], days: list[date], months: int) -> None:
    """Write month files of every symbol for the last `months`: one bar in ten minutes, recorded as complete."""
    minutes = pl.int_range(0, 96, eager=True) * 10
    for month in sorted({day.replace(day=1) for day in days})[-months:]:
        of_month = [day for day in days if day.replace(day=1) == month]
        opened = pl.DataFrame({"day": of_month}).select(
            at=pl.col("day").dt.combine(time(4)).dt.replace_time_zone("America/New_York").dt.convert_time_zone("UTC")
        )
        timestamps = opened.join(minutes.to_frame("minute"), how="cross").select(
            timestamp=pl.col("at") + pl.duration(minutes="minute")
        )
        bars = timestamps.with_columns(
            symbol=pl.lit(""), transactions=pl.lit(40, pl.Int64),
            **{name: pl.lit(10.0) for name, dtype in BARS.items() if dtype.is_float()},
        ).select(*BARS).cast(BARS)  # fmt: skip
        sessions = {f"{day}": f"96-{day.toordinal():016x}" for day in of_month}
        for symbol in symbols:
            path = lake.bars(symbol) / f"{month:%Y-%m}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            footer = {PROVENANCE: json.dumps({"symbol": symbol, "sessions": sessions})}
            bars.drop("symbol").write_parquet(path, compression="zstd", metadata=footer)
