"""Where the symbol of bars is said: by a folder or a column before the file's name, which is asked about if unclear."""

from pathlib import Path
from urllib.parse import quote

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.imports.bars import BarForm
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.pipeline.imports.symbol_names import symbol_of_name, symbol_of_path
from smallcaps_assets_tests.unit.commands.imports.bar_imports import (
    BOTH,
    ONE,
    OTHER,
    importing,
    of_symbol,
    put,
    quarantined,
    stored,
)


@pytest.mark.parametrize(
    "folder", ["symbol=AEMD", "ticker=AEMD", "sym=AEMD", "Ticker=aemd", "SYMBOL=AEMD/2025", "stock_symbol=AEMD"]
)
@pytest.mark.parametrize("name", ["OHLCV.parquet", "NYSE.csv", "CRVO.parquet", "data_0.parquet"])
def test_a_folder_wins_over_the_name(folder: str, name: str, lake: Lake, brought: Path) -> None:
    put(brought / folder / name, ONE.drop("symbol"))
    assert not importing(lake, brought).problems
    assert_frame_equal(stored(lake), ONE)


def test_folders_of_other_keys_say_no_symbol() -> None:
    assert symbol_of_path(Path("symbol_type=CS", "exchange=NYSE", "date=2025-11-03", "ABCD.parquet")) is None


@pytest.mark.parametrize("name", ["bars.parquet", "bars.csv", "symbol=AEMD/bars.parquet"])
def test_columns_that_say_different_symbols_are_asked_about(name: str, lake: Lake, brought: Path) -> None:
    both = ONE.with_columns(ticker=pl.lit("aemd"))
    put(brought / "same" / name, both)
    assert not importing(lake, brought / "same").problems
    wrong = both.with_columns(ticker=pl.when(pl.int_range(pl.len()) == 3).then(pl.lit("AEMDW")).otherwise("ticker"))
    file = put(brought / "other" / name, wrong)
    (message,) = importing(lake, brought / "other").problems
    assert f"columns symbol and ticker say different symbols, such as AEMD and AEMDW in {file}. Say which" in message
    assert "--columns symbol=symbol, or --columns symbol=ticker." in message
    assert not importing(lake, brought / "other", BarForm(names={"symbol": "symbol"})).problems
    assert_frame_equal(stored(lake), ONE)


def test_a_column_that_is_no_text_says_no_symbol(lake: Lake, brought: Path) -> None:
    put(brought / "bars.parquet", ONE.with_columns(sym=pl.int_range(pl.len())))
    assert not importing(lake, brought).problems
    assert_frame_equal(stored(lake), ONE)


def test_a_column_wins_over_the_name(lake: Lake, brought: Path) -> None:
    put(brought / "NASDAQ.parquet", ONE)
    put(brought / "CRVO.parquet", OTHER.rename({"symbol": "ticker"}))
    assert not importing(lake, brought).problems
    assert_frame_equal(stored(lake), BOTH)


@pytest.mark.parametrize(
    "word", ["OHLCV", "NYSE", "US", "BARS", "ALL", "MINUTE", "IEX", "OTC", "JAN", "NOV", "DECEMBER"]
)
def test_a_name_that_may_be_a_word_is_asked_about(word: str, lake: Lake, brought: Path) -> None:
    file = put(brought / "AEMD" / f"{word}.parquet", ONE.drop("symbol"))
    put(brought / "BRK.B.parquet", OTHER.drop("symbol"))
    (message,) = importing(lake, brought).problems
    assert f"{file}: no folder and no column says the symbol, and its name {word} may be a ticker or a word" in message
    assert f"put it into a folder `symbol={word}`, or name it `symbol={word}.parquet`" in message
    assert "--columns symbol=NAME. Columns: timestamp, open," in message
    assert_frame_equal(stored(lake), OTHER)
    # the remedy
    file.rename(file.with_name(f"symbol={word}.parquet"))
    assert not importing(lake, brought).problems
    assert BarsStore(lake).symbols() == sorted([word, "BRK.B"])


@pytest.mark.parametrize("name", ["AAPL.US", "ABCD.NYSE"])
def test_a_market_after_a_symbol_is_asked_about(name: str) -> None:
    with pytest.raises(InputError, match=f"its name {name} may be a ticker or a word"):
        symbol_of_name(Path(f"{name}.parquet"), [])


@pytest.mark.parametrize("name", ["ALLpH", "ALL.B", "NOVA", "USAU", "F", "BRK.B", "ABC.WS"])
def test_tickers_that_begin_like_words_are_tickers(name: str) -> None:
    assert symbol_of_name(Path("AEMD") / f"{name}.csv.gz", []) == name


