"""Damage that a command could overlook: altered rows under a sound footer, tables of another kind, folders, tape."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import polars as pl
import pytest

from smallcaps_assets.cli import main
from smallcaps_assets.commands.demo import show_reports
from smallcaps_assets.commands.services.state import KEPT_S, remove_states_of_missing_lakes
from smallcaps_assets.commands.services.state_folder import lake_of_state, name_of_state
from smallcaps_assets.defs.assets.tape import make_ledger
from smallcaps_assets.defs.resources import LakeResource, SettingsResource
from smallcaps_assets.errors import InputError, LakeError
from smallcaps_assets.lake.files.content_hash import is_altered
from smallcaps_assets.lake.files.publish import provenance_of, publish_frame, publish_text
from smallcaps_assets.lake.files.remedies import how_to_restore, remedy_within_lake
from smallcaps_assets.lake.files.stored_tables import is_stored
from smallcaps_assets.lake.imports import record_import
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets.simulated.replay.market import ReplayMarket
from smallcaps_assets_tests.properties.damage_test import alter_table
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.small_lake import EVENTS, fill_small_lake, fresh_clone

# candidates alone would decide the same events, and no bar be read
DETECT = ["detect", "--compare", "lake/events/master.parquet", "--from-bars"]
BARS = "bars/minute/symbol=AVLO/2025-11.parquet"
EVENT = EVENTS[0]["event_id"]
WINDOWS = ["import", "windows", "windows", "--before", "3", "--after", "7", "--timezone", "UTC"]


@pytest.fixture(scope="module")
def whole_home(tmp_path_factory: pytest.TempPathFactory, small_market: SimulatedMarket) -> Path:
    """A clone with a small lake."""
    folder = fresh_clone(tmp_path_factory.mktemp("home"))
    fill_small_lake(Lake(folder / "lake"), small_market)
    return folder


@pytest.fixture
def lake(whole_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A copy of that lake in a clone, which is the working directory."""
    home = tmp_path / "home"
    shutil.copytree(whole_home, home)
    for name in ("SMALLCAPS_CONFIG", "SMALLCAPS_OVERRIDES", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "restored at the end")
        monkeypatch.delenv(name)
    monkeypatch.setenv("SMALLCAPS_HOME", str(home))
    monkeypatch.chdir(home)
    return Lake(home / "lake")


