"""Rules that tape must meet: before it is published, and whenever `verify` reads it again.

Some rows are impossible by themselves, such as a trade at a price of -1: they are set aside, and the others stay. The
vendor's numbers are increasing but not gapless, so a row that is left out contradicts none. Other rules are about rows
together, such as a book that is crossed most of the time. An answer with more rows that break a rule than the rule
allows is wrong as a whole: a column is lost, shifted or in another unit, and its other rows are not to be believed.

A quote may be one-sided, and the book may be empty: an absent side has a price and a size of 0, or none of both. A size
of 0 is allowed, and so is any code of an exchange or a condition.

Prices are compared in whole micro-dollars. One below half of one is no price: it would count as 0 without being 0.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.bars.unknown import LEAST_PRICE_USD, MOST_PRICE_USD, MOST_SHARES
from smallcaps_assets.domain.tape.opening_book import OPENING_LEAD
from smallcaps_assets.domain.tape.repeats import is_identified

UNIQUE_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "trades": ("timestamp", "sequence_number", "trade_id"),
    "quotes": ("timestamp", "sequence_number"),
}
TAPE_PRICES: Final[Mapping[str, tuple[str, ...]]] = {"trades": ("price",), "quotes": ("bid_price", "ask_price")}
TAPE_SIZES: Final[Mapping[str, tuple[str, ...]]] = {"trades": ("size",), "quotes": ("bid_size", "ask_size")}
# times of a trade or a quote beside `timestamp`; files of release 0.1, and profiles with few columns, lack some
TAPE_TIMES: Final = ("participant_timestamp", "trf_timestamp")
# A late report may come days after the trade, over a long weekend, and clocks differ; another unit is years away.
LATEST_REPORT: Final = timedelta(days=7)
CLOCKS_DIFFER: Final = timedelta(days=1)
# Bad prints pass the consolidated tape a few times in a million rows; a faulty column is wrong in nearly all of them.
MOST_IMPOSSIBLE: Final = 0.01
# A book may be crossed for moments while exchanges lag each other; with bid and ask mixed up it nearly always is.
MOST_CROSSED: Final = 0.1
# Numbers rise with the time, but a late row may have a number from before; at random, half of them fall.
MOST_UNORDERED: Final = 0.1
# Of a few rows a share says little: so many may break such a rule, unless they are more than half.
FEW_TOGETHER: Final = 10
# The book of a thin stock may be empty for long before the open, and throughout a short window; without its columns it
# is empty in every row of a long one.
MOST_EMPTY: Final = 0.9
FEW_EMPTY: Final = 50
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class TapeRule(NamedTuple):
    """What is wrong with rows that break the rule, what is expected, and an expression that counts them."""

    what: str
    expected: str
    broken: pl.Expr


class RowRule(NamedTuple):
    """A rule about the rows of an answer, in the order of (timestamp, sequence_number).

    Attributes:
        what: what is wrong with rows that break it.
        expected: what is expected instead.
        breaks: whether a row breaks it (Boolean, never null).
        most: up to this share of the rows may break it,
        few: and always so many (an expression).
        of: number of rows that it is about.
        by_itself: whether such a row is impossible by itself; otherwise it is wrong only together with others.
        gate: a cheaper expression that is above 0 wherever rows break the rule; None: `broken`.
    """

    what: str
    expected: str
    breaks: pl.Expr
    most: float = MOST_IMPOSSIBLE
    few: pl.Expr = pl.lit(1.0)
    of: pl.Expr = pl.len()
    by_itself: bool = True
    gate: pl.Expr | None = None

    def excess(self) -> pl.Expr:
        """The number of rows that break the rule if it is more than the rule allows, otherwise 0."""
        count = self.breaks.sum()
        return pl.when(count > pl.max_horizontal(self.few, self.most * self.of)).then(count).otherwise(0)

    def broken(self) -> pl.Expr:
        """The number of rows that the rule sets aside, or for which it rejects an answer; otherwise 0."""
        return self.breaks.sum() if self.by_itself else self.excess()


def tape_rules(
    kind: str, start: datetime, end: datetime, columns: Collection[str] = (), *, opening_book: bool = False
) -> list[TapeRule]:
    """The rules for the trades or quotes of a span; expressions apply to a frame with their columns.

    Args:
        kind: which of them.
        start: start of the span.
        end: its end, excluded.
        columns: those of the frame; rules about TAPE_TIMES are left out unless they are among them.
        opening_book: the first row may be the book before the start.
    """
    time, number = pl.col("timestamp"), pl.col("sequence_number")
    falls = (time < time.shift()) | ((time == time.shift()) & (number < number.shift()))
    # as integers: a literal with a time zone costs Polars an extra query
    inside = time.to_physical().is_between(_ns(start), _ns(end), closed="left").fill_null(value=False)
    if opening_book:
        in_force = time.to_physical().is_between(_ns(start - OPENING_LEAD), _ns(start), closed="left")
        inside |= (pl.int_range(pl.len()) == 0) & in_force.fill_null(value=False)
    twice, *others = row_rules(kind, times_among(columns))
    return [
        TapeRule("rows out of order", "sorted by (timestamp, sequence_number)", falls.sum()),
        TapeRule(twice.what, twice.expected, pl.struct(UNIQUE_KEYS[kind]).filter(_is_tied(kind)).is_duplicated().sum()),
        TapeRule("rows outside its span", f"[{start:%Y-%m-%d %H:%M:%S}, {end:%Y-%m-%d %H:%M:%S}) UTC", (~inside).sum()),
        *(TapeRule(rule.what, rule.expected, rule.broken()) for rule in others),
    ]


def times_among(columns: Collection[str]) -> tuple[str, ...]:
    """Those of TAPE_TIMES that are among `columns`."""
    return tuple(name for name in TAPE_TIMES if name in columns)


@cache  # building the expressions takes as long as applying them to a short window
def row_rules(kind: str, times: tuple[str, ...] = ()) -> tuple[RowRule, ...]:
    """The rules about the rows of trades or quotes, the first of them about rows of one identity.

    Args:
        kind: which of them.
        times: those of TAPE_TIMES that the rows have.
    """
    keys = UNIQUE_KEYS[kind]
    time, number = pl.col("timestamp"), pl.col("sequence_number")
    same_key = ((time == time.shift()) & (number == number.shift())).fill_null(value=False)
    twice = _is_tied(kind) & pl.struct(keys).is_duplicated()
    rules = [
        # one row of an identity is right, but nothing says which: none is kept
        RowRule("rows more than once", f"no ({', '.join(keys)}) twice", twice, few=pl.lit(2.0), gate=same_key.sum())
    ]
    for name in (*TAPE_PRICES[kind], *TAPE_SIZES[kind]):
        infinite = (~pl.col(name).is_finite()).fill_null(value=False)
        rules.append(RowRule(f"{name} is not a finite number", "no NaN, no infinity", infinite))
    below = (*TAPE_SIZES[kind], *(TAPE_PRICES[kind] if kind == "quotes" else ()))
    rules += [RowRule(f"{name} is below 0", "0 or more", (pl.col(name) < 0).fill_null(value=False)) for name in below]
    rules += [
        RowRule(f"{name} is above {most:,.0f}", f"at most {most:,.0f} {unit}", _is_above(name, most))
        for names, most, unit in (
            (TAPE_PRICES[kind], MOST_PRICE_USD, "dollars"),
            (TAPE_SIZES[kind], MOST_SHARES, "shares"),
        )
        for name in names
    ]
    if kind == "trades":
        rules.append(RowRule("price is not above 0", "more than 0", ~_is_positive("price")))
    else:
        sideless = pl.col("bid_price").is_null() & pl.col("ask_price").is_null()
        rules.append(RowRule("both sides are missing", "bid_price or ask_price, 0 for an absent side", sideless))
    least = f"{LEAST_PRICE_USD * 1e6:g} micro-dollars or more{', or 0 for an absent side' * (kind == 'quotes')}"
    rules += [RowRule(f"{name} is below half a micro-dollar", least, _is_tiny(name)) for name in TAPE_PRICES[kind]]
    rules += [
        RowRule(
            f"{name} is far from timestamp",
            f"from {LATEST_REPORT.days} days before timestamp to {CLOCKS_DIFFER.days} day after",
            _is_far(name),
        )
        for name in times
    ]
    return (*rules, *_number_rules(), *(_book_rules() if kind == "quotes" else ()))


def _number_rules() -> list[RowRule]:
    """Numbers are unique within a symbol's day and rise with the time; rows without one have no place in that order."""
    time, number = pl.col("timestamp"), pl.col("sequence_number")
    has_number = _is_positive("sequence_number")
    is_one = (number.filter(has_number).min() == number.filter(has_number).max()) & (
        time.filter(has_number).min() < time.filter(has_number).max()
    )
    # neither rule can be broken where every row has a number above that of the row before
    stalls = (number <= number.shift()).sum() + number.null_count()
    stands = has_number & has_number.shift() & (time > time.shift()) & (number <= number.shift())
    return [
        RowRule(
            "all rows have one sequence_number",
            "a number of its own for each row",
            has_number & is_one.fill_null(value=False),
            most=0,
            few=pl.lit(0.0),
            by_itself=False,
            gate=stalls,
        ),
        RowRule(
            "sequence_number contradicts the order of time",
            f"numbers that rise with the time in {1 - MOST_UNORDERED:.0%} of the rows",
            stands.fill_null(value=False),
            most=MOST_UNORDERED,
            few=_few_of(pl.len()),
            by_itself=False,
            gate=stalls,
        ),
    ]


