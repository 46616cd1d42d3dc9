"""What labels say: a few by hand, and many by plain loops."""

import math
from collections import defaultdict
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.research.outcomes.label_summary import ALL_TYPES, sum_by_date, summarize_labels
from smallcaps_assets.domain.research.statistics.mean_returns import mean_returns, mean_returns_of_dates

SCHEMA = pl.Schema(
    {
        "event_type": pl.String(),
        "label_spec": pl.String(),
        "date": pl.String(),
        "state": pl.String(),
        "label": pl.Int64(),
        "tie": pl.Boolean(),
        "gross_return": pl.Float64(),
        "net_return": pl.Float64(),
        "cost_source": pl.String(),
        "in_causal_sample": pl.Boolean(),
        "in_master": pl.Boolean(),
    }
)
ROW = {
    "event_type": "flush",
    "label_spec": "15,1,1",
    "date": "2025-11-03",
    "state": "ok",
    "label": 1,
    "tie": False,
    "gross_return": 0.01,
    "net_return": 0.008,
    "cost_source": "nbbo",
    "in_causal_sample": True,
    "in_master": True,
}


def rows_of(*changes: dict[str, Any]) -> pl.LazyFrame:
    return pl.DataFrame([ROW | change for change in changes], schema=SCHEMA).lazy()


def summary_of(rows: pl.LazyFrame) -> pl.DataFrame:
    return summarize_labels(sum_by_date(rows).collect())


NOTHING: dict[str, Any] = {"label": None, "tie": None, "gross_return": None, "net_return": None}


def test_counts_and_means_by_hand() -> None:
    rows = rows_of(
        # day 1: net 0.008 and -0.012; day 2: net 0.004, gross alone, no entry (its cost is known and does not count)
        {},
        {"label": -1, "tie": True, "gross_return": -0.01, "net_return": -0.012},
        {"date": "2025-11-04", "label": 0, "gross_return": 0.005, "net_return": 0.004, "cost_source": "trailing"},
        {"date": "2025-11-04", "net_return": None, "cost_source": "none"},
        {"date": "2025-11-04", "state": "no_entry", **NOTHING},
        {"date": "2025-11-04", "state": "no_scale", **NOTHING},
        # in MASTER alone, and without a row of costs yet
        {"in_causal_sample": False, "net_return": None, "cost_source": None},
        # of neither: not counted
        {"in_causal_sample": None, "in_master": False},
    )
    found = summary_of(rows)
    assert found.select("label_spec", "event_type", "selection").rows() == [
        ("15,1,1", "flush", "causal"),
        ("15,1,1", "flush", "master"),
        ("15,1,1", ALL_TYPES, "causal"),
        ("15,1,1", ALL_TYPES, "master"),
    ]
    causal, master = found.head(2).to_dicts()
    counts = {"events": 6, "no_entry": 1, "no_scale": 1, "ok": 4, "profit": 2, "stop": 1, "neither": 1, "ties": 1}
    counts |= {"cost_nbbo": 2, "cost_effective": 0, "cost_trailing": 1, "cost_default": 0, "cost_none": 1}
    assert {name: causal[name] for name in counts} == counts
    assert (causal["not_costed"], master["not_costed"], master["events"], master["ok"]) == (0, 1, 7, 5)
    # (0.01 - 0.01 + 0.005 + 0.01) / 4, and (0.008 - 0.012 + 0.004) / 3 = 0
    assert causal["gross_mean"] == pytest.approx(0.00375)
    assert (causal["gross_n"], causal["gross_n_days"], causal["gross_win_rate"]) == (4, 2, 0.75)
    assert causal["net_mean"] == pytest.approx(0, abs=1e-15)
    assert (causal["net_n"], causal["net_n_days"], causal["net_win_rate"]) == (3, 2, pytest.approx(2 / 3))
    # sums of deviations of the dates -0.004 and 0.004: se = sqrt(2/1 x 2 x 0.004^2) / 3; t of 1 degree is 12.7062
    se = math.sqrt(2 * 2 * 0.004**2) / 3
    assert causal["net_se"] == pytest.approx(se)
    assert causal["net_mean_hi"] == pytest.approx(12.7062 * se, rel=1e-5)
    # one type: that of all types says the same
    assert found.slice(2).drop("event_type").equals(found.head(2).drop("event_type"))


def test_a_group_without_costs_has_no_net_figures_and_equal_returns_no_interval() -> None:
    (row, _) = summary_of(
        rows_of(
            {"in_master": False, "net_return": None, "gross_return": 0.1},
            {"in_master": False, "net_return": None, "gross_return": 0.1, "date": "2025-11-04"},
            {"in_master": False, "net_return": None, "gross_return": 0.1, "date": "2025-11-05"},
        )
    ).to_dicts()
    assert (row["net_n"], row["net_n_days"], row["net_mean"], row["net_win_rate"]) == (0, 0, None, None)
    assert (row["gross_mean"], row["gross_se"], row["gross_mean_lo"]) == (pytest.approx(0.1), 0.0, None)


