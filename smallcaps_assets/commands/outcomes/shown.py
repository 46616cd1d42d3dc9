"""Figures of outcomes as commands print them."""

from collections.abc import Mapping
from typing import Any, Final

from smallcaps_assets.domain.research.outcomes.barriers import LABEL_SPECS
from smallcaps_assets.domain.research.prices import BPS

NOTHING: Final = "-"
SPEC_NAMES: Final = [spec.name for spec in LABEL_SPECS]


def bps_text(value: float | None) -> str:
    """A return in bps, with its sign."""
    return NOTHING if value is None else f"{BPS * value:+,.1f}"


def bps_interval(row: Mapping[str, Any], low: str = "mean_lo", high: str = "mean_hi") -> str:
    """The interval of a mean in bps."""
    return NOTHING if row[low] is None else f"{bps_text(row[low])} to {bps_text(row[high])}"


def share_text(count: float | None, of: float | None = 1) -> str:
    """A share in percent."""
    return NOTHING if count is None or not of else f"{count / of:.1%}"
