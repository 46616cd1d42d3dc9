"""The tags of a record in Dagster: code version, data version and inputs, by which the web UI shows what is stale."""

from collections.abc import Iterable, Sequence

import dagster as dg
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DATA_VERSION_TAG,
    DEFAULT_DATA_VERSION,
    NULL_EVENT_POINTER,
    get_input_data_version_tag,
    get_input_event_pointer_tag,
)

from smallcaps_assets.defs.registry import facts_of
from smallcaps_assets.defs.runs.run_tags import NIGHTLY
from smallcaps_assets.settings.settings import Settings

Tags = dict[str, str]


def provenance_tags(instance: dg.DagsterInstance, code_version: str, upstream: Iterable[dg.AssetKey]) -> Tags:
    """The tags that name the code version of a materialization, and the latest data version of each upstream asset."""
    tags = {CODE_VERSION_TAG: code_version}
    for asset in upstream:
        found = instance.fetch_materializations(asset, limit=1).records
        last = found[0].asset_materialization if found else None
        version = (last.tags or {}).get(DATA_VERSION_TAG) if last else None
        tags[get_input_data_version_tag(asset)] = version or DEFAULT_DATA_VERSION.value
        tags[get_input_event_pointer_tag(asset)] = f"{found[0].storage_id}" if found else NULL_EVENT_POINTER
    return tags


def provenance_of_asset(
    context: dg.OpExecutionContext, settings: Settings, asset: dg.AssetKey, upstream: Iterable[Sequence[str]]
) -> Tags:
    """The provenance of an asset that a step of a job makes; `upstream` are the keys of the assets it is made from."""
    version = facts_of(asset).code_version(settings)
    return provenance_tags(context.instance, version or context.run_id, [dg.AssetKey(path) for path in upstream])


def step_provenance(context: dg.AssetExecutionContext) -> Tags:
    """The provenance of the asset that a step makes; to be called before the step reads any input."""
    asset, defined = context.asset_key, context.assets_def
    version = defined.code_versions_by_key.get(asset) or context.run.run_id
    return provenance_tags(context.instance, version, defined.asset_deps[asset])


def upstream_in_night(context: dg.AssetExecutionContext, asset: dg.AssetKey) -> Iterable[dg.AssetKey] | None:
    """What an asset is made from, where the step belongs to a night; None elsewhere."""
    return context.assets_def.asset_deps[asset] if context.job_name == NIGHTLY else None


def data_version_tags(version: str | None) -> Tags:
    """The tags of a data version; none where it is not known."""
    return {} if version is None else {DATA_VERSION_TAG: version, DATA_VERSION_IS_USER_PROVIDED_TAG: "true"}
