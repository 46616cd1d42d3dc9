"""`smallcaps review`: import the labels that a review sheet exported, and print the precision."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any, Final, cast, get_args

from smallcaps_assets.commands.console import Printable, TextTable, show
from smallcaps_assets.commands.services.state import open_state
from smallcaps_assets.commands.workplace import add_data_flags, enter
from smallcaps_assets.defs.assets.review import report_review
from smallcaps_assets.domain.review.labels import LabelFile, parse_labels, require_sample
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.review import Sheet
from smallcaps_assets.pipeline.review.review import Review, ReviewResult
from smallcaps_assets.runtime.json_texts import parse_json
from smallcaps_assets.settings.settings import PROFILES, Profile, lake_path

NEEDS: Final = "the file that the page exported."
EXAMPLE: Final = "smallcaps review core_20251202_031500_labels.json"


def add_flags(parser: ArgumentParser) -> None:
    """Add the command's flags."""
    add_data_flags(parser)
    parser.add_argument("file", type=Path, metavar="FILE", help="the file that `Export labels` of the page saved")
    parser.add_argument("--profile", choices=PROFILES, help="reject labels of another profile")


def run(arguments: Namespace) -> int:
    """Store the labels of a file, print the precision by type and session, and report it to Dagster.

    Raises:
        InputError: the file cannot be read, is not an export, or is of another profile, manifest or sample.
    """
    settings = enter(arguments)
    file = str(arguments.file)
    labels = parse_labels(_text_of(arguments.file), file)
    review = Review(Lake(lake_path(settings)), _profile(labels, arguments.profile, file), settings)
    sheet = _sheet(review, labels, file)
    path = review.store.add(labels)
    reviewed = review.assess(sheet)
    show(f"{file}: {count_noun(len(labels.marks), 'label')} stored in {path}", *review_items(reviewed))
    current = ManifestStore.in_lake(review.lake, review.profile).current_id()
    with open_state(settings) as instance:
        report_review(instance, review.profile, reviewed, current=sheet.manifest_id == current)
    return 0


def review_items(reviewed: ReviewResult) -> list[Printable]:
    """The precision of all events, of each type and of each session, and whether it is sufficient."""
    columns = ("", "events", "labeled", "good", "of labels", "precision", "95 % interval")
    title = f"review of {reviewed.sheet.manifest_id}: {reviewed.verdict.words}"
    return [title, TextTable(columns, [_row(row) for row in reviewed.table.to_dicts()])]


def _row(row: dict[str, Any]) -> list[str]:
    counts = [row["part"], *(f"{row[name]:,}" for name in ("events", "marked", "good"))]
    if not row["marked"]:
        return [*counts, "", "", ""]
    shares = [f"{row['of_marks_pct']:.1f} %", f"{row['precision_pct']:.1f} %"]
    return [*counts, *shares, f"{row['low_pct']:.1f} to {row['high_pct']:.1f}"]


def _text_of(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8-sig")
        parse_json(text)
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}). Give the file that the page saved.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: is not UTF-8 text. Give the file that the page saved.") from error
    except ValueError as error:
        raise InputError(f"{file}: is not usable JSON ({error}). Give the file that the page saved.") from error
    return text


def _profile(labels: LabelFile, wanted: Profile | None, file: str) -> Profile:
    known = get_args(Profile)
    if labels.profile not in known:
        raise InputError(f"{file}: profile = {labels.profile!r} is not one of {', '.join(known)}.")
    if wanted not in (None, labels.profile):
        raise InputError(
            f"{file}: profile = {labels.profile!r}, not {wanted!r}. Omit --profile, or give the profile of the file."
        )
    return cast("Profile", labels.profile)


def _sheet(review: Review, labels: LabelFile, file: str) -> Sheet:
    """The sheet that the labels belong to."""
    try:
        sheet = review.store.sheet(labels.manifest_id)
    except InputError as error:
        raise InputError(f"{file}: manifest_id = {labels.manifest_id!r}: {error}") from error
    if sheet.sample_id != labels.sample_id:
        raise InputError(
            f"{file}: sample_id = {labels.sample_id!r}, but the sheet of {labels.manifest_id} was made again later, "
            f"with sample {sheet.sample_id}. Label the events of the new sheet, or restore the settings of `review` "
            f"and materialize {review.profile}/review_sheet again."
        )
    require_sample(labels, sheet.events, file)
    return sheet
