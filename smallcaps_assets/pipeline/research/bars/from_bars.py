"""Research tables that bars and events alone give, by symbol (research specification, sections 0.9, 3 to 5 and 8)."""

from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS, clean_bars
from smallcaps_assets.domain.events.detection import DetectionParams, detect
from smallcaps_assets.domain.listings.borders import by_symbol_again
from smallcaps_assets.domain.research.bars.bar_features import MarketData, event_bar_features
from smallcaps_assets.domain.research.bars.halts import bar_halts, bar_runs
from smallcaps_assets.domain.research.bars.market_state import day_states, market_state_day
from smallcaps_assets.domain.research.outcomes.bars_after import BarsAfter, bars_after
from smallcaps_assets.domain.research.outcomes.event_costs import COSTED_EVENTS
from smallcaps_assets.domain.research.outcomes.event_labels import event_labels
from smallcaps_assets.domain.research.outcomes.waves import event_waves
from smallcaps_assets.domain.research.params import ResearchParams
from smallcaps_assets.domain.research.sample import research_events, with_causal_sample
from smallcaps_assets.domain.sessions import new_york_date, with_session
from smallcaps_assets.domain.tables import EVENTS

_SCORED: Final = ("event_id", "event_type", "session", "date", "score", "in_master")


class BarRules(NamedTuple):
    """By which bars are judged.

    Attributes:
        sessions: SESSION_TABLE of every session from before the first bar to the last.
        detection: parameters of detection.
        params: settings of the research tables.
    """

    sessions: pl.DataFrame
    detection: DetectionParams
    params: ResearchParams


class BarTables(NamedTuple):
    """The tables of some symbols, and how many of their bars are not usable.

    Attributes:
        events: RESEARCH_EVENTS, with or without a bar.
        scored: what `event_scores` reads of each event.
        features: BAR_FEATURES.
        waves: EVENT_WAVES, in the order of MASTER.
        outcomes: EVENT_OUTCOMES, in the order of MASTER.
        labels: EVENT_LABELS of the same events, by event_id.
        costed: COSTED_EVENTS of the same events.
        days: MARKET_STATE.
        halts: HALTS of confidence 1.
        rejected: QUARANTINED_BARS.
    """

    events: pl.DataFrame
    scored: pl.DataFrame
    features: pl.DataFrame
    waves: pl.DataFrame
    outcomes: pl.DataFrame
    labels: pl.DataFrame
    costed: pl.DataFrame
    days: pl.DataFrame
    halts: pl.DataFrame
    rejected: pl.DataFrame


def tables_of_bars(bars: pl.DataFrame, events: pl.DataFrame, rules: BarRules) -> BarTables:
    """The tables of all bars (BARS, in any order) of some symbols, and their events (EVENTS).

    Causal candidates that are not among the events are added to them.
    """
    clean = clean_bars(bars)
    usable = clean.good
    found = detect(usable, rules.sessions, rules.detection, keep_candidates=True).candidates
    assert found is not None  # noqa: S101 -- as asked for
    sampled = with_causal_sample(found, rules.detection.filters, rules.params)
    every = research_events(events.select(*EVENTS), sampled)
    made = tables_of_events(every, MarketData(usable, rules.sessions, sampled), rules)
    return made._replace(rejected=clean.quarantined)


def tables_of_events(events: pl.DataFrame, market: MarketData, rules: BarRules) -> BarTables:
    """The tables of the usable bars of a market and of events (RESEARCH_EVENTS); none are rejected."""
    if market.borders:
        owned = market.borders.by_owner(events, new_york_date(pl.col("timestamp")))
        made = tables_of_events(owned, market.by_owner(), rules)
        return BarTables(*map(by_symbol_again, made))
    labeled = with_session(market.bars, rules.sessions).filter(pl.col("day").is_not_null())
    runs = bar_runs(labeled, rules.sessions, rules.params)
    states = day_states(labeled, rules.sessions, market.splits, rules.params)
    features = event_bar_features(events, market, rules.detection.features, rules.params)
    after = bars_after(events.sort("symbol", "timestamp", "event_type", maintain_order=True), labeled, rules.sessions)
    waves, outcomes = event_waves(after, features, rules.params)
    return BarTables(
        events=events,
        scored=events.select(_SCORED),
        features=features,
        waves=waves,
        outcomes=outcomes,
        labels=event_labels(after, features, runs),
        costed=_costed(after),
        days=market_state_day(states, runs),
        halts=bar_halts(runs),
        rejected=QUARANTINED_BARS.to_frame(),
    )


def _costed(after: BarsAfter) -> pl.DataFrame:
    own = after.bars.select("session", "close", date=pl.col("day").dt.to_string("%Y-%m-%d"))[after.own]
    costed = after.events.select("event_id").hstack(own).with_columns(pl.col("session").cast(pl.String))
    return costed.select(*COSTED_EVENTS).match_to_schema(COSTED_EVENTS)
