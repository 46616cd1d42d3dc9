"""What is published while a snapshot is taken belongs to it wholly or not at all."""

import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallcaps_assets.domain.manifests.selection import Selection
from smallcaps_assets.lake.backup.reading_order import READING_ORDER
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.verification.lake_files import verify_files
from smallcaps_assets.lake.verification.verify import verify
from smallcaps_assets_tests.backups import back_up, bring_back, content_below, write_files
from smallcaps_assets_tests.whole_lake import MANIFEST, NOW, certify, tape_of

# the law is not about the disk, and each file is flushed to it
IN_MEMORY = next((folder for folder in ("/dev/shm",) if Path(folder).is_dir()), None)  # noqa: S108
# one night, in the order in which its files are published: each names those before it
NIGHT = (
    "reference/imports.json",
    "bars/flat/minute/2025-11-12.parquet",
    "bars/minute/symbol=AVLO/2025-11.parquet",
    "events/candidates/symbol=AVLO.parquet",
    "events/condition_bars/symbol=AVLO.parquet",
    "events/shards/symbol=AVLO.parquet",
    "events/coverage/A.json",
    "events/master.parquet",
    "research/core/control_manifest.parquet",
    "manifests/core/core_20251202_031500.parquet",
    "manifests/core/core_20251202_031500.json",
    "manifests/core/current.json",
    "tape/core/trades/wave=PM/symbol=AVLO/20251112T133700_20251112T134700.parquet",
    "tape/core/ledger.parquet",
    "tape/core/control_ledger.parquet",
    "tape/core/report.parquet",
    "review/core/core_20251202_031500.html",
    "review/core/core_20251202_031500.json",
    "research/core/cohorts.parquet",
    "research/core/cohort_members.parquet",
    "reports/nightly.parquet",
)
# what is proved by the other of its pair: both must have been in the lake at the same time
TOGETHER = (
    ("events/candidates/symbol=AVLO.parquet", "events/condition_bars/symbol=AVLO.parquet"),
    ("events/candidates/symbol=AVLO.parquet", "events/shards/symbol=AVLO.parquet"),
    ("review/core/core_20251202_031500.html", "review/core/core_20251202_031500.json"),
    ("research/core/cohorts.parquet", "research/core/cohort_members.parquet"),
)


def night(generation: int, name: str) -> dict[str, bytes]:
    return {name: f"{generation} of {name}".encode()}


@given(published=st.lists(st.integers(0, 7), min_size=1, max_size=60))
@settings(max_examples=20)
def test_no_file_is_older_than_what_names_it(published: list[int]) -> None:
    """Before each look of the snapshot, so many further files are published, night after night."""
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        lake, looks = Path(folder) / "lake", iter(published)
        for name in NIGHT:
            write_files(lake, night(0, name))
        written = len(NIGHT)

        def publish(_: str) -> None:
            nonlocal written
            for _ in range(next(looks, 0)):
                generation, number = divmod(written, len(NIGHT))
                write_files(lake, night(generation, NIGHT[number]))
                written += 1

        back_up(lake, Path(folder) / "backup", looked=publish)
        bring_back(Path(folder) / "backup", Path(folder) / "restored")
        found = {name: int(content.split()[0]) for name, content in content_below(Path(folder) / "restored").items()}
        assert found.keys() == set(NIGHT)
        generations = [found[name] for name in NIGHT]
        assert all(earlier >= later for earlier, later in pairwise(generations)), found
        for first, second in TOGETHER:
            assert found[first] - found[second] in {0, 1}, found


def test_every_file_of_a_lake_has_one_place_in_the_order() -> None:
    places = [
        next(number for number, group in enumerate(READING_ORDER) if group.pattern.fullmatch(name)) for name in NIGHT
    ]
    # what is read last is published first; files of one group may be read in any order
    assert [places[number] >= places[number + 1] for number in range(len(NIGHT) - 1)].count(False) <= 1
    assert places[0] == max(places)


def findings_of(lake: Lake) -> set[tuple[str, str]]:
    """What `smallcaps verify` would name."""
    found = (*verify_files(lake).findings, *verify(tape_of(lake, "core")).findings)
    return {(finding.file, finding.what) for finding in found}


@pytest.mark.parametrize("at", ["tape/core/ledger.parquet", "manifests/core/current.json", "events/master.parquet"])
def test_a_snapshot_of_a_lake_in_which_a_profile_is_made_anew_says_what_the_lake_said_at_one_moment(
    at: str, whole_lake: Lake, tmp_path: Path
) -> None:
    lake = whole_lake
    fresh = MANIFEST.with_columns(score=MANIFEST["score"] / 2)
    moments = [findings_of(lake)]

    def freeze_and_certify(name: str) -> None:
        if name == at:
            ManifestStore.in_lake(lake, "core").freeze(
                Selection(fresh, [{"step": "max_events", "rows": fresh.height}], {}),
                config_hash="d",
                master_sha256="0" * 64,
                now=NOW.replace(day=9),
            )
            moments.append(findings_of(lake))
            certify(lake, "core")
            moments.append(findings_of(lake))

    back_up(lake.root, tmp_path / "backup", looked=freeze_and_certify)
    bring_back(tmp_path / "backup", tmp_path / "restored")
    restored = Lake(tmp_path / "restored")
    assert len(moments) == 3
    assert findings_of(restored) in moments
    is_new = ManifestStore.in_lake(restored, "core").current_id() == "core_20251209_000000"
    # it was frozen before the pointer was looked at, or it does not belong to the snapshot
    assert is_new == (at == "tape/core/ledger.parquet")
