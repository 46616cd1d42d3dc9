"""Which sessions of a symbol the vendor served well enough to be stored, whichever way they came."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from smallcaps_assets.domain.bars.impossible import find_impossible_sessions
from smallcaps_assets.domain.bars.lengths import is_of_other_length
from smallcaps_assets.domain.bars.minutes import CONFLICT
from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS, CleanBars
from smallcaps_assets.domain.bars.unknown import count_unknown
from smallcaps_assets.lake.bar_files.month_files import DAY


@dataclass(frozen=True)
class JudgedSessions:
    """Sessions of one symbol and month.

    Attributes:
        stored: the sessions to store, in order.
        faults: what is wrong with each of the others as a whole; nothing of them is kept.
        bars: the usable bars (BARS) of the stored sessions.
        rejected: all rejected rows (QUARANTINED_BARS).
        aside: those of them that belong to stored sessions, or to none.
        figures: counts of rows.
    """

    stored: list[date]
    faults: dict[date, str]
    bars: pl.DataFrame
    rejected: pl.DataFrame
    aside: pl.DataFrame
    figures: dict[str, int]


def judge_sessions(clean: CleanBars, conflicting: pl.DataFrame, sessions: Sequence[date]) -> JudgedSessions:
    """Judge the rows of one symbol that the vendor served for `sessions`.

    Args:
        clean: its rows, judged one by one.
        conflicting: its rows (BARS) that contradict another of their minute.
        sessions: what was asked for, in order.
    """
    if clean.quarantined.is_empty() and conflicting.is_empty():
        return _all_usable(clean, sessions)
    contradictions = conflicting.with_columns(reason=pl.lit(CONFLICT)).match_to_schema(QUARANTINED_BARS)
    rejected = pl.concat([clean.quarantined, contradictions])
    of_other_length = rejected.filter(is_of_other_length()).select(DAY.alias("day"), "reason").unique()
    impossible = find_impossible_sessions(clean.good, clean.quarantined)
    # the other rows of a session that is wrong as a whole are not to be believed
    faults = {**impossible, **dict(of_other_length.sort("day").iter_rows())}
    stored = [day for day in sessions if day not in faults]
    wanted, aside = clean.good.filter(DAY.is_in(stored)), rejected.filter(DAY.is_in(stored).fill_null(value=True))
    figures = {
        "rows": wanted.height,
        "rows_quarantined": aside.height,
        "rows_on_other_days": clean.good.filter(~DAY.is_in(sessions)).height,
        **count_unknown(clean.unknown.filter(DAY.is_in(stored))),
    }
    return JudgedSessions(
        stored, {day: faults[day] for day in sessions if day in faults}, wanted, rejected, aside, figures
    )


def _all_usable(clean: CleanBars, sessions: Sequence[date]) -> JudgedSessions:
    """The same of a symbol without rejected rows, as most are."""
    wanted = clean.good.filter(DAY.is_in(sessions))
    unknown = clean.unknown if clean.unknown.is_empty() else clean.unknown.filter(DAY.is_in(sessions))
    figures = {
        "rows": wanted.height,
        "rows_quarantined": 0,
        "rows_on_other_days": clean.good.height - wanted.height,
        **count_unknown(unknown),
    }
    return JudgedSessions([*sessions], {}, wanted, clean.quarantined, clean.quarantined, figures)


def name_days(sessions: Sequence[date]) -> str:
    """Sessions in words: the only one, or the first and the last."""
    first, last = sessions[0], sessions[-1]
    return f"{first}" if first == last else f"{first} to {last}"
