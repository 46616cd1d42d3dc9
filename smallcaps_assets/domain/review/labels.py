"""Labels (good or bad) that a person gave events on a review sheet, in the format that the page exports.

The file calls a label `mark`; its field names are fixed, since users hold such files.
"""

from collections.abc import Iterable
from typing import Annotated, Final, Literal

import polars as pl
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from smallcaps_assets.domain.tables import UTC_US
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.errors import InputError

EXPORT_FORMAT: Final = "smallcaps review marks"
EXPORT_VERSION: Final = 1

# `mark` is null where a label was withdrawn.
LABELS: Final = pl.Schema({"event_id": pl.String(), "mark": pl.String(), "at": UTC_US})

Moment = Annotated[AwareDatetime, Field(strict=False)]


class _FromAPage(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ReviewLabel(_FromAPage):
    """The label of one event; null withdraws an earlier one."""

    mark: Literal["good", "bad"] | None
    at: Moment


class LabelFile(_FromAPage):
    """Labels of one sample of one manifest, by event id."""

    format: Literal["smallcaps review marks"]
    version: Literal[1]
    profile: str
    manifest_id: str = Field(pattern=r"^[a-z]+_[0-9]{8}_[0-9]{6}$")
    sample_id: str = Field(pattern=r"^[0-9a-f]{16}$")
    exported_at: Moment
    marks: dict[str, ReviewLabel]

    def frame(self) -> pl.DataFrame:
        """The labels (LABELS)."""
        rows = [(name, label.mark, label.at) for name, label in self.marks.items()]
        return pl.DataFrame(rows, schema=LABELS, orient="row")


_REMEDY: Final = "Export the labels again from the review sheet, and give that file."


def parse_labels(text: str, file: str) -> LabelFile:
    """The labels of an exported file.

    Raises:
        InputError: not JSON, another schema, or a label that is neither good nor bad; names file, field and value.
    """
    try:
        return LabelFile.model_validate_json(text)
    except ValidationError as error:
        found = error.errors(include_url=False)
        errors = "; ".join(_describe_error(item["loc"], item["msg"], item["input"]) for item in found[:5])
        more = f"; and {len(found) - 5:,} more" if len(found) > 5 else ""  # noqa: PLR2004 -- the number shown
        raise InputError(f"{file}: {errors}{more}. {_REMEDY}") from None


def _describe_error(place: tuple[int | str, ...], message: str, value: object) -> str:
    if not place:
        return message
    shown = f" = {value!r}" if isinstance(value, str | int | float | bool) else ""
    return f"{'.'.join(map(str, place))}{shown}: {message}"


def require_sample(labels: LabelFile, sample: pl.DataFrame, file: str) -> None:
    """Make sure that a file has labels, and only of events of its sample (SAMPLE).

    Raises:
        InputError: it has none, or labels of other events; names one of them.
    """
    if not labels.marks:
        raise InputError(f"{file}: marks is empty. Label events in the page, export again, and give that file.")
    unknown = sorted(labels.marks.keys() - set(sample["event_id"]))
    if unknown:
        raise InputError(
            f"{file}: marks names {count_noun(len(unknown), 'event')} outside sample {labels.sample_id} of "
            f"{labels.manifest_id}, such as {unknown[0]!r}. {_REMEDY}"
        )


def latest_labels(files: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """`event_id` and `good` of every event whose latest label was not withdrawn.

    The latest label of an event applies; of labels given at the same instant bad wins over good, and good over a
    withdrawn one. The order of `files` (LABELS) and repeated files therefore make no difference.
    """
    strength = pl.col("mark").replace_strict({"good": 1, "bad": 2}, default=0, return_dtype=pl.Int64)
    return (
        pl.concat([LABELS.to_frame(), *files])
        .sort("at", strength, descending=True)
        .unique("event_id", keep="first", maintain_order=True)
        .drop_nulls("mark")
        .select("event_id", good=pl.col("mark") == "good")
        .sort("event_id")
    )
