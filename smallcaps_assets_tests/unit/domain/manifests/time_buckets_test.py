"""Time buckets: which one a minute is in, and what share each gets of a manifest."""

from typing import Any

import pytest

from smallcaps_assets.domain.manifests.selection import Selection, select_events
from smallcaps_assets_tests.conftest import event, master_of
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.unit.domain.manifests.selecting import core, ids, ranking, selected


@pytest.mark.parametrize(
    ("at", "session", "bucket"),
    [
        ("2025-11-05 04:00", "PM", "0400-0930"),
        ("2025-11-05 09:29", "PM", "0400-0930"),
        ("2025-11-05 09:30", "RTH", "0930-1015"),
        ("2025-11-05 10:14", "RTH", "0930-1015"),
        ("2025-11-05 10:15", "RTH", "1015-1400"),
        ("2025-11-05 13:59", "RTH", "1015-1400"),
        ("2025-11-05 14:00", "RTH", "1400-1600"),
        ("2025-11-05 15:59", "RTH", "1400-1600"),
        ("2025-11-05 16:00", "AH", "1600-2000"),
        ("2025-11-05 19:59", "AH", "1600-2000"),
        # half day: RTH ends at 13:00 and AH begins
        ("2025-11-28 12:59", "RTH", "1015-1400"),
        ("2025-11-28 13:00", "AH", "1600-2000"),
        ("2025-11-28 16:59", "AH", "1600-2000"),
        # summer time: 10:15 in New York is 14:15 UTC, an hour earlier than in winter
        ("2025-07-08 10:14", "RTH", "0930-1015"),
        ("2025-07-08 10:15", "RTH", "1015-1400"),
    ],
)
def test_time_buckets(at: str, session: str, bucket: str) -> None:
    assert selected(event(at, session=session)).manifest["time_bucket"].to_list() == [bucket]


def of_buckets(**counts: int) -> list[dict[str, Any]]:
    """The given number of events in each bucket; the best are of `afternoon`, then `noon`, `morning`, `am`, `pm`."""
    places = {
        "afternoon": ("14:30", "RTH", 0.95),
        "noon": ("11:00", "RTH", 0.90),
        "morning": ("09:45", "RTH", 0.85),
        "am": ("08:00", "PM", 0.80),
        "pm": ("17:00", "AH", 0.75),
    }
    return [
        event(
            f"2025-11-05 {clock}",
            session=session,
            score=score - n / 10_000,
            event_id=f"{name}{n:02}",
            symbol=f"{name}{n}",
        )
        for name, (clock, session, score) in places.items()
        for n in range(counts.get(name, 0))
    ]


def taken(selection: Selection) -> dict[str, int]:
    return {
        name: sum(event_id.startswith(name) for event_id in ids(selection))
        for name in ("am", "morning", "noon", "afternoon", "pm")
        if any(event_id.startswith(name) for event_id in ids(selection))
    }


def test_every_bucket_gets_its_share_before_the_best_fill_up() -> None:
    everything = of_buckets(afternoon=20, noon=20, morning=20, am=20, pm=20)
    # of 20: floor of 2.0, 1.0, 5.0, 7.0 and 5.0; nothing is left over
    assert taken(selected(*everything, max_events=20)) == {"am": 2, "morning": 5, "noon": 7, "afternoon": 5, "pm": 1}
    # of 15: floor of 1.5, 0.75, 3.75, 5.25, 3.75 = 1 + 0 + 3 + 5 + 3, and 3 more of the best
    assert taken(selected(*everything, max_events=15)) == {"am": 1, "morning": 3, "noon": 5, "afternoon": 6}


def test_what_a_bucket_cannot_fill_goes_to_the_best_of_the_rest() -> None:
    # of 10: 1, 0, 2, 3, 2 guaranteed; 2 mornings and no pre-market leave 1 + 2 + 3 to the afternoon... but 4 to spare
    rows = of_buckets(afternoon=20, morning=2, pm=3)
    assert taken(selected(*rows, max_events=10)) == {"morning": 2, "afternoon": 8}


def test_a_share_that_is_whole_but_for_its_rounding_is_not_cut() -> None:
    # 0.29 x 100 is 28.999999999999996 in floating point
    buckets = default_settings().ranking.model_dump()["time_buckets"]
    shares = {"0400-0930": 0.29, "1600-2000": 0.0, "0930-1015": 0.0, "1015-1400": 0.0, "1400-1600": 0.71}
    changed = ranking(time_buckets=[bucket | {"share": shares[bucket["name"]]} for bucket in buckets])
    rows = of_buckets(am=60, noon=120)
    selection = select_events(master_of(*rows), core(max_events=100), changed)
    assert taken(selection) == {"am": 29, "noon": 71}


def test_no_bucket_is_counted_while_everything_fits() -> None:
    assert taken(selected(*of_buckets(pm=20), max_events=20)) == {"pm": 20}


def test_rows_stay_in_rank_order_after_the_buckets() -> None:
    manifest = selected(*of_buckets(afternoon=20, noon=20, am=20), max_events=20).manifest
    assert manifest["score"].is_sorted(descending=True)
    assert manifest["rank"].to_list() == list(range(1, 21))
