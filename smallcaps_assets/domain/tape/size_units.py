"""The unit of quote sizes: round lots before a day, shares from it on (research specification, section 0.7)."""

from datetime import date, datetime
from typing import Final, Literal
from zoneinfo import ZoneInfo

from smallcaps_assets.domain.sessions import NEW_YORK

SizeUnit = Literal["lots", "shares"]
# Of quotes whose footer names no unit, as release 0.1 wrote them; also where the settings name no day.
DEFAULT_SIZE_UNIT: Final[SizeUnit] = "shares"
# Footer entries of quotes: the unit of their sizes, and the setting that decided it.
QUOTE_SIZE_UNIT: Final = "quote_size_unit"
SHARES_FROM: Final = "quote_sizes_in_shares_from"


def size_unit(start: datetime, shares_from: date | None) -> SizeUnit:
    """The unit of the sizes of quotes of a span that starts at `start` (UTC), by its day in New York.

    It is never inferred from the sizes themselves. Nothing is multiplied: stored sizes are as the vendor sent them.

    Args:
        start: start of the span.
        shares_from: the first day of sizes in shares; None: no day is known, and all are in shares.
    """
    if shares_from is None:
        return DEFAULT_SIZE_UNIT
    return "lots" if start.astimezone(ZoneInfo(NEW_YORK)).date() < shares_from else "shares"
