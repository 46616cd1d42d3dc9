"""Sections of the settings that belong to no single domain module, such as source, paths, capture and checks."""

from functools import cached_property
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from smallcaps_assets.domain.addresses import VENDOR_BUCKET_HOSTS, VENDOR_HOSTS, check_base_url
from smallcaps_assets.domain.bars.checks import BarCheckParams
from smallcaps_assets.domain.events.checks import MasterCheckParams
from smallcaps_assets.domain.params import CalendarDay, Params, PathText, VariableName
from smallcaps_assets.domain.research.params import ResearchParams
from smallcaps_assets.domain.tape.budget import SizeBudget
from smallcaps_assets.domain.tape.cost_estimate import PlanAssumptions

BarsFrom = Literal["rest", "flat_files", "both"]
# a name or a path of names in a bucket's URL
BucketName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")]
KeyPrefix = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$")]


class EmbeddedParams(Params):
    """The simulated exchange: a simulated market, or files served over the same protocol."""

    seed: int = Field(ge=0)
    symbols: int = Field(gt=0, le=20_000)
    replay: PathText | None
    drill: bool = True
    corporate: bool = False

    @model_validator(mode="after")
    def _one_market(self) -> Self:
        if self.corporate and self.replay is not None:
            raise ValueError("corporate and replay are two markets: set corporate to false or replay to null")
        return self


class FlatFilesParams(Params):
    """The vendor's bucket of flat files: one file a session with the minute bars of the whole market.

    Attributes:
        endpoint: the address of the bucket's service; https, or http on this machine.
        bucket: its name.
        prefix: the folder of the minute bars.
        region: part of the signature of requests.
        access_key_variables: environment variables of the access key; the first one that is set counts.
        secret_key_variables: the same of the secret key.
        prefer: where `source.bars` is both and both have a session, whose bars are stored.
    """

    endpoint: Annotated[str, AfterValidator(check_base_url)] = "https://files.massive.com"
    bucket: BucketName = "flatfiles"
    prefix: KeyPrefix = "us_stocks_sip/minute_aggs_v1"
    region: BucketName = "us-east-1"
    access_key_variables: list[VariableName] = Field(
        default=["MASSIVE_S3_ACCESS_KEY", "POLYGON_S3_ACCESS_KEY"], min_length=1
    )
    secret_key_variables: list[VariableName] = Field(
        default=["MASSIVE_S3_SECRET_KEY", "POLYGON_S3_SECRET_KEY"], min_length=1
    )
    prefer: Literal["rest", "flat_files"] = "flat_files"


class SourceParams(Params):
    """Where market data comes from."""

    kind: Literal["embedded", "vendor"]
    base_url: Annotated[str, AfterValidator(check_base_url)]
    key_variables: list[VariableName] = Field(min_length=1)
    requests_per_minute: float | None = Field(gt=0)
    burst: int = Field(ge=1, le=1_000)
    timeout_s: float = Field(gt=0, le=3_600)
    deadline_s: float = Field(gt=0, le=86_400)
    max_retries: int = Field(ge=0, le=20)
    embedded: EmbeddedParams
    # files of earlier releases lack both
    bars: BarsFrom = "rest"
    flat_files: FlatFilesParams = Field(default_factory=FlatFilesParams)

    @property
    def uses_flat_files(self) -> bool:
        """Whether minute bars come from flat files, at least where these exist."""
        return self.bars != "rest"

    @property
    def stores_flat_files(self) -> bool:
        """Whether the bars of a session that has a flat file are stored from it, else from REST."""
        return self.bars == "flat_files" or (self.bars == "both" and self.flat_files.prefer == "flat_files")

    @model_validator(mode="after")
    def _one_market(self) -> Self:
        rest, bucket = (urlsplit(url).hostname for url in (self.base_url, self.flat_files.endpoint))
        is_vendor = self.kind == "embedded" or rest in VENDOR_HOSTS
        if self.uses_flat_files and not is_vendor and bucket in VENDOR_BUCKET_HOSTS:
            raise ValueError(
                f"flat_files.endpoint {bucket} is the vendor's, base_url {rest} is not: a lake must not mix two "
                "markets. Give the endpoint of the flat files that belong to base_url, or set bars to rest"
            )
        return self

    @model_validator(mode="after")
    def _burst_within_budget(self) -> Self:
        if self.requests_per_minute is not None and self.burst > max(1.0, self.requests_per_minute):
            raise ValueError(
                f"burst {self.burst} is more than requests_per_minute {self.requests_per_minute:g}: lower it"
            )
        return self


def _check_text(path: str) -> str:
    """Return `path` if Dagster's state, a text file, can name it.

    Raises:
        ValueError: it has bytes that are no text.
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ValueError("has bytes that are not UTF-8 text: rename the folder") from None
    return path


class LakeParams(Params):
    """The folder of the lake; relative to the folder that holds `config/`."""

    path: Annotated[PathText, AfterValidator(_check_text)]


class DagsterParams(Params):
    """Where Dagster keeps its state: a file whose sections override dagster.yaml, or null."""

    laid_over: PathText | None


class HistoryParams(Params):
    """Which sessions are covered, New York dates, both included."""

    first_session: CalendarDay
    last_session: CalendarDay | None
    publication_delay_min: int = Field(ge=0, le=1_440)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.last_session is not None and self.last_session < self.first_session:
            raise ValueError(f"last_session {self.last_session} is before first_session {self.first_session}")
        return self


class FreeDiskParams(Params):
    """How much disk space a capture leaves free; GB are 10^9 bytes."""

    check: bool
    keep_gb: float = Field(ge=0)


class CaptureParams(Params):
    """How tape is fetched."""

    quotes_without_trades: bool
    size_budget: SizeBudget
    free_disk: FreeDiskParams
    assumptions: PlanAssumptions


class CheckParams(Params):
    """When a check of a published table fails in the web UI."""

    master: MasterCheckParams
    bars: BarCheckParams


class ResearchSection(ResearchParams):
    """The section `research`: whether jobs make the research tables, and the settings of these tables."""

    enabled: bool = True

    @cached_property
    def params(self) -> ResearchParams:
        """What decides the numbers in the tables."""
        return ResearchParams.model_validate(self.model_dump(exclude={"enabled"}))
