"""Settings of figures of the tape: keys of `research:`."""

from typing import Annotated, Final

from pydantic import AfterValidator, Field

from smallcaps_assets.domain.params import CalendarDay
from smallcaps_assets.domain.research.tape.conditions import TradeParams

SECOND_NS: Final = 1_000_000_000


def _check_grid(hz: int) -> int:
    if SECOND_NS % hz:
        raise ValueError("is not a rate whose interval is a whole number of nanoseconds: give 1, 2, 4, 5 or 10")
    return hz


class MicroParams(TradeParams):
    """How tape becomes numbers. Fields are keys of `research:`."""

    grid_hz: Annotated[int, Field(gt=0, le=1_000), AfterValidator(_check_grid)] = 5
    trf_exchange_id: int = 4
    round_lot_shares: float = Field(default=100, gt=0)
    quote_sizes_in_shares_from: CalendarDay | None = None
    sip_trade_lag_ms: int = Field(default=0, ge=0, le=60_000)
    large_print_usd: float = Field(default=25_000, gt=0)
    participation: float = Field(default=0.10, gt=0, le=1)

    @property
    def grid_step_ns(self) -> int:
        """Nanoseconds between two points of the grid."""
        return SECOND_NS // self.grid_hz


def check_max_hz(profile: str, max_hz: float | None, params: MicroParams) -> None:
    """Check that quotes thinned to `max_hz` give the numbers of the grid that unthinned quotes give; None: unthinned.

    Raises:
        ValueError: `max_hz` is not a multiple of `grid_hz`; names `profile`.
    """
    if max_hz is not None and (max_hz < params.grid_hz or max_hz % params.grid_hz):
        raise ValueError(
            f"profile {profile}: quotes.max_hz {max_hz:g} is not a multiple of research.grid_hz {params.grid_hz}, so "
            "that spreads would depend on the profile: set max_hz to a multiple, or grid_hz to a divisor."
        )
