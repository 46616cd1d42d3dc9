"""The flat files of a market: one gzipped CSV a session with the bars of every symbol, as REST serves them."""

import gzip
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from threading import Lock
from typing import Final, Protocol

import polars as pl

from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.simulated.bucket.keys import FIRST_DAY, MINUTES, days_of_prefix, stored_day, stored_key
from smallcaps_assets.simulated.hours import NEW_YORK_ZONE, utc_now
from smallcaps_assets.simulated.market.cache import ByteCache
from smallcaps_assets.simulated.source import Market

# The vendor publishes the file of a session at about this New York time of the next day.
PUBLICATION_TIME: Final = time(11)
BODIES_CACHE_BYTES: Final = 64_000_000
_PRICES: Final = ("open", "close", "high", "low")


@dataclass(frozen=True)
class StoredFile:
    """What a listing says of one file; the ETag is the MD5 of its content, as for files that were uploaded whole."""

    key: str
    size: int
    etag: str
    modified: datetime


class Bucket(Protocol):
    """The files of a bucket."""

    def keys(self, prefix: str) -> list[str]:
        """The keys that begin with `prefix`, ascending."""
        ...

    def stat(self, key: str) -> StoredFile | None:
        """What a listing says of a file; None if there is none."""
        ...

    def read(self, key: str) -> bytes | None:
        """The content of a file; None if there is none."""
        ...


class MarketFiles:
    """The files of a market, made when they are first asked for; may be shared by threads.

    Args:
        market: its bars, minute bars by `bars` and day bars by `daily`, are the rows of the files.
        clock: the current time; a file exists from PUBLICATION_TIME of the day after its session.
    """

    def __init__(self, market: Market, clock: Callable[[], datetime] = utc_now) -> None:
        self._market = market
        self._clock = clock
        self._lock = Lock()
        self._stats: dict[str, StoredFile] = {}
        self._bodies: ByteCache[bytes] = ByteCache(BODIES_CACHE_BYTES, len)

    def keys(self, prefix: str) -> list[str]:
        """The keys of published files that begin with `prefix`, ascending."""
        last = self._last_published()
        found: list[str] = []
        for kind, first_day, last_day in days_of_prefix(prefix, FIRST_DAY, last):
            days = {day for symbol in self._market.symbols() for day in self._market.days(symbol, first_day, last_day)}
            found += [stored_key(kind, day) for day in days]
        return sorted(key for key in found if key.startswith(prefix))

    def stat(self, key: str) -> StoredFile | None:
        """Size and ETag of a published file; makes the file if it was never asked for."""
        if key in self._stats:
            return self._stats[key]
        self.read(key)
        return self._stats.get(key)

    def read(self, key: str) -> bytes | None:
        """The gzipped CSV of one session, the same bytes each time; None if it is not published."""
        found = stored_day(key)
        if found is None or found[1] > self._last_published() or not self.keys(key):
            return None
        kind, day = found
        with self._lock:
            body = self._bodies.get(key, lambda: self._make(kind, day))
            published = datetime.combine(day + timedelta(days=1), PUBLICATION_TIME, NEW_YORK_ZONE).astimezone(UTC)
            self._stats[key] = StoredFile(key, len(body), etag_of(body), published)
        return body

    def _make(self, kind: str, day: date) -> bytes:
        bars = self._market.bars if kind == MINUTES else self._market.daily
        return gzip.compress(
            flat_csv([bars(symbol, day, day) for symbol in self._market.symbols()]).encode(), 6, mtime=0
        )

    def _last_published(self) -> date:
        local = self._clock().astimezone(NEW_YORK_ZONE)
        return local.date() - timedelta(days=1 if local.time() >= PUBLICATION_TIME else 2)


class GivenFiles:
    """Files by key, such as prepared ones, in place of or beside those of a bucket; may be changed at any time.

    Args:
        files: content by key; None hides the file of that key.
        beside: has all other files; without it there are no others.
        modified: when a file was last changed, by key; 2025-01-01 for others that are not in `beside`.
    """

    def __init__(
        self,
        files: Mapping[str, bytes | None],
        beside: Bucket | None = None,
        modified: Mapping[str, datetime] | None = None,
    ) -> None:
        self.files = dict(files)
        self._beside = beside
        self._modified = modified or {}

    def keys(self, prefix: str) -> list[str]:
        """The keys that begin with `prefix`, ascending."""
        own = {key for key, body in self.files.items() if body is not None and key.startswith(prefix)}
        others = [] if self._beside is None else self._beside.keys(prefix)
        return sorted(own | {key for key in others if key not in self.files})

    def stat(self, key: str) -> StoredFile | None:
        """What a listing says of a file; None if there is none."""
        known = None if self._beside is None else self._beside.stat(key)
        if key not in self.files:
            return known
        body = self.files[key]
        if body is None:
            return None
        modified = self._modified.get(key) or (known.modified if known else datetime(2025, 1, 1, tzinfo=UTC))
        return StoredFile(key, len(body), etag_of(body), modified)

    def read(self, key: str) -> bytes | None:
        """The content of a file; None if there is none."""
        if key in self.files:
            return self.files[key]
        return None if self._beside is None else self._beside.read(key)


def etag_of(body: bytes) -> str:
    """The ETag of a file that was uploaded whole, without quotes."""
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def flat_csv(bars: list[pl.DataFrame]) -> str:
    """Bars (schema BARS) as the vendor's CSV: by ticker and time, prices o, c, h, l, no vwap, nanoseconds.

    Volumes have at most 6 decimals, whole ones none. Values that are null or not finite are empty.
    """
    rows = pl.concat([BARS.to_frame(), *bars]).sort("symbol", "timestamp", maintain_order=True)
    volume = _finite("volume").round(6)
    whole = volume == volume.round()
    return rows.select(
        pl.col("symbol").alias("ticker"),
        pl.when(whole).then(volume.cast(pl.Int64, strict=False).cast(pl.String)).otherwise(volume.cast(pl.String)),
        *(_finite(name) for name in _PRICES),
        pl.col("timestamp").dt.epoch("ns").alias("window_start"),
        "transactions",
    ).write_csv(quote_style="never")


def _finite(name: str) -> pl.Expr:
    return pl.when(pl.col(name).is_finite()).then(pl.col(name))
