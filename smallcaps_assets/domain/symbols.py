"""Symbols: which can be followed, and how the vendor writes them."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

import polars as pl

from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.errors import InputError

# Letters of either case: the vendor writes preferred shares as `KIMpL`.
SYMBOL_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,23}$"
# How programs write that a text is missing. In capitals they may be tickers, as NAN is.
_NO_SYMBOL: Final = frozenset({"nan", "NaN", "NaT", "None", "none", "null", "Null", "<NA>"})
# symbols that a sentence lists
MOST_NAMED: Final = 10
# Patterns of the symbols with which exchanges test their systems, unless the configuration lists others.
KNOWN_TEST_SYMBOLS: Final = (
    "Z?ZZ[TC]",
    "?TEST",
    "?TEST[./-]?",
    "ZXYZ*",
    "ZTST",
    "ZBZX",
    "ZEXIT",
    "ZIEXT",
    "ZXIET",
    "CBO",
    "CBX",
    "IBO",
    "IGZ",
    "ZVV",
    "ZZK",
)


@dataclass(frozen=True)
class ExchangeTestSymbols:
    """The symbols with which exchanges test their systems: no events are made of them unless a user asks for them.

    Attributes:
        patterns: of their names; `?` stands for a character, `*` for any number of them.
        wanted: symbols that a user asks for by name.
    """

    patterns: Sequence[str] = ()
    wanted: Collection[str] = frozenset()

    def __contains__(self, symbol: str) -> bool:
        """Whether a symbol is one of them, and not wanted."""
        return symbol not in self.wanted and any(fnmatchcase(symbol, pattern) for pattern in self.patterns)

    def among(self, symbols: Iterable[str]) -> list[str]:
        """Those of `symbols` that are left out, sorted."""
        return sorted(symbol for symbol in set(symbols) if symbol in self)


def describe_test_symbols(symbols: Sequence[str], named_by: str = "universe.symbols or universe.file") -> str:
    """A sentence on test symbols that are left out unless `named_by` names them; there is at least one."""
    more = f" and {len(symbols) - MOST_NAMED:,} more" if len(symbols) > MOST_NAMED else ""
    what = count_noun(len(symbols), "test symbol")
    return (
        f"{what} of exchanges ({', '.join(symbols[:MOST_NAMED])}{more}): no events are made of them, unless "
        f"{named_by} names them (see universe.test_symbols)"
    )


def symbol_is_safe(symbol: pl.Expr) -> pl.Expr:
    """Whether a symbol can be followed, and so name a folder and a partition (Boolean, never null)."""
    return symbol.str.contains(SYMBOL_PATTERN).fill_null(False)


def canonical_symbol(symbol: pl.Expr) -> pl.Expr:
    """Symbols without any capital letter in capitals, since the vendor writes none like that; others unchanged.

    Null where the text says that there is none, see `says_none`.
    """
    small = symbol.str.contains("^[^A-Z]*[a-z][^A-Z]*$")
    known = pl.when(~symbol.is_in(list(_NO_SYMBOL))).then(symbol)
    return pl.when(small).then(known.str.to_uppercase()).otherwise(known)


def says_none(text: str) -> bool:
    """Whether a text stands for a missing symbol, as `nan` or `None` do where programs write missing values as text."""
    return text in _NO_SYMBOL


def canonical_name(symbol: str) -> str:
    """`canonical_symbol` of one symbol."""
    return symbol if re.search("[A-Z]", symbol) else symbol.upper()


def check_symbol(symbol: str) -> str:
    """Return `symbol` if it can be followed.

    Raises:
        InputError: path separators, `|`, another character than those of symbols, or more than 24 of them.
    """
    if not re.fullmatch(SYMBOL_PATTERN[1:-1], symbol):
        raise InputError(
            f"symbol {symbol!r} is not usable: 1 to 24 letters, digits, '.', '_', '+' or '-', beginning with a letter "
            "or digit. Correct it or leave it out."
        )
    return symbol
