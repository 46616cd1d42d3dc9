"""Controls in a lake: chosen, planned, fetched over HTTP, certified, verified and computed, apart from events."""

from contextlib import closing
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Final

import polars as pl
import pytest

from smallcaps_assets.commands.inspecting.report import profile_report
from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.manifests.selection import Selection
from smallcaps_assets.domain.research.controls.labels import CONTROL_LABELS
from smallcaps_assets.domain.research.controls.outcomes import CONTROL_OUTCOMES, CONTROL_WAVES
from smallcaps_assets.domain.research.controls.params import ControlParams
from smallcaps_assets.domain.research.controls.tables import CONTROLS, with_controls
from smallcaps_assets.domain.tables import REFERENCE
from smallcaps_assets.domain.tape.kpis import capture_kpis
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS
from smallcaps_assets.errors import InputError, LakeError
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.controls import ControlStore
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.files.publish import publish_frame
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.ledger import build_control_ledger, build_ledger, capture_effort
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.research import ResearchStore
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.lake.verification.lake_files import verify_files
from smallcaps_assets.lake.verification.verify import verify
from smallcaps_assets.pipeline.events.detection import Detector
from smallcaps_assets.pipeline.research.bars.by_symbol import SymbolResearch
from smallcaps_assets.pipeline.research.controls.control_checks import checks_of_controls
from smallcaps_assets.pipeline.research.controls.features import PREFIX, TABLES_AFTER, ControlFeatures
from smallcaps_assets.pipeline.research.controls.selecting import ChosenControls, ControlChoice
from smallcaps_assets.pipeline.research.tape.tape_step import TapeResearch
from smallcaps_assets.pipeline.tape.capture import Capture
from smallcaps_assets.pipeline.tape.cost_estimate import Planner
from smallcaps_assets.research.control_tables import CONTROLS_WITH_OUTCOMES, ControlTables
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets_tests.conftest import LATER, client_of, event, files_below, manifest_of, master_of, open_gate
from smallcaps_assets_tests.scenarios import bars_from, default_settings, flat

DAYS: Final = (date(2025, 11, 24), date(2025, 11, 25), date(2025, 11, 26))
# AVLO twice at one New York time: both events may have the same control, whose window is then the wider one
FIRST = event("2025-11-26 10:00", event_id="AVLO_volume_spike_20251126_150000_00000000", symbol="AVLO")
AGAIN = event("2025-11-26 10:00", event_id="AVLO_flush_20251126_150000_00000001", symbol="AVLO", direction="down")
OTHER = event("2025-11-26 11:00", event_id="CRVO_volume_spike_20251126_160000_00000000", symbol="CRVO")
MANIFEST = manifest_of(FIRST, AGAIN, OTHER).with_columns(
    window_before_min=pl.Series([3, 10, 3]),
    window_after_min=pl.Series([7, 20, 7]),
    extended=pl.Series([False, True, False]),
)


