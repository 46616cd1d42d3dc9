"""What the shares outstanding of events cost, from what the lake has; sends no request."""

from typing import NamedTuple

from smallcaps_assets.domain.listings.as_of import LISTED_EVENT, SHARES
from smallcaps_assets.domain.universe import UniverseParams
from smallcaps_assets.lake.event_listings import EventListingStore
from smallcaps_assets.lake.events.master import load_master
from smallcaps_assets.lake.files.stored_tables import is_stored
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.pipeline.universe.as_of import EventJudge


class ShareCosts(NamedTuple):
    """The requests for shares outstanding that `event_listings` would send first.

    Attributes:
        requests: so many, one per symbol and day.
        is_bound: whether it is only an upper bound, since the lake has no listings yet.
    """

    requests: int
    is_bound: bool


def share_costs(lake: Lake, params: UniverseParams) -> ShareCosts | None:
    """What the missing shares outstanding cost; None where no events are known yet.

    With listings these are the missing ends of quarters with events, and the dates that the stored numbers put on two
    sides of the limit; further dates are known once these are answered. Without listings they are both ends of all
    quarters of all symbols with events.

    Raises:
        LakeError: a table is damaged or cannot be read.
    """
    if not is_stored(lake.master):
        return None
    if params.is_named or params.max_market_cap_usd is None:
        return ShareCosts(0, is_bound=False)
    events, judge = load_master(lake, LISTED_EVENT), EventJudge.in_lake(lake, params)
    if judge is None:
        quarters = events.select("symbol", quarter=events["date"].str.to_date("%Y-%m-%d").dt.truncate("1q")).unique()
        return ShareCosts(2 * quarters.height, is_bound=True)
    days = judge.days_of_shares(events)
    # both are asked for once
    asked = days.vstack(judge.undecided_days(events)).unique()
    stored = EventListingStore(lake).shares().match_to_schema(SHARES).select("symbol", "asked_for")
    return ShareCosts(asked.join(stored, on=["symbol", "asked_for"], how="anti").height, is_bound=False)
