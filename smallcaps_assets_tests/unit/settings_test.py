import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

import smallcaps_assets
from smallcaps_assets.errors import NotAuthenticated, SettingsError
from smallcaps_assets.settings import Settings, api_key, load_settings
from smallcaps_assets_tests.scenarios import default_settings

CONFIG = Path(__file__).parents[2] / "config" / "config.yaml"


def refused(changes: dict[str, Any]) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(CONFIG, changes)
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"detectors": {"flush": {"min_spik_x": 4.0}}}, ["detectors.flush.min_spik_x", "4.0", "no such setting"]),
        ({"detectors": {"flush": {"min_spike_x": "four"}}}, ["detectors.flush.min_spike_x", "'four'", "number"]),
        ({"profiles": {"core": {"max_events": 1.5}}}, ["profiles.core.max_events", "1.5", "integer"]),
        ({"sessions": {"regular_open": "03:00"}}, ["sessions", "overlap", "03:00"]),
        ({"sessions": {"regular_open": 570}}, ["sessions.regular_open", "570", "in quotes"]),
        ({"active_profile": "gold"}, ["active_profile", "'gold'", "core"]),
        ({"ranking": {"type_weights": {"flush": 1, "flood": 1}}}, ["ranking", "type_weights", "flood"]),
        ({"universe": {"symbols": ["../x"]}}, ["universe", "'../x'"]),
        ({"history": {"first_session": "2026-01-05"}}, ["history", "last_session 2025-12-01 is before"]),
        ({"source": {"requests_per_minute": 0}}, ["source.requests_per_minute", "0"]),
        ({"score": {"weights": dict.fromkeys(["volume_spike_magnitude"], -1.0)}}, ["volume_spike_magnitude", "-1.0"]),
        ({"profiles": {"plus": {"min_event_score": 0.9}}}, ["min_event_score must not rise"]),
        ({"score": {"full_spike_x": float("nan")}}, ["score.full_spike_x"]),
        (
            {"nightly": {"start": "20:10"}},
            ["nightly.start 20:10", "afterhours_close 20:00", "delay_min 20"],
        ),
        ({"history": {"publication_delay_min": 300}}, ["nightly.start 20:45", "publication_delay_min 300"]),
        ({"nightly": {"due": "20:45"}}, ["nightly", "due 20:45 is not after start 20:45"]),
    ],
)
def test_a_wrong_setting_is_refused_by_name(changes: dict[str, Any], words: list[str]) -> None:
    message = refused(changes)
    assert str(CONFIG) in message
    for word in words:
        assert word in message


def test_shares_of_time_buckets_may_not_exceed_one() -> None:
    buckets = yaml.safe_load(CONFIG.read_text())["ranking"]["time_buckets"]
    buckets[0]["share"] = 0.2
    assert "add up to 1.1" in refused({"ranking": {"time_buckets": buckets}})


def test_a_missing_setting_is_named(tmp_path: Path) -> None:
    document = yaml.safe_load(CONFIG.read_text())
    del document["cooldown"]["window_min"]
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(document))
    with pytest.raises(SettingsError, match=r"cooldown\.window_min: is missing"):
        load_settings(file, {})


def test_a_file_that_is_no_yaml_is_named(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("a: [1")
    with pytest.raises(SettingsError, match=r"config\.yaml: is not valid YAML"):
        load_settings(file, {})
    file.write_text("just words")
    with pytest.raises(SettingsError, match="key: value"):
        load_settings(file, {})
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(tmp_path / "none.yaml", {})


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        default_settings().cooldown.window_min = 5  # type: ignore[misc]


def test_settings_survive_json() -> None:
    settings = default_settings()
    assert Settings.model_validate_json(settings.model_dump_json()) == settings


def test_the_first_key_variable_that_is_set_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    source = load_settings(CONFIG, {"source": {"kind": "vendor"}}).source
    for name in source.key_variables:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(NotAuthenticated, match="MASSIVE_API_KEY or POLYGON_API_KEY"):
        api_key(source)
    monkeypatch.setenv("POLYGON_API_KEY", "second")
    assert api_key(source).get_secret_value() == "second"
    monkeypatch.setenv("MASSIVE_API_KEY", "first")
    assert api_key(source).get_secret_value() == "first"
    assert "first" not in repr(api_key(source))


def fields_of(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield name
        for part in [field.annotation, *getattr(field.annotation, "__args__", ())]:
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from fields_of(part)


def test_every_setting_is_read_by_something() -> None:
    root = Path(smallcaps_assets.__file__).parent
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in root.rglob("*.py")]
    read = {node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    # the score looks its weights up by name
    constants = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant))
    by_name = {node.value for node in constants if isinstance(node.value, str)}
    assert not [name for name in fields_of(Settings) if name not in read and name not in by_name]
