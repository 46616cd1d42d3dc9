"""The eight steps of a selection, its ranks, buckets and extensions, on rows written by hand."""

from typing import Any

import polars as pl
import pytest

from smallcaps_assets.domain.manifests.selection import (
    ProfileParams,
    RankingParams,
    Selection,
    profile_hash,
    select_events,
    session_distribution,
)
from smallcaps_assets.domain.tables import MANIFEST
from smallcaps_assets_tests.conftest import event, master_of
from smallcaps_assets_tests.scenarios import default_settings

STEPS = [
    "range_and_sessions",
    "min_event_score",
    "bar_liquidity",
    "day_liquidity",
    "best_of_group",
    "max_per_symbol_day",
    "max_per_symbol",
    "max_events",
]
# nothing is triggered by a percentile of equal values: see the tests of extensions
GENEROUS = {"max_per_symbol": 1000, "max_per_symbol_day": 1000}


def core(**changes: Any) -> ProfileParams:
    return ProfileParams.model_validate(default_settings().profiles["core"].model_dump() | changes)


def ranking(**changes: Any) -> RankingParams:
    return RankingParams.model_validate(default_settings().ranking.model_dump() | changes)


def selected(*rows: dict[str, Any], **changes: Any) -> Selection:
    return select_events(master_of(*rows), core(**changes), default_settings().ranking)


def ids(selection: Selection) -> list[str]:
    return selection.manifest["event_id"].to_list()


def funnel(selection: Selection) -> list[int | str]:
    assert [step["step"] for step in selection.funnel] == STEPS
    return [step["rows"] for step in selection.funnel]


GOOD = event(event_id="good", symbol="GOOD")


@pytest.mark.parametrize(
    ("changes", "values", "step", "stays"),
    [
        # 1: both ends of a range are in it
        ({"first_date": "2025-11-04"}, {"date": "2025-11-03"}, 0, False),
        ({"first_date": "2025-11-04"}, {"date": "2025-11-04"}, 0, True),
        ({"last_date": "2025-11-06"}, {"date": "2025-11-06"}, 0, True),
        ({"last_date": "2025-11-06"}, {"date": "2025-11-07"}, 0, False),
        ({"sessions": ["RTH", "AH"]}, {"session": "PM"}, 0, False),
        ({"sessions": ["RTH", "AH"]}, {"session": "AH"}, 0, True),
        # 2
        ({}, {"score": 0.6}, 1, True),
        ({}, {"score": 0.5999}, 1, False),
        # 3
        ({}, {"dollar_volume": 100_000.0}, 2, True),
        ({}, {"dollar_volume": 99_999.0}, 2, False),
        ({}, {"volume": 10_000.0}, 2, True),
        ({}, {"volume": 9_999.5}, 2, False),
        # 0.5 of 10.0 is 5 %
        ({}, {"high": 10.5, "vwap_at_event": 10.0}, 2, True),
        ({}, {"high": 10.51, "vwap_at_event": 10.0}, 2, False),
        # 4
        ({}, {"dollar_volume_day": 500_000.0}, 3, True),
        ({}, {"dollar_volume_day": 499_999.0}, 3, False),
        ({}, {"rvol_day": 1.5}, 3, True),
        ({}, {"rvol_day": 1.49}, 3, False),
        ({}, {"rvol_day": None}, 3, True),
    ],
)
def test_a_row_passes_or_falls_at_its_step(
    changes: dict[str, Any], values: dict[str, Any], step: int, stays: bool
) -> None:
    selection = selected(GOOD, event(event_id="other", **values), **changes)
    assert ("other" in ids(selection)) == stays
    assert funnel(selection) == [2] * 8 if stays else [2] * step + [1] * (8 - step)


def test_unknown_rvol_is_counted_where_it_passed() -> None:
    unknown = event(event_id="unknown", rvol_day=None)
    # counted where it passes, also where a later step takes it
    assert selected(GOOD, unknown, max_events=1).funnel[3]["rvol_day_unknown"] == 1
    assert selected(GOOD).funnel[3] == {"step": "day_liquidity", "rows": 1, "rvol_day_unknown": 0}


