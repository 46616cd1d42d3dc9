# ruff: noqa: E501 -- lines of a document
"""The README of a backup: what it is, and how to restore it with and without this program."""

from pathlib import Path
from typing import Final

from smallcaps_assets.lake.files.publish import disk_errors, publish_text

README: Final = "README.md"

_TEXT: Final = """\
# A backup of a lake of smallcaps_assets

| path | what it is |
|---|---|
| `snapshots/TIME[-LABEL]/` | one snapshot, by its time in UTC; hidden ones are unfinished: the next backup removes them |
| `snapshots/.../inventory.csv` | its files: path (`lake/...`, `state/...`), size, sha256, kind; more in `inventory.parquet` |
| `snapshots/.../snapshot.json` | when it was taken, of which lake, by which release, what was new |
| `snapshots/.../settings/` | the settings files of then; no secrets |
| `objects/ab/abcd...` | every content once, named by its SHA-256; all snapshots share them |

Do not change or remove objects. `smallcaps backup` removes those that no snapshot needs.

## Check

    smallcaps backup --check THIS_FOLDER

reads every content and compares it with its SHA-256. Without the program: `cd objects/ab && sha256sum *` prints the
name of each file twice.

## Restore

1. Install the release that `snapshot.json` names, or a later one, and work in a folder with `config/`, such as a clone of
   the repository. Compare `config/config.yaml` with `snapshots/.../settings/config/config.yaml`, and set the vendor's
   key in the environment. Where the state was in PostgreSQL, make an empty database and set PGHOST, PGUSER, PGDATABASE
   and PGPASSWORD.
2. `smallcaps restore THIS_FOLDER --lake DIR` restores the newest snapshot, `THIS_FOLDER/snapshots/NAME` that one. Every
   content is checked before the first file is written. DIR and Dagster's state must be empty. If it is killed, run it
   again.
3. `smallcaps verify --lake DIR` and `smallcaps status --lake DIR` say what they said when the snapshot was taken.

## Restore without the program

This script needs Python only. It writes `lake/` and `state/` of a snapshot below a new folder, and stops at the first
damaged content:

    import csv, hashlib, pathlib, sys

    backup, name, target = pathlib.Path(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])
    with open(backup / "snapshots" / name / "inventory.csv", encoding="utf-8", newline="") as inventory:
        for row in csv.DictReader(inventory):
            content = (backup / "objects" / row["sha256"][:2] / row["sha256"]).read_bytes()
            if hashlib.sha256(content).hexdigest() != row["sha256"]:
                sys.exit(f"damaged: {row['path']} ({row['sha256']})")
            path = target / row["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

`state/` is Dagster's state: the content of `.dagster/` for the lake `lake/` beside `config/`. `state/postgresql.dump` is
for `pg_restore --no-owner`.
"""


def publish_readme(root: Path) -> None:
    """Publish the README of a backup unless it is there.

    Raises:
        LakeError: it cannot be written.
    """
    path = root / README
    with disk_errors("read", path):
        if path.is_file() and path.read_bytes() == _TEXT.encode():
            return
    publish_text(path, _TEXT)