class Scene:
    """A lake with bars of three days, a manifest and its captured tape."""

    def __init__(self, lake: Lake, market: SimulatedMarket, *, without: str | None = None) -> None:
        """`without`: a New York time at which no earlier day has a bar."""
        self.lake, self.settings = lake, default_settings()
        self.tape = TapeStore(lake, "core", self.settings.profiles["core"])
        self.manifests = ManifestStore.in_lake(lake, "core")
        self.controls = ControlStore(lake, "core")
        self.market = market
        publish_frame(lake.master, master_of(FIRST, AGAIN, OTHER), below=lake.root)
        # bars of AVLO on two earlier days; of CRVO on the day of its event alone
        for symbol, days in (("AVLO", DAYS), ("CRVO", DAYS[2:])):
            clock = pl.col("timestamp").dt.convert_time_zone("America/New_York").dt.to_string("%H:%M")
            is_last = pl.col("timestamp").dt.date() == DAYS[-1]
            bars = pl.concat(bars_from(f"{day} 09:30", flat(120), symbol) for day in days)
            bars = bars.filter((clock != pl.lit(without)) | is_last) if without else bars
            BarsStore(lake).add(symbol, DAYS[0].replace(day=1), [*days], bars, QUARANTINED_BARS.to_frame())
        self.freeze(MANIFEST, "a" * 16)

    def freeze(self, manifest: pl.DataFrame, config_hash: str, now: datetime = LATER) -> None:
        funnel = [{"step": "max_events", "rows": manifest.height}]
        self.manifests.freeze(Selection(manifest, funnel, {}), config_hash=config_hash, master_sha256="0" * 64, now=now)

    def capture(self) -> int:
        """Fetch what is missing of events and controls; returns the requests."""
        captured = self.tape.captured()
        pairs = list(captured.select("symbol", "session").unique().iter_rows())
        with open_gate(self.market) as gate, closing(client_of(gate)) as client:
            for kind in TAPE_KINDS:
                run = Capture(kind, self.tape, client, 1, "abc", log=lambda line: None).run(captured, pairs)  # noqa: ARG005
                assert not [outcome.problems for outcome in run if outcome.problems]
            return len(gate.requests)

    def certify(self) -> pl.DataFrame:
        """Publish both ledgers; returns that of the events."""
        manifest, sidecar = self.manifests.current()
        ledger = build_ledger(manifest, self.tape, sidecar["manifest_id"])
        publish_frame(self.lake.ledger("core"), ledger, below=self.lake.root)
        self.controls.publish_ledger(
            build_control_ledger(self.controls.load(manifest), self.tape, sidecar["manifest_id"])
        )
        return ledger

    def choice(self, share: float = 1.0) -> ControlChoice:
        limits, sessions = self.settings.profiles["core"], self.settings.sessions
        return ControlChoice(self.lake, "core", limits, ControlParams(control_share=share), sessions)

    def choose(self, share: float = 1.0) -> ChosenControls:
        return self.choice(share).publish()

    def features(self) -> ControlFeatures:
        detector = Detector(
            BarsStore(self.lake),
            ShardStore(self.lake),
            self.settings.detection,
            self.settings.sessions,
            REFERENCE.to_frame(),
        )
        assert not [problem for outcome in detector.run(["AVLO", "CRVO"]) for problem in outcome.problems]
        tape = TapeResearch(self.tape, self.settings.research.params, self.settings.sessions, prefix=PREFIX)
        return ControlFeatures(tape, SymbolResearch(detector, self.settings.research.params, None))

    def tape_files(self) -> dict[str, object]:
        return {name: found for name, found in files_below(self.lake.root).items() if name.startswith("tape/")}


@pytest.fixture
def scene(lake: Lake, small_market: SimulatedMarket) -> Scene:
    return Scene(lake, small_market)


def test_controls_need_a_ledger_of_the_current_manifest(scene: Scene) -> None:
    with pytest.raises(InputError, match=r"no ledger yet.*Materialize core/capture_ledger"):
        scene.choose()
    scene.certify()
    # nothing is captured yet, so no tape is complete
    chosen = scene.choose()
    assert chosen.selection.figures["tape_not_complete"] == 3
    assert scene.controls.load(MANIFEST).is_empty()
    scene.freeze(MANIFEST.head(1), "b" * 16, LATER + timedelta(minutes=1))
    with pytest.raises(LakeError, match=r"not of core_.*Materialize core/capture_ledger"):
        scene.choose()


