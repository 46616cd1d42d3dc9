"""Building the universe: symbols of a file or of the settings, or of the vendor's list after filters."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.universe import (
    LISTED,
    SOURCE_REJECTION,
    UNIVERSE,
    WITHOUT_EFFECT,
    UniverseParams,
    judge_listings,
    known_reference,
)
from smallcaps_assets.errors import InputError, NotEntitled, UnexpectedError
from smallcaps_assets.lake.event_listings import EventListingStore
from smallcaps_assets.lake.listings import ListingStore
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.market_data.envelope import BadRow
from smallcaps_assets.market_data.pages import Download
from smallcaps_assets.pipeline.source import require_same_source, source_identity
from smallcaps_assets.pipeline.universe.past_symbols import PastSymbols
from smallcaps_assets.pipeline.universe.shares import SharesUpdate
from smallcaps_assets.pipeline.universe.symbol_file import SymbolFile, capitalize_symbols, read_symbols
from smallcaps_assets.pipeline.universe.ticker_details import TickerDetails
from smallcaps_assets.pipeline.universe.unclear_tickers import reject_unclear
from smallcaps_assets.settings.sections import SourceParams

_SOURCED: Final = pl.Schema({**LISTED, SOURCE_REJECTION: pl.String()})
_MOST_LOGGED: Final = 20
_ONE_DAY: Final = timedelta(days=1)


class Universe(NamedTuple):
    """The universe, and the symbols that were added and removed."""

    rows: pl.DataFrame  # UNIVERSE
    added: list[str]
    left: list[str]
    bad_rows: tuple[str, ...] = ()  # of lists of the vendor, left out, each with the reason


@dataclass(frozen=True, kw_only=True)
class UniverseBuilder:
    """Builds the universe and stores it."""

    store: UniverseStore
    client: MarketDataClient
    params: UniverseParams
    source: SourceParams
    file: Path | None  # of `params.file`, absolute
    first_session: date
    threads: int
    log: Callable[[str], None]
    _unanswered: list[str] = field(default_factory=list, init=False)
    _unexpected: list[UnexpectedError] = field(default_factory=list, init=False)
    _bad_rows: list[str] = field(default_factory=list, init=False)

    def run(self, as_of: date) -> Universe:
        """The universe as of a session; requests are sent only where the inputs of the stored universe differ.

        A symbol that is gone stays as an inactive row with the reason. Data that the plan denied, and unusable
        answers, are stored with the inputs, so that the next run requests them again.

        Raises:
            InputError: no symbol is usable; the file of symbols cannot be used; or the lake
                holds data of another source.
            UnexpectedError: the details of a symbol met an error that nobody foresaw; the universe is stored without
                them, and the next run requests them again.
        """
        before, file = self.store.read(), None if self.file is None else read_symbols(self.file)
        past = PastSymbols.in_force(self.store.lake, self.params, self.first_session)
        inputs = {
            "as_of": f"{as_of}",
            "settings": self._settings_hash(),
            "source": source_identity(self.source),
            "file": None if file is None else file.sha256,
            **({} if past is None else past.inputs()),
        }
        if self.store.inputs() == inputs:
            return Universe(before, [], [])
        self._unanswered.clear()
        self._unexpected.clear()
        self._bad_rows.clear()
        require_same_source(self.store, self.source)
        listed = self._listed(file, before, as_of)
        listed = self._with_details(listed if past is None else past.added_to(listed), as_of)
        rows = judge_listings(listed, self.params, self.first_session)
        if past is not None:
            rows = past.followed_in(rows, self._past_caps, as_of, self.log)
        rows = self._with_reference(rows)
        if not rows["active"].any():
            raise InputError(
                f"no usable symbol: {_count_exclusions(rows)}. Name some in universe.symbols, or widen the filters."
            )
        universe = self._with_history(rows, before, as_of)
        missing = {"unanswered": sorted(self._unanswered)} if self._unanswered else {}
        self.store.replace(universe, inputs | missing)
        if self._unexpected:
            raise self._unexpected[0]
        return _compare(universe, before)._replace(bad_rows=tuple(self._bad_rows))

    def _past_caps(self, days: pl.DataFrame) -> pl.DataFrame:
        """The market caps (SHARES) of symbols on days (`symbol`, `asked_for`), requested where they are not stored."""
        store = EventListingStore(self.store.lake)
        listings = ListingStore(self.store.lake).table()
        update = SharesUpdate(store, self.client, source_identity(self.source), self.threads, self.log, listings)
        if update.run(days):
            self._unanswered.append("earlier market caps")
        return store.shares().join(days, on=["symbol", "asked_for"], how="semi")

    def _settings_hash(self) -> str:
        wanted = self.params.model_dump_json(exclude=WITHOUT_EFFECT)
        # a lake made without DRILL stays as it is until the universe is built anew for another reason
        # (and of companies with a history, which are another source)
        market = self.source.embedded.model_dump_json(exclude={"drill", "corporate"})
        text = f"{wanted}{market}{self.first_session}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _listed(self, file: SymbolFile | None, before: pl.DataFrame, as_of: date) -> pl.DataFrame:
        """The symbols as their source lists them (LISTED and SOURCE_REJECTION), one row each."""
        if file is not None:
            for note in file.notes:
                self.log(f"{self.file}: {note}")
            given = pl.when(pl.col("market_cap_usd").is_not_null()).then(pl.lit(as_of))
            return file.rows.with_columns(market_cap_date=given)
        if self.params.symbols is not None:
            named, notes = capitalize_symbols(
                pl.DataFrame({"symbol": self.params.symbols}, schema={"symbol": pl.String})
            )
            for note in notes:
                self.log(f"universe.symbols: {note}")
            return named.unique(maintain_order=True).match_to_schema(_SOURCED, missing_columns="insert")
        listed = self._vendors_list(before)
        if not self.params.filters_price:
            return listed
        closes = self._unless_denied(partial(self.client.reference.closes, as_of), "prices")
        return listed if closes is None else _fill_nulls(listed, closes)

    def _vendors_list(self, before: pl.DataFrame) -> pl.DataFrame:
        """The vendor's list; of a ticker that several companies used, the listed one or else the latest.

        A ticker that has several such rows of another type or exchange is excluded with the reason, and so is one that
        differs from another only in case and has no capital letter; of rows that differ in other columns the first
        counts, and they are logged. A symbol whose row is bad stays as it is in `before`, the universe so far, if it is
        followed; otherwise it is excluded with the reason.
        """
        lists = [self.client.reference.tickers(market="stocks", active="true")]
        frames = [lists[0].frame]
        if self.params.include_delisted:
            lists.append(self.client.reference.tickers(market="stocks", active="false"))
            frames.append(lists[1].frame)
        delisted = pl.when(~pl.col("active")).then(pl.col("delisted_utc").str.slice(0, 10).str.to_date(strict=False))
        undated = ~pl.col("active") & pl.col("delisted").is_null()
        unclear = reject_unclear(
            pl.concat(frames)
            .rename({"type": "ticker_type"})
            .with_columns(delisted=delisted)
            .with_columns(pl.when(undated).then(pl.lit("delisted, the vendor gives no date")).alias(SOURCE_REJECTION))
            .sort("active", "delisted", descending=True, nulls_last=True, maintain_order=True)
        )
        bad = [row for found in lists for row in self._note_bad_rows(found, "tickers")]
        for note in unclear.notes:
            self.log(note)
        self._bad_rows.extend(f"tickers of {symbol}, {reason}" for symbol, reason in unclear.rejected.items())
        listed = unclear.rows.match_to_schema(_SOURCED, missing_columns="insert", extra_columns="ignore")
        rows = pl.concat([listed, *_of_bad_rows(bad, before)])
        return rows.unique("symbol", keep="first", maintain_order=True)

    def _with_details(self, listed: pl.DataFrame, as_of: date) -> pl.DataFrame:
        """`listed` with the vendor's details of single symbols, where a filter or the settings need them."""
        params = self.params
        prefiltered = judge_listings(listed, params.model_copy(update={"max_market_cap_usd": None}), self.first_session)
        unknown = pl.col("market_cap_usd").is_null()
        if params.is_named:
            needs_details, unknown = params.reference_data, unknown | pl.col("ticker_type").is_null()
        else:
            needs_details = params.max_market_cap_usd is not None
        # On the day of its delisting the vendor no longer knows a symbol.
        day = pl.min_horizontal(pl.lit(as_of), pl.col("delisted") - _ONE_DAY)
        wanted = prefiltered.filter(pl.col("active") & unknown).select("symbol", day=day)
        if not needs_details or wanted.is_empty():
            return listed
        max_age = timedelta(days=params.market_cap_max_age_days)
        details = TickerDetails(
            self.store,
            self.client,
            source_identity(self.source),
            max_age,
            self.threads,
            self.log,
            self._unanswered.append,
            self._unexpected.append,
        )
        dated = pl.when(pl.col("market_cap_usd").is_not_null()).then("asked_for")
        return _fill_nulls(listed, details.of(wanted).with_columns(market_cap_date=dated))

    def _with_reference(self, rows: pl.DataFrame) -> pl.DataFrame:
        """`rows` with float and short interest of the active symbols, where unknown."""
        if not self.params.reference_data:
            return rows
        for request, columns in (
            (self.client.reference.float_shares, ["float_shares"]),
            (self.client.reference.short_interest, ["short_interest_shares", "days_to_cover"]),
        ):
            unknown = pl.any_horizontal(pl.col(columns).is_null())
            symbols = rows.filter(pl.col("active") & unknown)["symbol"].to_list()
            if symbols:
                known = self._unless_denied(partial(request, symbols), " and ".join(columns))
                rows = rows if known is None else _fill_nulls(rows, known.select("symbol", *columns).unique("symbol"))
        return rows

    def _unless_denied(self, request: Callable[[], Download], what: str) -> pl.DataFrame | None:
        """The downloaded rows; None where the plan does not include them. Symbols with a bad answer are unanswered."""
        try:
            found = request()
        except NotEntitled as error:
            self.log(f"{what} count as unknown: {error}")
            self._unanswered.append(what)
            return None
        if found.unserved:
            self.log(f"{what} of {', '.join(found.unserved)} count as unknown: the vendor's answer for them is bad")
            self._unanswered.extend(f"{what} of {symbol}" for symbol in found.unserved)
        self._note_bad_rows(found, what)
        return found.frame

    def _note_bad_rows(self, found: Download, what: str) -> Sequence[BadRow]:
        """Log the rows that were left out of a list, which is requested again next time; returns them."""
        for symbol, reason in found.bad_rows:
            self._bad_rows.append(f"{what} of {symbol or 'an unnamed symbol'}, {reason}")
            self._unanswered.append(f"{what} of {symbol or 'an unnamed symbol'}")
        left_out = self._bad_rows[len(self._bad_rows) - len(found.bad_rows) :]
        for row in left_out[:_MOST_LOGGED]:
            self.log(f"a bad row in the vendor's list is left out: {row}")
        if len(left_out) > _MOST_LOGGED:
            self.log(f"bad rows in the vendor's list of {what} are left out: {len(left_out):,} in all")
        return found.bad_rows

    def _with_history(self, rows: pl.DataFrame, before: pl.DataFrame, as_of: date) -> pl.DataFrame:
        """`rows` and the symbols of `before` that are gone (UNIVERSE).

        Symbols that are no longer followed keep their reference data, and thereby the events detected with it.
        """
        known = before.select("symbol", "float_shares", "short_interest_shares", "days_to_cover")
        kept = _fill_nulls(rows, known.join(rows.filter(~pl.col("active")), on="symbol", how="semi"))
        seen = kept.join(before.select("symbol", "first_seen"), on="symbol", how="left").with_columns(
            pl.col("first_seen").fill_null(as_of), last_seen=pl.lit(as_of)
        )
        gone = before.join(rows, on="symbol", how="anti").with_columns(
            active=pl.lit(value=False), excluded_by=pl.lit("gone"), reason=pl.lit(self._gone())
        )
        return pl.concat([seen.select(*UNIVERSE), gone]).match_to_schema(UNIVERSE).sort("symbol")

    def _gone(self) -> str:
        if self.file is not None:
            return f"no longer in {self.file.name}"
        return "no longer listed" if self.params.symbols is None else "no longer in universe.symbols"


