"""A year of nights in Dagster's state on SQLite, and what retention leaves of it. The last line is one JSON object.

python benchmarks/year.py [--symbols 2000] [--nights 250] [--companies 14] [--baseline]

One night is run for real, over a few companies, with all its research, as the daemon runs it. What it wrote into
Dagster's state is then written again for each night and symbol, byte for byte but for names, ids, times, data versions
and pointers to inputs: the records of partitions once per symbol, all others once per night. Every partition changes in
every night, which is the worst case. Then `smallcaps ui` serves the state, its GraphQL is asked what the pages ask,
`smallcaps status` is timed (over a universe without bars, so that its time is that of the state), and `retention`
removes what its settings say. The next start of `smallcaps ui` shrinks the files. MB are those of `du`; start-up is
until GraphQL answers with the definitions.

The state needs about 40 kB a symbol and night: 2,000 symbols and 250 nights need 20 GB in the folder for temporary
files.
"""

import argparse
import json
import re
import shutil
import sqlite3
import sys
import tempfile
import time
import uuid
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nightly
import scale
from dagster._core.storage.event_log.base import EventLogRecord
from dagster._serdes import deserialize_value, serialize_value

from smallcaps_assets.commands.services.state import open_state
from smallcaps_assets.defs.retention.removal import remove_old

COLUMNS = ("run_id", "event", "dagster_event_type", "timestamp", "step_key", "asset_key", "partition")
INSERT = f"INSERT INTO event_logs (id, {', '.join(COLUMNS)}) VALUES ({', '.join('?' * 8)})"  # noqa: S608
TAG = "dagster/data_version"
INSERT_TAG = "INSERT INTO asset_event_tags (event_id, asset_key, key, value, event_timestamp) VALUES (?, ?, ?, ?, ?)"
FAST = "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-400000"
Row = tuple[Any, ...]
# with its data version
VersionedRow = tuple[Row, str | None]

# where copies of an event differ
RUN, SYMBOL, VERSION, POINTER, TIME = "{run}", "{symbol}", "{version}", "{pointer}", "{time}"

PARTITIONS = """query ($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  partitionKeys assetPartitionStatuses { __typename ... on DefaultPartitionStatuses {
    materializedPartitions failedPartitions unmaterializedPartitions } } } } }"""
ASSET = """query ($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  partitionStats { numPartitions numMaterialized numMaterializing numFailed } staleStatus
  assetMaterializations(limit: 50) { timestamp partition runId metadataEntries { label } } } } }"""
GRAPH = """{ assetNodes(loadMaterializations: true) { id groupName staleStatus
  assetMaterializations(limit: 1) { timestamp runId }
  partitionStats { numPartitions numMaterialized numMaterializing numFailed }
  assetChecksOrError { ... on AssetChecks { checks { name executionForLatestMaterialization { status } } } } } }"""
RUNS = """{ runsOrError(limit: 26) { ... on Runs { count results {
  runId status jobName startTime endTime tags { key value } assetSelection { path } } } } }"""
PAGES = {"asset": ASSET, "partitions": PARTITIONS, "graph": GRAPH, "runs": RUNS}


