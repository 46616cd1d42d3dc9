"""What a person says of events, as the page of a review sheet exports it."""

from collections.abc import Iterable
from typing import Annotated, Final, Literal

import polars as pl
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from smallcaps_assets.domain.tables import UTC_US
from smallcaps_assets.errors import InputError

FORMAT: Final = "smallcaps review marks"
VERSION: Final = 1

# `mark` is null where a mark was taken back.
MARKS: Final = pl.Schema({"event_id": pl.String(), "mark": pl.String(), "at": UTC_US})

Moment = Annotated[AwareDatetime, Field(strict=False)]


class _FromAPage(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Mark(_FromAPage):
    """One person's word on one event; null takes an earlier one back."""

    mark: Literal["good", "bad"] | None
    at: Moment


class MarksFile(_FromAPage):
    """Marks on one sample of one manifest, by event id."""

    format: Literal["smallcaps review marks"]
    version: Literal[1]
    profile: str
    manifest_id: str = Field(pattern=r"^[a-z]+_[0-9]{8}_[0-9]{6}$")
    sample_id: str = Field(pattern=r"^[0-9a-f]{16}$")
    exported_at: Moment
    marks: dict[str, Mark]

    def frame(self) -> pl.DataFrame:
        """The marks (MARKS)."""
        rows = [(name, said.mark, said.at) for name, said in self.marks.items()]
        return pl.DataFrame(rows, schema=MARKS, orient="row")


_REMEDY: Final = "Export the marks again from the review sheet, and give that file."


def parse_marks(text: str, file: str) -> MarksFile:
    """The marks of an exported file.

    Raises:
        InputError: not JSON, another schema, or a mark that is neither good nor bad; names file, field and value.
    """
    try:
        return MarksFile.model_validate_json(text)
    except ValidationError as error:
        found = error.errors(include_url=False)
        told = "; ".join(_told(item["loc"], item["msg"], item["input"]) for item in found[:5])
        more = f"; and {len(found) - 5:,} more" if len(found) > 5 else ""  # noqa: PLR2004 -- as many as are told
        raise InputError(f"{file}: {told}{more}. {_REMEDY}") from None


def _told(place: tuple[int | str, ...], message: str, value: object) -> str:
    if not place:
        return message
    shown = f" = {value!r}" if isinstance(value, str | int | float | bool) else ""
    return f"{'.'.join(map(str, place))}{shown}: {message}"


def require_sample(marks: MarksFile, sample: pl.DataFrame, file: str) -> None:
    """Make sure that marks are there, and of events of the sample (SAMPLE) that they name.

    Raises:
        InputError: no mark at all, or unknown events, which it names.
    """
    if not marks.marks:
        raise InputError(f"{file}: marks is empty. Mark events in the page, export again, and give that file.")
    unknown = sorted(marks.marks.keys() - set(sample["event_id"]))
    if unknown:
        raise InputError(
            f"{file}: marks names {len(unknown):,} events that are not in sample {marks.sample_id} of "
            f"{marks.manifest_id}, such as {unknown[0]!r}. {_REMEDY}"
        )


def latest(files: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """`event_id` and `good` of every event whose latest mark (of all MARKS) stands.

    Of marks on one event the later wins; made in the same instant, bad wins over good and good over one taken back. So
    it does not matter in which order, or how often, files are taken in.
    """
    strength = pl.col("mark").replace_strict({"good": 1, "bad": 2}, default=0, return_dtype=pl.Int64)
    return (
        pl.concat([MARKS.to_frame(), *files])
        .sort("at", strength, descending=True)
        .unique("event_id", keep="first", maintain_order=True)
        .drop_nulls("mark")
        .select("event_id", good=pl.col("mark") == "good")
        .sort("event_id")
    )
