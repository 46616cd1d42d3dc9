"""What Dagster is told of how something came about, so that the web UI can say what is out of date, and why.

Dagster gives all partitions of a run one data version. So partitions are recorded by events of our own, with the tags
that its own would bear and the data version of each, and the result tells Dagster to record nothing by itself.
"""

from collections.abc import Iterable
from typing import Final

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
from dagster._core.definitions.partitions.utils import get_tags_from_multi_partition_key
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION

Tags = dict[str, str]
# metadata of a result whose materializations are recorded already
RECORDED: Final = {SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True}


def provenance(instance: dg.DagsterInstance, code_version: str, upstream: Iterable[dg.AssetKey]) -> Tags:
    """The tags that say with which code something is made, and of what: what is known of `upstream` now."""
    tags = {CODE_VERSION_TAG: code_version}
    for asset in upstream:
        found = instance.fetch_materializations(asset, limit=1).records
        last = found[0].asset_materialization if found else None
        version = (last.tags or {}).get(DATA_VERSION_TAG) if last else None
        tags[get_input_data_version_tag(asset)] = version or DEFAULT_DATA_VERSION.value
        tags[get_input_event_pointer_tag(asset)] = f"{found[0].storage_id}" if found else NULL_EVENT_POINTER
    return tags


def provenance_in(context: dg.AssetExecutionContext) -> Tags:
    """The same of the asset that a step makes; to be asked before it reads anything."""
    asset, defined = context.asset_key, context.assets_def
    version = defined.code_versions_by_key.get(asset) or context.run.run_id
    return provenance(context.instance, version, defined.asset_deps[asset])


def version_tags(version: str | None) -> Tags:
    """The tags that say which data something is; none where that is not known."""
    return {} if version is None else {DATA_VERSION_TAG: version, DATA_VERSION_IS_USER_PROVIDED_TAG: "true"}


def partition_tags(key: str) -> Tags:
    """The tags by which Dagster finds partitions of two dimensions."""
    return dict(get_tags_from_multi_partition_key(key)) if isinstance(key, dg.MultiPartitionKey) else {}
