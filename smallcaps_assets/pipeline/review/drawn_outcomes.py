"""What came after each event of a page, from the research tables of the lake: hindsight, hidden until asked for."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.research.outcomes.barriers import LABEL_SPECS, LabelSpec
from smallcaps_assets.domain.research.prices import BPS
from smallcaps_assets.domain.research.tables.label_tables import (
    COST_TEXTS,
    EVENT_COSTS,
    EVENT_LABELS,
    LABEL_TEXTS,
)
from smallcaps_assets.domain.research.tables.wave_descriptions import EVENT_OUTCOME_TEXTS
from smallcaps_assets.domain.research.tables.wave_tables import EVENT_OUTCOMES
from smallcaps_assets.errors import InputError, LakeError
from smallcaps_assets.lake.files.remedies import asset_of_table
from smallcaps_assets.lake.files.stored_tables import is_stored
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.research import ResearchStore

# the primary one
DRAWN_SPEC: Final[LabelSpec] = LABEL_SPECS[1]
LABELS_TABLE, OUTCOMES_TABLE, COSTS_TABLE = "event_labels", "event_outcomes", "event_costs"
_MFE, _MAE = f"mfe_{DRAWN_SPEC.minutes}_bps", f"mae_{DRAWN_SPEC.minutes}_bps"
_TO_MFE, _TO_MAE = f"minutes_to_mfe_{DRAWN_SPEC.minutes}", f"minutes_to_mae_{DRAWN_SPEC.minutes}"
_OF_LABELS: Final = (
    *("event_id", "label_spec", "state", "entry_at", "entry", "scale", "label", "exit_price", "exit_bar_end", "t1"),
    *("tie", "gap", "gross_return"),
)
_OF_OUTCOMES: Final = ("event_id", _MFE, _MAE, _TO_MFE, _TO_MAE, "outcome")
_OF_COSTS: Final = ("event_id", "label_spec", "cost_bps", "cost_source", "net_return")
# Figures beside the chart, in this order: name in the data, label on the page, what it means.
OUTCOME_FIGURES: Final = (
    ("exit", "exit", "Where the position leaves: profit barrier, stop barrier or the end of the horizon."),
    ("gross", "gross return", LABEL_TEXTS["gross_return"]),
    ("cost", "cost", COST_TEXTS["cost_bps"]),
    ("net", "net return", COST_TEXTS["net_return"]),
    ("tie", "tie", LABEL_TEXTS["tie"]),
    ("gap", "gap", LABEL_TEXTS["gap"]),
    ("mfe", f"MFE {DRAWN_SPEC.minutes} min", EVENT_OUTCOME_TEXTS[_MFE]),
    ("mae", f"MAE {DRAWN_SPEC.minutes} min", EVENT_OUTCOME_TEXTS[_MAE]),
    ("outcome", "outcome", EVENT_OUTCOME_TEXTS["outcome"]),
)
OFF: Final = "Research tables are off (research.enabled): no outcome is known."


class _Found(NamedTuple):
    """Rows of a table, and by symbol why it has none."""

    rows: pl.DataFrame
    missing: Mapping[str, str]


def drawn_outcomes(lake: Lake, profile: str, events: pl.DataFrame, *, enabled: bool) -> dict[str, dict[str, Any]]:
    """By event, what a page shows of its outcome, or `missing`: why it shows none. Every event has an entry.

    Prices are in USD, minutes count from the event's, returns are shares. A minute is that of the bar's start; `until`
    is the horizon.

    Args:
        lake: the lake.
        profile: whose costs are shown.
        events: MANIFEST.
        enabled: whether research tables are made; those that are left from before are not shown.
    """
    if not enabled:
        return {event: {"missing": OFF} for event in events["event_id"]}
    store = ResearchStore(lake)
    labels = _of_symbols(store, LABELS_TABLE, _OF_LABELS, events)
    excursions = _of_symbols(store, OUTCOMES_TABLE, _OF_OUTCOMES, events)
    costs, without_costs = _costs(store, profile, events)
    rows = (
        events.select("event_id", "symbol", "direction", "timestamp")
        .join(labels.rows.filter(label_spec=DRAWN_SPEC.name), on="event_id", how="left", maintain_order="left")
        .join(excursions.rows, on="event_id", how="left", maintain_order="left")
        .join(costs.filter(label_spec=DRAWN_SPEC.name), on="event_id", how="left", maintain_order="left")
    )
    missing = {symbol: reason for found in (excursions, labels) for symbol, reason in found.missing.items()}
    return {
        row["event_id"]: {"missing": missing[row["symbol"]]} if row["symbol"] in missing else _entry(row, without_costs)
        for row in _with_minutes(rows).to_dicts()
    }


def _of_symbols(store: ResearchStore, table: str, columns: tuple[str, ...], events: pl.DataFrame) -> _Found:
    """The rows of the events in the files of their symbols."""
    schema = {**EVENT_LABELS, **EVENT_OUTCOMES}
    wanted = pl.Schema({name: schema[name] for name in columns})
    missing: dict[str, str] = {}

    def parts() -> Iterator[pl.DataFrame]:
        for (symbol,), own in events.sort("symbol").group_by("symbol", maintain_order=True):
            path = store.lake.research_symbol(table, f"{symbol}")
            if not is_stored(path):
                missing[f"{symbol}"] = (
                    f"The lake has no {table} of {symbol} yet. Materialize {asset_of_table(table)}, then make this "
                    "page again."
                )
                continue
            try:
                yield store.read(path, wanted).filter(pl.col("event_id").is_in(own["event_id"].implode()))
            except (InputError, LakeError) as error:
                missing[f"{symbol}"] = str(error)

    return _Found(pl.concat([wanted.to_frame(), *parts()]), missing)


def _costs(store: ResearchStore, profile: str, events: pl.DataFrame) -> tuple[pl.DataFrame, str]:
    """The costs of the events in a profile, and why there are none."""
    wanted = pl.Schema({name: EVENT_COSTS[name] for name in _OF_COSTS})
    path = store.lake.research_table(COSTS_TABLE, profile)
    if not is_stored(path):
        return wanted.to_frame(), f"{profile}/{COSTS_TABLE} does not exist yet"
    try:
        found = store.read(path, wanted).filter(pl.col("event_id").is_in(events["event_id"].implode()))
    except (InputError, LakeError) as error:
        return wanted.to_frame(), str(error)
    return found, f"{profile}/{COSTS_TABLE} does not know it"


def _with_minutes(rows: pl.DataFrame) -> pl.DataFrame:
    """With the minutes of entry, exit and horizon, from the event's."""

    def minutes(name: str) -> pl.Expr:
        return (pl.col(name) - pl.col("timestamp")).dt.total_seconds() / 60

    # a label that no barrier decides is decided at the horizon, which the end of after-hours may shorten
    until = pl.when(label=0).then(minutes("t1")).otherwise(1.0 + DRAWN_SPEC.minutes)
    return rows.with_columns(entry_minute=minutes("entry_at"), exit_minute=minutes("exit_bar_end") - 1, until=until)


