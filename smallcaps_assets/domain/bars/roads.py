"""What the missing minute bars cost over either road: REST, or the vendor's flat files."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import polars as pl

# One row a session of a symbol that is to be fetched.
MISSING_SESSIONS: Final = pl.Schema({"symbol": pl.String(), "day": pl.Date()})

SECONDS_PER_MINUTE: Final = 60
SECONDS_PER_HOUR: Final = 3600
_BITS_PER_BYTE: Final = 8


class RoadAssumptions(NamedTuple):
    """What is assumed of the vendor and of the connection.

    Attributes:
        bars_per_session: minute bars of a symbol in a session.
        bytes_per_bar: of an answer of REST, compressed.
        bytes_per_file: of a flat file, compressed.
        bits_per_second: that the connection carries.
        answer_s: from a request of REST to its answer, beside the transmission.
        threads: requests of REST in flight.
    """

    bars_per_session: float
    bytes_per_bar: float = 20.0
    bytes_per_file: float = 28e6
    bits_per_second: float = 100e6
    answer_s: float = 0.3
    threads: int = 16


@dataclass(frozen=True)
class RoadCost:
    """What one road costs.

    Attributes:
        road: `rest`, or `flat_files` with REST for the sessions that have no file.
        requests: of REST, LISTs and downloads together.
        rest_requests: those of REST alone, which take from the rate limit.
        files: flat files to download.
        download_bytes: received, compressed.
        hours: with the rate limit and the assumed connection, one after the other.
    """

    road: str
    requests: int
    rest_requests: int
    files: int
    download_bytes: float
    hours: float

    def as_json(self) -> Mapping[str, str | int | float]:
        """A value that JSON can represent."""
        return vars(self)


def cost_of_rest(
    missing: pl.DataFrame, assumed: RoadAssumptions, requests_per_minute: float | None, road: str = "rest"
) -> RoadCost:
    """The cost of fetching MISSING_SESSIONS over REST: one request per symbol and calendar month."""
    requests = missing.select("symbol", pl.col("day").dt.truncate("1mo")).n_unique()
    size = missing.height * assumed.bars_per_session * assumed.bytes_per_bar
    waiting = requests * assumed.answer_s / assumed.threads
    limited = 0.0 if requests_per_minute is None else requests / requests_per_minute * SECONDS_PER_MINUTE
    seconds = max(limited, waiting, _transmission_s(size, assumed))
    return RoadCost(road, requests, requests, 0, size, seconds / SECONDS_PER_HOUR)


def cost_of_files(
    missing: pl.DataFrame,
    files: Mapping[object, float | None],
    lists: int,
    assumed: RoadAssumptions,
    requests_per_minute: float | None,
) -> RoadCost:
    """The cost of the flat files of `files`, and of REST for those of MISSING_SESSIONS that have none.

    Args:
        missing: sessions to fetch.
        files: the sessions that have a file, with the bytes that are still to be downloaded: 0 of one that is in the
            lake, None where the size is not known.
        lists: LIST requests.
        assumed: about vendor and connection.
        requests_per_minute: the rate limit of REST; the bucket has none.
    """
    sizes = {day: assumed.bytes_per_file if size is None else size for day, size in files.items()}
    wanted = {day: sizes[day] for day in missing["day"].unique() if sizes.get(day, 0.0) > 0}
    rest = cost_of_rest(missing.filter(~pl.col("day").is_in(list(files))), assumed, requests_per_minute)
    size = sum(wanted.values())
    hours = _transmission_s(size, assumed) / SECONDS_PER_HOUR
    return RoadCost(
        "flat_files",
        lists + len(wanted) + rest.requests,
        rest.requests,
        len(wanted),
        size + rest.download_bytes,
        hours + rest.hours,
    )


def _transmission_s(size: float, assumed: RoadAssumptions) -> float:
    return size * _BITS_PER_BYTE / assumed.bits_per_second
