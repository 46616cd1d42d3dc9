"""`smallcaps manifest`: select events from a MASTER file, without Dagster and without a lake."""

from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from smallcaps_assets.commands.console import TextTable, show
from smallcaps_assets.commands.files import read_file_of, read_master
from smallcaps_assets.domain.manifests.follow_up import COHORT_STEP
from smallcaps_assets.domain.manifests.selection import Selection, profile_hash, session_distribution
from smallcaps_assets.domain.research.cohorts.selecting import cohorts_at, describe_winning
from smallcaps_assets.domain.research.tables.cohort_tables import BEYOND_SPECIFICATION, COHORT_MEMBERS, COHORTS
from smallcaps_assets.domain.sessions import NEW_YORK
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.files.publish import require_writable, sha256
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.selecting_cohorts import SelectingCohorts, count_winning
from smallcaps_assets.pipeline.manifests.checks import require_sound_manifest
from smallcaps_assets.pipeline.manifests.selecting import limits_of, require_begun, require_cohorts, select_manifest
from smallcaps_assets.settings.settings import PROFILES, Settings, trial_settings

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
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override one setting; may be repeated"
    )
    parser.add_argument(
        "--cohorts",
        metavar="FILE",
        help="cohorts that select the events, as of profiles.PROFILE.cohorts.as_of: cohorts.parquet of a lake or of "
        "`smallcaps research`",
    )
    parser.add_argument(
        "--cohort-members",
        metavar="FILE",
        help="their events, cohort_members.parquet of a lake: which events were in the sample is unknown without it",
    )


def run(arguments: Namespace) -> int:
    """Print the funnel of `--profile` over `--master`; unless `--dry-run`, freeze the manifest in `--out`."""
    settings = trial_settings([arguments.config] if arguments.config else [], arguments.set)
    master = Path(arguments.master)
    profile = settings.profiles[arguments.profile]
    cohorts = _cohorts(arguments, settings)
    master_table = read_master(master)
    selection = select_manifest(master_table, profile, settings.ranking, cohorts)
    if cohorts:
        show(
            f"cohorts at {cohorts.entry['as_of']} ({cohorts.entry['label_spec']}): {count_winning(cohorts.entry)}: "
            f"{describe_winning(cohorts.rows)}"
        )
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
        cohorts=cohorts,
    )
    show(f"{sidecar['manifest_id']}.parquet, its .json and current.json are in {arguments.out}")
    return 0


def _cohorts(arguments: Namespace, settings: Settings) -> SelectingCohorts | None:
    """The cohorts that select the events; None where the profile has none.

    Raises:
        InputError: the settings ask for cohorts and there is no file of them, or the other way round; or the file has
            not those that they ask for.
    """
    profile, choice = settings.profiles[arguments.profile], settings.profiles[arguments.profile].cohorts
    key = f"profiles.{arguments.profile}.cohorts"
    if choice is None:
        if arguments.cohorts or arguments.cohort_members:
            raise InputError(
                f"--cohorts: {key} is null, so no cohorts select. Say which ones do, such as "
                f"--set {key}.as_of={datetime.now(UTC).date().replace(day=1)}, or leave --cohorts out."
            )
        return None
    if arguments.cohorts is None:
        raise InputError(
            f"{key}: the events are selected by cohorts. Give their file with --cohorts, or select without them with "
            f"--set {key}=null."
        )
    require_begun(choice, arguments.profile, datetime.now(ZoneInfo(NEW_YORK)).date())
    every = read_file_of(Path(arguments.cohorts), COHORTS, "cohorts", BEYOND_SPECIFICATION)
    members = arguments.cohort_members
    known = read_file_of(Path(members), COHORT_MEMBERS, "members of cohorts") if members else None
    rows = require_cohorts(
        cohorts_at(every, known, choice.as_of, choice.label_spec), every, choice, str(arguments.cohorts)
    )
    return SelectingCohorts.of(rows, limits_of(profile, settings.ranking, str(arguments.cohorts)))


def _print_funnel(selection: Selection, before: int) -> None:
    rows = [("MASTER", f"{before:,}", "", "")]
    for step in selection.funnel:
        left = int(step["rows"])
        unknown = [
            f"{count:,} without {name.removesuffix('_unknown')}"
            for name, count in step.items()
            if name.endswith("_unknown") and count
        ]
        if step["step"] == COHORT_STEP:
            unknown.append(f"{step['of_winning_cohorts']:,} of winning cohorts")
        removed = before - left
        rows.append((str(step["step"]), f"{left:,}", f"{removed:,}", ", ".join(unknown)))
        before = left
    show(TextTable(("step", "events left", "removed", "note"), rows))
    sessions = session_distribution(selection.manifest).items()
    show(
        TextTable(
            ("session", "events", "%"),
            [(name, f"{figures['count']:,}", f"{figures['percentage']:.1f}") for name, figures in sessions],
        )
    )
    extension = selection.extension
    show(f"extended windows: {extension['extended']:,} of {extension['triggered']:,} triggered")
