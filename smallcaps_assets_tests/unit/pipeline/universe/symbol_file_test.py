"""Symbol files of users: accepted contents, and every reason for rejection."""

from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.domain.universe import LISTED, SOURCE_REJECTION
from smallcaps_assets.errors import InputError
from smallcaps_assets.pipeline.universe.symbol_file import SymbolFile, read_symbols


def csv(folder: Path, content: str | bytes) -> SymbolFile:
    path = folder / "mine.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_symbols(path)


def parquet(folder: Path, **columns: Any) -> SymbolFile:
    path = folder / "mine.parquet"
    pl.DataFrame(columns).write_parquet(path)
    return read_symbols(path)


def symbols(file: SymbolFile) -> list[str]:
    return file.rows["symbol"].to_list()


WHOLE = (
    "symbol,name,ticker_type,primary_exchange,market_cap_usd,float_shares,short_interest_shares,days_to_cover,active\n"
    'AEMD,"Aethlon, Inc.",CS,XNAS,4.5e6,2000000,12345,1.5,true\n'
    "NA,,,,,,,,\n"
    "OFF,,,,,,,,No\n"
)


def test_every_known_column_is_read(tmp_path: Path) -> None:
    file = csv(tmp_path, WHOLE)
    assert file.rows.schema == pl.Schema({**LISTED, SOURCE_REJECTION: pl.String()})
    aemd, na, off = file.rows.to_dicts()
    values = {name: value for name, value in aemd.items() if value is not None}
    assert values == {
        "symbol": "AEMD",
        "name": "Aethlon, Inc.",
        "ticker_type": "CS",
        "primary_exchange": "XNAS",
        "market_cap_usd": 4.5e6,
        "float_shares": 2e6,
        "short_interest_shares": 12345.0,
        "days_to_cover": 1.5,
    }
    assert {name for name, value in na.items() if value is not None} == {"symbol"}, "NA is a symbol"
    assert off[SOURCE_REJECTION] == "inactive in mine.csv"
    assert file.notes == ()


@pytest.mark.parametrize(
    "content",
    [
        "symbol\nAEMD\nATRA\n",
        "symbol\nAEMD\nATRA",
        "\ufeffsymbol\nAEMD\nATRA\n",
        "symbol\r\nAEMD\r\nATRA\r\n",
        "\n symbol \n\n  AEMD\t\n\n\nATRA \n\n",
        "Symbol,\nAEMD,\nATRA,\n",
        "TICKER\nAEMD\nATRA\n",
        '"symbol"\n"AEMD"\n"ATRA"\n',
        "symbol,note\n,\nAEMD,x\n , \nATRA,\n",
    ],
)
def test_meaningless_values_are_ignored(tmp_path: Path, content: str) -> None:
    assert symbols(csv(tmp_path, content)) == ["AEMD", "ATRA"]


def test_symbols_keep_their_case_unless_all_are_lower_case(tmp_path: Path) -> None:
    file = csv(tmp_path, "symbol\naemd\nKIMpL\nbrk.b\n123\n")
    assert symbols(file) == ["AEMD", "KIMpL", "BRK.B", "123"]
    assert file.notes == ("2 lower-case symbols read as capitals: aemd, brk.b",)


