"""The hash of the settings of a profile: every setting has a part in it."""

from typing import Any

import pytest

from smallcaps_assets.domain.manifests.selection import ProfileParams, profile_hash
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.unit.domain.manifests.selecting import core, ranking


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
