"""The table of trade conditions: its columns, its hash, and the copy in the package (research specification, 0.5)."""

import hashlib
from datetime import date
from typing import Final

import polars as pl

from smallcaps_assets.domain.research.tape.conditions import CONDITION_RULES

# One row per condition id of trades, sorted by id. A rule that is null is true. `source_date`: the day on which the
# vendor served it; `sha256`: of the ids, names and rules of all rows (see `hash_conditions`).
CONDITION_TABLE: Final = pl.Schema(
    {
        "id": pl.Int64(),
        "name": pl.String(),
        **{rule: dtype for rule, dtype in CONDITION_RULES.items() if rule != "id"},
        "source_date": pl.Date(),
        "sha256": pl.String(),
    }
)
PINNED_ON: Final = date(2026, 9, 27)
PINNED_SHA256: Final = "acf9109f7adbd456ff127ee8e7ff73f525e6a4471f866dcc8af4fceb00c594fc"
PINNED_SOURCE: Final = (
    "GET /v3/reference/conditions?asset_class=stocks of 2026-09-27 as a public repository keeps it (sale conditions, "
    "update_rules.consolidated), compared with a public copy of the same table of 2024-09-14: equal but for id 17, "
    "which did not update open and close then. Ids 41 and 60 are of other types, and from two other public copies; how "
    "the vendor names 60 is not known. Other ids are unknown."
)

# id, rules (updates_high_low, updates_open_close, updates_volume; - is null), name
_PINNED: Final = """
1 TTT Acquisition
2 FFT Average Price Trade
3 TTT Automatic Execution
4 TTT Bunched Trade
5 TFT Bunched Sold Trade
6 TTT CAP Election
7 FFT Cash Sale
8 TTT Closing Prints
9 TTT Cross Trade
10 TFT Derivatively Priced
11 TTT Distribution
12 FFT Form T/Extended Hours
13 FFT Extended Hours (Sold Out Of Sequence)
14 TTT Intermarket Sweep
15 FFF Market Center Official Close
16 FFF Market Center Official Open
17 TTT Market Center Opening Trade
18 TTT Market Center Reopening Trade
19 TTT Market Center Closing Trade
20 FFT Next Day
21 FFT Price Variation Trade
22 TFT Prior Reference Price
23 TTT Rule 155 Trade (AMEX)
24 TTT Rule 127 (NYSE Only)
25 TTT Opening Prints
27 TTT Stopped Stock (Regular Trade)
28 TTT Re-Opening Prints
29 FFT Seller
30 TTT Sold Last
31 TTT Sold Last and Stopped Stock
32 TFT Sold (Out Of Sequence)
33 TFT Sold (Out of Sequence) and Stopped Stock
34 TTT Split Trade
35 TTT Stock Option
36 TTT Yellow Flag Regular Trade
37 FFT Odd Lot Trade
38 TTF Corrected Consolidated Close (per listing market)
41 TTT Trade Thru Exempt
52 FFT Contingent Trade
53 FFT Qualified Contingent Trade
55 TTT Opening Reopening Trade Detail
60 --- Short Sale Restriction Indicator
"""
_RULES: Final = {"T": True, "F": False, "-": None}


def pinned_conditions() -> pl.DataFrame:
    """The pinned copy (CONDITION_TABLE), which is used where the vendor's table was not fetched."""
    rows = [line.split(" ", 2) for line in _PINNED.strip().splitlines()]
    table = [(int(number), name, *(_RULES[rule] for rule in rules)) for number, rules, name in rows]
    schema = {name: CONDITION_TABLE[name] for name in CONDITION_TABLE.names()[:5]}
    return date_conditions(pl.DataFrame(table, schema=schema, orient="row"), PINNED_ON)


def date_conditions(conditions: pl.DataFrame, served_on: date) -> pl.DataFrame:
    """Ids, names and rules as the vendor served them on a day, sorted by id, with day and hash (CONDITION_TABLE)."""
    rows = conditions.sort("id")
    return rows.with_columns(source_date=pl.lit(served_on), sha256=pl.lit(hash_conditions(rows))).match_to_schema(
        CONDITION_TABLE
    )


def hash_conditions(conditions: pl.DataFrame) -> str:
    """SHA-256 of ids, names and rules, in the order of the ids."""
    rows = conditions.select(CONDITION_TABLE.names()[:5]).sort("id")
    return hashlib.sha256(rows.write_json().encode()).hexdigest()
