"""`smallcaps manifest`: select events from a MASTER file, without Dagster and without a lake."""

from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from smallcaps_assets.commands.console import TextTable, show
from smallcaps_assets.commands.files import read_master
from smallcaps_assets.domain.manifests.selection import Selection, profile_hash, select_events, session_distribution
from smallcaps_assets.lake.files.publish import require_writable, sha256
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.pipeline.manifests.checks import require_sound_manifest
from smallcaps_assets.settings.settings import PROFILES, trial_settings

NEEDS: Final = "a MASTER file, such as `smallcaps detect` writes."
EXAMPLE: Final = "smallcaps manifest --master events.parquet --profile core --out manifests --dry-run"


def add_flags(parser: ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("--master", required=True, metavar="FILE", help="a parquet file with the columns of MASTER")
    parser.add_argument("--profile", required=True, choices=PROFILES, help="the selection to apply")
    parser.add_argument("--out", metavar="DIR", default="manifests", help="folder to freeze it in (default: manifests)")
    parser.add_argument("--dry-run", action="store_true", help="print the funnel, write nothing")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="settings that override config/config.yaml: all of them or some"
    )


def run(arguments: Namespace) -> int:
    """Print the funnel of `--profile` over `--master`; unless `--dry-run`, freeze the manifest in `--out`."""
    settings = trial_settings([arguments.config] if arguments.config else [])
    master = Path(arguments.master)
    profile = settings.profiles[arguments.profile]
    master_table = read_master(master)
    selection = select_events(master_table, profile, settings.ranking)
    _print_funnel(selection, master_table.height)
    require_sound_manifest(selection.manifest, profile, settings.ranking)
    if arguments.dry_run:
        show("dry run: nothing written")
        return 0
    require_writable(Path(arguments.out))
    sidecar = ManifestStore(Path(arguments.out), arguments.profile).freeze(
        selection,
        config_hash=profile_hash(profile, settings.ranking),
        master_sha256=sha256(master),
        now=datetime.now(UTC),
    )
    show(f"{sidecar['manifest_id']}.parquet, its .json and current.json are in {arguments.out}")
    return 0


def _print_funnel(selection: Selection, before: int) -> None:
    rows = [("MASTER", f"{before:,}", "", "")]
    for step in selection.funnel:
        left = int(step["rows"])
        unknown = [
            f"{count:,} without {name.removesuffix('_unknown')}"
            for name, count in step.items()
            if name.endswith("_unknown") and count
        ]
        removed = before - left
        rows.append((str(step["step"]), f"{left:,}", f"{removed:,}", ", ".join(unknown)))
        before = left
    show(TextTable(("step", "events left", "removed", "unknown among them"), rows))
    sessions = session_distribution(selection.manifest).items()
    show(
        TextTable(
            ("session", "events", "%"),
            [(name, f"{figures['count']:,}", f"{figures['percentage']:.1f}") for name, figures in sessions],
        )
    )
    extension = selection.extension
    show(f"extended windows: {extension['extended']:,} of {extension['triggered']:,} triggered")