def outcome(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    capsys.readouterr()
    code = main(arguments)
    printed = capsys.readouterr()
    # lines may be folded at the width of a terminal
    return code, " ".join((printed.out + printed.err).split())


def tape_file(lake: Lake) -> Path:
    return min(lake.tape_wave("core", "trades", "RTH", "AVLO").glob("*.parquet"))


@pytest.mark.parametrize(
    ("file", "arguments"),
    [
        ("events/master.parquet", DETECT),
        ("events/master.parquet", ["manifest", "--master", "lake/events/master.parquet", "--profile", "core"]),
        (BARS, DETECT),
        (BARS, ["detect", "--bars", "lake/bars/minute", "--out", "events.parquet"]),
        (BARS, ["coverage"]),
    ],
)
def test_an_altered_value_below_a_sound_footer_is_named(
    lake: Lake, file: str, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert outcome(arguments, capsys)[0] == 0
    alter_table(lake.root / file)
    code, printed = outcome(arguments, capsys)
    assert code in {1, 2}
    assert f"{file}: is damaged: its content is not what was published (SHA-256)." in printed
    assert how_to_restore(lake.root / file) in printed


@pytest.mark.parametrize(
    ("file", "arguments"),
    [
        ("events/master.parquet", DETECT),
        ("events/master.parquet", ["manifest", "--master", "lake/events/master.parquet", "--profile", "core"]),
        (BARS, DETECT),
        (BARS, ["detect", "--bars", "lake/bars/minute", "--out", "events.parquet"]),
    ],
)
def test_a_table_of_another_kind_in_a_lake_has_the_remedy_of_the_lake(
    lake: Lake, file: str, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    pl.DataFrame({"other": [1]}).write_parquet(lake.root / file)
    code, printed = outcome(arguments, capsys)
    assert code in {1, 2}
    assert f"{file}: no column " in printed
    assert how_to_restore(lake.root / file) in printed
    assert "--columns" not in printed


def test_people_may_lay_out_their_files_like_a_lake(tmp_path: Path) -> None:
    assert remedy_within_lake(tmp_path / BARS) is None
    (tmp_path / "events").mkdir()
    assert remedy_within_lake(tmp_path / BARS) == how_to_restore(tmp_path / BARS)
    assert remedy_within_lake(tmp_path / "bars" / "AVLO.parquet") is None


def test_a_file_that_is_not_parquet_is_no_altered_one(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"PAR1")
    assert not is_altered(tmp_path / "x")
    (tmp_path / "y").write_bytes(b"\xff" * 20)
    assert not is_altered(tmp_path / "y")
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "z")
    assert not is_altered(tmp_path / "z")


def test_a_folder_in_the_place_of_a_month_stops_detection(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    (lake.root / BARS).unlink()
    (lake.root / BARS).mkdir()
    for command in (DETECT, ["detect", "--bars", "lake/bars/minute", "--out", "events.parquet"]):
        code, printed = outcome(command, capsys)
        assert code == 2
        assert (
            f"{BARS}: is a folder, where a file belongs: move the folder away. {how_to_restore(lake.root / BARS)}"
            in printed
        )


def test_a_file_that_cannot_be_looked_up_is_named(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 300)
    with pytest.raises(LakeError, match=re.escape(f"{path}: cannot be read (")):
        is_stored(path)


@pytest.mark.parametrize(
    ("folder", "command"),
    [
        ("bars/minute/symbol=AVLO", DETECT),
        ("bars/minute/symbol=AVLO", ["import", "bars", "mine.parquet"]),
        ("bars/minute", ["detect", "--bars", "lake/bars/minute", "--out", "events.parquet"]),
        ("bars", ["detect", "--bars", "lake/bars/minute", "--out", "events.parquet"]),
        ("events", ["manifest", "--master", "lake/events/master.parquet", "--profile", "core", "--out", "chosen"]),
        ("tape/core/trades", ["status"]),
        ("tape/core/trades", ["plan"]),
        ("tape", WINDOWS),
        ("quarantine/tape/core", WINDOWS),
    ],
)
def test_a_file_in_the_place_of_a_folder_is_named(
    lake: Lake, folder: str, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    home = lake.root.parent
    bars = pl.read_parquet(lake.root / BARS, hive_partitioning=False)
    bars.with_columns(symbol=pl.lit("AVLO"), close=pl.col("close") + 0.01).write_parquet(home / "mine.parquet")
    (home / "windows").mkdir()
    trades = pl.read_parquet(tape_file(lake), hive_partitioning=False)
    trades.write_parquet(home / "windows" / f"{EVENT}_trades.parquet")
    shutil.rmtree(lake.root / folder)
    (lake.root / folder).touch()
    code, printed = outcome(command, capsys)
    assert code == 2
    assert (
        f"{folder}: is a file, where a folder belongs: move the file away. {how_to_restore(lake.root / folder)}"
        in printed
    )


@pytest.mark.parametrize(
    "file",
    ["reference/universe.parquet", "reference/ticker_details.parquet", "events/master.parquet", BARS,
     "tape/core/report.parquet", "reports/coverage.parquet"],
)  # fmt: skip
def test_verify_finds_a_sound_table_of_another_kind_and_a_folder(
    lake: Lake, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_frame(lake.root / file, pl.DataFrame({"other": [1]}))
    code, printed = outcome(["verify"], capsys)
    assert code == 1
    assert f"{file}: is a table of another kind" in printed
    (lake.root / file).unlink()
    (lake.root / file).mkdir()
    code, printed = outcome(["verify"], capsys)
    assert code == 1
    assert f"{file}: is a folder; expected a file" in printed
    assert f"{file}: is missing" not in printed


def test_verify_goes_on_where_a_folder_of_tape_cannot_be_read(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    folder = lake.tape("core", "trades")
    shutil.rmtree(folder)
    folder.touch()
    code, printed = outcome(["verify"], capsys)
    assert code == 1
    assert f"cannot be read; expected a parquet file, found {folder}: is a file, where a folder belongs" in printed


def of_another_symbol(lake: Lake, path: Path) -> None:
    """The tape of another symbol in its place, as a restored copy may be."""
    shutil.copyfile(min(lake.tape_wave("core", "trades", "RTH", "CRVO").glob("*.parquet")), path)


def with_footer(**values: object) -> Callable[[Lake, Path], None]:
    def publish(_: Lake, path: Path) -> None:
        rows, footer = pl.read_parquet(path, hive_partitioning=False), provenance_of(path) or {}
        publish_frame(path, rows, footer | values)

    return publish


TAPE_DAMAGE: Final[dict[str, tuple[Callable[[Lake, Path], object], str]]] = {
    "empty": (lambda _, path: path.write_bytes(b""), "cannot be read ("),
    "of another kind": (
        lambda _, path: pl.DataFrame({"other": [1]}).write_parquet(path),
        "is a table of another kind: its footer has nothing that tape files record. ",
    ),
    "of another symbol": (of_another_symbol, "is tape of symbol CRVO, not of AVLO. "),
    "of another wave": (with_footer(wave="AH"), "is tape of wave AH, not of RTH. "),
    "without columns": (with_footer(schema=7), "is damaged: its footer records no columns and types: schema is 7. "),
    "with a text as count": (with_footer(pages="x"), "is damaged: its footer has values that no tape file has. "),
    "with a number as time": (with_footer(fetched_at=7), "is damaged: its footer has values that no tape file has. "),
}


@pytest.mark.parametrize("damage", TAPE_DAMAGE)
def test_damaged_tape_is_named_where_its_windows_count_as_missing(
    lake: Lake, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path, (spoil, words) = tape_file(lake), TAPE_DAMAGE[damage]
    tape = TapeStore(lake, "core", default_settings().profiles["core"])
    spoil(lake, path)
    named = f"{path}: {words}"
    for command in ("status", "plan"):
        code, printed = outcome([command], capsys)
        assert code == 1
        assert f"damaged: 1 file, whose windows count as missing: {named}" in printed
        assert how_to_restore(path) in printed
    for read in (tape.trades, lambda event: tape.scan("trades", [event])):
        with pytest.raises(LakeError, match=re.escape(named)):
            read(EVENT)


def test_what_counts_windows_of_damaged_tape_as_missing_says_so(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    path, folder = tape_file(lake), lake.root.parent / "windows"
    folder.mkdir()
    pl.read_parquet(path, hive_partitioning=False).write_parquet(folder / f"{EVENTS[1]['event_id']}_trades.parquet")
    path.write_bytes(b"")
    named = f"damaged: 1 file, whose windows count as missing: {path}: cannot be read ("
    windows = ["import", "windows", "windows", "--before", "3", "--after", "7", "--timezone", "UTC"]
    for command in (["audit", "--sample", "1", "--sample-seed", "1"], windows):
        code, printed = outcome(command, capsys)
        assert code == 1
        assert named in printed
    settings = SettingsResource(document=default_settings().model_dump_json())
    _, figures = make_ledger("core", settings, LakeResource(root=str(lake.root)))
    assert f"damaged: {figures['damaged']}".startswith(named)


def test_the_reports_of_a_demo_name_what_is_damaged_and_go_on(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    settings = default_settings()
    assert show_reports(lake, ["core", "plus"], settings) == (0, [])
    path, failure = tape_file(lake), next(lake.quarantine.glob("tape/core/quotes/*/*/*.json"))
    alter_table(path)
    failure.write_text("{}", encoding="utf-8")
    capsys.readouterr()
    assert show_reports(lake, ["core"], settings) == (2, [])
    printed = " ".join(capsys.readouterr().out.split())
    assert f"damaged: 2 files, whose windows count as missing: {failure}: has no usable state" in printed
    (lake.manifests("core") / "current.json").write_text("", encoding="utf-8")
    damaged, (error,) = show_reports(lake, ["core"], settings)
    assert damaged == 0
    assert f"profile core: {error}" in " ".join(capsys.readouterr().out.split())


def test_status_fails_where_splits_are_damaged(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(["status"], capsys)[0] == 0
    publish_frame(lake.splits, pl.DataFrame({"other": [1]}), below=lake.root)
    code, printed = outcome(["status"], capsys)
    assert code == 1
    assert f"research: {lake.splits}: no column " in printed
    assert how_to_restore(lake.splits) in printed
    assert "profile core: " in printed


@pytest.mark.parametrize("kind", ["labels", "sample"])
def test_status_shows_the_capture_where_a_review_is_damaged(
    kind: str, lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    """One digit of a time decides which of two labels counts: the file is proved before it is read."""
    pattern = "core/marks/*/*.json" if kind == "labels" else "core/core_*.json"
    (path,) = lake.review("core").parent.glob(pattern)
    text = path.read_text(encoding="utf-8")
    changed = text.replace("2025-12-02", "2025-12-03") if kind == "labels" else text.replace("sample_id", "sample_ie")
    assert changed != text
    path.write_text(changed, encoding="utf-8")
    code, printed = outcome(["status"], capsys)
    assert code == 1
    assert f"review: {path}: " in printed
    assert how_to_restore(path) in printed
    assert "success_pct" in printed


def test_audit_fails_where_a_sampled_file_is_damaged(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    for path in lake.tape("core", "trades").glob("wave=*/symbol=*/*.parquet"):
        alter_table(path)
    for path in lake.tape("core", "quotes").glob("wave=*/symbol=*/*.parquet"):
        path.unlink()
    code, printed = outcome(["audit", "--sample", "1", "--sample-seed", "1"], capsys)
    assert (code, "not compared: trades" in printed, "is damaged: its content is not" in printed) == (1, True, True)


def test_tape_that_is_not_fine_enough_is_not_damaged(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    path = min(lake.tape_wave("core", "quotes", "RTH", "AVLO").glob("*.parquet"))
    with_footer(thinning={"by_change_only": True, "max_hz": 1})(lake, path)
    code, printed = outcome(["status"], capsys)
    assert (code, "damaged" in printed) == (0, False)


def test_manifests_without_the_file_that_names_the_current_one_are_named(
    lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    pointer = lake.manifests("core") / "current.json"
    pointer.unlink()
    named = f"{pointer}: is missing, although 1 manifest is in its folder, such as core_20260105_120000: "
    code, printed = outcome(["status"], capsys)
    assert code == 1
    assert f"profile core: {named}" in printed
    assert how_to_restore(pointer) in printed
    assert "profile plus: no manifest yet" in printed
    for command in (
        ["plan"],
        ["import", "windows", "windows", "--before", "3", "--after", "7", "--timezone", "UTC"],
    ):
        (lake.root.parent / "windows").mkdir(exist_ok=True)
        (lake.root.parent / "windows" / "x_trades.parquet").touch()
        code, printed = outcome(command, capsys)
        assert (code, named in printed) == (2, True)
    shutil.rmtree(pointer.parent)
    code, printed = outcome(["status"], capsys)
    assert code == 1
    assert f"profile core: {pointer.parent}: has no manifest, although {lake.ledger('core')} certifies" in printed


def test_a_universe_that_is_missing_beside_bars_is_no_empty_one(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    """Detection without it would let events pass that reference data filter."""
    lake.universe.unlink()
    named = f"{lake.universe}: is missing, although ticker_details.parquet beside it and the bars show that"
    for command in (["status"], DETECT):
        code, printed = outcome(command, capsys)
        assert (code, named in printed, how_to_restore(lake.universe) in printed) == (2, True, True)
    universe = UniverseStore(lake)
    for read in (universe.reference, universe.followed, universe.listings):
        with pytest.raises(LakeError, match=re.escape(named)):
            read()
    # it can be made again, and bars that were imported need none
    assert universe.read().is_empty()
    record_import(lake, "bars")
    assert universe.followed() == {}
    assert outcome(["status"], capsys)[0] == 0


def test_a_state_that_cannot_be_read_is_named_and_hides_nothing_of_the_lake(
    lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = lake.root.parent / ".dagster" / "history" / "runs.db"
    publish_text(runs.parent.parent / "dagster.yaml", "{}", below=lake.root.parent)
    publish_text(runs, "no database at all", below=lake.root.parent)
    code, printed = outcome(["status"], capsys)
    assert code == 1
    assert f"runs: {runs.parent.parent}: Dagster's state cannot be read (file is not a database): {runs} is" in printed
    assert "profile core: " in printed


def test_readers_of_tape_name_what_is_damaged(lake: Lake) -> None:
    tape, path = TapeStore(lake, "core", default_settings().profiles["core"]), tape_file(lake)
    whole, rows = path.read_bytes(), tape.trades(EVENT)
    assert rows.height > 0
    alter_table(path)
    with pytest.raises(LakeError, match="is damaged"):
        tape.trades(EVENT)
    path.unlink()
    with pytest.raises(InputError, match="are not in the lake yet"):
        tape.trades(EVENT)
    path.write_bytes(whole)
    assert tape.trades(EVENT).equals(rows)


def test_a_replayed_file_with_a_damaged_page_is_named(lake: Lake, tmp_path: Path) -> None:
    folder = tmp_path / "replayed"
    folder.mkdir()
    bars = pl.read_parquet(lake.root / BARS).with_columns(symbol=pl.lit("AVLO"))
    bars.write_parquet(folder / "bars.parquet", compression="zstd")
    content = bytearray((folder / "bars.parquet").read_bytes())
    content[4:2_000] = bytes(1_996)
    (folder / "bars.parquet").write_bytes(content)
    market = ReplayMarket(folder)
    with pytest.raises(InputError, match=r"bars\.parquet cannot be read to its end"):
        market.sessions()


def test_a_replay_without_one_of_its_files_does_not_begin(lake: Lake, tmp_path: Path) -> None:
    for name in ("bars", "bars_more"):
        bars = pl.read_parquet(lake.root / BARS).with_columns(symbol=pl.lit("AVLO"))
        publish_frame(tmp_path / f"{name}.parquet", bars)
    assert len(ReplayMarket(tmp_path).symbols()) == 1
    (tmp_path / "bars_more.parquet").unlink()
    (tmp_path / "bars_more.parquet").mkdir()
    with pytest.raises(InputError, match=r"bars_more\.parquet is a folder, where a file belongs"):
        ReplayMarket(tmp_path)


def test_a_cut_name_of_a_lake_does_not_remove_its_state(lake: Lake) -> None:
    """The lake is there, but its state names a part of its path, where nothing is."""
    elsewhere = lake.root.parent / "elsewhere" / "lake"
    elsewhere.mkdir(parents=True)
    state = lake.root.parent / ".dagster" / "lakes" / name_of_state(elsewhere)
    state.mkdir(parents=True)
    later = state.stat().st_mtime + 2 * KEPT_S
    for text in (str(elsewhere)[:-2], "", "lake"):
        publish_text(state / "lake.txt", text)
        assert remove_states_of_missing_lakes(later) == []
    assert lake_of_state(state) is None
    (state / "lake.txt").write_bytes(b"\xff\xfe\xe9")
    assert lake_of_state(state) is None