def test_of_a_group_the_best_ranked_event_stays() -> None:
    # 0.95 x 0.88 = 0.836 of tape_speed is less than 0.85 x 1.00 of volume_spike
    loud = event(event_id="loud", score=0.95, event_type="tape_speed", event_group_id="g")
    best = event(event_id="best", score=0.85, event_group_id="g")
    selection = selected(loud, best, **GENEROUS)
    assert ids(selection) == ["best"]
    assert funnel(selection) == [2, 2, 2, 2, 1, 1, 1, 1]


def test_limits_per_symbol_and_day_come_before_the_limit_per_symbol() -> None:
    rows = [
        event(f"2025-11-0{day} {10 + hour}:00", event_id=f"{day}{hour}", score=0.9 - day / 100 - hour / 1000)
        for day in (3, 4, 5, 6)
        for hour in (0, 1)
    ]
    selection = selected(*rows, GOOD)
    # one of each day, then the three best days; the second event of a day never takes the place of a day
    assert ids(selection) == ["30", "40", "50", "good"]
    assert funnel(selection) == [9, 9, 9, 9, 9, 5, 4, 4]


def test_a_step_is_judged_on_what_the_steps_before_left() -> None:
    # the better one of the group falls at the liquidity of its bar, so the other is the best that is left
    thin = event(event_id="thin", score=0.9, volume=10.0, event_group_id="g")
    deep = event(event_id="deep", score=0.8, event_group_id="g")
    assert ids(selected(thin, deep)) == ["deep"]


def test_ranks_and_what_decides_ties() -> None:
    rows = [
        event(event_id="f", rvol_day=None, dollar_volume=9e9),
        event(event_id="e2", rvol_day=2.0, dollar_volume=200_000.0),
        event(event_id="e1", rvol_day=2.0, dollar_volume=200_000.0),
        event(event_id="d", rvol_day=2.0, dollar_volume=300_000.0),
        event(event_id="c", rvol_day=3.0, dollar_volume=100_000.0),
        # 0.8 / 0.98 x 0.98 would be a tie by arithmetic only; 0.82 x 0.98 = 0.8036 is more than 0.8
        event(event_id="b", score=0.82, event_type="vwap_break", rvol_day=None),
        event(event_id="a", score=0.9),
    ]
    manifest = selected(*rows, **GENEROUS).manifest
    assert manifest["event_id"].to_list() == ["a", "b", "c", "d", "e1", "e2", "f"]
    assert manifest["rank"].to_list() == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("event_type", "weight"),
    [
        ("volume_spike", 1.00),
        ("vwap_break", 0.98),
        ("consolidation_break", 0.96),
        ("opening_range_break", 0.94),
        ("price_momentum", 0.92),
        ("flush", 0.90),
        ("tape_speed", 0.88),
    ],
)
def test_types_have_the_weights_of_the_settings(event_type: str, weight: float) -> None:
    typed = event(event_id="typed", event_type=event_type, score=0.9)
    above, below = (event(event_id=name, score=0.9 * weight + by) for name, by in (("above", 1e-6), ("below", -1e-6)))
    assert ids(selected(below, typed, above, **GENEROUS)) == ["above", "typed", "below"]


def test_the_order_of_master_does_not_matter() -> None:
    rows = [event(event_id=f"{n:02}", symbol=f"S{n % 7}", score=0.7 + n % 3 / 10) for n in range(40)]
    limits = {"max_events": 11, **GENEROUS}
    assert ids(selected(*rows, **limits)) == ids(selected(*reversed(rows), **limits))


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


def ranked(count: int, **columns: list[Any]) -> list[dict[str, Any]]:
    """Events that rank in the order of their numbers."""
    return [
        event(
            event_id=f"{n:02}",
            symbol=f"S{n}",
            score=0.99 - n / 1000,
            **{name: values[n] for name, values in columns.items()},
        )
        for n in range(count)
    ]


