"""Metadata of the ledger and the report of a capture: the verdict, then tables that fit a screen, then figures."""

from typing import Final

import dagster as dg
import polars as pl

from smallcaps_assets.defs.metadata.entries import (
    FIRST_ROWS,
    MAX_LINES,
    Metadata,
    in_words,
    megabytes,
    new_york,
    round_figure,
    round_value,
    table,
)
from smallcaps_assets.domain.tables import WAVES
from smallcaps_assets.domain.tape.contradictions import count_contradicted, is_contradicted
from smallcaps_assets.domain.tape.kpis import RECONCILED, describe_verdict, speed_figures, state_counts, verdict
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS, describe_stale

_WAVES: Final = (*WAVES, "all")
# figures of KPIS in words that wrap, with their units
_WORDS: Final = {
    "success_pct": "success %",
    "p90_event_mb": "MB per event, p90",
    "retries_pct": "retries %",
    "throttled_pct": "429s %",
    "session_drift_pp": "session drift, pp",
    "reconciled_pct": "minutes as in bars %",
    "windows_per_hour": "windows per hour",
    "requests_per_window": "requests per window",
    "hours_left": "hours left",
}
# values from here on are shown with one decimal, to keep tables narrow
_ONE_DECIMAL: Final = 10.0


def ledger_metadata(ledger: pl.DataFrame, manifest_id: str) -> Metadata:
    """Metadata of a ledger: windows by state, what is wrong with some, figures to plot, and the first rows."""
    return {
        "windows": table(windows_table(ledger)),
        **_stale(ledger),
        **_contradicted(ledger),
        **_plotted(ledger),
        "tape_mb": megabytes(float(ledger["bytes"].sum())),
        "dagster/row_count": ledger.height,
        "first_rows": _first_windows(ledger),
        "manifest_id": manifest_id,
    }


def report_metadata(ledger: pl.DataFrame, spent: pl.DataFrame, kpis: pl.DataFrame) -> Metadata:
    """Metadata of a report: the verdict and its reasons, figures with their targets, windows by state."""
    go, _ = verdict(kpis, ledger)
    targeted = pl.col("target").is_not_null()
    return {
        "verdict": _verdict(kpis, ledger),
        "kpis": table(kpi_table(kpis.filter(targeted))),
        "speed": table(kpi_table(kpis.filter(~targeted)).drop("target")),
        "windows": table(windows_table(ledger)),
        **_contradicted(ledger),
        **_list_contradicted(ledger),
        **_plotted(ledger),
        **_reconciled(kpis),
        **{name: int(spent[name].sum()) for name in ("requests", "retries", "throttled")},
        "dagster/row_count": kpis.height,
        "go": go,
    }


def kpi_table(kpis: pl.DataFrame) -> pl.DataFrame:
    """KPIS with one row per figure, those that miss their target first: figure, target, and the value of each wave.

    A value that misses its target is marked ✗; - stands where a wave has no such figure or it is not known.
    """
    shown = _shorten(pl.col("value")).cast(pl.String).str.strip_suffix(".0").fill_null("-")
    marked = pl.when("holds").then(shown).otherwise(pl.concat_str(shown, pl.lit(" ✗")))
    values = [marked.filter(pl.col("wave") == wave).first().fill_null("-").alias(wave) for wave in _WAVES]
    target = pl.col("target").str.replace("within ", "").str.replace(">=", "≥").unique(maintain_order=True)
    return (
        kpis.group_by("figure", maintain_order=True)
        .agg(target.str.join(", "), *values, misses=(~pl.col("holds")).any())
        .sort("misses", pl.col("figure").cast(pl.Enum(list(_WORDS))), descending=[True, False])
        .select(pl.col("figure").replace(_WORDS), "target", *_WAVES)
    )