def _of_bad_rows(bad: Sequence[BadRow], before: pl.DataFrame) -> list[pl.DataFrame]:
    """The symbols of bad rows (LISTED and SOURCE_REJECTION): those followed `before` as they were, others rejected."""
    named = {row.symbol: f"the vendor's row is bad, {row.reason}" for row in bad if row.symbol is not None}
    kept = before.filter(pl.col("active") & pl.col("symbol").is_in(list(named)))
    schema = {"symbol": pl.String, SOURCE_REJECTION: pl.String}
    rejected = pl.DataFrame(list(named.items()), schema=schema, orient="row")
    return [
        rows.match_to_schema(_SOURCED, missing_columns="insert", extra_columns="ignore") for rows in (kept, rejected)
    ]


def _fill_nulls(rows: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """`rows` with nulls filled from the columns of the same name in `known`, which has one row per symbol.

    Figures of `known` whose value means that the vendor does not know fill nothing.
    """
    names = [name for name in known.columns if name in rows.columns and name != "symbol"]
    known = known.with_columns(known_reference(known.columns))
    joined = rows.join(known.select("symbol", *names), on="symbol", how="left", suffix=" known", maintain_order="left")
    filled = [pl.coalesce(name, f"{name} known").alias(name) for name in names]
    return joined.with_columns(filled).select(rows.columns)


def _count_exclusions(rows: pl.DataFrame) -> str:
    counted = rows.group_by("excluded_by").len().sort("len", "excluded_by", descending=[True, False])
    parts = [f"{count:,} by {by}" for by, count in counted.iter_rows()]
    return f"of {rows.height:,} listed, {', '.join(parts)} are excluded" if parts else "no symbol is listed"


def _compare(universe: pl.DataFrame, before: pl.DataFrame) -> Universe:
    now, then = universe.filter("active")["symbol"], before.filter("active")["symbol"]
    added = now.filter(~now.is_in(then.to_list())).to_list()
    return Universe(universe, added, then.filter(~then.is_in(now.to_list())).to_list())
