"""Symbols that the paths of users' files say: by a folder or file `symbol=X`, else by the file's name."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from smallcaps_assets.domain.symbols import canonical_name, says_none
from smallcaps_assets.errors import InputError

SUFFIXES: Final = (".csv.gz", ".csv", ".parquet")
# keys of partitions that hold symbols, such as symbol, ticker or stock_symbol
_KEY: Final = re.compile("(.*[_-])?(symbol|ticker)|sym", re.IGNORECASE)
# how DuckDB, Spark and pyarrow write a partition whose key is null
_NO_VALUE: Final = "__HIVE_DEFAULT_PARTITION__"
# a file name that is a symbol, such as BRK.B.parquet or KIMpL.parquet, but not bars.parquet or Jan.parquet
_SYMBOL_AS_NAME: Final = r"([A-Z]{1,10}|[A-Z]{1,8}p[A-Z]|[A-Z]{2,9}[prw])([.+-][A-Z]{1,4})?"
# Words for data, exchanges, vendors and months. Some are tickers, such as ALL or NOV: no file name says which is meant.
_DATA: Final = """
    ADJ ADJUSTED AGG AGGREGATE AGGREGATES AGGS ALL ARCHIVE BACKUP BAR BARS BATCH BOOK CACHE CANDLE CANDLES CHUNK
    CLEAN COMBINED CSV DAILY DATA DATASET DATE DAY DAYS DUMP EDT EQUITIES EQUITY EST ETF ETFS EVENT EVENTS EXPORT
    EXTENDED FEED FILE FINAL FULL HIST HISTORICAL HISTORY HOLDOUT HOUR HOURLY HOURS INDEX INPUT INTRADAY LATEST LIST
    MARKET MASTER MERGED MIN MINS MINUTE MINUTES MISC MONTH MONTHLY NBBO NEW OHLC OHLCV OLD OTHER OUTPUT PARQUET
    PART POSTMARKET PREMARKET PRICE PRICES QUOTE QUOTES RAW RECORDS REGULAR RESULT RESULTS ROWS RTH SAMPLE SECOND
    SECONDS SECURITIES SERIES SHARD SHARDS SHARES SNAPSHOT SOURCE SPLITS STOCK STOCKS STORE SYMBOL SYMBOLS TABLE
    TAPE TEMP TEST TICK TICKER TICKERS TICKS TMP TOTAL TRADE TRADES TRAIN UNADJ UNADJUSTED UNIVERSE UTC VALIDATION
    VALUES VOLUME VWAP WEEK WEEKLY YEAR YEARLY
"""
_MARKETS: Final = """
    ALPACA AMEX ARCA ARCX BATS BATY BX BYX BZX CBOE CBSX CHX CTA DATABENTO EDGA EDGX EODHD EPRL FINNHUB FINRA
    FIRSTRATE GLOBAL IBKR IEX IEXCLOUD IEXG INDICES KIBOT LTSE MASSIVE MEMX MIAX MICROCAP MICROCAPS MIDCAP MIDCAPS
    NASDAQ NASDAQCM NASDAQGM NASDAQGS NMS NSX NYSE NYSEARCA NYSEMKT OOTC OPRA OTC OTCBB OTCM OTCQB OTCQX PHLX PINK
    PINX POLYGON PSX QUANDL RUSSELL SIP SMALLCAP SMALLCAPS STOOQ TAQ TIINGO TRADIER TRF US USA UTP WRDS XASE XBOS
    XCBO XCHI XCIS XNAS XNCM XNGS XNMS XNYS XOTC XPHL XPSX YAHOO
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
    nameless = next((part for part, value in found.items() if value == _NO_VALUE or says_none(value)), None)
    if nameless is not None:
        raise InputError(
            f"its folder {nameless} holds rows without a symbol. Leave it out, or write the rows with their symbol."
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