def test_no_labels_have_no_rows() -> None:
    assert summary_of(SCHEMA.to_frame().lazy()).is_empty()


@st.composite
def labels(draw: st.DrawFn) -> list[dict[str, Any]]:
    found = []
    for _ in range(draw(st.integers(1, 30))):
        state = draw(st.sampled_from(["ok", "ok", "ok", "no_entry", "no_scale"]))
        gross = draw(st.sampled_from([-0.01, 0.0, 0.003, 0.02])) if state == "ok" else None
        source = draw(st.sampled_from(["nbbo", "none", None]))
        found.append(
            ROW
            | {
                "event_type": draw(st.sampled_from(["flush", "tape_speed"])),
                "label_spec": draw(st.sampled_from(["5,1,1", "60,1,1", "15,1,1"])),
                "date": (date(2025, 11, 3) + timedelta(draw(st.integers(0, 4)))).isoformat(),
                "state": state,
                "label": draw(st.integers(-1, 1)) if state == "ok" else None,
                "tie": draw(st.booleans()) if state == "ok" else None,
                "gross_return": gross,
                "net_return": gross - 0.002 if gross is not None and source == "nbbo" else None,
                "cost_source": source,
                "in_causal_sample": draw(st.sampled_from([True, True, False, None])),
                "in_master": draw(st.booleans()),
            }
        )
    return found


def means_of(groups: Mapping[tuple[str, str, str], list[dict[str, Any]]], figure: str) -> dict[int, dict[str, Any]]:
    """MEAN_RETURNS of the labels that are ok, by the number of their group; those without a return have none."""
    values = pl.DataFrame(
        [
            {"key": number, "date": row["date"], "value": row[figure]}
            for number, own in enumerate(groups.values())
            for row in own
            if row["state"] == "ok"
        ],
        schema={"key": pl.Int64, "date": pl.String, "value": pl.Float64},
    )
    return {row["key"]: row for row in mean_returns(values, ["key"]).to_dicts()}


@settings(max_examples=12, deadline=None)
@given(labels())
def test_any_labels_as_by_plain_loops(rows: list[dict[str, Any]]) -> None:
    groups = defaultdict(list)
    for row in rows:
        for selection, flag in (("causal", "in_causal_sample"), ("master", "in_master")):
            for event_type in (row["event_type"], ALL_TYPES) if row[flag] else ():
                groups[row["label_spec"], event_type, selection].append(row)
    found = {
        (row["label_spec"], row["event_type"], row["selection"]): row
        for row in summary_of(pl.DataFrame(rows, schema=SCHEMA).lazy()).to_dicts()
    }
    assert found.keys() == groups.keys()
    specs = [key[0] for key in found]
    assert specs == sorted(specs, key=["5,1,1", "15,1,1", "60,1,1"].index)
    means = {kind: means_of(groups, f"{kind}_return") for kind in ("gross", "net")}
    for number, (key, own) in enumerate(groups.items()):
        shown, ok = found[key], [row for row in own if row["state"] == "ok"]
        assert (shown["events"], shown["ok"]) == (len(own), len(ok))
        assert shown["ties"] == sum(row["tie"] for row in ok)
        assert shown["cost_none"] == sum(row["cost_source"] == "none" for row in ok)
        assert shown["not_costed"] == sum(row["cost_source"] is None for row in ok)
        for kind, of_groups in means.items():
            expected = of_groups.get(number, {"n": 0, "n_days": 0, "mean": None, "se": None})
            for name in ("n", "n_days", "mean", "se"):
                value = expected[name]
                wanted = None if value is None else pytest.approx(value, rel=1e-9, abs=1e-12)
                assert shown[f"{kind}_{name}"] == wanted, name


def test_means_of_sums_by_date_are_those_of_the_returns() -> None:
    rows = pl.DataFrame(
        {
            "side": ["a", "a", "a", "a", "b"],
            "date": ["d1", "d1", "d2", "d3", "d1"],
            "value": [0.01, -0.02, 0.03, 0.0, 0.5],
        }
    )
    sums = rows.group_by("side", "date").agg(
        n=pl.len().cast(pl.Int64), wins=(pl.col("value") > 0).sum(), total=pl.col("value").sum()
    )
    found, expected = mean_returns_of_dates(sums, ["side"]), mean_returns(rows, ["side"])
    assert_frame_equal(found, expected, check_row_order=False, rel_tol=1e-12)
