"""What an event shard covers: fingerprint and dollar volume of each session, and the settings of its detection."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from itertools import groupby
from typing import Any, Final, NamedTuple, Self

from smallcaps_assets.lake.bar_files.months import MonthCoverage

# Keys of a shard's footer: the digest of its events, the coverage, and the digest of both.
CONTENT: Final = "content"
FOOTER_COVERAGE: Final = "coverage"
COVERAGE_ID: Final = "coverage_id"
# Key of the symbol of a shard; earlier releases did not record it.
SYMBOL_OF_SHARD: Final = "symbol"
_KEYS: Final = frozenset({"detections", "tiers", "events", "files"})


class FooterCoverage(NamedTuple):
    """The coverage in the footer of a shard: its id, and the files of bars."""

    id: str
    months: dict[str, MonthCoverage]


@dataclass(frozen=True)
class ShardCoverage:
    """What a shard covers: fingerprint and dollar volume of each session, and the settings of the detection.

    Attributes:
        detections: by event type, a digest of everything that decides its events.
        tiers: the minimum score of each tier.
        months: the sessions, by the names (`YYYY-MM`) of the files of bars.
        events: the number of events.
        content: digest of the events in the shard; None of events that are not published yet.
        footer: the footer that the coverage was read from; None of a coverage that was not read.
    """

    detections: dict[str, str]
    tiers: list[float]
    months: dict[str, MonthCoverage]
    events: int
    content: str | None = None
    footer: FooterCoverage | None = field(default=None, compare=False)

    @classmethod
    def of(
        cls,
        detections: dict[str, str],
        tiers: list[float],
        sessions: Mapping[date, str],
        dollar_volumes: Mapping[date, float],
        events: int,
    ) -> Self:
        """Build the coverage of sessions with these fingerprints and dollar volumes."""
        by_month = groupby(sorted(sessions), key=lambda day: f"{day:%Y-%m}")
        months = {
            name: MonthCoverage.of(None, {day: sessions[day] for day in days}, dollar_volumes)
            for name, days in by_month
        }
        return cls(detections, tiers, months, events)

    @cached_property
    def sessions(self) -> dict[date, str]:
        """The fingerprint of each session."""
        return {day: mark for name in sorted(self.months) for day, mark in self.months[name].fingerprints().items()}

    @cached_property
    def fingerprint(self) -> str:
        """`combine_fingerprints` of all sessions, without parsing their dates."""
        return MonthCoverage.together(self.months[name] for name in sorted(self.months)).combined_fingerprint()

    @property
    def session_count(self) -> int:
        """The number of sessions, without parsing them."""
        return sum(map(len, self.months.values()))

    @property
    def dollar_volumes(self) -> dict[date, float]:
        """The dollar volume of each session that has bars."""
        return {day: usd for name in sorted(self.months) for day, usd in self.months[name].dollar_volumes().items()}


def coverage_as_json(coverage: ShardCoverage, months: Mapping[str, MonthCoverage]) -> dict[str, Any]:
    """A coverage, of whose `months` some are left out, as the footer of a shard holds it."""
    return {
        "detections": coverage.detections,
        "tiers": coverage.tiers,
        "events": coverage.events,
        "files": {name: month.as_json() for name, month in sorted(months.items())},
    }


def months_in(document: Mapping[str, Any] | None) -> dict[str, MonthCoverage]:
    """The months of a coverage as JSON; none without one, and none of files that are gone."""
    files = document["files"] if document else {}
    return {name: MonthCoverage.from_json(month) for name, month in files.items() if month is not None}


def is_coverage(document: object, *, proven: bool = False) -> bool:
    """Whether a value of a file, which a disk may have damaged, is a coverage: its keys, each with its type.

    See `MonthCoverage.are_json` for a file that is `proven`.
    """
    if not isinstance(document, dict) or not document.keys() >= _KEYS:
        return False
    detections, tiers, files = document["detections"], document["tiers"], document["files"]
    return (
        isinstance(detections, dict)
        and all(isinstance(value, str) for value in detections.values())
        and isinstance(tiers, list)
        and all(type(tier) in (int, float) for tier in tiers)
        and type(document["events"]) is int
        and isinstance(files, dict)
        and MonthCoverage.are_json([month for month in files.values() if month is not None], proven=proven)
    )