NO_SPREAD = {"speed_percentile": 90, "spread_percentile": 100, "min_spike_x": 8.0, "max_extended_share": 1.0}


def extended(selection: Selection) -> list[str]:
    return selection.manifest.filter("extended")["event_id"].to_list()


def test_fast_events_get_the_longer_window() -> None:
    # transactions 1..11: the 90th percentile is 10, met by 10 and 11; the last one alone is wider than all others
    rows = ranked(11, transactions=list(range(1, 12)), high=[10.2] * 10 + [10.3])
    selection = selected(*rows, extension=NO_SPREAD)
    assert extended(selection) == ["09", "10"]
    windows = selection.manifest.select("extended", "window_before_min", "window_after_min").unique().sort("extended")
    assert windows.rows() == [(False, 3, 7), (True, 10, 20)]
    assert selection.extension["transactions_threshold"] == 10.0
    assert selection.extension["spread_threshold"] == pytest.approx(0.03)
    assert (selection.extension["triggered"], selection.extension["extended"]) == (2, 2)


def test_thresholds_lie_between_values_where_the_percentile_does() -> None:
    # of 1, 2, 3, 4 the 90th percentile is 1 + 0.9 x 3 = 3.7, nulls left out
    rows = ranked(6, transactions=[1, 2, 3, 4, None, None], high=[10.1] * 5 + [10.4])
    selection = selected(*rows, extension=NO_SPREAD)
    assert selection.extension["transactions_threshold"] == pytest.approx(3.7)
    assert extended(selection) == ["03", "05"]


def test_a_spike_is_reason_enough() -> None:
    rows = ranked(5, spike_x=[7.99, 8.0, 1.0, 9.0, 1.0], high=[10.2] * 4 + [10.3])
    assert extended(selected(*rows, extension=NO_SPREAD)) == ["01", "03", "04"]


def test_at_most_a_share_is_extended_the_best_ranked_first() -> None:
    rows = ranked(11, spike_x=[1.0, 1.0, *[9.0] * 9], high=[10.2] * 10 + [10.3])
    selection = selected(*rows, extension=NO_SPREAD | {"max_extended_share": 0.25})
    # floor(0.25 x 11) = 2
    assert extended(selection) == ["02", "03"]
    assert (selection.extension["triggered"], selection.extension["extended"]) == (9, 2)


def test_thresholds_are_those_of_the_rows_that_were_chosen() -> None:
    # the fastest of MASTER falls at its score and must not lift the threshold
    rows = [
        *ranked(3, transactions=[1, 2, 3], high=[10.2, 10.2, 10.3]),
        event(event_id="x", score=0.1, transactions=10**6),
    ]
    assert selected(*rows, extension=NO_SPREAD).extension["transactions_threshold"] == pytest.approx(2.8)


def test_without_any_transactions_there_is_no_threshold() -> None:
    selection = selected(*ranked(4, high=[10.2, 10.2, 10.2, 10.3]), extension=NO_SPREAD)
    assert selection.extension["transactions_threshold"] is None
    assert extended(selection) == ["03"]


def test_events_of_symbols_that_were_not_in_the_universe_are_left_out_after_the_first_step() -> None:
    rows = [event(event_id=name, symbol=name) for name in ("in", "fund", "large", "unknown", "nobody")]
    rows.append(event("2025-11-05 08:00", event_id="pm", symbol="PM", session="PM"))
    verdicts = {
        "in": (True, None, None),
        "fund": (False, "type", None),
        "large": (False, "market_cap", None),
        "unknown": (None, None, "market_cap"),
        "nobody": (None, None, "listing"),
        "pm": (False, "type", None),
    }
    judged = pl.DataFrame(
        [(name, *verdict) for name, verdict in reversed(verdicts.items())],
        {"event_id": pl.String, "in_universe_at_event": pl.Boolean, "excluded_by": pl.String, "unknown": pl.String},
        orient="row",
    )
    profile, ranking = core(sessions=["RTH"]), default_settings().ranking
    selection = select_events(master_of(*rows), profile, ranking, at_event=judged)
    assert set(ids(selection)) == {"in", "unknown", "nobody"}
    assert [step["step"] for step in selection.funnel] == [STEPS[0], "in_universe_at_event", *STEPS[1:]]
    # the events of other sessions are gone before
    assert selection.funnel[1] == {
        "step": "in_universe_at_event",
        "rows": 3,
        "excluded_by_market_cap": 1,
        "excluded_by_type": 1,
        "unknown_listing": 1,
        "unknown_market_cap": 1,
    }
    assert selection.manifest.schema == MANIFEST
    with pytest.raises(ValueError, match="a verdict on every event"):
        select_events(master_of(*rows), profile, ranking, at_event=judged.head(5))


