"""Dagster's event log: which records it holds, and their removal one by one.

Dagster has no way to remove events other than with their whole run, and a run of a night holds records that are still
the latest of their partition for as long as there are partitions that do not change. So events are removed here, with
Dagster's own tables and the statements by which it removes those of a run (`SqlEventLogStorage.delete_events_for_run`),
and only where the schema of the log is the one that this was written for.
"""

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

import dagster as dg
import polars as pl
import sqlalchemy as sql
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from dagster._core.events import EVENT_TYPE_TO_PIPELINE_RUN_STATUS
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from smallcaps_assets.defs.retention.sqlite_files import vacuum
from smallcaps_assets.defs.retention.superseded import LATEST, MADE, PLANNED, RECORD, RECORDS, superseded
from smallcaps_assets.errors import SettingsError

# the schema version of the event log of Dagster 1.13
KNOWN_SCHEMA: Final = "29b539ebc72a"
# rows of one transaction, so that others wait for less than a second; far below the parameters of a statement
_BATCH: Final = 5_000
# what the page of a run needs to show when it and its steps ran
_TIMELINE: Final = (
    *(kind.value for kind in EVENT_TYPE_TO_PIPELINE_RUN_STATUS),
    *(
        kind.value
        for kind in (
            dg.DagsterEventType.STEP_START,
            dg.DagsterEventType.STEP_SUCCESS,
            dg.DagsterEventType.STEP_FAILURE,
            dg.DagsterEventType.STEP_SKIPPED,
        )
    ),
)
_RUNLESS: Final = ""
_INDEX: Final = "index"
# the log of a run that is nowhere else is younger than that while the run begins
_NEW_S: Final = 86_400.0
_Log = SqlEventLogStorageTable.c
_T = TypeVar("_T")


