"""Which partitions Dagster need not record again, because their last record already says what a new one would say."""

from collections.abc import Iterable, Mapping
from typing import Final

import dagster as dg
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_TAG,
    get_input_data_version_tag,
    get_input_event_pointer_tag,
)

from smallcaps_assets.pipeline.outcome import Outcome

# figures that count the work of one run, which its report sums
_WORK: Final = ("requests", "sessions_fetched", "sessions_detected", "events_detected", "files_set_aside")
# of one query, far below what any database takes
_BATCH: Final = 500


class LastRecords:
    """The last materialization of each partition of an asset.

    Dagster shows a partition as up to date where its record names the present code version and inputs that have not
    changed since. A record for which all of that holds, and the data version of the present content, is left as it is.
    """

    def __init__(
        self,
        instance: dg.DagsterInstance,
        asset: dg.AssetKey,
        upstream: Iterable[dg.AssetKey],
        provenance: Mapping[str, str],
    ) -> None:
        """Read what decides this; to be called before a step reads any input.

        Args:
            instance: Dagster's state.
            asset: the asset.
            upstream: what it is made from; assets with partitions have the same ones.
            provenance: what a record of now would say of code version and inputs.
        """
        storage, made = instance.event_log_storage, dg.DagsterEventType.ASSET_MATERIALIZATION
        planned = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
        self._instance, self._asset, self._provenance = instance, asset, provenance
        self._ids = storage.get_latest_storage_id_by_partition(asset, made)
        self._planned = storage.get_latest_storage_id_by_partition(asset, planned)
        self._versions = storage.get_latest_tags_by_partition(asset, made, [DATA_VERSION_TAG])
        self._upstream = {key: storage.get_latest_storage_id_by_partition(key, made) for key in upstream}

    def unchanged(self, outcomes: Mapping[str, Outcome]) -> set[str]:
        """The partitions of `outcomes` whose last record still holds; never one that has problems or did work."""
        ids = {self._ids[key]: key for key, outcome in outcomes.items() if self._may_hold(key, outcome)}
        found, waiting = set[str](), sorted(ids)
        while waiting:
            batch, waiting = waiting[:_BATCH], waiting[_BATCH:]
            chosen = dg.AssetRecordsFilter(asset_key=self._asset, storage_ids=batch)
            for record in self._instance.fetch_materializations(chosen, limit=len(batch)).records:
                made = record.asset_materialization
                if made is not None and self._holds(ids[record.storage_id], made.tags or {}):
                    found.add(ids[record.storage_id])
        return found

    def _may_hold(self, key: str, outcome: Outcome) -> bool:
        version = self._versions.get(key, {}).get(DATA_VERSION_TAG)
        return (
            not outcome.problems
            and outcome.version is not None
            and outcome.version == version
            and not any(outcome.figures.get(name) for name in _WORK)
            # a run that was to materialize it since then failed
            and self._planned.get(key, 0) < self._ids[key]
        )

    def _holds(self, key: str, tags: Mapping[str, str]) -> bool:
        """Whether the tags of the last record of a partition name the code and the inputs of now."""
        return tags.get(CODE_VERSION_TAG) == self._provenance.get(CODE_VERSION_TAG) and all(
            self._is_last_input(upstream, key, tags) for upstream in self._upstream
        )

    def _is_last_input(self, upstream: dg.AssetKey, key: str, tags: Mapping[str, str]) -> bool:
        of_partitions = self._upstream[upstream]
        pointer, version = get_input_event_pointer_tag(upstream), get_input_data_version_tag(upstream)
        if not of_partitions:
            return version in tags and tags[version] == self._provenance.get(version)
        seen = tags.get(pointer, "")
        return seen.isdecimal() and of_partitions.get(key, 0) <= int(seen)
