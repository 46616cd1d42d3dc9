"""The rows of the research assets in the registry of assets."""

from collections.abc import Mapping
from functools import partial
from typing import Final

from smallcaps_assets.defs.facts.asset_facts import AssetFacts, Lineage, from_columns
from smallcaps_assets.domain.research.columns import ResearchColumn
from smallcaps_assets.domain.research.controls.params import ControlParams
from smallcaps_assets.domain.research.tables.bar_tables import BAR_FEATURE_COLUMNS, EVENT_SCORE_COLUMNS
from smallcaps_assets.domain.research.tables.label_tables import COST_COLUMNS, LABEL_COLUMNS
from smallcaps_assets.domain.research.tables.research_table import TABLE_KEYS
from smallcaps_assets.domain.tables import EVENTS
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS
from smallcaps_assets.lake.cohorts import COHORTS_TABLE
from smallcaps_assets.lake.controls import CONTROL_MANIFEST_TABLE
from smallcaps_assets.pipeline.research import joined, joined_cohorts, joined_outcomes
from smallcaps_assets.pipeline.research.bars import renewals
from smallcaps_assets.pipeline.research.bars.table_settings import settings_of_table
from smallcaps_assets.pipeline.research.controls import features, selecting
from smallcaps_assets.pipeline.research.joined_enriched import ENRICHED_TABLE, ENRICHED_VERSION
from smallcaps_assets.pipeline.research.tape.tape_parts import ASSET_TABLES, settings_of_tape
from smallcaps_assets.pipeline.research.tape.tape_step import TAPE_TABLES_VERSION
from smallcaps_assets.settings.settings import Profile, Settings

# the group of the research tables that belong to no profile
RESEARCH: Final = "research"


# the group of those that say what came after events: with them, the graph of the others is too small to read
OUTCOMES_GROUP: Final = "outcomes"
_OF_SYMBOLS_AFTER: Final = ("event_waves", "event_labels")


def research_group(profile: Profile) -> str:
    """The group of the research tables of one profile: one graph of all profiles is larger than a screen."""
    return f"{RESEARCH}_{profile}"


def controls_group(profile: Profile) -> str:
    """The group of the controls of one profile."""
    return f"controls_{profile}"


def _same(columns: Mapping[str, ResearchColumn]) -> dict[str, list[str]]:
    """Columns that a table takes over as they are: those known when the event is."""
    return {name: [name] for name, column in columns.items() if column.availability == "pre"}


def facts_of_research() -> dict[str, AssetFacts]:
    """The rows of the research assets that belong to no profile."""
    of_bars: dict[str, Lineage] = {
        "event_bar_features": {
            **from_columns(["event_shards"], {name: [name] for name in TABLE_KEYS[:4]}),
            **from_columns(["minute_bars"], {"close": ["close"]}),
        },
        "halts": from_columns(["minute_bars"], {"symbol": ["symbol"], "start": ["timestamp"], "n5": ["transactions"]}),
        "event_waves": {
            **from_columns(["event_shards"], {"event_id": ["event_id"]}),
            **from_columns(["minute_bars"], {"start_price": ["high", "low"], "volume": ["volume"]}),
        },
        "event_labels": {
            **from_columns(["event_shards"], {"event_id": ["event_id"]}),
            **from_columns(["minute_bars"], {"entry": ["open"], "exit_price": ["open", "high", "low", "close"]}),
        },
        "market_state_day": from_columns(["minute_bars"], {"symbol": ["symbol"], "prior_close": ["close"]}),
    }
    return {
        name: AssetFacts(
            path=lambda lake, name=name: lake.research / name,  # type: ignore[misc] # a default argument
            stage="research",
            paid=False,
            group=OUTCOMES_GROUP if name in _OF_SYMBOLS_AFTER else RESEARCH,
            version=renewals.SYMBOLS_VERSION,
            decided_by=partial(settings_of_table, name),
            lineage=lineage,
        )
        for name, lineage in of_bars.items()
    } | {
        joined.EVENT_SCORES_TABLE: AssetFacts(
            path=lambda lake: lake.research_table(joined.EVENT_SCORES_TABLE),
            stage="research",
            paid=False,
            group=RESEARCH,
            version=joined.SCORES_VERSION,
            decided_by=lambda settings: (
                *joined.settings_of_scores(settings.research.params, settings.filters),
                settings.sessions,
            ),
            lineage=from_columns(["master_events"], {"event_id": ["event_id"], "score_percentile": ["score"]}),
        ),
        ENRICHED_TABLE: AssetFacts(
            path=lambda lake: lake.research_table(ENRICHED_TABLE),
            stage="research",
            paid=False,
            group=OUTCOMES_GROUP,
            version=ENRICHED_VERSION,
            lineage={
                **from_columns(["master_events"], {name: [name] for name in EVENTS}),
                **from_columns([joined.EVENT_SCORES_TABLE], _same(EVENT_SCORE_COLUMNS)),
            },
        ),
    }


def facts_of_profile(profile: Profile) -> dict[str, AssetFacts]:
    """The rows of the research assets of one profile, by the last part of their keys."""
    return {
        joined.RESEARCH_TABLE_NAME: AssetFacts(
            path=lambda lake: lake.research_table(joined.RESEARCH_TABLE_NAME, profile),
            stage="research",
            paid=False,
            group=research_group(profile),
            version=joined.TABLE_VERSION,
            decided_by=lambda settings: (settings.ranking.model_dump(mode="json", include={"time_buckets"}),),
            lineage={
                **from_columns([profile, "manifest"], {name: [name] for name in TABLE_KEYS}),
                **from_columns(["event_bar_features"], _same(BAR_FEATURE_COLUMNS)),
                **from_columns([joined.EVENT_SCORES_TABLE], _same(EVENT_SCORE_COLUMNS)),
            },
        ),
        **_facts_of_outcomes(profile),
        **_facts_of_tape(profile),
        **_facts_of_controls(profile),
    }


