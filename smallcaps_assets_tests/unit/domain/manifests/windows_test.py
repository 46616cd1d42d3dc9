"""Windows of a manifest: which events get the longer one."""

from typing import Any

import polars as pl
import pytest

from smallcaps_assets.domain.manifests.selection import Selection
from smallcaps_assets_tests.conftest import event
from smallcaps_assets_tests.unit.domain.manifests.selecting import selected


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


def test_windows_are_positive_whole_minutes() -> None:
    manifest = selected(*ranked(8, spike_x=[9.0] * 8)).manifest
    assert manifest.schema["window_before_min"] == pl.Int64
    assert manifest.select(pl.col("window_before_min", "window_after_min").min() > 0).row(0) == (True, True)
