"""`smallcaps cohorts` and `smallcaps labels` on lakes whose figures are known, and where there is nothing yet."""

import json
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.cli import main
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.pipeline.research.joined_cohorts import publish_cohorts
from smallcaps_assets_tests.conftest import files_below
from smallcaps_assets_tests.outcome_lake import fill_outcomes, forget_outcomes, outcomes_of_lake
from smallcaps_assets_tests.scenarios import flip_bit
from smallcaps_assets_tests.unit.domain.research.cohorts.cohort_events import event_of, frame_of, random_events

# what the lines of a table begin with, and not its heading
ROWS = ("  L", "  volume spike", "  flush", "  all")


def run(arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    capsys.readouterr()
    code = main(arguments.split())
    printed = capsys.readouterr()
    return code, printed.out + printed.err


@pytest.fixture(scope="module")
def with_cohorts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with cohorts of 4,000 events on 90 dates from 2024-01-20 on; flush pays in the first bucket."""
    events = random_events(4_000, date(2024, 1, 20), 90, 3, flush=0.02)
    lake = fill_outcomes(tmp_path_factory.mktemp("cohorts") / "lake", events)
    publish_cohorts(outcomes_of_lake(lake), "core")
    return lake.root


@pytest.fixture
def home(fresh_home: Path, with_cohorts: Path) -> Lake:
    """A home with that lake."""
    return Lake(Path(shutil.copytree(with_cohorts, fresh_home / "lake")))


def table(text: str, begins: str) -> list[list[str]]:
    """The cells of the lines of a printed table, by the first word of its heading; those of its heading first."""
    lines = text.splitlines()
    (start,) = [number for number, line in enumerate(lines) if line.startswith(f"  {begins}")]
    cells = []
    for line in lines[start:]:
        if cells and not line.startswith(ROWS):
            break
        cells.append([cell.strip() for cell in line.split("  ") if cell.strip()])
    return cells


def test_the_best_and_the_worst_cohorts_as_they_are_in_the_file(home: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    before = files_below(home.root)
    code, text = run("cohorts --top 3 --no-color", capsys)
    assert code == 0
    rows = pl.read_parquet(home.research_table("cohorts", "core"))
    own = rows.filter(pl.col("as_of") == rows["as_of"].max(), selection="causal")
    tested, winning = own.filter(pl.col("q_value").is_not_null()), own.filter("winning").height
    assert tested.height > 6
    assert winning
    (title,) = [line for line in text.splitlines() if line.startswith("cohorts of")]
    assert title == (
        f"cohorts of core, 15,1,1, as of 2024-05-01 (causal sample): {own.height} in all, {tested.height} tested "
        f"together, {winning} winning"
    )
    best = tested.sort("mean", descending=True)["cohort_id"].to_list()
    shown = table(text, "best")
    assert [row[0] for row in shown[1:4]] == best[:3]
    assert [row[0] for row in table(text, "worst")[1:4]] == best[:-4:-1]
    row = own.filter(cohort_id=best[0]).row(0, named=True)
    assert shown[1][1:7] == [
        f"{row['n']}",
        f"{row['effective_n']:.1f}",
        f"{row['n_days']}",
        f"{row['n_symbols']}",
        f"{100 * row['win_rate']:.1f}%",
        f"{1e4 * row['mean']:+.1f}",
    ]
    assert shown[0][-2:] == ["costed", "winning"]
    won = dict(tested.select("cohort_id", "winning").iter_rows())
    for cells in shown[1:4]:
        assert cells[-2:] == ["100 %", "yes"] if won[cells[0]] else cells[-1] == "100 %"
    low, high = (float(bound) for bound in shown[1][7].split(" to "))
    assert low < 1e4 * row["mean"] < high
    assert f"{len(best) - 6} of the tested are between them" in text
    # nothing is written
    assert files_below(home.root) == before


def test_a_winning_cohort_that_selects_nothing_says_why(fresh_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Costs of every second flush: no default says what the others cost."""
    known = (pl.int_range(pl.len()) % 2 == 0) | (pl.col("event_type") != "flush")
    events = random_events(3_000, date(2024, 1, 20), 90, 3, flush=0.02)
    events = events.with_columns(pl.when(known).then(pl.col("net_return", "cost_bps")))
    publish_cohorts(outcomes_of_lake(fill_outcomes(fresh_home / "lake", events)), "core")
    _, text = run("cohorts --top 1 --no-color", capsys)
    (row,) = table(text, "best")[1:]
    winning, share = row[-1], int(row[-2].removesuffix(" %"))
    assert (winning, 40 < share < 60) == ("yes, selects nothing", True)
    (note,) = [line for line in text.splitlines() if "winning cohorts select no events" in line]
    assert note.startswith("note: ")
    assert note.endswith("capture more tape of core, or set research.cost_bps_default")
    document = json.loads(run("cohorts --json", capsys)[1])
    assert (document["winning"] > 0, document["selecting"]) == (True, 0)
    assert document["why_withheld"] in note
    assert document["best"][0]["selects"] is False


def test_json_has_the_same_figures(home: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = run("cohorts --top 2 --as-of 2024-04 --spec 15,1,1 --profile core --json", capsys)
    document = json.loads(text)
    assert code == 0
    assert (document["as_of"], document["selection"], document["why_none_tested"]) == ("2024-04-01", "causal", None)
    rows = pl.read_parquet(home.research_table("cohorts", "core"))
    own = rows.filter(pl.col("as_of") == date(2024, 4, 1), selection="causal")
    assert (document["cohorts"], document["tested"]) == (own.height, own["tested"][0])
    assert document["labels"] == {
        "ok": 4_000,
        "with_net": 4_000,
        "dates": 90,
        "not_costed": 0,
        "not_followed": 0,
        "not_followed_named": [],
        "costed_share": 1.0,
    }
    assert (document["selecting"], document["why_withheld"]) == (document["winning"], None)
    assert len(document["best"]) == len(document["worst"]) == 2
    best = document["best"][0]
    expected = own.filter(cohort_id=best["cohort_id"]).row(0, named=True)
    assert {name: best[name] for name in expected} == expected | {"as_of": "2024-04-01"}
    assert best["mean_lo"] < best["mean"] < best["mean_hi"]
    assert document["largest"] == []


def test_a_month_without_cohorts_is_named(home: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    assert home.root.is_dir()
    code, text = run("cohorts --as-of 2025-02-01", capsys)
    assert code == 2
    assert "--as-of 2025-02-01: core has no cohorts of this month. There are 2024-02-01 to 2024-05-01." in text
    with pytest.raises(SystemExit):
        main(["cohorts", "--as-of", "2024-02-02"])
    assert "'2024-02-02' is not a month such as 2025-12, or its first day" in capsys.readouterr().err


def small(**changed: Any) -> pl.DataFrame:
    """Ten events on five dates."""
    return frame_of(event_of(number, date(2024, 3, 4 + number % 5), 0.01, **changed) for number in range(10))


def test_none_tested_says_why_and_shows_the_largest(fresh_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lake = fill_outcomes(fresh_home / "lake", small())
    publish_cohorts(outcomes_of_lake(lake), "core")
    code, text = run("cohorts", capsys)
    assert code == 0
    # select is the first 3 of 5 dates: 6 events
    assert "none is tested: a test needs 50 events on 20 dates, and the largest cohort, volume spike up, has 6" in text
    # three levels of one cohort
    assert [row[:2] for row in table(text, "largest, not tested")[1:]] == [
        ["L1|volume_spike|up", "6"],
        ["L2|volume_spike|up|0930-1015", "6"],
        ["L3|volume_spike|up|0930-1015|na", "6"],
    ]
    assert "capture tape" not in text
    document = json.loads(run("cohorts --json --top 1", capsys)[1])
    assert document["best"] == document["worst"] == []
    assert [row["cohort_id"] for row in document["largest"]] == ["L1|volume_spike|up"]


def test_without_costs_the_remedy_is_named(fresh_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lake = fill_outcomes(fresh_home / "lake", small(cost_bps=None, net_return=None))
    publish_cohorts(outcomes_of_lake(lake), "core")
    code, text = run("cohorts", capsys)
    assert code == 0
    assert "cohorts of core, 15,1,1: none\n" in text
    words = "why: costs are known of none of 10 labels: capture more tape of core, or set research.cost_bps_default"
    assert words in text
    document = json.loads(run("cohorts --json", capsys)[1])
    assert (document["as_of"], document["cohorts"], document["winning"]) == (None, 0, 0)
    assert document["why_none_tested"] == words.removeprefix("why: ")


def test_costs_of_some_labels_are_said(fresh_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    costed = pl.col("event_id") < "E000006"
    known = {name: pl.when(costed).then(pl.col(name)) for name in ("cost_bps", "net_return")}
    publish_cohorts(outcomes_of_lake(fill_outcomes(fresh_home / "lake", small().with_columns(**known))), "core")
    words = "note: costs are known of 6 of 10 labels, on 5 dates: only these count, and captured events are chosen with"
    assert words in run("cohorts", capsys)[1]


def test_events_that_another_table_lacks_are_counted_and_named(
    fresh_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lake = fill_outcomes(fresh_home / "lake", small())
    forget_outcomes(lake, "E000008", "E000009")
    publish_cohorts(outcomes_of_lake(lake), "core")
    text = run("cohorts", capsys)[1]
    assert "note: 2 events are left out, such as E000008, E000009: event_waves does not have them as they" in text
    assert json.loads(run("cohorts --json", capsys)[1])["labels"]["not_followed"] == 2


def test_without_candidates_cohorts_are_those_of_master(fresh_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lake = fill_outcomes(fresh_home / "lake", small(in_causal_sample=None))
    publish_cohorts(outcomes_of_lake(lake), "core")
    assert "(MASTER, chosen with hindsight: no candidates are kept)" in run("cohorts", capsys)[1]
    assert json.loads(run("cohorts --json", capsys)[1])["selection"] == "master"


ALL_TABLES = ("master", "event_labels", "event_costs")


@pytest.mark.parametrize(
    ("without", "words"),
    [
        (ALL_TABLES, "there are no events yet. Materialize master_events"),
        (ALL_TABLES[1:], "no event has labels yet. Materialize event_labels"),
        (ALL_TABLES[2:], "no label has costs of core yet. Materialize core/event_costs"),
    ],
)
@pytest.mark.parametrize("command", ["cohorts", "labels --json"])
def test_before_the_tables_are_made_the_next_step_is_named(
    command: str, without: tuple[str, ...], words: str, fresh_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill_outcomes(fresh_home / "lake", small(), without=without)
    code, text = run(command, capsys)
    assert code == 2
    assert words in text


def test_before_cohorts_are_made_their_asset_is_named(fresh_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill_outcomes(fresh_home / "lake", small())
    code, text = run("cohorts", capsys)
    assert code == 2
    assert "cohorts.parquet: does not exist. Materialize core/cohorts" in text
    # labels do not need them
    assert run("labels", capsys)[0] == 0
    code, text = run("cohorts --profile plus", capsys)
    assert (code, "no label has costs of plus yet. Materialize plus/event_costs" in text) == (2, True)


@pytest.mark.parametrize(
    ("table_name", "command"), [("event_labels", "labels"), ("event_costs", "labels"), ("cohorts", "cohorts")]
)
def test_a_damaged_file_is_named_and_stays(
    table_name: str, command: str, home: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    file = min(home.research.rglob(f"{table_name}*/symbol=S1.parquet"), default=None) or home.research_table(
        table_name, "core"
    )
    flip_bit(file)
    code, text = run(command, capsys)
    assert code == 2
    assert f"{file.name}: is damaged" in text
    assert file.is_file()


def test_labels_by_type_and_sample(fresh_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nothing: dict[str, Any] = {"t1": None, "tie": None, "label": None, "net_return": None}
    rows = [
        # two dates: net 0.008 and -0.012, each with a cost of 20 bps; the second in MASTER alone
        event_of(1, date(2024, 3, 4), 0.008),
        event_of(2, date(2024, 3, 5), -0.012, label=-1, tie=True, in_causal_sample=False),
        event_of(3, date(2024, 3, 5), None, state="no_entry", entry_at=None, **nothing),
        event_of(4, date(2024, 3, 5), None, event_type="flush", cost_bps=None, in_master=False),
    ]
    fill_outcomes(fresh_home / "lake", frame_of(rows))
    code, text = run("labels --spec 15,1,1 --profile core", capsys)
    assert code == 0
    assert "labels of 4 symbols, with the costs of core" in text
    ends = {tuple(row[:2]): row[2:] for row in table(text, "ends 15,1,1")[1:]}
    assert ends["volume spike", "causal"] == ["2", "1", "0", "1", "100.0%", "0.0%", "0.0%", "0.0%"]
    assert ends["volume spike", "MASTER"] == ["3", "1", "0", "2", "50.0%", "50.0%", "0.0%", "50.0%"]
    assert ends["all", "causal"] == ["3", "1", "0", "2", "100.0%", "0.0%", "0.0%", "0.0%"]
    returns = {tuple(row[:2]): row[2:] for row in table(text, "returns 15,1,1")[1:]}
    # gross 0.01 and -0.01; means 0 and -20 bps; deviations +-100 bps of two dates: t 12.7062 x se 100 bps
    half = "-1,270.6 to +1,270.6"
    assert returns["volume spike", "MASTER"][:5] == ["2", "2", "50.0%", "+0.0", half]
    assert returns["volume spike", "MASTER"][5:] == ["2", "2", "50.0%", "-20.0", "-1,290.6 to +1,250.6"]
    assert returns["flush", "causal"][5:] == ["0", "0", "-", "-", "-"]
    costs = {tuple(row[:2]): row[2:] for row in table(text, "costs 15,1,1")[1:]}
    assert costs["all", "causal"] == ["50.0%", "0.0%", "0.0%", "0.0%", "50.0%", "0"]
    assert "MASTER is chosen with hindsight" in text
    # gross of the flush is not known in this lake, as it is net + cost: net is of as many events
    assert "never compare" not in text


def test_labels_that_are_missing_are_counted(fresh_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = small()
    lake = fill_outcomes(fresh_home / "lake", rows)
    # no file of labels of one symbol, and no costs of another event
    lake.research_symbol("event_labels", "S03").unlink()
    code, text = run("labels --json", capsys)
    document = json.loads(text)
    assert code == 0
    assert (document["symbols"], document["master_events_without_labels"]) == (9, 1)
    assert "1 MASTER event has no labels, such as E000003: their tables are behind" in run("labels", capsys)[1]
    (all_types,) = [row for row in document["labels"] if (row["event_type"], row["selection"]) == ("all", "causal")]
    assert (all_types["events"], all_types["not_costed"], all_types["net"]["n"]) == (9, 0, 9)
    assert all_types["net"]["mean"] == pytest.approx(0.01)
    assert all_types["gross"]["mean"] == pytest.approx(0.012)