class EventLog:
    """The event log of a state in SQLite or PostgreSQL."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        """Open it.

        Raises:
            SettingsError: it is of a kind or version that this was not written for; nothing may be removed.
        """
        storage = instance.event_log_storage
        if not isinstance(storage, SqlEventLogStorage):
            raise SettingsError(
                f"the event log of Dagster is a {type(storage).__name__}, which is not known here: nothing is removed."
            )
        present, installed = storage.alembic_version() or (None, None)
        if (present, installed) != (KNOWN_SCHEMA, KNOWN_SCHEMA):
            raise SettingsError(
                f"the event log of Dagster has the schema {present}, the installed Dagster {installed}, and only "
                f"{KNOWN_SCHEMA} is known here: nothing is removed. Run `dagster instance migrate`, or install a "
                "release of smallcaps_assets for this Dagster."
            )
        self._storage = storage
        self._files = storage if isinstance(storage, SqliteEventLogStorage) else None

    def first_since(self, moment: datetime) -> int:
        """The number of the first event at or after a moment (UTC); one more than the last where there is none."""
        naive = moment.replace(tzinfo=None)
        with self._storage.index_connection() as connection:
            low, high = connection.execute(sql.select(sql.func.min(_Log.id), sql.func.max(_Log.id))).one()
            if low is None:
                return 0
            high += 1
            # numbers grow with time
            while low < high:
                middle = (low + high) // 2
                row = connection.execute(
                    sql.select(_Log.id, _Log.timestamp).where(_Log.id >= middle).order_by(_Log.id).limit(1)
                ).one()
                if row.timestamp < naive:
                    low = row.id + 1
                else:
                    high = middle
        return int(low)

    def remove_superseded(
        self, asset: dg.AssetKey, first: int, first_of_tables: int, unfinished: Collection[str]
    ) -> int:
        """Remove the records of an asset that are older than the event `first` and decide nothing; returns how many.

        Materializations without a partition are history that the web UI draws: they stay from `first_of_tables` on.
        """
        old, without = self._old_records(asset, first)
        gone = superseded(old, self._latest(asset, old)) if not old.is_empty() else []
        gone += self._superseded_tables(without, first_of_tables, self._latest_without(asset))
        return self._remove(gone, unfinished)

    def remove_checks(self, before: datetime, unfinished: Collection[str]) -> int:
        """Remove the results of checks from before a moment (UTC), but for the last of each check and partition."""
        table = AssetCheckExecutionsTable.c
        key = (table.asset_key, table.check_name, table.partition)
        last = sql.select(sql.func.max(table.id)).group_by(*key)
        old = (table.create_timestamp < before.replace(tzinfo=None)) & table.id.not_in(last)
        with self._storage.index_connection() as connection:
            rows = connection.execute(sql.select(table.id, table.run_id).where(old)).all()
        gone = [row.id for row in rows if row.run_id not in unfinished]
        for batch in _batches(gone):
            with self._storage.index_transaction() as connection:
                connection.execute(AssetCheckExecutionsTable.delete().where(table.id.in_(batch)))
        return len(gone)

    def runs_with_records(self, first: int, kinds: Sequence[str] = RECORDS) -> set[str]:
        """The runs that recorded, before the event `first`, what is there of assets."""
        with self._storage.index_connection() as connection:
            query = sql.select(_Log.run_id).distinct().where(_Log.id < first, _Log.dagster_event_type.in_(kinds))
            return {str(row.run_id) for row in connection.execute(query)}

    def runs_of_failed_partitions(self, first: int) -> set[str]:
        """The runs whose plans for single partitions, from before the event `first`, are still open."""
        chosen = (_Log.id < first) & (_Log.dagster_event_type == PLANNED) & _Log.partition.is_not(None)
        with self._storage.index_connection() as connection:
            return {str(row.run_id) for row in connection.execute(sql.select(_Log.run_id).distinct().where(chosen))}

    def strip(self, run_id: str) -> int:
        """Remove the log of a run, but for when it and its steps ran; what it recorded of assets stays.

        Returns the number of events.
        """
        kept = (*_TIMELINE, *RECORDS)
        rest = (_Log.run_id == run_id) & (_Log.dagster_event_type.is_(None) | _Log.dagster_event_type.not_in(kept))
        with self._storage.index_connection() as connection:
            gone = [row.id for row in connection.execute(sql.select(_Log.id).where(rest))]
        removed = self._remove(gone, ())
        if self._files is None:
            return removed
        file = Path(self._files.path_for_shard(run_id))
        if not file.is_file():
            return removed
        of_timeline = _Log.dagster_event_type.in_(_TIMELINE)
        with self._files.run_connection(run_id) as connection:
            made = connection.execute(
                SqlEventLogStorageTable.delete().where(_Log.dagster_event_type.is_(None) | ~of_timeline)
            )
        vacuum(file)
        return int(made.rowcount)

    def clear(self, run_id: str) -> None:
        """Remove all events of a run; Dagster names each of them in one statement, which may have too many names."""
        if self._files is not None and Path(self._files.path_for_shard(run_id)).is_file():
            # Dagster's process expects the file to stay until it has removed the run
            with self._files.run_connection(run_id) as connection:
                connection.execute(SqlEventLogStorageTable.delete())
        with self._storage.index_connection() as connection:
            gone = [row.id for row in connection.execute(sql.select(_Log.id).where(_Log.run_id == run_id))]
        self._remove(gone, ())

    def forget_file(self, run_id: str) -> None:
        """Remove the file of a run that is no longer there; Dagster leaves it, and its size."""
        if self._files is not None:
            self._unlink(run_id)

    def files_without_run(self, instance: dg.DagsterInstance) -> list[str]:
        """Runs that are gone and whose file was left, such as by a process that was killed."""
        if self._files is None:
            return []
        oldest = time.time() - _NEW_S
        folder = Path(self._files.path_for_shard(_INDEX)).parent
        found = [file.stem for file in folder.glob("*.db") if file.stat().st_mtime < oldest]
        names = [name for name in found if name not in {_INDEX, ".db"}]
        known = set[str]()
        for batch in _batches(names):
            known.update(run.run_id for run in instance.get_runs(dg.RunsFilter(run_ids=batch)))
        return [name for name in names if name not in known]

    def remove_runless(self, first: int, before: datetime) -> int:
        """Remove what was reported without a run, but for records of assets; returns how many events."""
        rest = (_Log.run_id == _RUNLESS) & (_Log.id < first) & _Log.dagster_event_type.not_in(RECORDS)
        with self._storage.index_connection() as connection:
            gone = [row.id for row in connection.execute(sql.select(_Log.id).where(rest))]
        if self._files is not None and Path(self._files.path_for_shard(_RUNLESS)).is_file():
            # a copy, of which nothing is read but by the page of a run
            with self._files.run_connection(_RUNLESS) as connection:
                old = _Log.timestamp < before.replace(tzinfo=None)
                connection.execute(SqlEventLogStorageTable.delete().where(old))
        return self._remove(gone, ())

    def _old_records(self, asset: dg.AssetKey, first: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The records of an asset before the event `first` (RECORD), with a partition and without."""
        of_asset = _Log.asset_key == asset.to_string()
        tags = AssetEventTagsTable.c
        with self._storage.index_connection() as connection:
            rows = connection.execute(
                sql.select(_Log.id, _Log.partition, _Log.dagster_event_type).where(
                    of_asset, _Log.id < first, _Log.dagster_event_type.in_(RECORDS)
                )
            ).all()
            versions = connection.execute(
                sql.select(tags.event_id, tags.value).where(
                    tags.asset_key == asset.to_string(), tags.key == DATA_VERSION_TAG, tags.event_id < first
                )
            ).all()
        known = pl.DataFrame(
            [tuple(row) for row in versions], {"id": pl.Int64, "version": pl.String}, orient="row"
        ).unique("id")
        schema = {name: dtype for name, dtype in RECORD.items() if name != "version"}
        records = pl.DataFrame([tuple(row) for row in rows], schema, orient="row").join(known, on="id", how="left")
        has_partition = pl.col("partition").is_not_null()
        return records.filter(has_partition), records.filter(~has_partition)

    def _latest(self, asset: dg.AssetKey, old: pl.DataFrame) -> pl.DataFrame:
        """LATEST of the types of records among `old`."""
        kinds = set(old["type"]) | {MADE}
        rows = list[tuple[str, str, int]]()
        for kind in sorted(kinds):
            found = self._storage.get_latest_storage_id_by_partition(asset, dg.DagsterEventType(kind))
            rows += [(partition, kind, number) for partition, number in found.items()]
        tags = self._storage.get_latest_tags_by_partition(
            asset, dg.DagsterEventType.ASSET_MATERIALIZATION, [DATA_VERSION_TAG]
        )
        versions = [
            tags.get(partition, {}).get(DATA_VERSION_TAG) if kind == MADE else None for partition, kind, _ in rows
        ]
        columns = {
            "id": [number for _, _, number in rows],
            "partition": [partition for partition, _, _ in rows],
            "type": [kind for _, kind, _ in rows],
            "version": versions,
        }
        return pl.DataFrame(columns, LATEST)

    def _latest_without(self, asset: dg.AssetKey) -> dict[str, int]:
        """The number of the latest record of an asset without a partition, by type."""
        chosen = (_Log.asset_key == asset.to_string()) & _Log.partition.is_(None) & _Log.dagster_event_type.in_(RECORDS)
        query = (
            sql.select(_Log.dagster_event_type, sql.func.max(_Log.id)).where(chosen).group_by(_Log.dagster_event_type)
        )
        with self._storage.index_connection() as connection:
            return {kind: int(number) for kind, number in connection.execute(query).all()}

    @staticmethod
    def _superseded_tables(rows: pl.DataFrame, first_of_tables: int, latest: dict[str, int]) -> list[int]:
        made = latest.get(MADE, -1)
        gone = list[int]()
        for number, kind in rows.select("id", "type").iter_rows():
            is_history = kind == MADE and number >= first_of_tables
            is_latest = number == latest.get(kind) and (kind in {MADE, PLANNED} or number > made)
            if not (is_history or is_latest):
                gone.append(number)
        return gone

    def _remove(self, numbers: Sequence[int], unfinished: Collection[str]) -> int:
        """Remove events by number, but for those of runs that are not finished; returns how many."""
        removed = 0
        of_finished = _Log.run_id.not_in(list(unfinished)) if unfinished else sql.true()
        for batch in _batches(numbers):
            with self._storage.index_transaction() as connection:
                chosen = sql.select(_Log.id).where(_Log.id.in_(batch), of_finished)
                ids = [row.id for row in connection.execute(chosen)]
                connection.execute(AssetEventTagsTable.delete().where(AssetEventTagsTable.c.event_id.in_(ids)))
                connection.execute(SqlEventLogStorageTable.delete().where(_Log.id.in_(ids)))
            removed += len(ids)
        return removed

    def _unlink(self, run_id: str) -> None:
        assert self._files is not None  # noqa: S101
        file = Path(self._files.path_for_shard(run_id))
        for name in (file.name, f"{file.name}-wal", f"{file.name}-shm"):
            # open in another process, on Windows: a later night removes it
            with suppress(OSError):
                (file.parent / name).unlink(missing_ok=True)


def _batches(items: Sequence[_T]) -> Iterator[list[_T]]:
    return (list(items[start : start + _BATCH]) for start in range(0, len(items), _BATCH))
