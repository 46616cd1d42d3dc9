"""Each check of a manifest passes what `select_events` chose, and fails what is wrong in exactly one way."""

from typing import Any

import polars as pl
import pytest

from smallcaps_assets.domain.manifests.checks import buckets, caps, ranks, unchanged, up_to_date, windows
from smallcaps_assets.domain.manifests.selection import ProfileParams, select_events
from smallcaps_assets.errors import LakeError
from smallcaps_assets.pipeline.manifests.checks import require_sound_manifest
from smallcaps_assets.pipeline.tape.checks import require_whole_ledger
from smallcaps_assets_tests.conftest import event, master_of
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.strategies.masters import lively_master

RANKING = default_settings().ranking


def profile(**changes: Any) -> ProfileParams:
    """Core with three events of a symbol, one of a day, and at most half of them extended."""
    return ProfileParams.model_validate(default_settings().profiles["core"].model_dump() | changes)


LIMITS = profile(
    max_events=6,
    extension={"min_spike_x": 8.0, "max_extended_share": 0.5, "speed_percentile": 90, "spread_percentile": 90},
)
MASTER = master_of(
    event("2025-11-03 09:30", symbol="A", score=0.9),
    event("2025-11-04 10:14", symbol="A", score=0.8),
    event("2025-11-05 10:15", symbol="A", score=0.7),
    event("2025-11-28 13:00", symbol="B", score=0.75, session="AH"),
    event("2025-11-05 08:00", symbol="C", score=0.85, session="PM"),
)
CHOSEN = select_events(MASTER, LIMITS, RANKING)
SIDECAR = {
    "manifest_id": "core_1",
    "sha256": "s",
    "rows": 5,
    "funnel": CHOSEN.funnel,
    "master_sha256": "m",
    "config_hash": "c",
}


def broken(manifest: pl.DataFrame, limits: ProfileParams = LIMITS, sidecar: dict[str, Any] = SIDECAR) -> list[str]:
    """Which checks do not hold."""
    found = [
        caps(manifest, limits),
        ranks(manifest, RANKING),
        windows(manifest, limits),
        buckets(manifest, sidecar, limits, RANKING),
    ]
    return [one.name for one in found if not one.holds]


def with_first(manifest: pl.DataFrame, **values: Any) -> pl.DataFrame:
    """A manifest whose first row has other values."""
    first = pl.int_range(pl.len()) == 0
    return manifest.with_columns(
        pl.when(first).then(pl.lit(value, manifest.schema[name])).otherwise(name).alias(name)
        for name, value in values.items()
    )


def test_a_selection_passes_every_check() -> None:
    assert CHOSEN.manifest.height == 5
    assert broken(CHOSEN.manifest) == []


@pytest.mark.parametrize("name", ["core", "plus", "premium"])
@pytest.mark.parametrize("seed", range(3))
def test_every_selection_passes_every_check(name: Any, seed: int) -> None:
    for most in (10, 60, 10_000):
        limits = ProfileParams.model_validate(default_settings().profiles[name].model_dump() | {"max_events": most})
        chosen = select_events(lively_master(seed, 900), limits, RANKING)
        assert chosen.manifest.height
        assert broken(chosen.manifest, limits, SIDECAR | {"funnel": chosen.funnel}) == []
        require_sound_manifest(chosen.manifest, limits, RANKING)


def test_no_event_at_all_passes_every_check() -> None:
    chosen = select_events(MASTER.clear(), LIMITS, RANKING)
    assert broken(chosen.manifest, LIMITS, SIDECAR | {"funnel": chosen.funnel}) == []


@pytest.mark.parametrize(
    ("changes", "of"),
    [
        ({"max_events": 4}, "all"),
        ({"max_per_symbol": 2}, "A"),
    ],
)
def test_more_than_the_profile_allows_breaks_the_caps(changes: dict[str, Any], of: str) -> None:
    limits = ProfileParams.model_validate(LIMITS.model_dump() | changes)
    found = caps(CHOSEN.manifest, limits)
    assert not found.holds
    assert found.examples["of"].to_list() == [of]
    with pytest.raises(LakeError, match="breaks its own limits: profile_limits"):
        require_sound_manifest(CHOSEN.manifest, limits, RANKING)


@pytest.mark.parametrize("name", ["date", "event_group_id"])
def test_two_events_of_a_day_or_group_break_the_caps(name: str) -> None:
    # the first two rows of A are its events of two days: rank 1 and 3
    other = CHOSEN.manifest.filter(pl.col("rank") == 3)[name][0]
    assert broken(with_first(CHOSEN.manifest, **{name: other})) == ["profile_limits"]


@pytest.mark.parametrize(
    ("values", "check"),
    [
        ({"rank": 2}, "ranks"),
        ({"rank": None}, "ranks"),
        # 0.6 is the weakest of all, and leads
        ({"score": 0.6}, "ranks"),
        ({"event_type": "tape_speed"}, "ranks"),
        ({"event_type": "no_such_type"}, "ranks"),
        ({"window_before_min": 0}, "windows"),
        ({"window_after_min": -7}, "windows"),
        ({"window_after_min": None}, "windows"),
        ({"window_after_min": 21}, "windows"),
        ({"extended": not CHOSEN.manifest["extended"][0]}, "windows"),
        ({"time_bucket": "1015-1400"}, "time_buckets"),
        ({"time_bucket": None}, "time_buckets"),
        ({"session": "PM"}, "time_buckets"),
    ],
)
def test_a_row_that_is_wrong_in_one_way_breaks_one_check(values: dict[str, Any], check: str) -> None:
    assert broken(with_first(CHOSEN.manifest, **values)) == [check]