def _entry(row: Mapping[str, Any], without_costs: str) -> dict[str, Any]:
    state = row["state"]
    if state is None:
        return {"missing": "The lake has no outcome of this event: its bar was not there when outcomes were computed."}
    if state == "no_entry":
        return {"missing": "No bar within 5 minutes after the event is known: there is no entry."}
    entry, sign = row["entry"], 1 if row["direction"] == "up" else -1
    found: dict[str, Any] = {
        "spec": DRAWN_SPEC.name,
        "entry": [row["entry_minute"], entry],
        "until": row["until"],
        "mfe": _excursion(row, _MFE, _TO_MFE, sign),
        "mae": _excursion(row, _MAE, _TO_MAE, sign),
        "outcome": row["outcome"],
    }
    if state != "ok":
        return found | {"note": "Too few bars before the event for barriers: it has no label."}
    scale, price, net = row["scale"], round(entry, 6), row["net_return"]
    unknown = without_costs if row["cost_source"] is None else "its cost is not known"
    return found | {
        "profit": round(price * (1 + sign * DRAWN_SPEC.profit * scale), 6),
        "stop": round(price * (1 - sign * DRAWN_SPEC.stop * scale), 6),
        "exit": [row["exit_minute"], round(row["exit_price"], 6)],
        "label": row["label"],
        "tie": row["tie"],
        "gap": row["gap"],
        "gross": round(row["gross_return"], 6),
        "cost": row["cost_bps"] if row["cost_bps"] is None else round(row["cost_bps"], 2),
        "cost_source": row["cost_source"],
        "net": None if net is None else round(net, 6),
        "without_net": unknown if net is None else None,
    }


def _excursion(row: Mapping[str, Any], bps: str, minutes: str, sign: int) -> list[float] | None:
    """Minute, price and basis points of an extreme; the bar of a minute ends as many minutes after the event's ends."""
    if row[bps] is None:
        return None
    return [row[minutes], round(row["entry"] * (1 + sign * row[bps] / BPS), 6), round(row[bps], 1)]