def _facts_of_controls(profile: Profile) -> dict[str, AssetFacts]:
    """The rows of the controls of one profile."""
    chosen = [profile, CONTROL_MANIFEST_TABLE]
    return {
        CONTROL_MANIFEST_TABLE: AssetFacts(
            path=lambda lake: lake.research_table(CONTROL_MANIFEST_TABLE, profile),
            stage="research",
            paid=False,
            group=controls_group(profile),
            version=selecting.CONTROLS_VERSION,
            decided_by=lambda settings: (
                settings.research.params.model_dump(mode="json", include=set(ControlParams.model_fields)),
                settings.profiles[profile].max_per_symbol,
                settings.sessions,
            ),
            lineage=from_columns([profile, "manifest"], {"control_of": ["event_id"], "direction": ["direction"]}),
        ),
        features.CONTROL_FEATURES_TABLE: AssetFacts(
            path=lambda lake: lake.research_table(features.CONTROL_FEATURES_TABLE, profile),
            stage="research",
            paid=False,
            group=controls_group(profile),
            version=features.CONTROL_FEATURES_VERSION,
            # bars and tape are computed as those of events
            decided_by=lambda settings: (
                settings_of_tape(settings.research.params),
                renewals.settings_of_minutes(settings.research.params),
                joined_outcomes.settings_of_costs(settings.research.params),
                settings.sessions,
                settings.features,
                (TAPE_TABLES_VERSION, renewals.SYMBOLS_VERSION),
            ),
            lineage=from_columns(
                chosen, {name: [name] for name in ("control_id", "control_of", "symbol", "timestamp")}
            ),
        ),
    }


def _facts_of_outcomes(profile: Profile) -> dict[str, AssetFacts]:
    """The rows of the assets of costs and of labels with costs."""
    of_costs = joined_outcomes.EVENT_COSTS_TABLE
    return {
        of_costs: AssetFacts(
            path=lambda lake: lake.research_table(of_costs, profile),
            stage="research",
            paid=False,
            group=research_group(profile),
            version=joined_outcomes.COSTS_VERSION,
            decided_by=lambda settings: (
                joined_outcomes.settings_of_costs(settings.research.params),
                settings.sessions,
            ),
            lineage={
                **from_columns(["event_labels"], {"event_id": ["event_id"], "net_return": ["gross_return"]}),
                **from_columns(
                    [profile, "micro_features"], {"cost_bps": ["spread_bps_at_end", "effective_spread_bps"]}
                ),
            },
        ),
        COHORTS_TABLE: AssetFacts(
            path=lambda lake: lake.research_table(COHORTS_TABLE, profile),
            stage="research",
            paid=False,
            group=research_group(profile),
            version=joined_cohorts.COHORTS_VERSION,
            decided_by=lambda settings: joined_cohorts.settings_of_cohorts(settings.research.params, settings.ranking),
            lineage={
                **from_columns([profile, of_costs], {"mean": ["net_return"], "cost_bps_median": ["cost_bps"]}),
                **from_columns(["event_labels"], {"share_up": ["label"], "tie_share": ["tie"]}),
                **from_columns(["event_bar_features"], {"flatness_b1": ["flatness_score"]}),
            },
        ),
        joined_outcomes.RESEARCH_LABELS_TABLE: AssetFacts(
            path=lambda lake: lake.research_table(joined_outcomes.RESEARCH_LABELS_TABLE, profile),
            stage="research",
            paid=False,
            group=research_group(profile),
            version=joined_outcomes.LABELS_VERSION,
            lineage={
                **from_columns([profile, of_costs], {name: [name] for name in COST_COLUMNS}),
                **from_columns(["event_labels"], {name: [name] for name in LABEL_COLUMNS}),
                **from_columns(
                    [profile, "manifest"],
                    {**{name: [name] for name in TABLE_KEYS}, "feature_from": ["timestamp", "window_before_min"]},
                ),
            },
        ),
    }


def _of_tape(asset: str, settings: Settings) -> tuple[object, ...]:
    return settings_of_tape(settings.research.params, asset), settings.sessions


def _facts_of_tape(profile: Profile) -> dict[str, AssetFacts]:
    """The rows of the assets that are made from tape."""
    event_id = from_columns([profile, "manifest"], {"event_id": ["event_id"]})
    trades, quotes = ([profile, f"tape_{kind}"] for kind in TAPE_KINDS)
    prices, counted = ("open", "high", "low", "close"), ("conditions",)
    lineage: dict[str, Lineage] = {
        "micro_features": {
            **event_id,
            **from_columns(quotes, {"spread_bps_mean": ["bid_price", "ask_price"]}),
            **from_columns(trades, {"dollar_volume_usd": ["price", "size", *counted]}),
        },
        "bar_reconciliation": {
            **from_columns(["minute_bars"], {f"bar_{name}": [name] for name in (*prices, "volume", "transactions")}),
            **from_columns(trades, {f"tape_{name}": ["price", *counted] for name in prices}),
        },
        "event_tape_state": {**event_id, **from_columns(trades, {"ssr_condition": counted})},
    }
    return {
        asset: AssetFacts(
            path=lambda lake, asset=asset: lake.research / profile / asset,  # type: ignore[misc] # a default argument
            stage="research",
            paid=False,
            group=research_group(profile),
            version=TAPE_TABLES_VERSION,
            decided_by=partial(_of_tape, asset),
            lineage=lineage[asset],
        )
        for asset in ASSET_TABLES
    }