def _book_rules() -> list[RowRule]:
    bid, ask = _is_positive("bid_price"), _is_positive("ask_price")
    return [
        RowRule(
            "the book is crossed",
            f"ask_price >= bid_price in {1 - MOST_CROSSED:.0%} of the rows with both",
            bid & ask & (pl.col("ask_price") < pl.col("bid_price")),
            most=MOST_CROSSED,
            few=_few_of((bid & ask).sum()),
            of=(bid & ask).sum(),
            by_itself=False,
        ),
        RowRule(
            "the book is empty",
            f"a bid or an ask in {1 - MOST_EMPTY:.0%} of the rows",
            ~(bid | ask),
            most=MOST_EMPTY,
            few=pl.lit(float(FEW_EMPTY)),
            by_itself=False,
        ),
    ]


def _few_of(rows: pl.Expr) -> pl.Expr:
    return pl.min_horizontal(pl.lit(float(FEW_TOGETHER)), rows / 2)


def _is_tied(kind: str) -> pl.Expr:
    """Whether a row has the time and number of a neighbour: only then its key can be repeated.

    Rows without identity are never repeats.
    """
    time, number = pl.col("timestamp"), pl.col("sequence_number")
    tied = ((time == time.shift()) & (number == number.shift())).fill_null(value=False)
    return (tied | tied.shift(-1, fill_value=False)) & is_identified(UNIQUE_KEYS[kind])


def _is_positive(name: str) -> pl.Expr:
    return (pl.col(name) > 0).fill_null(value=False)


def _is_tiny(name: str) -> pl.Expr:
    return ((pl.col(name) > 0) & (pl.col(name) < LEAST_PRICE_USD)).fill_null(value=False)


def _is_far(name: str) -> pl.Expr:
    # as integers: durations cost more; both are in nanoseconds
    lag = pl.col("timestamp").to_physical() - pl.col(name).to_physical()
    return (~lag.is_between(-_ns_of(CLOCKS_DIFFER), _ns_of(LATEST_REPORT))).fill_null(value=False)


def _is_above(name: str, most: float) -> pl.Expr:
    return (pl.col(name).is_finite() & (pl.col(name) > most)).fill_null(value=False)


def _ns(instant: datetime) -> int:
    return _ns_of(instant - _EPOCH)


def _ns_of(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1) * 1_000
