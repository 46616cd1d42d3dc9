"""What the events returned that an experiment keeps, gains and loses (research specification, 0.9, 4 and 6.3).

MASTER is chosen with hindsight, so its returns say nothing about a rule that trades. Counted are events that are in the
causal sample of their settings: kept and gained ones in that of the experiment, lost ones in that of the baseline.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final

import polars as pl

from smallcaps_assets.commands.console import Printable, TextTable
from smallcaps_assets.commands.detecting.batches import Batch, Found
from smallcaps_assets.domain.research.bars.bar_features import MarketData
from smallcaps_assets.domain.research.outcomes.event_costs import net_outcomes
from smallcaps_assets.domain.research.outcomes.event_labels import NO_ENTRY, NO_SCALE, OK
from smallcaps_assets.domain.research.prices import BPS
from smallcaps_assets.domain.research.sample import RESEARCH_EVENTS, with_causal_sample
from smallcaps_assets.domain.research.statistics.mean_returns import MEAN_RETURNS, mean_returns
from smallcaps_assets.domain.research.tables.label_tables import EVENT_LABELS
from smallcaps_assets.domain.tables import EVENTS
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.pipeline.calendar import sessions_and_earlier
from smallcaps_assets.pipeline.research.bars.from_bars import BarRules, tables_of_events
from smallcaps_assets.pipeline.research.costs_of_others import CostsOfOthers
from smallcaps_assets.settings.settings import Settings

_GROUPS: Final = ("kept", "gained", "lost")
GROSS, NET = "gross", "net"
_LABELS: Final = ("event_id", "label_spec", "date", "state", "gross_return")
_SIDE: Final = {"side": pl.String()}
_ROWS: Final = pl.Schema({**_SIDE, **{name: EVENT_LABELS[name] for name in _LABELS}})
_CLOSES: Final = pl.Schema({"event_id": pl.String(), "timestamp": EVENTS["timestamp"], "close": pl.Float64()})


class Outcomes:
    """Outcomes accumulated batch by batch.

    The batches need bars and candidates, and two configurations: the experiment and the baseline.
    """

    def __init__(self, before: Settings, after: Settings, label_specs: Sequence[str], costs: CostsOfOthers) -> None:
        """Start empty; `before` are the settings of lost events, `after` those of the experiment."""
        self._before, self._after, self._costs = before, after, costs
        self._specs = list(label_specs)
        self._events = dict.fromkeys(_GROUPS, 0)
        self._rows, self._closes = [_ROWS.to_frame()], [_CLOSES.to_frame()]

    def add(self, batch: Batch, gained: pl.DataFrame, lost: pl.DataFrame) -> None:
        """Add the labels of the events (EVENTS) of a batch."""
        after, before = batch.found
        kept = after.master.join(gained, on="event_id", how="anti", maintain_order="left")
        sides = dict(zip(_GROUPS, (kept, gained, lost), strict=True))
        for side, events in sides.items():
            self._events[side] += events.height
        of_after = pl.concat([sides[side].with_columns(side=pl.lit(side)) for side in ("kept", "gained")])
        self._add(batch, after, self._after, of_after)
        self._add(batch, before, self._before, lost.with_columns(side=pl.lit("lost")))

    def document(self) -> dict[str, Any]:
        """All figures, for JSON; returns are fractions."""
        labels, figures = self._returns
        sampled, rows = self._sampled(), []
        for spec in self._specs:
            for side in _GROUPS:
                own = labels.filter(label_spec=spec, side=side)
                returns = {
                    name: figures.get((spec, side, name), dict.fromkeys(MEAN_RETURNS) | {"n": 0, "n_days": 0})
                    for name in (GROSS, NET)
                }
                states = {f"{state}": own.filter(state=state).height for state in (NO_ENTRY, NO_SCALE)}
                counts = {"events": self._events[side], "in_causal_sample": sampled.get(side, 0)}
                rows.append({"label_spec": spec, "side": side, **counts, **states, **returns})
        sources = dict(self._cost_of["cost_source"].value_counts().sort("cost_source").iter_rows())
        return {"sample": "causal", "costs_of": self._costs.profile, "cost_sources": sources, "sides": rows}

    def text(self) -> list[Printable]:
        """All figures as tables, one for each label spec."""
        rows = self.document()["sides"]
        tables: list[Printable] = [
            _table(spec, [row for row in rows if row["label_spec"] == spec]) for spec in self._specs
        ]
        return tables

    def _add(self, batch: Batch, found: Found, settings: Settings, events: pl.DataFrame) -> None:
        assert found.candidates is not None  # noqa: S101 -- outcomes ask for them
        assert batch.bars is not None  # noqa: S101 -- as well
        sampled = with_causal_sample(found.candidates, settings.detection.filters, settings.research)
        key = ["event_id", "direction"]
        chosen = events.join(sampled.filter("in_causal_sample"), on=key, how="semi", maintain_order="left")
        if chosen.is_empty():
            return
        first, last = batch.bars.select(first=DAY.min(), last=DAY.max()).row(0)
        sessions = sessions_and_earlier(first, last, 0, settings.sessions)
        rows = chosen.with_columns(in_master=True, in_causal_sample=True).select(*RESEARCH_EVENTS)
        symbols = pl.col("symbol").is_in(chosen["symbol"].unique().implode())
        rules = BarRules(sessions, settings.detection, settings.research)
        tables = tables_of_events(rows, MarketData(batch.bars.filter(symbols), sessions), rules)
        labels = tables.labels.filter(pl.col("label_spec").is_in(self._specs)).select(*_LABELS)
        self._rows.append(labels.join(chosen.select("event_id", "side"), on="event_id").select(*_ROWS))
        self._closes.append(
            tables.costed.select("event_id", "close")
            .join(chosen.select("event_id", "timestamp"), on="event_id")
            .select(*_CLOSES)
        )

    @cached_property
    def _cost_of(self) -> pl.DataFrame:
        """What each event of the sample costs."""
        closes = pl.concat(self._closes)
        if closes.is_empty():
            return pl.DataFrame(schema={"event_id": pl.String, "cost_bps": pl.Float64, "cost_source": pl.String})
        return self._costs.of(closes)

    def _sampled(self) -> dict[str, int]:
        """How many events of each side are in the sample."""
        events = pl.concat(self._rows).unique(["side", "event_id"])
        return dict(events.group_by("side").len().iter_rows())

    @cached_property
    def _returns(self) -> tuple[pl.DataFrame, dict[tuple[str, str, str], dict[str, Any]]]:
        """The labels, and MEAN_RETURNS by label spec, side, and whether returns are gross or net."""
        labels = pl.concat(self._rows)
        net = net_outcomes(labels, self._cost_of).select("event_id", "label_spec", "net_return")
        ok = labels.join(net, on=["event_id", "label_spec"], how="left").filter(state=OK)
        keys = ["label_spec", "side", "returns"]
        parts = [ok.select(*keys[:2], "date", returns=pl.lit(name), value=f"{name}_return") for name in (GROSS, NET)]
        found = mean_returns(pl.concat(parts), keys).to_dicts()
        return labels, {tuple(row.pop(key) for key in keys): row for row in found}


def _table(spec: str, rows: Sequence[dict[str, Any]]) -> TextTable:
    """Net returns where costs are known, and gross ones of all events where those of some are not."""
    lines = []
    for row in rows:
        gross, net = row[GROSS], row[NET]
        shown = [name for name in (NET, GROSS) if row[name]["n"]]
        if gross["n"] == net["n"]:
            shown = [NET]
        elif not net["n"]:
            shown = [GROSS]
        counts = (f"{row['events']:,}", f"{row['in_causal_sample']:,}")
        lines += [(row["side"], _words(name, row), *counts, *_figures(row[name])) for name in shown]
    columns = (f"outcomes {spec}", "return", "events", "in causal sample", "n", "dates", "wins", "mean bps", "95 %")
    return TextTable(columns, lines, left=2)


def _words(name: str, row: dict[str, Any]) -> str:
    unknown = row[GROSS]["n"] - row[NET]["n"]
    return name if name == NET or not unknown else f"gross (cost of {unknown:,} unknown)"


def _figures(row: dict[str, Any]) -> tuple[str, ...]:
    if not row["n"]:
        return ("0", "0", "-", "-", "-")
    low, high = row["mean_lo"], row["mean_hi"]
    interval = "-" if low is None else f"{BPS * low:+.1f} to {BPS * high:+.1f}"
    return f"{row['n']:,}", f"{row['n_days']:,}", f"{row['win_rate']:.1%}", f"{BPS * row['mean']:+.1f}", interval
