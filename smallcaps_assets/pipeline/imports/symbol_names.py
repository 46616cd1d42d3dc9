"""Symbols that the paths of users' files say: by a folder or file `symbol=X`, else by the file's name."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from smallcaps_assets.domain.symbols import canonical_name
from smallcaps_assets.errors import InputError

SUFFIXES: Final = (".csv.gz", ".csv", ".parquet")
# keys of partitions that hold symbols, such as symbol, ticker or stock_symbol
_KEY: Final = re.compile("(.*[_-])?(symbol|ticker)|sym", re.IGNORECASE)
# how DuckDB, Spark and pyarrow write a partition whose key is null
_NO_VALUE: Final = "__HIVE_DEFAULT_PARTITION__"
# a file name that is a symbol, such as BRK.B.parquet or KIMpL.parquet, but not bars.parquet or Jan.parquet
_SYMBOL_AS_NAME: Final = r"([A-Z]{1,10}|[A-Z]{1,8}p[A-Z]|[A-Z]{2,9}[prw])([.+-][A-Z]{1,4})?"
# Words for data, exchanges and months. Some are tickers, such as ALL, IEX or NOV: no file name says which is meant.
_DATA: Final = """
    ADJ ADJUSTED AGG AGGREGATE AGGREGATES AGGS ALL BAR BARS BOOK CANDLE CANDLES CLEAN COMBINED CSV DAILY DATA
    DATASET DATE DAY DAYS DUMP EQUITIES EQUITY ETF ETFS EVENT EVENTS EXPORT FEED FILE FINAL FULL HIST HISTORICAL
    HISTORY HOUR HOURLY HOURS INDEX INPUT INTRADAY LATEST LIST MARKET MASTER MERGED MIN MINS MINUTE MINUTES MONTH
    MONTHLY NBBO NEW OHLC OHLCV OLD OUTPUT PARQUET PART PRICE PRICES QUOTE QUOTES RAW RESULT RESULTS SAMPLE SECOND
    SECONDS SHARES STOCK STOCKS SYMBOL SYMBOLS TABLE TAPE TEMP TEST TICK TICKER TICKERS TICKS TMP TRADE TRADES UNADJ
    UNADJUSTED UNIVERSE VOLUME WEEK WEEKLY YEAR YEARLY
"""
_MARKETS: Final = """
    AMEX ARCA ARCX BATS BX BYX BZX CBOE CBSX CHX CTA EDGA EDGX FINRA GLOBAL IEX IEXG LTSE MASSIVE MEMX MIAX NASDAQ
    NMS NSX NYSE NYSEARCA OPRA OTC OTCBB OTCM OTCQB OTCQX PHLX POLYGON PSX SIP SMALLCAP SMALLCAPS TRF US USA UTP
    XASE XBOS XCHI XCIS XNAS XNGS XNMS XNYS XPHL
"""
_MONTHS: Final = """
    JAN FEB MAR APR MAY JUN JUL AUG SEP SEPT OCT NOV DEC JANUARY FEBRUARY MARCH APRIL JUNE JULY AUGUST SEPTEMBER
    OCTOBER NOVEMBER DECEMBER
"""
_WORDS: Final = frozenset((_DATA + _MARKETS + _MONTHS).split())


def symbol_of_path(file: Path) -> str | None:
    """The symbol of a folder or file named `symbol=X`, `ticker=X` or `sym=X`; None if there is none.

    Percent-encoded names, as DuckDB and pyarrow write them, are decoded.

    Raises:
        InputError: two of them say different symbols, or one says that the symbol is null.
    """
    found: dict[str, str] = {}
    for part in file.parts:
        key, equals, value = part.partition("=")
        if equals and _KEY.fullmatch(key):
            found[part] = unquote(without_suffix(value, suffix_of(file)))
    if _NO_VALUE in found.values():
        raise InputError(
            f"its folder {_NO_VALUE} holds rows without a symbol. Leave it out, or write the rows with their symbol."
        )
    if len(set(map(canonical_name, found.values()))) > 1:
        raise InputError(f"its path says different symbols, {' and '.join(found)}. Correct the names of the folders.")
    return next(reversed(found.values()), None)


def symbol_of_name(file: Path, columns: Sequence[str], like: Sequence[str] = ()) -> str:
    """The symbol that a file's name is, where neither its path nor a column says it.

    Args:
        file: the file.
        columns: its columns.
        like: those of them that may hold symbols.

    Raises:
        InputError: its name is no symbol, or may mean something else; says how to name the symbol.
    """
    suffix = suffix_of(file)
    stem = without_suffix(file.name, suffix)
    by_path = f"put it into a folder `symbol=X`, or name it `symbol=X{suffix}`"
    if like:
        raise InputError(
            f"column {like[0]} may hold the symbols. Say so: --columns symbol={like[0]}; if it does not, {by_path}."
        )
    if re.fullmatch(_SYMBOL_AS_NAME, stem) is None:
        raise InputError(
            f"no column symbol, and its name is none: {stem!r} is not in capitals as tickers are. Say which column it "
            f"is: --columns symbol=NAME; if there is none, {by_path}."
        )
    if {stem, re.split("[.+-]", stem, maxsplit=1)[-1]} & _WORDS:
        raise InputError(
            f"no folder and no column says the symbol, and its name {stem} may be a ticker or a word for data, a "
            f"market or a month. If {stem} is the symbol, put it into a folder `symbol={stem}`, or name it "
            f"`symbol={stem}{suffix}`. If a column holds symbols, say --columns symbol=NAME. Columns: "
            f"{', '.join(columns)}."
        )
    return stem


def suffix_of(file: Path) -> str:
    """The one of SUFFIXES that a file name ends with, else its last suffix."""
    return next((suffix for suffix in SUFFIXES if file.name.lower().endswith(suffix)), file.suffix)


def without_suffix(name: str, suffix: str) -> str:
    """`name` without `suffix`, in capitals or not."""
    return name[: len(name) - len(suffix)] if name.lower().endswith(suffix.lower()) else name
