"""What missing bars cost over REST and over flat files; the figures are worked out by hand beside them."""

from datetime import date

import polars as pl

from smallcaps_assets.domain.bars.roads import MISSING_SESSIONS, RoadAssumptions, RoadCost, cost_of_files, cost_of_rest

OCTOBER, NOVEMBER, LATE, DECEMBER = date(2025, 10, 31), date(2025, 11, 3), date(2025, 11, 28), date(2025, 12, 1)
# 100 bars of 20 bytes a session; files of 1 MB; 8 Mbit/s carry 1 MB a second
ASSUMED = RoadAssumptions(100.0, 20.0, 1e6, 8e6, answer_s=2.0, threads=4)
MISSING = pl.DataFrame(
    [("A", OCTOBER), ("A", NOVEMBER), ("A", LATE), ("B", LATE), ("B", DECEMBER)], schema=MISSING_SESSIONS, orient="row"
)


def test_rest_takes_a_request_per_symbol_and_month() -> None:
    # A in October and November, B in November and December: 4 requests; 5 sessions of 2,000 bytes; 4 x 2 s / 4 threads
    assert cost_of_rest(MISSING, ASSUMED, None) == RoadCost("rest", 4, 4, 0, 10_000.0, 2.0 / 3600)
    # 2 requests a minute: 4 requests in 2 minutes
    assert cost_of_rest(MISSING, ASSUMED, 2.0).hours == 2 / 60
    # 50 MB a session: 250 s of transmission outlast the rate limit
    assert cost_of_rest(MISSING, ASSUMED._replace(bytes_per_bar=500_000.0), 2.0).hours == 250 / 3600


def test_flat_files_take_one_download_a_session_and_rest_for_the_others() -> None:
    files = {OCTOBER: None, NOVEMBER: 0.0, LATE: 3e6, date(2025, 11, 4): 9e6}
    # October as assumed (1 MB), 3 November is in the lake, 28 November 3 MB: 2 downloads, 4 MB, 4 s; nothing is missing
    # on 4 November; B on 1 December over REST: 1 request, 2,000 bytes, 2 s / 4 threads
    found = cost_of_files(MISSING, files, 3, ASSUMED, None)
    assert found == RoadCost("flat_files", 3 + 2 + 1, 1, 2, 4e6 + 2_000, 4.0 / 3600 + 0.5 / 3600)


def test_nothing_is_missing() -> None:
    nothing = MISSING_SESSIONS.to_frame()
    assert cost_of_rest(nothing, ASSUMED, 5.0) == RoadCost("rest", 0, 0, 0, 0.0, 0.0)
    assert cost_of_files(nothing, {OCTOBER: None}, 0, ASSUMED, 5.0) == RoadCost("flat_files", 0, 0, 0, 0.0, 0.0)
