"""Every threshold has an effect: no setting is ignored."""

from collections.abc import Iterator
from datetime import date, timedelta
from functools import cache
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.domain.events.detection import detect
from smallcaps_assets.domain.events.master import build_master
from smallcaps_assets.domain.manifests.selection import profile_hash, select_events
from smallcaps_assets.domain.tables import REFERENCE
from smallcaps_assets.errors import SettingsError
from smallcaps_assets.pipeline.calendar import sessions_between
from smallcaps_assets.settings.settings import Settings, load_settings
from smallcaps_assets_tests import slow_spec
from smallcaps_assets_tests.strategies.bars import lively_bars
from smallcaps_assets_tests.strategies.masters import lively_master

pytestmark = pytest.mark.slow

GROUPS = ("features", "detectors", "filters", "score", "cooldown")
# with the defaults the fall is at least 35 times this floor, so only a large increase has an effect
FACTORS = (0.05, 0.2, 0.5, 0.9, 1.1, 1.5, 2, 10, 100)


def leaves(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(node, dict):
        for name, value in node.items():
            yield from leaves(value, (*path, name))
    else:
        yield path, node


def nested(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    return {path[0]: nested(path[1:], value) if len(path) > 1 else value}


def variants(value: Any) -> Iterator[Any]:
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from sorted({max(1, round(value * factor)) for factor in FACTORS} - {value})
    elif isinstance(value, float):
        yield from (value * factor for factor in FACTORS)


def changed_settings(path: tuple[str, ...], value: Any) -> Iterator[Settings]:
    for variant in variants(value):
        try:
            yield load_settings(overrides=_merged(BASE, nested(path, variant)))
        except SettingsError:
            continue  # outside the range of the setting


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return slow_spec.altered(changes, base)


@cache
def bars() -> pl.DataFrame:
    days = [date(2025, 10, 27) + timedelta(days=offset) for offset in range(40)]
    trading = [day for day in days if day in slow_spec.xnys(days[0], days[-1])]
    return lively_bars(1, 4, trading)


@cache
def reference() -> pl.DataFrame:
    """Each symbol at a different threshold: short interest, days to cover, float for a fall; one unknown."""
    first, second, third = bars()["symbol"].unique().sort().to_list()[:3]
    rows = [(first, 50e6, 20e6, 1.0), (second, 50e6, 1e6, 5.0), (third, 10e6, None, None)]
    return pl.DataFrame(rows, schema=REFERENCE, orient="row")


@cache
def base() -> Settings:
    return load_settings(overrides=BASE)


@cache
def master_of_base() -> pl.DataFrame:
    return master(base())


@cache
def events() -> pl.DataFrame:
    return lively_master(3, 900)


def manifest(settings: Settings) -> pl.DataFrame:
    return select_events(events(), settings.profiles["plus"], settings.ranking).manifest


@cache
def manifest_of_base() -> pl.DataFrame:
    return manifest(base())


def master(settings: Settings) -> pl.DataFrame:
    sessions = sessions_between(date(2025, 10, 27), date(2025, 12, 5), settings.sessions)
    found = detect(bars(), sessions, settings.detection, reference=reference())
    return build_master(found.events, settings.cooldown)


# wide limits, so that the effect of a threshold is not hidden by a cap
WIDE_LIMITS = {
    "max_per_symbol": 40,
    "max_per_symbol_day": 8,
    "extension": {"max_extended_share": 0.9, "min_spike_x": 20.0},
}
BASE = {"profiles": {"plus": WIDE_LIMITS}}
DOCUMENT = load_settings(overrides=BASE).model_dump()
DETECTION = [leaf for group in GROUPS for leaf in leaves(DOCUMENT[group], (group,))]


@pytest.mark.parametrize(("path", "value"), DETECTION, ids=[".".join(path) for path, _ in DETECTION])
def test_every_detection_setting_changes_master(path: tuple[str, ...], value: Any) -> None:
    assert any(not master(settings).equals(master_of_base()) for settings in changed_settings(path, value))


SELECTION = [
    leaf
    for leaf in leaves(DOCUMENT["profiles"]["plus"], ("profiles", "plus"))
    if leaf[0][2] not in {"quotes", "columns", "first_date", "last_date", "sessions"}
]


@pytest.mark.parametrize(("path", "value"), SELECTION, ids=[".".join(path) for path, _ in SELECTION])
def test_every_profile_setting_changes_the_manifest(path: tuple[str, ...], value: Any) -> None:
    tried = list(changed_settings(path, value))
    if path[-1] == "max_events":
        tried = [load_settings(overrides=_merged(BASE, nested(path, 10)))]
    assert any(not manifest(settings).equals(manifest_of_base()) for settings in tried)
    hashes = {profile_hash(settings.profiles["plus"], settings.ranking) for settings in [base(), *tried]}
    assert len(hashes) == len(tried) + 1, "every variant has a different hash"
