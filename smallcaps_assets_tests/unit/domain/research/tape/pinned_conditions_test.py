"""The copy of the vendor's trade conditions in the package."""

import hashlib
import json
from datetime import date

import polars as pl

from smallcaps_assets.domain.research.tape.conditions import CONDITION_RULES
from smallcaps_assets.domain.research.tape.pinned_conditions import (
    CONDITION_TABLE,
    PINNED_ON,
    PINNED_SHA256,
    date_conditions,
    pinned_conditions,
)

PINNED = pinned_conditions()
RULES = [name for name in CONDITION_RULES if name != "id"]
# from another public copy of the vendor's table, of 2024; without 12 and 41, which it treats apart, and 17, see below
HIGH_LOW = {1, 3, 4, 5, 6, 8, 9, 10, 11, 14, 17, 18, 19, 22, 23, 24, 25, 27, 28, 30, 31, 32, 33, 34, 35, 36, 38, 55}
OPEN_CLOSE = {1, 3, 4, 6, 8, 9, 11, 14, 18, 19, 23, 24, 25, 27, 28, 30, 31, 34, 35, 36, 38, 55}
NO_VOLUME = {15, 16, 38}


def test_the_pinned_copy_has_its_hash_and_its_day() -> None:
    assert PINNED.schema == CONDITION_TABLE
    assert PINNED["id"].is_sorted()
    assert PINNED["id"].n_unique() == PINNED.height == 42
    rows = PINNED.select("id", "name", *RULES).to_dicts()
    assert PINNED["sha256"].unique().to_list() == [PINNED_SHA256]
    assert hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest() == PINNED_SHA256
    assert PINNED["source_date"].unique().to_list() == [PINNED_ON] == [date(2026, 9, 27)]


def test_the_pinned_rules_are_those_of_another_copy() -> None:
    rules = PINNED.filter(~pl.col("id").is_in([41, 60]))
    assert set(rules.filter("updates_high_low")["id"]) == HIGH_LOW
    # the trade at an opening did not update open and close in 2024
    assert set(rules.filter("updates_open_close")["id"]) == OPEN_CLOSE | {17}
    assert set(rules.filter(~pl.col("updates_volume"))["id"]) == NO_VOLUME
    assert PINNED.filter(id=41).select(RULES).row(0) == (True, True, True)
    assert PINNED.filter(id=60).select(RULES).row(0) == (None, None, None)


def test_another_day_does_not_change_the_hash_but_another_rule_does() -> None:
    assert date_conditions(PINNED, date(2026, 11, 1))["sha256"][0] == PINNED_SHA256
    changed = PINNED.with_columns(updates_volume=pl.col("updates_volume") & (pl.col("id") != 37))
    assert date_conditions(changed, PINNED_ON)["sha256"][0] != PINNED_SHA256