def test_a_lake_without_controls_stays_as_it_is(scene: Scene) -> None:
    """No file of its own, and neither plan nor report nor what is captured has anything of controls."""
    scene.capture()
    ledger = scene.certify()
    assert not scene.lake.control_ledger("core").exists()
    assert scene.tape.captured()["event_id"].to_list() == MANIFEST["event_id"].to_list()
    plan = Planner(scene.tape, scene.settings.capture.assumptions, None).plan(scene.tape.captured())
    assert plan.table["wave"].to_list() == ["RTH", "all"]
    assert CONTROLS not in profile_report(scene.lake, "core", scene.settings, LATER)
    # the ledger and the figures are those of the events' tape, whatever else is captured later
    before, kpis = scene.tape_files(), capture_kpis(ledger, capture_effort(scene.tape), scene.settings.kpis)
    scene.choose()
    scene.capture()
    after = scene.certify()
    assert after.equals(ledger)
    assert {name: scene.tape_files()[name] for name in before if "ledger" not in name} == {
        name: found for name, found in before.items() if "ledger" not in name
    }
    assert capture_kpis(after, capture_effort(scene.tape), scene.settings.kpis).equals(kpis)


def test_controls_are_fetched_once_with_the_widest_window(scene: Scene) -> None:
    scene.capture()
    scene.certify()
    chosen = scene.choose().selection
    assert chosen.controls["control_of"].to_list() == [FIRST["event_id"], AGAIN["event_id"]]
    assert chosen.without == {"few_bars": 1}
    windows = chosen.controls["control_id"].n_unique()
    planner = Planner(scene.tape, scene.settings.capture.assumptions, None)
    table = planner.plan(scene.tape.captured()).table
    rows = {row["wave"]: row for row in table.to_dicts()}
    # both kinds of each window, one page each; the events are captured
    assert (rows[CONTROLS]["events"], rows[CONTROLS]["requests"]) == (windows, 2 * windows)
    assert (rows["all"]["events"], rows["all"]["events_due"], rows["all"]["requests"]) == (3, 0, 2 * windows)
    assert rows["RTH"]["requests"] == 0
    assert scene.capture() == 2 * windows
    assert scene.capture() == 0
    scene.certify()
    ledger = scene.controls.load_ledger()
    assert ledger["state"].to_list() == ["complete"] * windows
    assert ledger["event_type"].unique().to_list() == ["control"]
    wide = ledger.filter(pl.col("extended"))
    assert (wide["end"] - wide["start"]).to_list() == [timedelta(minutes=30)]
    assert int(capture_effort(scene.tape, of_controls=True)["requests"].sum()) == 2 * windows
    assert f"controls: {windows} window" in profile_report(scene.lake, "core", scene.settings, LATER)
    # the tape of a control is read by its id
    of_control = scene.tape.trades(ledger["event_id"][0])
    assert of_control["timestamp"].min() >= ledger["start"][0]  # type: ignore[operator]
    verified = verify(scene.tape)
    assert (verified.findings, verified.uncertified, dict(verified.controls)) == ((), (), {"complete": windows})
    assert not verify_files(scene.lake).unknown


def test_a_trial_captures_the_controls_of_its_events_only(scene: Scene) -> None:
    scene.capture()
    scene.certify()
    scene.choose()
    controls = scene.controls.load(MANIFEST)
    of_second = with_controls(MANIFEST.filter(event_id=AGAIN["event_id"]), controls)
    assert of_second["event_id"].to_list() == [AGAIN["event_id"], controls["control_id"][1]]
    assert with_controls(MANIFEST.filter(event_id=OTHER["event_id"]), controls).height == 1


def test_a_new_manifest_keeps_the_controls_of_its_events(scene: Scene) -> None:
    scene.capture()
    scene.certify()
    scene.choose()
    assert scene.controls.outdated(scene.manifests.current()) is None
    scene.freeze(MANIFEST.filter(event_id=AGAIN["event_id"]), "b" * 16, LATER + timedelta(minutes=1))
    assert scene.tape.captured().height == 2
    outdated = scene.controls.outdated(scene.manifests.current())
    assert outdated is not None
    assert "1 of 2 are of events of the current manifest" in outdated
    assert outdated in profile_report(scene.lake, "core", scene.settings, LATER)