class Night:
    """What one real night wrote: its run, its events with the index, its checks."""

    def __init__(self, state: Path) -> None:
        runs, index = state / "history" / "runs.db", state / "history" / "runs" / "index.db"
        with closing(sqlite3.connect(runs)) as opened:
            columns = [row[1] for row in opened.execute("PRAGMA table_info(runs)")]
            (run,) = opened.execute("SELECT * FROM runs WHERE pipeline_name = 'nightly'").fetchall()
            self.run = dict(zip(columns, run, strict=True))
            self.run_id = str(self.run["run_id"])
            self.tags = opened.execute("SELECT key, value FROM run_tags WHERE run_id = ?", [self.run_id]).fetchall()
            self.snapshots = opened.execute(
                "SELECT snapshot_id, snapshot_body, snapshot_type FROM snapshots"
            ).fetchall()
        self.shard = state / "history" / "runs" / f"{self.run_id}.db"
        query = f"SELECT id, {', '.join(COLUMNS)} FROM event_logs WHERE run_id = ? ORDER BY id"  # noqa: S608
        with closing(sqlite3.connect(index)) as opened:
            self.indexed = opened.execute(query, [self.run_id]).fetchall()
            self.versions = dict(opened.execute("SELECT event_id, value FROM asset_event_tags WHERE key = ?", [TAG]))
            self.check_columns = [row[1] for row in opened.execute("PRAGMA table_info(asset_check_executions)")][1:]
            names = ", ".join(self.check_columns)
            chosen = f"SELECT {names} FROM asset_check_executions WHERE run_id = ?"  # noqa: S608
            self.checks = opened.execute(chosen, [self.run_id]).fetchall()
            self.keys = opened.execute("SELECT asset_key, last_materialization_timestamp FROM asset_keys").fetchall()
        with closing(sqlite3.connect(self.shard)) as opened:
            self.logged = opened.execute(query, [self.run_id]).fetchall()
        self.began = datetime.fromisoformat(self.logged[0][4])
        self._parts = dict[str, list[str]]()
        self.symbols = sorted({row[7] for row in self.indexed if row[7]})

    def parts(self, row: Row) -> list[str]:
        """The event of a row, cut where copies differ."""
        if row[2] not in self._parts:
            text = row[2].replace(self.run_id, RUN)
            text = text.replace(f'"{row[7]}"', f'"{SYMBOL}"') if row[7] else text
            text = re.sub(r'("dagster/data_version": "[^"]*)"', rf'\1{VERSION}"', text)
            text = re.sub(r'("dagster/input_event_pointer/[^"]*": )"\d+"', rf'\1"{POINTER}"', text)
            text = re.sub(r'("timestamp": )\d+\.\d+', rf"\g<1>{TIME}", text)
            self._parts[row[2]] = re.split(f"({RUN}|{SYMBOL}|{VERSION}|{POINTER}|{TIME})", text)
        return self._parts[row[2]]


@dataclass(frozen=True)
class Copy:
    """A night of the year: its number, its run, and how much later it is than the real one."""

    number: int
    run_id: str
    later: timedelta

    def rows(self, rows: Sequence[Row], night: Night, symbols: Sequence[str], first: int) -> Iterator[VersionedRow]:
        """The rows of this night from the id `first` on: those of partitions for every symbol, asset by asset."""
        of_partitions = dict[tuple[str, str], list[Row]]()
        for row in rows:
            if row[7]:
                of_partitions.setdefault((row[6], row[3]), []).append(row)
        position = first
        for row in rows:
            if not row[7]:
                yield self._row(row, night, position, position - 1, None)
                position += 1
            elif some := of_partitions.pop((row[6], row[3]), None):
                before = position - 1
                for place, symbol in enumerate(symbols):
                    yield self._row(some[place % len(some)], night, position, before, symbol)
                    position += 1

    def _row(self, row: Row, night: Night, position: int, before: int, symbol: str | None) -> VersionedRow:
        at = datetime.fromisoformat(row[4]) + self.later
        filled = {
            RUN: self.run_id,
            SYMBOL: symbol or "",
            VERSION: f"-{self.number}",
            POINTER: f"{before}",
            TIME: f"{at.replace(tzinfo=UTC).timestamp():.6f}",
        }
        event = "".join(filled.get(part, part) for part in night.parts(row))
        version = night.versions.get(row[0])
        made = (position, self.run_id, event, row[3], f"{at:%Y-%m-%d %H:%M:%S.%f}", row[5], row[6], symbol)
        return made, f"{version}-{self.number}" if version else None


