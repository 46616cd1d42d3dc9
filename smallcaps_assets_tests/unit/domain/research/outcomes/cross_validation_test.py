"""From when on features of a row use information (research specification, section 4.7)."""

from datetime import UTC, datetime

import polars as pl

from smallcaps_assets.domain.research.outcomes.cross_validation import WINDOW_STARTS, with_feature_from


def test_features_begin_with_the_window_or_the_new_york_date() -> None:
    # the days on which daylight saving time begins and ends, whose midnights are at 05:00 and 04:00 UTC
    labels = pl.DataFrame(
        {"event_id": ["b", "a", "b", "c"], "date": ["2025-03-09", "2025-11-12", "2025-03-09", "2025-11-02"]}
    )
    start = datetime(2025, 11, 12, 14, 27, tzinfo=UTC)
    windows = pl.DataFrame([("a", start), ("other", start)], WINDOW_STARTS, orient="row")
    found = with_feature_from(labels, windows)
    spring, autumn = datetime(2025, 3, 9, 5, tzinfo=UTC), datetime(2025, 11, 2, 4, tzinfo=UTC)
    assert found["feature_from"].to_list() == [spring, start, spring, autumn]
    assert found.drop("feature_from").equals(labels)
