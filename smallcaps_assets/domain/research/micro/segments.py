"""The five parts of an event's window that have a row each (research specification, section 1)."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from smallcaps_assets.domain.research.arrays import BoolArray, IntArray
from smallcaps_assets.domain.research.micro.axis import EventWindows
from smallcaps_assets.domain.research.micro.params import SECOND_NS

# in the order of the rows of an event, with when their numbers are known
SEGMENTS: Final = {"pre3": "pre", "pre_all": "pre", "bar": "pre", "m5": "seg", "post_all": "seg"}
PRE3, PRE_ALL, BAR, M5, POST_ALL = range(5)
_PRE3_NS: Final = 180 * SECOND_NS
_M5_NS: Final = 300 * SECOND_NS


@dataclass(frozen=True)
class SegmentRows:
    """Segments [start, end) of events on the axis, event by event, in the order of SEGMENTS.

    Attributes:
        event: number of the event among its windows.
        code: which segment it is: PRE3, ...
        start: begins.
        end: ends; its numbers are available then.
        origin: the window of its event begins.
        known: its event is known.
    """

    event: IntArray
    code: IntArray
    start: IntArray
    end: IntArray
    origin: IntArray
    known: IntArray

    def __len__(self) -> int:
        return len(self.event)

    @property
    def seconds(self) -> IntArray:
        """Length of each, in whole seconds."""
        return (self.end - self.start) // SECOND_NS

    def bounds(self, step_ns: int) -> tuple[IntArray, IntArray]:
        """Start and end in steps of `step_ns` since the window began."""
        return (self.start - self.origin) // step_ns, (self.end - self.origin) // step_ns

    def is_one_of(self, *codes: int) -> BoolArray:
        """Which are one of these segments."""
        return np.isin(self.code, codes)


def segment_rows(windows: EventWindows) -> SegmentRows:
    """The segments that are not empty and lie inside the window of their event."""
    start, event, known, end = windows.start, windows.event, windows.known, windows.end
    starts = np.stack([event - _PRE3_NS, start, event, known, known], axis=1)
    ends = np.stack([event, event, known, known + _M5_NS, end], axis=1)
    inside = (starts < ends) & (starts >= start[:, None]) & (ends <= end[:, None])
    at, code = np.nonzero(inside)
    return SegmentRows(at, code, starts[inside], ends[inside], start[at], known[at])