def test_ignored_columns_and_rows_are_reported(tmp_path: Path) -> None:
    file = csv(tmp_path, "symbol,ticker_typ\nAEMD,CS\nATRA,CS\nAEMD,CS\naemd,CS\n")
    assert symbols(file) == ["AEMD", "ATRA"]
    assert file.rows["ticker_type"].null_count() == 2
    unknown, small, repeated = file.notes
    assert unknown.startswith("ignored columns: ticker_typ; known columns are symbol, name, ticker_type")
    assert small == "1 lower-case symbol read as capitals: aemd"
    assert repeated == "in more than one row: 1 symbol, AEMD"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("\n \n,\n", "is empty"),
        ("symbol,name\n", "has no row below its header"),
        ("AEMD\nATRA\n", "has no column symbol (or ticker), but 'aemd'"),
        (
            "symbol;name\nAEMD;x\n",
            "has no column symbol (or ticker), but 'symbol;name'. Columns are separated by commas",
        ),
        ("symbol,name\nAEMD\n", "line 2 has 1 value, the header 2"),
        ("symbol\n\nAEMD,x\n", "line 3 has 2 values, the header 1"),
        ("symbol,symbol\nA,B\n", "has the column 'symbol' more than once"),
        ("symbol, Symbol\nA,B\n", "has the column 'symbol' more than once"),
        ("symbol,name\nA,x\n,Aethlon\n", "row 3 has values but no symbol (1 such row)"),
        ("symbol,name\nA,x\nB,\nA,y\n", "rows 2, 4 contradict each other on A"),
        ("symbol,market_cap_usd\nA,5\nB,5 M\n", "row 3, column market_cap_usd: '5 M' is not a number"),
        ('symbol,market_cap_usd\nA,"1,000"\n', "row 2, column market_cap_usd: '1,000' is not a number"),
        ("symbol,float_shares\nA,-1\n", "row 2, column float_shares: '-1' is not a number of 0 or more"),
        ("symbol,float_shares\nA,nan\n", "row 2, column float_shares: 'nan' is not a number"),
        ("symbol,days_to_cover\nA,inf\n", "row 2, column days_to_cover: 'inf' is not a number"),
        ("symbol,active\nA,maybe\n", "row 2, column active: 'maybe' is not one of true, false"),
        (b"symbol\nAEMD\xff\n", "is not UTF-8 text"),
        ('symbol\n"AEMD\n', "is not valid csv"),
    ],
)
def test_an_unusable_csv_is_rejected_by_name(tmp_path: Path, content: str | bytes, words: str) -> None:
    with pytest.raises(InputError) as caught:
        csv(tmp_path, content)
    assert str(caught.value).startswith(str(tmp_path / "mine.csv"))
    assert words in str(caught.value)


def test_a_parquet_file_is_read_like_a_csv(tmp_path: Path) -> None:
    file = parquet(
        tmp_path,
        Ticker=["AEMD", " ATRA ", None, "OFF"],
        market_cap_usd=[4_500_000, None, None, 1],
        days_to_cover=["1.5", "", None, None],
        ticker_type=pl.Series(["CS", "CS", None, None], dtype=pl.Categorical),
        active=[True, None, None, False],
    )
    assert file.rows.select("symbol", "market_cap_usd", "days_to_cover", "ticker_type", SOURCE_REJECTION).rows() == [
        ("AEMD", 4.5e6, 1.5, "CS", None),
        ("ATRA", None, None, "CS", None),
        ("OFF", 1.0, None, None, "inactive in mine.parquet"),
    ]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"symbol": [1, 2]}, "column symbol is Int64, not String"),
        ({"symbol": ["A"], "market_cap_usd": [datetime(2025, 1, 1)]}, "column market_cap_usd is Datetime"),  # noqa: DTZ001
        ({"symbol": ["A"], "active": [1]}, "column active is Int64, not Boolean"),
        (
            {"symbol": ["A", "B"], "float_shares": [1.0, float("nan")]},
            "row 2, column float_shares: nan is not a number",
        ),
        ({"name": ["A"]}, "has no column symbol"),
        ({"symbol": []}, "has no row"),
        ({"symbol": [None, ""]}, "has no row"),
    ],
)
def test_an_unusable_parquet_file_is_rejected_by_name(tmp_path: Path, columns: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=r"mine\.parquet: ") as caught:
        parquet(tmp_path, **columns)
    assert words in str(caught.value)


def test_other_file_types_are_rejected(tmp_path: Path) -> None:
    for name, content, words in (
        ("mine.xlsx", b"PK", "symbols are read from a .csv or a .parquet file"),
        ("mine.parquet", b"symbol\nAEMD\n", "is not a parquet file"),
        ("mine.parquet", b"", "is not a parquet file"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=words.replace(".", r"\.")):
            read_symbols(tmp_path / name)


def test_the_hash_is_of_the_bytes(tmp_path: Path) -> None:
    # printf 'symbol\nAEMD\n' | sha256sum
    assert csv(tmp_path, "symbol\nAEMD\n").sha256 == "0f5596e3e0a10a5c2da588f791325c026ee5241474531ce23020de2743564b45"
    assert csv(tmp_path, "symbol\nAEMD").sha256 != "0f5596e3e0a10a5c2da588f791325c026ee5241474531ce23020de2743564b45"
