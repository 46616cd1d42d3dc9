"""`smallcaps doctor`: its usage and what it prints; docs/operations.md has it run on the lake of the demo."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from smallcaps_assets.cli import main
from smallcaps_assets.commands import doctor
from smallcaps_assets.commands.doctoring import installation
from smallcaps_assets.commands.doctoring.second import second_process
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.promises.meeting import meet
from smallcaps_assets.lake.promises.promises import PromiseResult


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[PromiseResult]:
    """What the tests of a folder find, for what is printed of it."""
    results = [
        PromiseResult("lock", "ok", "keeps the other side out"),
        PromiseResult("links", "note", "has no hard links", remedy="Backups take more room."),
        PromiseResult("seen", "problem", "seen too late", "tables are outdated", "Mount it otherwise."),
        PromiseResult("listings", "problem", "listed too late", "symbols are left out", "Mount it otherwise."),
    ]

    def find(*_: object) -> Iterator[PromiseResult]:
        yield from results

    monkeypatch.setattr(doctor, "_test_folder", find)
    return results


def test_problems_say_what_breaks_and_a_remedy_is_printed_once(
    found: list[PromiseResult], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", str(tmp_path)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "ok       lock            keeps the other side out",
        "note     links           has no hard links. Backups take more room.",
        "problem  seen            seen too late. Without this promise tables are outdated",
        "problem  listings        listed too late. Without this promise symbols are left out",
        "remedy: Mount it otherwise.",
        "wrong: seen, listings",
    ]
    assert main(["doctor", str(tmp_path), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["holds"] is False
    assert [result["remedy"] for result in document["results"]] == [result.remedy for result in found]
    del found[2:]
    assert main(["doctor", str(tmp_path)]) == 0


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(tmp_path / "none")]) == 2
    assert "none: there is no such folder. Create it, or correct the path." in capsys.readouterr().err


def test_two_hosts_and_also_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["doctor", str(tmp_path), "--two-hosts", "--also", str(tmp_path)])


@pytest.mark.parametrize(
    ("needed", "fault"),
    [
        ("polars>=2.1,<3", None),
        ("polars>=99", "polars is "),
        ("no-such-package-of-anybody>=1", "no-such-package-of-anybody is not installed"),
    ],
)
def test_packages_of_another_release_are_named(needed: str, fault: str | None) -> None:
    found = installation._fault(Requirement(needed))
    assert found is None if fault is None else str(found).startswith(fault)


@pytest.mark.slow
def test_a_second_process_that_ends_is_not_waited_for(tmp_path: Path) -> None:
    """Its folder does not exist, so that it cannot take part."""
    with (
        pytest.raises(InputError, match="the second process ended"),
        second_process(tmp_path / "none", "token") as is_there,
        meet(tmp_path, "token", 60.0, is_there=is_there),
    ):
        pass
