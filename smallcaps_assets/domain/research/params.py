"""Settings of the research tables: the section `research:`."""

from typing import Annotated, Final

from pydantic import AfterValidator, Field

from smallcaps_assets.domain.params import CalendarDay, Params

SECOND_NS: Final = 1_000_000_000
# ids of trade conditions whose price is none of the market at that moment
_NOT_A_MARKET_PRICE: Final = (2, 4, 5, 7, 10, 13, 20, 21, 22, 29, 30, 31, 32, 33, 52, 53)
# ids of prints of auctions and official prices: no side was the aggressor
_AUCTION: Final = (8, 9, 15, 16, 17, 18, 19, 25, 28, 38, 55)

ConditionIds = Annotated[tuple[int, ...], Field(strict=False)]


def _check_grid(hz: int) -> int:
    if SECOND_NS % hz:
        raise ValueError("is not a rate whose interval is a whole number of nanoseconds: give 1, 2, 4, 5 or 10")
    return hz


class ResearchParams(Params):
    """How tape becomes numbers; the defaults serve settings files that were written before this section existed."""

    grid_hz: Annotated[int, Field(gt=0, le=1_000), AfterValidator(_check_grid)] = 5
    trf_exchange_id: int = 4
    round_lot_shares: float = Field(default=100, gt=0)
    quote_sizes_in_shares_from: CalendarDay | None = None
    sip_trade_lag_ms: int = Field(default=0, ge=0, le=60_000)
    large_print_usd: float = Field(default=25_000, gt=0)
    participation: float = Field(default=0.10, gt=0, le=1)
    not_a_market_price: ConditionIds = _NOT_A_MARKET_PRICE
    auction: ConditionIds = _AUCTION

    @property
    def grid_step_ns(self) -> int:
        """Nanoseconds between two points of the grid."""
        return SECOND_NS // self.grid_hz


def check_max_hz(profile: str, max_hz: float | None, params: ResearchParams) -> None:
    """Check that quotes thinned to `max_hz` give the numbers of the grid that unthinned quotes give; None: unthinned.

    Raises:
        ValueError: `max_hz` is not a multiple of `grid_hz`; names `profile`.
    """
    if max_hz is not None and (max_hz < params.grid_hz or max_hz % params.grid_hz):
        raise ValueError(
            f"profile {profile}: quotes.max_hz {max_hz:g} is not a multiple of research.grid_hz {params.grid_hz}, so "
            "that spreads would depend on the profile: set max_hz to a multiple, or grid_hz to a divisor."
        )
