"""Every command names a damaged file in one sentence, with how to get it back: no command ends with a stack trace."""

import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl
import pytest

from smallcaps_assets.cli import main
from smallcaps_assets.lake.files.remedies import how_to_restore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets_tests.listings import publish_event_listings, publish_listings
from smallcaps_assets_tests.small_lake import DAY, SYMBOLS, fill_small_lake, fresh_clone

pytestmark = pytest.mark.slow

Damage = Callable[[Path], object]

NOISE: Final = random.Random(1).randbytes(2_000)  # noqa: S311 -- no secret
OTHER: Final = pl.DataFrame({"other": [1, 2, 3]})


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


OF_ANY: Final[dict[str, Damage]] = {
    "empty": lambda path: path.write_bytes(b""),
    "truncated": _truncate,
    "random bytes": lambda path: path.write_bytes(NOISE),
    "a folder": _folder,
}
OF_TABLES: Final[dict[str, Damage]] = OF_ANY | {"other columns": OTHER.write_parquet}
OF_DOCUMENTS: Final[dict[str, Damage]] = OF_ANY | {
    "null": lambda path: path.write_text("null"),
    "a list": lambda path: path.write_text("[1, 2]"),
    "other keys": lambda path: path.write_text('{"other": {"deep": null}}'),
    "deep": lambda path: path.write_text("[" * 30_000),
}


class Victim(NamedTuple):
    """A file of the lake, and the commands that cannot answer without it."""

    pattern: str
    commands: Sequence[str]


COMMANDS: Final[dict[str, list[str]]] = {
    "status": ["status"],
    "verify": ["verify"],
    "audit": ["audit", "--sample", "2", "--sample-seed", "1"],
    "coverage": ["coverage"],
    "plan": ["plan"],
    "listings": ["listings", "--json"],
    "manifest": ["manifest", "--master", "lake/events/master.parquet", "--profile", "core", "--out", "chosen"],
    "check": ["check", "--offline"],
    "detect": ["detect", "--bars", "lake/bars/minute", "--out", "events.parquet"],
    "review": ["review", "labels.json"],
    "import bars": ["import", "bars", "mine"],
    "import events": ["import", "events", "mine/events.parquet", "--timezone", "UTC"],
    "import windows": ["import", "windows", "windows", "--before", "3", "--after", "7", "--timezone", "UTC"],
}
TABLES: Final = {
    "universe": Victim("reference/universe.parquet", ["status", "audit", "coverage", "check", "import events"]),
    "details": Victim("reference/ticker_details.parquet", []),
    "bars": Victim("bars/minute/symbol=AVLO/*.parquet", ["status", "plan"]),
    "shard": Victim("events/shards/symbol=AVLO.parquet", ["status"]),
    "master": Victim("events/master.parquet", ["manifest"]),
    "imported events": Victim("events/adopted.parquet", ["import events"]),
    "manifest": Victim("manifests/core/core_*.parquet", ["status", "plan"]),
    "ledger": Victim("tape/core/ledger.parquet", ["verify"]),
    "nightly report": Victim("reports/nightly.parquet", ["status"]),
    "tape": Victim("tape/core/trades/wave=RTH/symbol=AVLO/*.parquet", ["verify"]),
    "report": Victim("tape/core/report.parquet", []),
    "coverage": Victim("reports/coverage.parquet", []),
    "listings": Victim("reference/listings.parquet", ["listings", "plan"]),
    "listing facts": Victim("reference/listing_facts.parquet", ["listings", "plan"]),
    "list of tickers": Victim("reference/listings/snapshots/*.parquet", ["listings", "plan"]),
    "answers on tickers": Victim("reference/listings/observations.parquet", ["listings", "plan"]),
    "ticker events": Victim("reference/listings/ticker_events.parquet", ["verify"]),
    "delisted tickers": Victim("reference/listings/delisted.parquet", ["listings", "plan"]),
    "shares": Victim("reference/shares_outstanding.parquet", ["listings", "plan"]),
    "listings of events": Victim("events/listings.parquet", ["status"]),
    "rejected bars": Victim("quarantine/bars/minute/symbol=AVLO/*.parquet", []),
}
DOCUMENTS: Final = {
    "pointer": Victim("manifests/core/current.json", ["status", "plan"]),
    "sidecar": Victim("manifests/core/core_*.json", ["status", "plan"]),
    "sample": Victim("review/core/core_*.json", ["status", "review"]),
    "labels": Victim("review/core/marks/*/*.json", ["status", "review"]),
    "failure": Victim("quarantine/tape/core/quotes/wave=PM/symbol=AVLO/*.json", ["status"]),
    "coverage of shards": Victim("events/coverage/A.json", []),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, small_market: SimulatedMarket) -> Path:
    """A clone whose lake has a file of every kind."""
    folder = fresh_clone(tmp_path_factory.mktemp("home"))
    lake = Lake(folder / "lake")
    fill_small_lake(lake, small_market)
    publish_listings(lake, SYMBOLS, (date(2025, 11, 3), DAY, date(2025, 12, 1)))
    publish_event_listings(lake, pl.read_parquet(lake.master), DAY)
    lake.shard_coverages.mkdir(parents=True, exist_ok=True)
    (lake.shard_coverages / "A.json").write_text("{}")
    (stored,) = lake.review("core").glob("marks/*/*.json")
    # of another time: the same labels would replace a damaged file of theirs
    later = stored.read_text(encoding="utf-8").replace("T10:00:00Z", "T11:00:00Z")
    (folder / "labels.json").write_text(later, encoding="utf-8")
    (folder / "mine").mkdir()
    pl.read_parquet(next(lake.bars("AVLO").glob("*.parquet"))).write_parquet(folder / "mine" / "AVLO.parquet")
    pl.read_parquet(lake.master).write_parquet(folder / "mine" / "events.parquet")
    (folder / "windows").mkdir()
    (folder / "windows" / "x_trades.parquet").write_bytes(b"")
    return folder