@pytest.mark.parametrize("symbol", ["BRK.B", "BF.A", "KIMpL", "ABC+", "XYZ-W"])
def test_percent_encoded_folders_are_decoded(symbol: str, lake: Lake, brought: Path) -> None:
    """As pyarrow and DuckDB write them; they encode different characters."""
    encoded = "".join(f"%{ord(letter):02X}" if not letter.isalnum() else letter for letter in symbol)
    assert encoded != symbol or symbol.isalnum()
    put(brought / f"ticker={encoded}" / "part-0.parquet", of_symbol(symbol).drop("symbol"))
    assert not importing(lake, brought).problems
    assert BarsStore(lake).symbols() == [symbol]
    assert symbol_of_path(Path(f"symbol={quote(symbol)}.parquet")) == symbol


def test_a_decoded_symbol_that_is_unusable_is_named(lake: Lake, brought: Path) -> None:
    file = put(brought / "ticker=A%20B" / "0.parquet", ONE.drop("symbol"))
    (message,) = importing(lake, brought).problems
    assert f"{file}: symbol 'A B' is not usable" in message


def test_folders_that_disagree_are_named(lake: Lake, brought: Path) -> None:
    file = put(brought / "symbol=AEMD" / "ticker=CRVO" / "0.parquet", ONE.drop("symbol"))
    put(brought / "symbol=BRK.B" / "sym=brk.b" / "0.parquet", OTHER.drop("symbol"))
    (message,) = importing(lake, brought).problems
    assert f"{file}: its path says different symbols, symbol=AEMD and ticker=CRVO. Correct the names" in message
    assert_frame_equal(stored(lake), OTHER)


def test_a_partition_without_a_symbol_is_named(lake: Lake, brought: Path) -> None:
    file = put(brought / "symbol=__HIVE_DEFAULT_PARTITION__" / "0.parquet", ONE.drop("symbol"))
    (message,) = importing(lake, brought).problems
    assert f"{file}: its folder symbol=__HIVE_DEFAULT_PARTITION__ holds rows without a symbol" in message


def test_the_file_whose_column_contradicts_its_folder_is_named(lake: Lake, brought: Path) -> None:
    put(brought / "ticker=AEMD" / "1.parquet", ONE[:2])
    wrong = put(brought / "ticker=AEMD" / "2.parquet", OTHER[2:])
    (message,) = importing(lake, brought).problems
    assert message.startswith(f"{wrong}: the path says symbol AEMD, the column symbol BRK.B. The 4 rows")
    assert_frame_equal(stored(lake), ONE[:2])


@pytest.mark.parametrize("none", ["nan", "NaN", "None", "none", "null", "<NA>"])
def test_text_for_a_missing_symbol_is_no_symbol(none: str, lake: Lake, brought: Path) -> None:
    """As pandas writes missing values as text; in capitals NAN is a listed company."""
    first = pl.int_range(pl.len()) == 0
    put(brought / "bars.csv", BOTH.with_columns(symbol=pl.when(first).then(pl.lit(none)).otherwise("symbol")))
    put(brought / "NAN" / "bars.csv", of_symbol("NAN"))
    importing(lake, brought)
    assert BarsStore(lake).symbols() == ["AEMD", "BRK.B", "NAN"]
    assert quarantined(lake) == {"unnamed.parquet": {"symbol is not usable as a name": 1}}


def test_a_folder_without_a_symbol_is_named(lake: Lake, brought: Path) -> None:
    file = put(brought / "ticker=None" / "0.parquet", ONE.drop("symbol"))
    (message,) = importing(lake, brought).problems
    assert f"{file}: its folder ticker=None holds rows without a symbol" in message


@pytest.mark.parametrize("word", ["UTC", "RTH", "PREMARKET", "BACKUP", "XNCM", "PINK", "ALPACA", "DATABENTO"])
def test_words_for_clocks_sessions_and_vendors_are_asked_about(word: str) -> None:
    with pytest.raises(InputError, match=f"its name {word} may be a ticker or a word"):
        symbol_of_name(Path(f"{word}.parquet"), [])


@pytest.mark.parametrize(
    "name", ["instrument", "sym_root", "Stock", "security id", "asset", "RIC", "ts_code", "T", "S"]
)
def test_a_column_that_may_hold_symbols_is_asked_about(name: str, lake: Lake, brought: Path) -> None:
    """Two symbols of equal minutes and prices would become one."""
    file = put(brought / "GROUP.csv", BOTH.rename({"symbol": name}))
    (message,) = importing(lake, brought).problems
    assert message.startswith(f"{file}: column {name} may hold the symbols. Say so: --columns symbol={name};")
    assert not importing(lake, brought, BarForm(names={"symbol": name})).problems
    assert_frame_equal(stored(lake), BOTH)


@pytest.mark.parametrize("name", ["t", "s", "price", "Description", "encoded", "stockpile"])
def test_a_column_of_another_name_holds_no_symbols(name: str, lake: Lake, brought: Path) -> None:
    put(brought / "AEMD.csv", ONE.drop("symbol").with_columns(pl.lit("x").alias(name)))
    assert not importing(lake, brought).problems
    assert_frame_equal(stored(lake), ONE)