def test_more_extended_windows_than_allowed_break_the_check() -> None:
    manifest = CHOSEN.manifest.with_columns(
        extended=pl.lit(value=True), window_before_min=pl.lit(10, pl.Int64), window_after_min=pl.lit(20, pl.Int64)
    )
    assert broken(manifest) == ["windows"]


@pytest.mark.parametrize(
    ("clock", "session", "bucket"),
    [
        ("2025-11-05 09:29", "PM", "0400-0930"),
        ("2025-11-05 09:30", "RTH", "0930-1015"),
        ("2025-11-05 10:14", "RTH", "0930-1015"),
        ("2025-11-05 10:15", "RTH", "1015-1400"),
        ("2025-11-05 13:59", "RTH", "1015-1400"),
        ("2025-11-05 14:00", "RTH", "1400-1600"),
        ("2025-11-28 13:00", "AH", "1600-2000"),
    ],
)
def test_time_buckets_use_new_york_time(clock: str, session: str, bucket: str) -> None:
    chosen = select_events(master_of(event(clock, session=session)), LIMITS, RANKING).manifest
    for name in ("0400-0930", "0930-1015", "1015-1400", "1400-1600", "1600-2000"):
        found = buckets(with_first(chosen, time_bucket=name), SIDECAR | {"funnel": []}, LIMITS, RANKING)
        assert found.holds == (name == bucket)


def test_a_time_bucket_below_its_guaranteed_share_is_named() -> None:
    # a quarter of 8 places is guaranteed to the opening: two, and it offered three
    limits = profile(max_events=8)
    rows = [event(f"2025-11-05 09:3{n}", symbol=f"O{n}", score=0.61) for n in range(3)]
    rows += [event("2025-11-05 12:00", symbol=f"N{n}", score=0.9) for n in range(9)]
    chosen = select_events(master_of(*rows), limits, RANKING)
    sidecar = SIDECAR | {"funnel": chosen.funnel}
    assert chosen.funnel[-1]["offered_0930-1015"] == 3
    assert chosen.manifest.group_by("time_bucket").len().sort("time_bucket").rows() == [
        ("0930-1015", 2),
        ("1015-1400", 6),
    ]
    assert broken(chosen.manifest, limits, sidecar) == []
    one_less = chosen.manifest.head(7)
    found = buckets(one_less, sidecar, limits, RANKING)
    assert not found.holds
    assert found.figures["too_few_of"] == "0930-1015: 1 of 2"
    # it cannot give more than it offered
    offered = [*chosen.funnel[:-1], chosen.funnel[-1] | {"offered_0930-1015": 1}]
    assert buckets(one_less, SIDECAR | {"funnel": offered}, limits, RANKING).holds


@pytest.mark.parametrize(("sha256", "rows", "holds"), [("s", 5, True), ("t", 5, False), ("s", 4, False)])
def test_the_file_must_be_the_one_that_was_frozen(sha256: str, rows: int, holds: bool) -> None:
    assert unchanged(SIDECAR, sha256, rows).holds == holds


@pytest.mark.parametrize(
    ("master", "config", "what"), [("m", "c", []), ("n", "c", ["MASTER"]), ("m", "d", ["settings"])]
)
def test_another_master_or_other_settings_are_named(master: str, config: str, what: list[str]) -> None:
    found = up_to_date(SIDECAR, master, config)
    assert found.holds == (not what)
    assert found.examples["what"].to_list() == what
    assert not found.severe


@pytest.mark.parametrize(
    ("selected", "now", "holds"),
    [(None, None, True), ("u", "u", True), ("u", "v", False), (None, "u", False), ("u", None, False)],
)
def test_another_universe_of_the_events_dates_is_named(selected: str | None, now: str | None, holds: bool) -> None:
    sidecar = SIDECAR | ({"universe": {"as_of": "event", "sha256": selected}} if selected else {})
    found = up_to_date(sidecar, "m", "c", 0, now)
    assert found.holds == holds
    if not holds:
        assert found.sentence().startswith("Stale: which events were in the universe on their date has changed")
        assert found.examples["what"].to_list() == ["universe of the events' dates"]


def test_a_stale_manifest_says_why_in_words() -> None:
    assert up_to_date(SIDECAR, "m", "c").sentence() == "Passed."
    words = "Stale: MASTER has changed since it was selected, and the events of 2 symbols in MASTER were detected with "
    assert up_to_date(SIDECAR, "n", "c", 2).sentence() == f"{words}other settings. Launch the job redetect."
    assert unchanged(SIDECAR, "t", 5).sentence().startswith("The file is not the one that was frozen.")


def test_a_ledger_certifies_each_event_once_and_in_order() -> None:
    manifest = CHOSEN.manifest
    ledger = manifest.select("event_id", state=pl.lit("complete"))
    require_whole_ledger(ledger, manifest)
    for wrong in (
        ledger.head(4),
        pl.concat([ledger, ledger.head(1)]),
        ledger.reverse(),
        ledger.with_columns(state=pl.lit("x")),
    ):
        with pytest.raises(LakeError, match="does not certify its manifest"):
            require_whole_ledger(wrong, manifest)