@pytest.fixture(autouse=True)
def in_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clone as SMALLCAPS_HOME and working directory."""
    for name in ("SMALLCAPS_CONFIG", "SMALLCAPS_OVERRIDES", "DAGSTER_HOME", "DAGSTER_EVENT_BATCH_SIZE"):
        monkeypatch.setenv(name, "restored at the end")
        monkeypatch.delenv(name)
    monkeypatch.setenv("SMALLCAPS_HOME", str(home))
    monkeypatch.chdir(home)


@contextmanager
def damaged(path: Path, damage: Damage) -> Iterator[None]:
    """A file while it is damaged."""
    kept = path.read_bytes()
    damage(path)
    try:
        yield
    finally:
        if path.is_dir():
            shutil.rmtree(path)
        path.write_bytes(kept)


def victim_of(home: Path, pattern: str) -> Path:
    return min((home / "lake").glob(pattern))


def run(command: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code of a command, and all that it printed; an exception that it ends with fails the test."""
    capsys.readouterr()
    code = main(COMMANDS[command])
    printed = capsys.readouterr()
    return code, printed.out + printed.err


CASES: Final = [
    pytest.param(victim.pattern, damage, command, id=f"{command}, {name}, {kind}")
    for victims, damages in ((TABLES, OF_TABLES), (DOCUMENTS, OF_DOCUMENTS))
    for name, victim in victims.items()
    for kind, damage in damages.items()
    for command in victim.commands
]


@pytest.mark.parametrize(("pattern", "damage", "command"), CASES)
def test_a_damaged_file_is_named_with_its_remedy(
    home: Path, pattern: str, damage: Damage, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = victim_of(home, pattern)
    with damaged(file, damage):
        code, printed = run(command, capsys)
    assert code in {1, 2}, printed
    assert "Traceback" not in printed
    name = file.relative_to(home / "lake").as_posix()
    lines = [line for line in printed.splitlines() if name in line]
    # `verify` lists every difference, and says once what to do
    assert len(lines) == 1 or command == "verify", printed
    assert lines, printed
    assert how_to_restore(file) in lines[0] or command in {"verify", "manifest"}, printed
    assert command != "verify" or "remedy: " in printed or how_to_restore(file) in printed, printed
