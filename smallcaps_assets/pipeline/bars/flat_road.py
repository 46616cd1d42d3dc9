"""Which road the bars of a session come by: its flat file in the lake, or REST."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Final

from smallcaps_assets.domain.words import count_clause
from smallcaps_assets.errors import LakeError
from smallcaps_assets.pipeline.bars.flat_months import FlatMonths


@dataclass(frozen=True)
class FlatRoad:
    """The sessions of flat files.

    Sessions whose file is in the lake come from it. Those whose file the vendor has, but the lake has not, wait for it:
    REST would take a request for each symbol and month. All others come over REST: recent sessions whose file is not
    published yet, and those before the first file.

    Attributes:
        months: makes months of symbols from the files in the lake; None without flat files.
        listed: the sessions of which the vendor has a file, or usually has one, with its size in bytes; 0 where that is
            not known.
        why: why files that the vendor has are not in the lake, where that is known.
    """

    months: FlatMonths | None
    listed: Mapping[date, int]
    why: str = ""

    @cached_property
    def covers(self) -> frozenset[date]:
        """The sessions that do not come over REST."""
        return self.waiting | (frozenset() if self.months is None else frozenset(self.months.files))

    @cached_property
    def waiting(self) -> frozenset[date]:
        """The sessions whose file is still to be downloaded."""
        return frozenset(self.listed) - (frozenset() if self.months is None else frozenset(self.months.files))

    def waiting_error(self, days: Collection[date]) -> LakeError:
        """The error of a symbol that lacks sessions whose files are still to be downloaded."""
        first, last, sizes = min(days), max(days), [self.listed[day] for day in days]
        files = f"{count_clause(len(days), 'session has a flat file that is', 'sessions have flat files that are')}"
        cause = self.why or "not downloaded yet"
        why = f" ({self.why})" if self.why else ""
        size = f" ({sum(sizes) / 1e9:,.2f} GB)" if all(sizes) else ""
        return LakeError(
            f"{files} not in the lake{why}: materialize flat_minute_bars of {first} to {last}{size}, "
            "then minute_bars again; or set source.bars to rest."
        ).with_facts(f"flat files are not in the lake: {cause}")


NO_FLAT_FILES: Final = FlatRoad(None, {})
