"""Companies with a history: renamed, delisted, listed again, listed for days only, moved to another exchange, grown."""

from dataclasses import dataclass
from datetime import date
from typing import Final

# sold out at any price of the simulated market: 2 billion dollars at 1.90 a share
_MANY_SHARES: Final = 1_200_000_000


@dataclass(frozen=True)
class Tenure:
    """A time in which a company is listed under one ticker, with the same type and exchange.

    Attributes:
        ticker: the ticker.
        first: the first day.
        last: the last day; None if it lasts to this day.
        type: the vendor's ticker type.
        exchange: MIC of the primary exchange.
        has_figi: whether the vendor knows the FIGIs of the company in this time.
    """

    ticker: str
    first: date
    last: date | None = None
    type: str = "CS"
    exchange: str = "XNAS"
    has_figi: bool = True

    def holds(self, day: date) -> bool:
        """Whether the company is listed so on a day."""
        return self.first <= day <= (self.last or date.max)


@dataclass(frozen=True)
class Company:
    """One company through time.

    Attributes:
        number: which company of the simulated market has its prices; no two companies share one.
        tenures: in the order of time, without overlap.
        shares: days from which on so many shares are outstanding, in order; before, those of the simulated market.
    """

    number: int
    tenures: tuple[Tenure, ...]
    shares: tuple[tuple[date, int], ...] = ()

    def on(self, day: date) -> Tenure | None:
        """How the company is listed on a day; None where it is not."""
        return next((tenure for tenure in self.tenures if tenure.holds(day)), None)

    def shares_on(self, day: date, otherwise: int) -> int:
        """The shares outstanding of the filing period of a day."""
        return next((count for since, count in reversed(self.shares) if since <= day), otherwise)


def _always(number: int, ticker: str, **more: str) -> Company:
    return Company(number, (Tenure(ticker, _BEGIN, **more),))  # type: ignore[arg-type] # type and exchange


_BEGIN: Final = date(2015, 1, 2)
# Every kind of change, from August 2025 on; the tickers differ from those of the plain simulated market.
COMPANIES: Final[tuple[Company, ...]] = (
    _always(0, "STAY"),
    # renamed
    Company(1, (Tenure("OLDN", _BEGIN, date(2025, 9, 15)), Tenure("NEWN", date(2025, 9, 16)))),
    # delisted, and its ticker taken over by another company five weeks later
    Company(2, (Tenure("REUS", _BEGIN, date(2025, 9, 30)),)),
    Company(3, (Tenure("REUS", date(2025, 11, 5)),)),
    # two companies that swap their tickers on one day
    Company(4, (Tenure("SWPA", _BEGIN, date(2025, 11, 11)), Tenure("SWPB", date(2025, 11, 12)))),
    Company(5, (Tenure("SWPB", _BEGIN, date(2025, 11, 11)), Tenure("SWPA", date(2025, 11, 12)))),
    # another type, another exchange
    Company(
        6,
        (Tenure("TYPE", _BEGIN, date(2025, 10, 21), "ETF"), Tenure("TYPE", date(2025, 10, 22), None, "CS")),
    ),
    Company(
        7,
        (
            Tenure("MOVE", _BEGIN, date(2025, 10, 7), "CS", "BATS"),
            Tenure("MOVE", date(2025, 10, 8), None, "CS", "XNYS"),
        ),
    ),
    # grows past 2 billion dollars with the filing of a quarter
    Company(8, (Tenure("GROW", _BEGIN),), ((date(2025, 11, 14), _MANY_SHARES),)),
    # delisted, and listed again a month later
    Company(9, (Tenure("BACK", _BEGIN, date(2025, 10, 31)), Tenure("BACK", date(2025, 12, 2)))),
    # a ticker that reads like a null, delisted for good
    Company(10, (Tenure("NA", _BEGIN, date(2025, 11, 20)),)),
    # renamed, and the vendor has no FIGI of it
    Company(
        12,
        (
            Tenure("BARE", _BEGIN, date(2025, 10, 15), has_figi=False),
            Tenure("BARF", date(2025, 10, 16), has_figi=False),
        ),
    ),
    # its FIGIs are known from October on
    Company(13, (Tenure("LATE", _BEGIN, date(2025, 9, 30), has_figi=False), Tenure("LATE", date(2025, 10, 1)))),
    # goes public
    Company(14, (Tenure("IPOO", date(2025, 10, 14)),)),
    # listed for a week between two month starts
    Company(16, (Tenure("BRIF", date(2025, 10, 9), date(2025, 10, 15)),)),
    # three owners of one ticker within a month; the one between the others is in no list of a month start
    Company(17, (Tenure("THRD", _BEGIN, date(2025, 11, 6)),)),
    Company(18, (Tenure("THRD", date(2025, 11, 13), date(2025, 11, 14)),)),
    Company(19, (Tenure("THRD", date(2025, 11, 20)),)),
    # delisted, and listed again before the next month starts
    Company(20, (Tenure("BOUN", _BEGIN, date(2025, 9, 10)), Tenure("BOUN", date(2025, 9, 24)))),
    # a test symbol of an exchange
    _always(15, "ZVZZT"),
)
