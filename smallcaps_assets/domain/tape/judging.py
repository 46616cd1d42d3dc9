"""Tape of the vendor, of a user or of another profile, judged before it is published (rules: `domain.tape.rules`)."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.tape.rules import TAPE_PRICES, TAPE_SIZES, RowRule, row_rules, times_among
from smallcaps_assets.domain.tape.schemas import TapeKind

# Column of rejected rows: the rule that each of them breaks.
REASON: Final = "reason"


class TapeFault(NamedTuple):
    """The rule that an answer breaks as a whole, and a sentence with the number of rows, and one of them."""

    what: str
    sentence: str


class JudgedTape(NamedTuple):
    """Rows to publish, and the rows set aside, each with its `reason`; if there is a fault, neither is to be used."""

    rows: pl.DataFrame
    rejected: pl.DataFrame
    fault: TapeFault | None = None


def judge_tape(rows: pl.DataFrame, kind: TapeKind) -> JudgedTape:
    """Set aside rows that are impossible by themselves, unless they are too many or others contradict one another.

    Args:
        rows: trades or quotes in the order of (timestamp, sequence_number), without exact repeats, not thinned.
        kind: which of them.
    """
    rules = row_rules(kind, times_among(rows.columns))
    if not _may_be_wrong(rows, rules):
        return JudgedTape(rows, no_rejected(rows))
    single, together = ([rule for rule in rules if rule.by_itself is wanted] for wanted in (True, False))
    reason = pl.coalesce(pl.when(rule.breaks).then(pl.lit(rule.what)) for rule in single).alias(REASON)
    judged = rows.with_columns(reason)
    possible = judged.filter(pl.col(REASON).is_null()).drop(REASON)
    rejected = judged.filter(pl.col(REASON).is_not_null())
    fault = _find_fault(rows, single, kind) or _find_fault(possible, together, kind)
    if fault is None and possible.is_empty() and rejected.height:
        fault = _describe(rows, next(rule for rule in single if rule.what == rejected[REASON][0]), kind)
    return JudgedTape(possible, rejected, fault)


def _may_be_wrong(rows: pl.DataFrame, rules: Sequence[RowRule]) -> bool:
    """Whether a rule sets rows aside or rejects the answer; cheap where none does, which is nearly always."""
    gates = [rule.broken() if rule.gate is None else rule.gate for rule in rules]
    above = rows.select(gate.alias(str(place)) for place, gate in enumerate(gates)).row(0)
    suspected = [rule for rule, count in zip(rules, above, strict=True) if count]
    if not suspected or any(rule.gate is None for rule in suspected):
        return bool(suspected)
    return any(rows.select(rule.broken().alias(str(place)) for place, rule in enumerate(suspected)).row(0))


def no_rejected(rows: pl.DataFrame) -> pl.DataFrame:
    """No rows of the columns of `rows`, and the column `reason`."""
    return rows.clear().insert_column(rows.width, pl.Series(REASON, [], pl.String))


def _find_fault(rows: pl.DataFrame, rules: Sequence[RowRule], kind: TapeKind) -> TapeFault | None:
    """The first of `rules` that more rows break than it allows."""
    counts = rows.select(rule.excess().alias(str(place)) for place, rule in enumerate(rules)).row(0)
    broken = next((rule for rule, count in zip(rules, counts, strict=True) if count), None)
    return None if broken is None else _describe(rows, broken, kind)


def _describe(rows: pl.DataFrame, rule: RowRule, kind: TapeKind) -> TapeFault:
    broken = rows.filter(rule.breaks)
    text = f"{rule.what}: {broken.height:,} of {rows.height:,}, expected {rule.expected}"
    return TapeFault(rule.what, f"{text}; such as {describe_row(broken, kind)}")


def describe_row(rows: pl.DataFrame, kind: TapeKind) -> str:
    """The first of `rows`, in words: time, number, prices and sizes."""
    names = (*TAPE_PRICES[kind], *TAPE_SIZES[kind])
    time = pl.col("timestamp").dt.to_string("%Y-%m-%d %H:%M:%S%.9f")
    row: dict[str, Any] = rows.head(1).select("sequence_number", *names, at=time).row(0, named=True)
    values = (f"{name} {'absent' if row[name] is None else row[name]}" for name in ("sequence_number", *names))
    return f"{row['at']} UTC, {', '.join(values)}"
