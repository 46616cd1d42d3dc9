"""A capture that is killed (-9) repeatedly under faults, compared with an undisturbed one.

python benchmarks/kills.py [--kills 100] [--windows 400] [--seed 1]

The exchange hits one request in five with a fault and answers the others after 40 ms. Each kill comes at a random
moment of a capture in a separate process, from its first imports on. The last line is one JSON object; the exit code
is 1 if anything that must hold does not.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from smallcaps_assets.domain.manifests.selection import Selection
from smallcaps_assets.domain.tables import MANIFEST
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS
from smallcaps_assets.lake.files.publish import publish_frame
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.ledger import build_ledger
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.lake.verification.verify import verify
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.market_data.http.pacing import TokenBucket
from smallcaps_assets.market_data.http.transport import Transport
from smallcaps_assets.pipeline.tape.capture import Capture
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets.simulated.hours import trading_dates
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets.simulated.protocol.exchange import Exchange
from smallcaps_assets.simulated.protocol.faults import FaultyExchange, fault_script
from smallcaps_assets.simulated.protocol.server import serve
from smallcaps_assets.simulated.protocol.wire import Reply

LATENCY = {"fault": "latency", "rate": 1, "seconds": 0.04}
# one request in five, of every kind that a later request can make good
FAULTS = [
    {"fault": "429", "rate": 0.01},
    {"fault": "429_retry_after", "rate": 0.01, "seconds": 1},
    {"fault": "500", "rate": 0.03},
    {"fault": "502", "rate": 0.02},
    {"fault": "503", "rate": 0.02},
    {"fault": "reset", "rate": 0.04},
    {"fault": "truncated_gzip", "rate": 0.03},
    {"fault": "html", "rate": 0.01},
    {"fault": "no_results", "rate": 0.01},
    {"fault": "loop", "rate": 0.01},
    {"fault": "repeat", "rate": 0.01},
    {"fault": "drip", "rate": 0.01, "seconds": 0.5},
]
LONGEST_S = 1.5


class Listening:
    """An exchange that writes down which spans it was asked for."""

    def __init__(self, exchange: FaultyExchange) -> None:
        self.exchange = exchange
        self.seen: set[tuple[str, str, int]] = set()

    def reply(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        if "timestamp.gte" in query:
            _, _, kind, symbol = path.split("/")
            self.seen.add((kind, symbol, int(query["timestamp.gte"])))
        return self.exchange.reply(path, query, headers)


def store(root: Path) -> tuple[ManifestStore, TapeStore]:
    settings, lake = load_settings(None, {}), Lake(root)
    tape = TapeStore(lake, "core", settings.profiles["core"], settings.capture.size_budget)
    return ManifestStore.in_lake(lake, "core"), tape


def begin(root: Path, windows: int) -> None:
    """Freeze a manifest of so many events, at minutes that are as good as any."""
    symbols = SimulatedMarket().symbols()
    rows: list[dict[str, Any]] = []
    for day in trading_dates(date(2025, 10, 20), date(2025, 12, 1)):
        for session, hour in (("PM", 13), ("RTH", 15), ("RTH", 16), ("AH", 22)):
            for symbol in symbols:
                at = datetime(day.year, day.month, day.day, hour, 7, tzinfo=UTC)
                rows.append({"event_id": f"{symbol}_{at:%Y%m%d_%H%M}", "symbol": symbol, "session": session,
                             "timestamp": at, "date": f"{day}", "window_before_min": 3, "window_after_min": 7,
                             "extended": False})  # fmt: skip
    chosen = random.Random(3).sample(rows, windows)  # noqa: S311
    for rank, row in enumerate(chosen, start=1):
        row["rank"] = rank
    frame = pl.DataFrame([dict.fromkeys(MANIFEST) | row for row in chosen], schema=MANIFEST)
    root.mkdir()
    manifests, _ = store(root)
    manifests.freeze(Selection(frame, [], {}), config_hash="kills", master_sha256="none", now=datetime.now(UTC))


def capture(root: Path, base_url: str) -> list[str]:
    """The whole capture, as far as it comes; returns what failed."""
    manifests, tape = store(root)
    manifest = manifests.load()
    pairs = manifest.select("symbol", "session").unique(maintain_order=True).rows()
    problems: list[str] = []
    print("ready", flush=True)
    with MarketDataClient(
        Transport(base_url, "a-key-of-benchmarks", bucket=TokenBucket(None), jitter=lambda: 0.05)
    ) as client:
        for kind in TAPE_KINDS:
            work = Capture(kind, tape, client, 8, "kills", log=lambda line: None)  # noqa: ARG005
            for outcome in work.run(manifest, pairs):
                problems += outcome.problems
    return problems


def killed(root: Path, base_url: str, chance: random.Random) -> bool:
    """Start a capture and kill it; whether it was still at work."""
    command = [sys.executable, __file__, "--child", str(root), base_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout  # noqa: S101
        if chance.random() > 0.1:  # noqa: PLR2004 -- one in ten dies before it has begun
            process.stdout.readline()
        time.sleep(chance.uniform(0, LONGEST_S))
        at_work = process.poll() is None
        process.kill()
    return at_work


def frames(tape: TapeStore) -> dict[str, pl.DataFrame]:
    """What is published, by the name of its file."""
    root = tape.lake.root
    paths = [Path(path) for kind in TAPE_KINDS for path in tape.published(kind)["path"]]
    return {path.relative_to(root).as_posix(): pl.read_parquet(path, hive_partitioning=False) for path in paths}


def spans(tape: TapeStore) -> set[tuple[str, str, int]]:
    return {
        (kind, symbol, int(start.timestamp()) * 10**9)
        for kind in TAPE_KINDS
        for symbol, start in tape.published(kind).select("symbol", "start").iter_rows()
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--windows", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1, help="of the moments and of the faults")
    parser.add_argument("--child", nargs=2, metavar=("ROOT", "URL"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        return 1 if capture(Path(arguments.child[0]), arguments.child[1]) else 0
    chance = random.Random(arguments.seed)  # noqa: S311
    market = SimulatedMarket(clock=lambda: datetime(2026, 1, 5, 12, tzinfo=UTC))
    with tempfile.TemporaryDirectory() as folder:
        calm, rough = Path(folder) / "calm", Path(folder) / "rough"
        begin(calm, arguments.windows)
        begin(rough, arguments.windows)
        with serve(Exchange(market)) as server:
            capture(calm, server.base_url)
        script = fault_script(json.dumps([LATENCY, *FAULTS]))
        listening = Listening(FaultyExchange(Exchange(market), script, arguments.seed))
        _, tape = store(rough)
        kills = repeated = runs = 0
        began = time.monotonic()
        with serve(listening) as server:
            while kills < arguments.kills:
                before = spans(tape)
                listening.seen.clear()
                if not killed(rough, server.base_url, chance):
                    # the capture was over: make room for the next kills, as a user who lost files would
                    for path in chance.sample(sorted(rough.rglob("symbol=*/*.parquet")), arguments.windows // 2):
                        path.unlink()
                    continue
                kills += 1
                repeated += len(before & listening.seen)
                if kills % 10 == 0:
                    print(
                        f"{kills} kills, {len(spans(tape)):,} spans published, {time.monotonic() - began:.0f} s",
                        flush=True,
                    )
            while runs < 20 and (runs == 0 or capture(rough, server.base_url)):  # noqa: PLR2004
                runs += 1
        return report(calm, rough, {"kills": kills, "runs_to_the_end": runs, "repeated_spans": repeated}, listening)


def report(calm: Path, rough: Path, figures: dict[str, int], listening: Listening) -> int:
    """Compare and print; 0 when all holds."""
    (_, undisturbed), (manifests, tape) = store(calm), store(rough)
    expected, found = frames(undisturbed), frames(tape)
    manifest_id = manifests.sidecar()["manifest_id"]
    ledger = build_ledger(manifests.load(), tape, manifest_id)
    publish_frame(tape.lake.ledger("core"), ledger, below=tape.lake.root)
    figures |= {
        "faults": sum(count for kind, count in listening.exchange.counts().items() if kind != "latency"),
        "files": len(found),
        "files_that_differ": sum(name not in found or not found[name].equals(frame) for name, frame in expected.items())
        + len(found.keys() - expected.keys()),
        "temporary_files": len([path for path in rough.rglob("*") if path.name.endswith(".part")]),
        "refusals_left": sum(len(tape.failures(kind)) for kind in TAPE_KINDS),
        "events": ledger.height,
        "events_unaccounted": ledger.filter(
            ~pl.col("state").is_in(["complete", "empty", "trades_only", "quotes_only"])
        ).height,
        "findings_of_verify": len(verify(tape).findings),
    }
    print(json.dumps(figures))
    none_of = ("repeated_spans", "files_that_differ", "temporary_files", "refusals_left")
    must_be_none = (*none_of, "events_unaccounted", "findings_of_verify")
    return int(any(figures[name] for name in must_be_none))


if __name__ == "__main__":
    raise SystemExit(main())