def test_an_empty_master_gives_an_empty_manifest() -> None:
    selection = selected()
    assert selection.manifest.schema == MANIFEST
    assert funnel(selection) == [0] * 8
    assert session_distribution(selection.manifest)["RTH"] == {"count": 0, "percentage": 0.0}


def test_the_mix_of_sessions() -> None:
    rows = [
        event("2025-11-05 08:00", session="PM", symbol="A"),
        *(event(symbol=symbol) for symbol in "BCD"),
    ]
    assert session_distribution(selected(*rows).manifest) == {
        "PM": {"count": 1, "percentage": 25.0},
        "RTH": {"count": 3, "percentage": 75.0},
        "AH": {"count": 0, "percentage": 0.0},
    }


def other(value: Any) -> Any:
    """Another value of the same type that the settings allow."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case float():
            return value * 0.5
        case None:
            return "2025-11-05"
        case list():
            return value[:-1]
        case "minimal":
            return "all"
        case _:
            raise NotImplementedError(value)


def leaves(document: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    return [
        leaf
        for name, value in document.items()
        for leaf in (leaves(value, (*path, name)) if isinstance(value, dict) else [((*path, name), value)])
    ]


def changed(document: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    first, *rest = path
    return document | {first: changed(document[first], tuple(rest), value) if rest else value}


PROFILE = default_settings().profiles["core"].model_dump()


@pytest.mark.parametrize(
    ("path", "value"), leaves(PROFILE), ids=lambda part: ".".join(part) if isinstance(part, tuple) else ""
)
def test_every_setting_of_a_profile_has_a_part_in_its_hash(path: tuple[str, ...], value: Any) -> None:
    altered = ProfileParams.model_validate(changed(PROFILE, path, other(value)))
    ours = default_settings().ranking
    assert profile_hash(altered, ours) != profile_hash(core(), ours)


def test_every_setting_of_the_ranking_has_a_part_in_the_hash() -> None:
    document = default_settings().ranking.model_dump()
    hashes = {profile_hash(core(), default_settings().ranking)}
    for name, weight in document["type_weights"].items():
        hashes.add(profile_hash(core(), ranking(type_weights=document["type_weights"] | {name: weight - 0.5})))
    for number, bucket in enumerate(document["time_buckets"]):
        for change in ({"share": bucket["share"] / 2}, {"name": "renamed"}):
            buckets = [*document["time_buckets"]]
            buckets[number] = bucket | change
            hashes.add(profile_hash(core(), ranking(time_buckets=buckets)))
    assert len(hashes) == 1 + 7 + 2 * 5


def test_the_hash_is_of_sixteen_hex_digits_and_stays() -> None:
    first, second = (profile_hash(core(), default_settings().ranking) for _ in range(2))
    assert first == second
    assert len(first) == 16
    assert int(first, 16) >= 0
    assert (
        len({profile_hash(profile, default_settings().ranking) for profile in default_settings().profiles.values()})
        == 3
    )


def test_windows_are_positive_whole_minutes() -> None:
    manifest = selected(*ranked(8, spike_x=[9.0] * 8)).manifest
    assert manifest.schema["window_before_min"] == pl.Int64
    assert manifest.select(pl.col("window_before_min", "window_after_min").min() > 0).row(0) == (True, True)