def test_a_damaged_file_is_set_aside_before_the_ledger_is_asked_for(scene: Scene) -> None:
    """The ledger of a new manifest cannot be made beside damaged controls, nor controls be chosen without it."""
    scene.capture()
    scene.certify()
    scene.choose()
    scene.freeze(MANIFEST.head(1), "b" * 16, LATER + timedelta(minutes=1))
    scene.controls.path.write_bytes(scene.controls.path.read_bytes()[:-40])
    with pytest.raises(LakeError, match="Materialize core/control_manifest"):
        scene.controls.load(MANIFEST)
    with pytest.raises(LakeError, match="Materialize core/capture_ledger"):
        scene.choose()
    assert scene.controls.load(MANIFEST).is_empty()
    scene.certify()
    assert scene.choose().selection.controls["control_of"].to_list() == [FIRST["event_id"]]


def test_the_same_inputs_choose_the_same_file(scene: Scene) -> None:
    scene.capture()
    scene.certify()
    first = scene.choose()
    assert scene.choose().sha256 == first.sha256
    # half of three rows: one control
    assert scene.choose(0.5).selection.controls.height == 1


def test_verify_names_a_ledger_that_is_not_that_of_the_controls(scene: Scene) -> None:
    scene.capture()
    scene.certify()
    scene.choose()
    scene.capture()
    scene.certify()
    scene.choose(0.5)
    if scene.controls.load(MANIFEST)["control_id"].n_unique() < scene.controls.load_ledger().height:
        (finding,) = verify(scene.tape).findings
        assert (finding.file, finding.what) == (
            "tape/core/control_ledger.parquet",
            "has events that are not in its manifest",
        )
    # without controls there is no ledger of them
    scene.controls.path.unlink()
    scene.certify()
    assert not scene.lake.control_ledger("core").exists()


def test_tables_of_controls_are_beside_those_of_events(scene: Scene) -> None:
    """The same code makes them, in folders of their own: rows of controls are never among those of events."""
    scene.capture()
    scene.certify()
    scene.choose()
    scene.capture()
    params, sessions = scene.settings.research.params, scene.settings.sessions
    research = TapeResearch(scene.tape, params, sessions)
    captured = scene.tape.captured()
    of_events = list(research.run(MANIFEST, [("AVLO", "RTH")]))
    controls = captured.filter(event_type="control")
    found = list(replace(research, prefix=PREFIX).run(controls, [("AVLO", "RTH")], ("micro_features",)))
    assert {event for result in of_events for event in result.computed} == {FIRST["event_id"], AGAIN["event_id"]}
    assert {event for result in found for event in result.computed} == set(controls["event_id"])
    stored = pl.read_parquet(scene.lake.research_wave("core", "control_micro_features", "RTH", "AVLO"))
    assert set(stored["event_id"]) == set(controls["event_id"])
    of_tape = pl.read_parquet(scene.lake.research_wave("core", "micro_features", "RTH", "AVLO"))
    assert set(of_tape["event_id"]) == {FIRST["event_id"], AGAIN["event_id"]}
    # nothing is computed again
    again = list(replace(research, prefix=PREFIX).run(controls, [("AVLO", "RTH")], ("micro_features",)))
    assert [result.computed for result in again] == [()]


