"""What Dagster is told of partitions that came into the lake without a run."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import dagster as dg

from smallcaps_assets.defs.code_versions import code_versions
from smallcaps_assets.defs.provenance import partition_tags, provenance, version_tags
from smallcaps_assets.defs.recording import described
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.settings.settings import Settings


def report(  # noqa: PLR0913
    instance: dg.DagsterInstance,
    settings: Settings,
    asset: dg.AssetKey,
    outcomes: Mapping[str, Outcome],
    *,
    upstream: Iterable[dg.AssetKey],
    more: Mapping[str, dg.MetadataValue] = MappingProxyType({}),
) -> None:
    """Record partitions of an asset as materialized, each with its own figures and version, as a run of ours does.

    Args:
        instance: Dagster's state.
        settings: whose code versions are in force.
        asset: the asset.
        outcomes: by partition key, what is there now.
        upstream: the assets that this one is made of.
        more: metadata of every partition.
    """
    made_of = provenance(instance, code_versions(settings)[asset.to_user_string()], upstream)
    for key, outcome in outcomes.items():
        tags = {**made_of, **version_tags(outcome.version), **partition_tags(key)}
        figures = {**described(outcome), **more}
        instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=key, metadata=figures, tags=tags))