def write_year(night: Night, state: Path, symbols: Sequence[str], nights: int) -> int:
    """Write so many nights into a state, the last of them today; returns the rows of the event log."""
    folder, position = state / "history" / "runs", 1
    empty = folder / "empty"
    shutil.copy(night.shard, empty)
    with closing(sqlite3.connect(empty)) as opened:
        opened.execute("DELETE FROM event_logs")
        opened.commit()
        opened.execute("VACUUM")
        opened.execute("PRAGMA journal_mode=WAL")
    began, last = time.perf_counter(), dict[str, Row]()
    with (
        closing(sqlite3.connect(folder / "index.db")) as index,
        closing(sqlite3.connect(state / "history" / "runs.db")) as runs,
    ):
        index.executescript(FAST)
        position = index.execute("SELECT coalesce(max(id), 0) + 1 FROM event_logs").fetchone()[0]
        insert = "INSERT OR IGNORE INTO snapshots (snapshot_id, snapshot_body, snapshot_type) VALUES (?, ?, ?)"
        runs.executemany(insert, night.snapshots)
        for number in range(1, nights + 1):
            run_id, later = f"{uuid.uuid4()}", datetime.now() - timedelta(days=nights - number) - night.began  # noqa: DTZ005
            copy = Copy(number, run_id, later)
            made = list(copy.rows(night.indexed, night, symbols, position))
            index.executemany(INSERT, [row for row, _ in made])
            index.executemany(
                INSERT_TAG, [(row[0], row[6], TAG, version, row[4]) for row, version in made if version and row[6]]
            )
            write_checks(index, night, run_id, later)
            position += len(made)
            last |= {row[6]: row for row, _ in made if row[6] and row[3] == "ASSET_MATERIALIZATION"}
            index.commit()
            shard = folder / f"{run_id}.db"
            shutil.copy(empty, shard)
            with closing(sqlite3.connect(shard)) as opened:
                opened.executescript(FAST)
                of_run = copy.rows(night.logged, night, symbols, 1)
                opened.executemany(INSERT, (row for row, _ in of_run))
                opened.commit()
                opened.execute("PRAGMA journal_mode=WAL")
            write_run(runs, night, run_id, later)
            runs.commit()
            if number % 25 == 0:
                print(f"{number} nights written in {time.perf_counter() - began:.0f} s", flush=True)
        for key, row in last.items():
            record = serialize_value(EventLogRecord(row[0], deserialize_value(row[2])))
            index.execute(
                "INSERT OR REPLACE INTO asset_keys (asset_key, last_materialization, last_run_id, "
                "last_materialization_timestamp) VALUES (?, ?, ?, ?)", [key, record, row[1], row[4]])  # fmt: skip
        index.commit()
        index.execute("PRAGMA journal_mode=WAL")
        rows = int(index.execute("SELECT count(*) FROM event_logs").fetchone()[0])
    empty.unlink()
    return rows


def write_checks(index: sqlite3.Connection, night: Night, run_id: str, later: timedelta) -> None:
    names = night.check_columns
    rows = []
    for check in night.checks:
        found = dict(zip(names, check, strict=True))
        found |= {"run_id": run_id, "evaluation_event": found["evaluation_event"].replace(night.run_id, run_id)}
        for name in ("evaluation_event_timestamp", "create_timestamp"):
            found[name] = f"{datetime.fromisoformat(found[name]) + later:%Y-%m-%d %H:%M:%S.%f}"
        rows.append([found[name] for name in names])
    places = ", ".join("?" * len(names))
    index.executemany(f"INSERT INTO asset_check_executions ({', '.join(names)}) VALUES ({places})", rows)  # noqa: S608


def write_run(runs: sqlite3.Connection, night: Night, run_id: str, later: timedelta) -> None:
    found = {name: value for name, value in night.run.items() if name != "id"}
    found |= {"run_id": run_id, "run_body": found["run_body"].replace(night.run_id, run_id)}
    for name in ("create_timestamp", "update_timestamp"):
        found[name] = f"{datetime.fromisoformat(found[name]) + later:%Y-%m-%d %H:%M:%S.%f}"
    for name in ("start_time", "end_time"):
        found[name] += later.total_seconds()
    places = ", ".join("?" * len(found))
    runs.execute(f"INSERT INTO runs ({', '.join(found)}) VALUES ({places})", list(found.values()))  # noqa: S608
    runs.executemany("INSERT INTO run_tags (run_id, key, value) VALUES (?, ?, ?)",
                     [(run_id, key, value) for key, value in night.tags])  # fmt: skip


def megabytes(folder: Path) -> float:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file()) / 1e6


def event_rows(state: Path) -> int:
    with closing(sqlite3.connect(state / "history" / "runs" / "index.db")) as opened:
        return int(opened.execute("SELECT count(*) FROM event_logs").fetchone()[0])


