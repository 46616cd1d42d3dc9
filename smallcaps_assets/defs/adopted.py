"""What Dagster is told of partitions that came into the lake without a run."""

from collections.abc import Mapping

import dagster as dg

from smallcaps_assets.defs.metadata import Metadata


def report(instance: dg.DagsterInstance, asset: dg.AssetKey, partitions: Mapping[str, Metadata]) -> None:
    """Record partitions of an asset as materialized, each with its own figures."""
    for partition, figures in partitions.items():
        instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=partition, metadata=figures))