@pytest.mark.parametrize("without", [None, "10:00"])
def test_features_and_labels_of_controls(lake: Lake, small_market: SimulatedMarket, without: str | None) -> None:
    """Of tape in any case; of bars where the minute has one: at 10.00 for two hours, so that every return is 0."""
    scene = Scene(lake, small_market, without=without)
    scene.capture()
    scene.certify()
    chosen = scene.choose().selection.controls
    scene.capture()
    made = scene.features().publish()
    assert not made.problems
    rows = made.rows
    assert rows["control_of"].to_list() == chosen.sort("timestamp", "control_of")["control_of"].to_list()
    assert rows["close"].to_list() == [None if without else 10.0] * 2
    assert rows["return_5"].to_list() == [None if without else 0.0] * 2
    # each event has its own window and direction, also where both have one control
    assert rows.sort("control_of")["seconds_pre_all"].to_list() == [600.0, 180.0]
    assert rows["trades_pre3"].null_count() == 0
    labels = pl.read_parquet(lake.research_table("control_labels", "core"))
    assert labels.schema == CONTROL_LABELS
    expected = [] if without else [*["15,1,1", "5,1,1", "60,1,1"] * 2]
    assert sorted(labels["label_spec"]) == sorted(expected)
    if not without:
        assert labels["entry"].to_list() == [10.0] * 6
        assert labels["return_15"].to_list() == [0.0] * 6
        assert labels.filter(label_spec="15,1,1")["date"].sort().to_list() == rows.select(
            pl.col("timestamp").dt.strftime("%Y-%m-%d")
        ).to_series().sort().to_list()  # fmt: skip
    of_tape = pl.read_parquet(lake.research_wave("core", "control_micro_features", "RTH", "AVLO")).filter(segment="bar")
    minutes = rows.select("control_of", "control_id", "spread_bps_at_end_bar", "effective_spread_bps_bar")
    own = {of: spread if spread is not None else effective for of, _, spread, effective in minutes.iter_rows()}
    assert of_tape.height == 2
    assert {round(cost, 9) for cost in labels["cost_bps"]} <= {round(cost, 9) for cost in own.values()}
    for row in labels.to_dicts():
        assert row["cost_bps"] == own[row["control_of"]]
        assert row["cost_source"] in {"nbbo", "effective"}
        # nothing moves: what remains is the cost
        assert row["net_return"] == pytest.approx(-row["cost_bps"] / 10_000)
        assert row["win"] is False
    outcomes = pl.read_parquet(lake.research_table("control_outcomes", "core"))
    assert outcomes.schema == CONTROL_OUTCOMES
    # highs and lows are a cent from 10.00
    far = [pytest.approx(10.0), pytest.approx(-10.0)]
    assert outcomes.select("legs", "outcome").rows() == ([] if without else [(0, "stall")] * 2)
    assert [list(row) for row in outcomes.select("mfe_15_bps", "mae_15_bps").rows()] == [far] * outcomes.height
    waves = pl.read_parquet(lake.research_table("control_waves", "core"))
    assert (waves.schema, waves.height) == (CONTROL_WAVES, 0)
    # the same rows give the same files
    files = [lake.research_table(name, "core") for name in TABLES_AFTER]
    before = [file.read_bytes() for file in files]
    assert scene.features().publish().sha256 == made.sha256
    assert [file.read_bytes() for file in files] == before
    tables = ControlTables(lake, "core")
    after = tables.with_outcomes("15,1,1").collect()
    assert after.schema == CONTROLS_WITH_OUTCOMES
    assert after["control_of"].to_list() == rows["control_of"].to_list()
    assert after["net_return"].null_count() == (2 if without else 0)
    require_checks_find_what_is_out_of_bounds(scene)


def require_checks_find_what_is_out_of_bounds(scene: Scene) -> None:
    checks = checks_of_controls("control_features", scene.choice())
    assert {name: check().holds for name, check in checks.items()} == dict.fromkeys(checks, True)
    for table, name, column, value in (
        ("control_labels", "label_ranges", "label", 2),
        ("control_outcomes", "outcome_ranges", "mae_15_bps", 1.0),
    ):
        path = scene.lake.research_table(table, "core")
        rows = pl.read_parquet(path)
        ResearchStore(scene.lake).publish(
            path, rows.with_columns(pl.lit(value).cast(rows[column].dtype).alias(column)), {}
        )
        assert checks[name]().holds == (rows.height == 0)
    # what is not there names the asset that makes it
    path.unlink()
    with pytest.raises(LakeError, match=r"control_outcomes.parquet: does not exist. Materialize core/control_features"):
        ControlTables(scene.lake, "core").with_outcomes("15,1,1")