def start(place: scale.Place) -> float:
    """Seconds until the web UI of a state answers."""
    began = time.perf_counter()
    with scale.serving(place):
        return time.perf_counter() - began


def serve(place: scale.Place, state: Path, when: str) -> dict[str, float]:
    """Start-up, pages and status of a state."""
    began = time.perf_counter()
    figures: dict[str, float] = {}
    with scale.serving(place) as ui:
        figures["start"] = time.perf_counter() - began
        for name, query in PAGES.items():
            taken = [scale.seconds(lambda query=query: ui.ask(query, key={"path": ["minute_bars"]})) for _ in range(4)]
            figures |= {f"{name}_cold": taken[0], f"{name}_warm": sorted(taken[1:])[1]}
        stats = ui.ask(ASSET, key={"path": ["minute_bars"]})["assetNodeOrError"]["partitionStats"]
        figures |= {"materialized": stats["numMaterialized"], "failed": stats["numFailed"]}
    status = [sys.executable, "-m", "smallcaps_assets.cli", "status"]
    figures["status"] = scale.seconds(
        lambda: scale.subprocess.run(status, check=True, stdout=scale.subprocess.DEVNULL, cwd=scale.REPOSITORY)
    )
    figures |= {"mb": megabytes(state), "events": event_rows(state)}
    found = {f"{name}_{when}": value for name, value in figures.items()}
    print({name: round(value, 2) for name, value in found.items()}, flush=True)
    return found


def real_night(companies: int) -> Night:
    """One night of a few companies, over a lake that lacks its session."""
    folder = Path(tempfile.mkdtemp())
    with nightly.exchange(companies) as base_url:
        nightly.begin(folder, base_url, Namespace(symbols=companies, sessions=10, behind=0.0))
        figures = nightly.measure()
    if not figures["success"]:
        raise SystemExit("the night failed")
    return Night(folder / "state")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", type=int, default=2_000)
    parser.add_argument("--nights", type=int, default=250)
    parser.add_argument(
        "--companies", type=int, default=14, help="listed in the real night; about nine in ten are followed"
    )
    parser.add_argument("--baseline", action="store_true", help="measure the empty state as well")
    arguments = parser.parse_args()
    night = real_night(arguments.companies)
    print(f"a night of {len(night.symbols)} symbols: {len(night.indexed)} events in the index, {len(night.logged)} in "
          "the log of its run", flush=True)  # fmt: skip
    for name in ("SMALLCAPS_CONFIG", "SMALLCAPS_OVERRIDES", "DAGSTER_HOME"):
        scale.os.environ.pop(name, None)
    symbols = [f"{night.symbols[number % len(night.symbols)]}.{number:05d}" for number in range(arguments.symbols)]
    figures: dict[str, Any] = {"nights": arguments.nights, "symbols": len(symbols)}
    with tempfile.TemporaryDirectory() as folder, scale.exchange() as base_url:
        place = scale.prepare(Path(folder), base_url, "sqlite", {})
        scale.fill(place, symbols, 10)
        state = place.home / ".dagster"
        with open_state(place.settings) as instance:
            instance.add_dynamic_partitions("symbols", symbols)
        if arguments.baseline:
            figures |= serve(place, state, "empty")
        began = time.perf_counter()
        write_year(night, state, symbols, arguments.nights)
        print(f"written in {time.perf_counter() - began:.0f} s", flush=True)
        figures |= serve(place, state, "before")
        with open_state(place.settings) as instance:
            began = time.perf_counter()
            done = remove_old(instance, datetime.now(UTC), place.settings.retention, print)
            figures["retention_s"] = time.perf_counter() - began
            again = time.perf_counter()
            remove_old(instance, datetime.now(UTC), place.settings.retention, print)
            figures["retention_again_s"] = time.perf_counter() - again
        print(done, flush=True)
        figures["mb_unshrunk"] = megabytes(state)
        figures["start_shrinking"] = start(place)
        figures |= serve(place, state, "after")
        figures["runs_after"] = len(list((state / "history" / "runs").glob("*-*.db")))
    print(json.dumps({name: round(value, 3) if isinstance(value, float) else value for name, value in figures.items()}))


if __name__ == "__main__":
    main()
