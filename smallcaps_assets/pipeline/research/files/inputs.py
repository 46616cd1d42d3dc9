"""What `smallcaps research` reads, checked before anything is computed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from smallcaps_assets.domain.research.tape.conditions import CONDITION_RULES
from smallcaps_assets.domain.research.tape.pinned_conditions import pinned_conditions
from smallcaps_assets.domain.tables import BARS, DIRECTIONS, EVENTS
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.errors import InputError
from smallcaps_assets.pipeline.research.files.days import DayIndex, index_days
from smallcaps_assets.pipeline.research.files.input_tables import (
    TAPE_QUOTES,
    TAPE_TRADES,
    collect,
    open_table,
)

_KEYS: Final = ("event_id", "symbol", "event_type", "timestamp", "direction")
# of tape
_NEVER_NULL: Final = ("symbol", "timestamp")
_WINDOW_MIN: Final = {"window_before_min": 3, "window_after_min": 7}
# minutes of a day
_MOST_WINDOW_MIN: Final = 1440


@dataclass(frozen=True)
class ResearchInputs:
    """The tables that research tables are computed from.

    Attributes:
        events: EVENTS (null in the columns that the file lacks), window_before_min and window_after_min, by event_id.
        scored: whether the events have scores.
        bars: BARS, by day.
        trades: TAPE_TRADES, by day; None: no file.
        quotes: TAPE_QUOTES, by day; None: no file.
        conditions: CONDITION_RULES.
    """

    events: pl.DataFrame
    scored: bool
    bars: DayIndex
    trades: DayIndex | None
    quotes: DayIndex | None
    conditions: pl.DataFrame


def open_inputs(
    events: Path,
    bars: Sequence[Path],
    trades: Sequence[Path] | None,
    quotes: Sequence[Path] | None,
    conditions: Path | None,
) -> ResearchInputs:
    """Open and check the inputs.

    Raises:
        InputError: one cannot be used; names file and column.
    """
    of_events = open_table([events], {**EVENTS, **dict.fromkeys(_WINDOW_MIN, pl.Int64())}, _optional_of_events())
    of_bars = open_table(bars, BARS, ("vwap", "transactions"))
    of_trades = None if trades is None else open_table(trades, TAPE_TRADES, ("correction",), finite=True)
    of_quotes = None if quotes is None else open_table(quotes, TAPE_QUOTES, finite=True)
    of_events.require_values(*_KEYS)
    return ResearchInputs(
        events=_check_events(events, collect([events], of_events.rows)),
        scored="score" in of_events.present,
        bars=index_days(of_bars),
        trades=None if of_trades is None else index_days(of_trades, _NEVER_NULL),
        quotes=None if of_quotes is None else index_days(of_quotes, _NEVER_NULL),
        conditions=pinned_conditions().select(*CONDITION_RULES) if conditions is None else read_conditions(conditions),
    )


def _optional_of_events() -> list[str]:
    return [name for name in (*EVENTS, *_WINDOW_MIN) if name not in _KEYS]


def _check_events(file: Path, events: pl.DataFrame) -> pl.DataFrame:
    repeated = events.filter(pl.col("event_id").is_duplicated())
    if repeated.height:
        raise InputError(
            f"{file}: column event_id: {repeated['event_id'][0]} occurs more than once, and "
            f"{count_noun(repeated.height, 'row')} in all repeat one. Keep one row of each."
        )
    others = events.filter(~pl.col("direction").is_in(DIRECTIONS))["direction"]
    if others.len():
        raise InputError(f"{file}: column direction is {others[0]!r} where it must be up or down. Correct it.")
    off = events.filter(pl.col("timestamp") != pl.col("timestamp").dt.truncate("1m"))["timestamp"]
    if off.len():
        raise InputError(
            f"{file}: column timestamp is {off[0]:%Y-%m-%d %H:%M:%S.%f}, which is not the start of a minute. Give the "
            "start of each event's bar."
        )
    filled = events.with_columns(pl.col(name).fill_null(value) for name, value in _WINDOW_MIN.items())
    for name in _WINDOW_MIN:
        wrong = filled.filter(~pl.col(name).is_between(0, _MOST_WINDOW_MIN))[name]
        if wrong.len():
            raise InputError(f"{file}: column {name} is {wrong[0]}, not between 0 and {_MOST_WINDOW_MIN} minutes.")
    return filled.sort("event_id")


def read_conditions(file: Path) -> pl.DataFrame:
    """The rules (CONDITION_RULES) in a parquet or JSON file, a list of objects with these keys.

    Raises:
        InputError: the file has another form; names the column.
    """
    if file.suffix.lower() == ".parquet":
        rows = collect([file], open_table([file], CONDITION_RULES).rows)
    else:
        rows = _conditions_of_json(file)
    if rows["id"].has_nulls():
        raise InputError(f"{file}: column id is null in {count_noun(rows['id'].null_count(), 'row')}. Complete it.")
    repeated = rows.filter(pl.col("id").is_duplicated())["id"]
    if repeated.len():
        raise InputError(f"{file}: column id: {repeated[0]} occurs more than once. Keep one row of each.")
    return rows


def _conditions_of_json(file: Path) -> pl.DataFrame:
    try:
        document: Any = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}). Check the path.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: is neither parquet nor JSON ({error}). Give one of both.") from error
    if not isinstance(document, list) or not all(isinstance(row, dict) for row in document):
        raise InputError(f"{file}: must be a list of objects with the keys {', '.join(CONDITION_RULES)}.")
    for name in CONDITION_RULES:
        if not any(name in row for row in document):
            raise InputError(f"{file}: has no column {name}. Needed are {', '.join(CONDITION_RULES)}.")
        for row in document:
            value = row.get(name)
            is_right = isinstance(value, bool) or value is None
            if name == "id":
                is_right = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 31
            if not is_right:
                kind = "a whole number" if name == "id" else "true, false or null"
                raise InputError(f"{file}: column {name} is {value!r}, not {kind}. Correct it.")
    return pl.DataFrame([{name: row.get(name) for name in CONDITION_RULES} for row in document], schema=CONDITION_RULES)
