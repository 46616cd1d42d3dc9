"""Telling Dagster of partitions that were not made by a run of its own."""

from collections.abc import Mapping

import dagster as dg

from smallcaps_assets.defs.metadata import Metadata


def report(instance: dg.DagsterInstance, asset_key: dg.AssetKey, partitions: Mapping[str, Metadata]) -> None:
    """Record partitions of an asset as materialized, each with its metadata."""
    for partition, metadata in partitions.items():
        instance.report_runless_asset_event(dg.AssetMaterialization(asset_key, partition=partition, metadata=metadata))
