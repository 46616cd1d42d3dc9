"""What the catalog of the web UI says of every asset besides its own words: tags, place, code, versions, lineage."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import dagster as dg

from smallcaps_assets.defs.code_versions import code_versions
from smallcaps_assets.domain.lineage import (
    OF_LEDGER,
    OF_LEDGER_FROM_TAPE,
    OF_MANIFEST,
    OF_MASTER,
    OF_SHARD,
    made_of,
)
from smallcaps_assets.domain.tables import BARS, EVENTS, MANIFEST, SHARD, TRADES
from smallcaps_assets.domain.tape.kpis import LEDGER
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.settings.settings import Settings, lake_path

# Where in the work an asset stands, by the last part of its key, and whether making it spends requests of the plan.
STAGES: Final[Mapping[str, tuple[str, bool]]] = {
    "universe": ("reference", True),
    "minute_bars": ("bars", True),
    "event_shards": ("events", False),
    "master_events": ("events", False),
    "manifest": ("selection", False),
    "tape_trades": ("tape", True),
    "tape_quotes": ("tape", True),
    "capture_ledger": ("proof", False),
    "capture_report": ("proof", False),
    "review_sheet": ("review", False),
    "nightly_report": ("nightly", False),
    "coverage": ("bars", False),
}


def catalogued(assets: Sequence[dg.AssetsDefinition], settings: Settings) -> list[dg.AssetsDefinition]:
    """`assets` with what the catalog says of them."""
    lake = Lake(lake_path(settings))
    versions = code_versions(settings)
    described = [asset.map_asset_specs(lambda spec: _described(spec, lake, versions)) for asset in assets]
    return [asset for asset in dg.with_source_code_references(described) if isinstance(asset, dg.AssetsDefinition)]


def _described(spec: dg.AssetSpec, lake: Lake, versions: Mapping[str, str]) -> dg.AssetSpec:
    name = spec.key.path[-1]
    stage, paid = STAGES.get(name, (None, False))
    tags = {} if stage is None else {"stage": stage, "paid": "yes" if paid else "no"}
    place = _place(spec.key, lake)
    metadata: dict[str, object] = {} if place is None else {"dagster/uri": place.as_uri()}
    lineage = _lineage(spec.key)
    if lineage:
        metadata["dagster/column_lineage"] = dg.TableColumnLineage(deps_by_column=lineage)
    version = versions.get(spec.key.to_user_string())
    return spec.merge_attributes(tags=tags, metadata=metadata).replace_attributes(code_version=version)


def _place(key: dg.AssetKey, lake: Lake) -> Path | None:
    """The file of a table, or the folder of its partitions."""
    profile, name = key.path[0], key.path[-1]
    places = {
        "universe": lake.universe,
        "minute_bars": lake.minute_bars,
        "event_shards": lake.shards,
        "master_events": lake.master,
        "manifest": lake.manifests(profile),
        "tape_trades": lake.tape(profile, "trades"),
        "tape_quotes": lake.tape(profile, "quotes"),
        "capture_ledger": lake.ledger(profile),
        "capture_report": lake.ledger(profile).with_name("report.parquet"),
        "review_sheet": lake.review(profile),
        "nightly_report": lake.nightly_report,
        "coverage": lake.coverage,
    }
    return places.get(name)


Lineage = Mapping[str, Sequence[dg.TableColumnDep]]


def _lineage(key: dg.AssetKey) -> Lineage:
    """Which columns of which assets each column is made of."""
    profile, name = key.path[0], key.path[-1]
    if name == "event_shards":
        return _from(dg.AssetKey("minute_bars"), made_of(SHARD, BARS, OF_SHARD))
    if name == "master_events":
        return _from(dg.AssetKey("event_shards"), made_of(EVENTS, SHARD, OF_MASTER))
    if name == "manifest":
        return _from(dg.AssetKey("master_events"), made_of(MANIFEST, EVENTS, OF_MANIFEST))
    if name == "capture_ledger":
        return {
            **_from(dg.AssetKey([profile, "manifest"]), made_of(LEDGER, MANIFEST, OF_LEDGER)),
            **_from_tape(profile, "trades"),
            **_from_tape(profile, "quotes"),
        }
    return {}


def _from_tape(profile: str, kind: str) -> Lineage:
    derived = {f"{kind}_{name}": columns for name, columns in OF_LEDGER_FROM_TAPE.items()}
    own = {name: dtype for name, dtype in LEDGER.items() if name in derived}
    return _from(dg.AssetKey([profile, f"tape_{kind}"]), made_of(own, TRADES, derived))


def _from(upstream: dg.AssetKey, columns: Mapping[str, Iterable[str]]) -> Lineage:
    return {name: [dg.TableColumnDep(upstream, column) for column in found] for name, found in columns.items()}
