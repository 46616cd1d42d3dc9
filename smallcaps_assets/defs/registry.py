"""One row of facts per asset: where its data lies, where it stands in the work, its code version, its column lineage.

A new asset needs one row here, beside its own modules. An asset without a row and a row without an asset are errors
when the definitions are built.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Final

import dagster as dg

from smallcaps_assets.defs.facts.asset_facts import AssetFacts, Lineage, from_columns
from smallcaps_assets.defs.facts.research_facts import facts_of_profile, facts_of_research
from smallcaps_assets.domain.lineage import (
    OF_LEDGER,
    OF_LEDGER_FROM_TAPE,
    OF_MANIFEST,
    OF_MASTER,
    OF_SHARD,
    trace_columns,
)
from smallcaps_assets.domain.listings.as_of import EVENT_LISTINGS
from smallcaps_assets.domain.tables import BARS, EVENTS, MANIFEST, SHARD, TRADES
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS, TAPE_SCHEMA_NUMBER, TapeKind
from smallcaps_assets.domain.tape.tables import LEDGER, LEDGER_ADDED
from smallcaps_assets.domain.universe import WITHOUT_EFFECT
from smallcaps_assets.lake.cohorts import COHORTS_TABLE
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.pipeline.events import rules_in_force
from smallcaps_assets.pipeline.universe.as_of import AS_OF_VERSION, settings_of_filters
from smallcaps_assets.settings.settings import COHORTS_FROM, PROFILES, Profile, Settings, lake_path

OWNERS: Final = ["team:data"]
# a row of reference data, which the vendor is asked for
_reference_facts = partial(AssetFacts, stage="reference", paid=True, group="reference")


def _of_detection(settings: Settings) -> tuple[object, ...]:
    """The settings that decide shards: those of detection without the grouping of events, which MASTER does."""
    grouping = {"cooldown": {"group_window_min"}}
    of_events = settings.detection.model_dump(mode="json", exclude=grouping)
    return of_events, settings.sessions, settings.universe.test_symbols


def _of_verdicts(settings: Settings) -> tuple[object, ...]:
    """The settings that decide which events were in the universe on their date."""
    return (settings_of_filters(settings.universe),)


def _from_tape(profile: Profile, kind: TapeKind) -> Lineage:
    derived = {f"{kind}_{name}": columns for name, columns in OF_LEDGER_FROM_TAPE.items()}
    columns = {name: dtype for name, dtype in LEDGER.items() if name in derived}
    return from_columns([profile, f"tape_{kind}"], trace_columns(columns, TRADES, derived))


def _from_cohorts(settings: Settings, profile: Profile) -> Lineage:
    """The columns that cohorts give a manifest whose events they select."""
    if settings.profiles[profile].cohorts is None:
        return {}
    columns = {"selected_by_cohort": ["winning"], "cohort_id": ["cohort_id"], "as_of": ["as_of"]}
    return from_columns([COHORTS_FROM, COHORTS_TABLE], columns)


def _of_profile(profile: Profile) -> dict[str, AssetFacts]:
    """The rows of the assets of one profile, by the last part of their keys."""
    tape_facts = partial(AssetFacts, stage="tape", paid=True, group=profile, version=f"{TAPE_SCHEMA_NUMBER}")
    proof_facts = partial(AssetFacts, stage="proof", paid=False, group=profile)
    return {
        "manifest": AssetFacts(
            path=lambda lake: lake.manifests(profile),
            stage="selection",
            paid=False,
            group=profile,
            version="1",
            decided_by=lambda settings: (settings.profiles[profile], settings.ranking),
            lineage=from_columns(["master_events"], trace_columns(MANIFEST, EVENTS, OF_MANIFEST)),
            lineage_by_settings=lambda settings: _from_cohorts(settings, profile),
        ),
        "tape_trades": tape_facts(
            path=lambda lake: lake.tape(profile, "trades"),
            decided_by=lambda settings: (settings.profiles[profile].columns,),
        ),
        "tape_quotes": tape_facts(
            path=lambda lake: lake.tape(profile, "quotes"),
            decided_by=lambda settings: (
                settings.profiles[profile].columns,
                settings.profiles[profile].quotes,
                settings.capture.size_budget,
                settings.capture.quotes_without_trades,
            ),
        ),
        "capture_ledger": proof_facts(
            path=lambda lake: lake.ledger(profile),
            version="3",
            schema=LEDGER,
            added=LEDGER_ADDED,
            lineage={
                **from_columns([profile, "manifest"], trace_columns(LEDGER, MANIFEST, OF_LEDGER)),
                **{name: deps for kind in TAPE_KINDS for name, deps in _from_tape(profile, kind).items()},
            },
        ),
        "capture_report": proof_facts(
            path=lambda lake: lake.ledger(profile).with_name("report.parquet"),
            version="2",
            decided_by=lambda settings: (settings.kpis,),
        ),
        **facts_of_profile(profile),
        "review_sheet": AssetFacts(
            path=lambda lake: lake.review(profile),
            stage="review",
            paid=False,
            group=profile,
            kinds=frozenset({"html"}),
            version="2",
            decided_by=lambda settings: (
                settings.review,
                settings.sessions,
                settings.features,
                settings.detectors.opening_range_break.range_min,
            ),
        ),
    }


# by asset key in words, as `core/manifest`
REGISTRY: Final[Mapping[str, AssetFacts]] = {
    "universe": _reference_facts(
        path=lambda lake: lake.universe,
        kinds=frozenset({"parquet"}),
        version="1",
        decided_by=lambda settings: (
            settings.universe.model_dump(mode="json", exclude=WITHOUT_EFFECT),
            settings.history.first_session,
        ),
    ),
    "trade_conditions": _reference_facts(
        path=lambda lake: lake.trade_conditions,
        version="1",
    ),
    "splits": _reference_facts(
        path=lambda lake: lake.splits,
        version="1",
        decided_by=lambda settings: (settings.history.first_session,),
    ),
    "flat_minute_bars": AssetFacts(
        path=lambda lake: lake.flat_bars,
        stage="bars",
        paid=True,
        group="bars",
        version="1",
        # a row of every lake, an asset where flat files are a source of bars
        is_defined=lambda settings: settings.source.bars != "rest",
    ),
    "listings": AssetFacts(
        path=lambda lake: lake.listings,
        stage="reference",
        paid=True,
        group="listings",
        version="1",
        decided_by=lambda settings: (
            settings.history.first_session,
            settings.universe.test_symbols,
            settings.universe.listing_borders,
        ),
    ),
    "minute_bars": AssetFacts(
        path=lambda lake: lake.minute_bars,
        stage="bars",
        paid=True,
        group="bars",
        version="1",
        decided_by=lambda settings: (settings.history.first_session, settings.history.last_session),
    ),
    "coverage": AssetFacts(
        path=lambda lake: lake.coverage,
        stage="bars",
        paid=False,
        group="bars",
        version="2",
        decided_by=lambda settings: (
            settings.history.first_session,
            settings.history.last_session,
            settings.checks.bars,
        ),
    ),
    "event_shards": AssetFacts(
        path=lambda lake: lake.shards,
        stage="events",
        paid=False,
        group="events",
        version=rules_in_force.CODE_VERSION,
        decided_by=_of_detection,
        lineage=from_columns(["minute_bars"], trace_columns(SHARD, BARS, OF_SHARD)),
    ),
    "master_events": AssetFacts(
        path=lambda lake: lake.master,
        stage="events",
        paid=False,
        group="events",
        # its rows are detected by the rules in force, or it is out of date
        version=f"1-{rules_in_force.CODE_VERSION}",
        decided_by=lambda settings: (settings.detection, settings.sessions, settings.universe.test_symbols),
        lineage=from_columns(["event_shards"], trace_columns(EVENTS, SHARD, OF_MASTER)),
        schema=EVENTS,
    ),
    "event_listings": AssetFacts(
        path=lambda lake: lake.event_listings,
        stage="events",
        paid=True,
        group="listings",
        version=AS_OF_VERSION,
        decided_by=_of_verdicts,
        lineage=from_columns(["master_events"], {name: [name] for name in ("event_id", "symbol", "date")}),
        schema=EVENT_LISTINGS,
    ),
    **facts_of_research(),
    "nightly_report": AssetFacts(
        path=lambda lake: lake.nightly_report,
        stage="nightly",
        paid=False,
        group="nightly",
        # it describes one run, and is not out of date with later code
        version=None,
    ),
    **{f"{profile}/{name}": facts for profile in PROFILES for name, facts in _of_profile(profile).items()},
}


def facts_of(asset: dg.AssetKey) -> AssetFacts:
    """The row of an asset.

    Raises:
        DagsterInvalidDefinitionError: it has none.
    """
    _require_rows([asset])
    return REGISTRY[asset.to_user_string()]


def with_facts(assets: Sequence[dg.AssetsDefinition], settings: Settings) -> list[dg.AssetsDefinition]:
    """Assets with the facts of their rows: tags, group, kinds, owner, code version, path and column lineage.

    Raises:
        DagsterInvalidDefinitionError: an asset has no row, or a row has no asset.
    """
    keys = [spec.key for asset in assets for spec in asset.specs]
    _require_rows(keys)
    expected = {name for name, facts in REGISTRY.items() if facts.is_defined(settings)}
    if unused := expected - {key.to_user_string() for key in keys}:
        raise dg.DagsterInvalidDefinitionError(
            f"the registry has rows without an asset: {', '.join(sorted(unused))}. Remove them from REGISTRY in "
            f"{__name__}, or add the asset to the package smallcaps_assets.defs.assets."
        )
    lake = Lake(lake_path(settings))
    described = [asset.map_asset_specs(lambda spec: _with_facts(spec, settings, lake)) for asset in assets]
    return [asset for asset in dg.with_source_code_references(described) if isinstance(asset, dg.AssetsDefinition)]


def _with_facts(spec: dg.AssetSpec, settings: Settings, lake: Lake) -> dg.AssetSpec:
    facts = facts_of(spec.key)
    metadata: dict[str, object] = {"dagster/uri": facts.path(lake).as_uri()}
    if lineage := {**facts.lineage, **facts.lineage_by_settings(settings)}:
        metadata["dagster/column_lineage"] = dg.TableColumnLineage(deps_by_column=lineage)
    return spec.merge_attributes(
        tags={"stage": facts.stage, "paid": "yes" if facts.paid else "no"},
        metadata=metadata,
        owners=OWNERS,
        kinds=set(facts.kinds),
    ).replace_attributes(group_name=facts.group, code_version=facts.code_version(settings))


def _require_rows(keys: Iterable[dg.AssetKey]) -> None:
    without = [name for key in keys if (name := key.to_user_string()) not in REGISTRY]
    if without:
        fields = ", ".join(each.name for each in dataclasses.fields(AssetFacts))
        raise dg.DagsterInvalidDefinitionError(
            f"assets without a row in the registry: {', '.join(sorted(without))}. Add a row for each to REGISTRY in "
            f"{__name__}, with its {fields}."
        )