def windows_table(ledger: pl.DataFrame) -> pl.DataFrame:
    """Windows with one row per state that occurs, one column per wave and `all`; the last row is their tape in MB."""
    counts = state_counts(ledger).with_columns(_shorten(pl.col("bytes") / 1e6))
    counts = counts.rename({"contradicted": "empty despite trading", "bytes": "tape, MB"})
    columns = counts["wave"].to_list()
    turned = counts.drop("wave").transpose(include_header=True, header_name="state", column_names=columns)
    always = pl.col("state").is_in(["windows", "complete", "missing", "tape, MB"])
    return turned.filter(always | (pl.col("all") > 0)).select(in_words("state"), *columns)


def _shorten(value: pl.Expr) -> pl.Expr:
    """Values of at most two decimals, from 10 on one, from 1,000 on none."""
    return round_figure(pl.when(value.abs() < _ONE_DECIMAL).then(value.round(2)).otherwise(value.round(1)))


def _verdict(kpis: pl.DataFrame, ledger: pl.DataFrame) -> dg.MarkdownMetadataValue:
    head, *lines = describe_verdict(kpis, ledger)
    words = [_replace_name(line) for line in lines]
    return dg.MetadataValue.md("\n".join([f"**{head}**", "", *(f"- {line}" for line in words)]).strip())


def _replace_name(line: str) -> str:
    name, colon, rest = line.partition(":")
    # Markdown reads < as the beginning of a tag
    return f"{_WORDS.get(name, name)}{colon}{rest}".replace(">=", "≥").replace("<", "&lt;")


def _plotted(ledger: pl.DataFrame) -> Metadata:
    """Figures to plot over time; unknown ones are left out. The speed is that of the last hour with new windows."""
    complete = ledger.filter(state="complete")
    (per_hour, left) = ledger.select(speed_figures()).row(0)
    size = complete["bytes"].mean()
    known: dict[str, float | None] = {
        "complete_pct": 100 * complete.height / ledger.height if ledger.height else None,
        "windows_left": left,
        "windows per minute": None if per_hour is None else per_hour / 60,
        "MB per window": None if not isinstance(size, float) else size / 1e6,
    }
    whole = {"windows_left"}
    return {
        name: int(value) if name in whole else round_value(value) for name, value in known.items() if value is not None
    }


def _reconciled(kpis: pl.DataFrame) -> Metadata:
    """The share of minutes that agree, over all waves; empty where it is not known."""
    values = kpis.filter(pl.col("value").is_not_null(), wave="all", figure=RECONCILED)
    return {name: round_value(value) for name, value in values.select("figure", "value").iter_rows()}


def _stale(ledger: pl.DataFrame) -> Metadata:
    """How many windows are stale and why, by kind; empty if none is."""
    stale = {kind: describe_stale(ledger[f"{kind}_missing_columns"]) for kind in TAPE_KINDS}
    return {f"stale/{kind}": words for kind, words in stale.items() if words}


def _contradicted(ledger: pl.DataFrame) -> Metadata:
    """How many windows are empty although there was trading, by kind; empty if none is."""
    return {f"contradicted {kind}": count for kind, count in count_contradicted(ledger).items() if count}


def _list_contradicted(ledger: pl.DataFrame) -> Metadata:
    """The windows that are empty although there was trading, one row each; empty if none is."""
    found = ledger.filter(is_contradicted())
    shown = ("symbol", new_york("start"), in_words("state"), "cause")
    return {} if found.is_empty() else {"empty despite trading": table(found.head(MAX_LINES).select(shown))}


def _first_windows(ledger: pl.DataFrame) -> dg.TableMetadataValue:
    """The first rows of a ledger: symbol, start of the window in New York, state, trades and quotes."""
    shown = (
        pl.col("symbol"), new_york("start"), in_words("state"),
        pl.col("trades_rows").alias("trades"), pl.col("quotes_rows").alias("quotes"),
    )  # fmt: skip
    return table(ledger.head(FIRST_ROWS).select(shown))
