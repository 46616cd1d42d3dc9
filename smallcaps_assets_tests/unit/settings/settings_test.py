import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

import smallcaps_assets
from smallcaps_assets.domain.research.params import ResearchParams
from smallcaps_assets.errors import NotAuthenticated, SettingsError
from smallcaps_assets.settings.research import research_settings
from smallcaps_assets.settings.settings import Settings, api_key, instance_config, load_settings, universe_file
from smallcaps_assets_tests.repository import REPOSITORY
from smallcaps_assets_tests.scenarios import default_settings

CONFIG = REPOSITORY / "config" / "config.yaml"
WHOLE = CONFIG.read_text(encoding="utf-8")


def line_of(text: str) -> int:
    return next(number for number, line in enumerate(WHOLE.splitlines(), start=1) if line.startswith(text))


# of sections, one of which is misspelled
REQUIRED = sum(field.is_required() for field in Settings.model_fields.values()) - 1
GROUP_WINDOW, ACTIVE_PROFILE, RANKING = map(line_of, ("  group_window_min: 5", "active_profile: core", "ranking:"))


def error_of(changes: dict[str, Any]) -> str:
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
        # windows end with the day
        ({"cooldown": {"window_min": 1441}}, ["cooldown.window_min", "1441", "1440"]),
        ({"cooldown": {"group_window_min": 100_000}}, ["cooldown.group_window_min", "100000", "1440"]),
        ({"ranking": {"type_weights": {"flush": 1, "flood": 1}}}, ["ranking", "type_weights", "flood"]),
        ({"universe": {"symbols": ["../x"]}}, ["universe", "'../x'"]),
        ({"universe": {"symbols": ["A"], "file": "a.csv"}}, ["universe", "file and symbols both name"]),
        ({"universe": {"symbols": []}}, ["universe.symbols", "[]"]),
        (
            {"universe": {"min_price_usd": 5, "max_price_usd": 1}},
            ["universe", "max_price_usd 1 is below min_price_usd 5"],
        ),
        ({"universe": {"unknown_market_cap": "drop"}}, ["universe.unknown_market_cap", "'drop'", "exclude"]),
        ({"universe": {"limits": {"max_large_cap_share": 5}}}, ["universe.limits.max_large_cap_share", "5"]),
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
def test_a_wrong_setting_is_rejected_by_name(changes: dict[str, Any], words: list[str]) -> None:
    message = error_of(changes)
    assert str(CONFIG) in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (
            # one renamed key is one problem, not an unknown and a missing one
            WHOLE.replace("group_window_min:", "group_windw_min:"),
            [f"line {GROUP_WINDOW}: cooldown.group_windw_min = 5: no such setting: did you mean group_window_min?"],
        ),
        (
            WHOLE.replace("group_window_min: 5", "group_window_min: 5e1"),
            [f"line {GROUP_WINDOW}: cooldown.group_window_min = '5e1': YAML reads it as text; write 50 without quotes"],
        ),
        (
            # no number of minutes, with or without quotes
            WHOLE.replace("group_window_min: 5", "group_window_min: nan"),
            [f"line {GROUP_WINDOW}: cooldown.group_window_min = 'nan': Input should be a valid integer"],
        ),
        (
            WHOLE.replace("active_profile: core", "active_profile: NO"),
            [
                (
                    f"line {ACTIVE_PROFILE}: active_profile = False: Input should be 'core', 'plus' or 'premium'; "
                    "without quotes, YAML reads on, off, yes and no as true and false"
                )
            ],
        ),
        (
            # a section misspelled is one problem, and what it holds is none
            WHOLE.replace("\nranking:", "\nrankin:"),
            [f"line {RANKING}: rankin: no such setting: did you mean ranking?"],
        ),
        (
            WHOLE.replace("group_window_min: 5", "group_window_min: 5\n  windows: 3\n  window_min: 10"),
            [
                (
                    f"is not usable YAML. line {GROUP_WINDOW + 2}: cooldown.window_min is set again, after line "
                    f"{GROUP_WINDOW - 2}. Remove one of the two."
                )
            ],
        ),
        (
            WHOLE.replace("  group_window_min", "\tgroup_window_min"),
            [f"is not usable YAML. line {GROUP_WINDOW}: a line begins with a tab: indent with spaces."],
        ),
        (
            WHOLE + "\nextra: [1,",
            [
                (
                    f"is not usable YAML. line {WHOLE.count(chr(10)) + 2}, column 11: the text ends where a value "
                    "belongs: close the brackets that are open."
                )
            ],
        ),
        (
            "rankin: {}",
            ["line 1: rankin: no such setting: did you mean ranking?", f"{REQUIRED} settings are missing: "],
        ),
    ],
)
def test_problems_are_listed_line_by_line_with_a_remedy(text: str, problems: list[str], tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load_settings(file, {})
    lines = str(caught.value).splitlines()
    assert len(lines) == len(problems)
    for line, problem in zip(lines, problems, strict=True):
        start = f"{file}: " if problem.startswith(("is not", f"{REQUIRED}")) else f"{file}, "
        assert line.startswith(start + problem)


def test_a_configuration_of_an_earlier_release_means_what_the_present_one_does() -> None:
    """Settings that came later have the value of the present configuration, whose history begins later."""
    earlier = load_settings(REPOSITORY / "smallcaps_assets_tests/data/release_0_1/config.yaml", {})
    assert earlier == load_settings(CONFIG, {"history": {"first_session": earlier.history.first_session}})


def test_shares_of_time_buckets_may_not_exceed_one() -> None:
    buckets = yaml.safe_load(CONFIG.read_text())["ranking"]["time_buckets"]
    buckets[0]["share"] = 0.2
    assert "add up to 1.1" in error_of({"ranking": {"time_buckets": buckets}})


def test_a_missing_setting_is_named(tmp_path: Path) -> None:
    document = yaml.safe_load(CONFIG.read_text())
    del document["cooldown"]["window_min"]
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(document))
    with pytest.raises(SettingsError, match=r"cooldown\.window_min: is missing"):
        load_settings(file, {})


def test_a_file_that_is_not_yaml_is_named(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("a: [1")
    with pytest.raises(SettingsError, match=r"config\.yaml: is not usable YAML"):
        load_settings(file, {})
    file.write_text("just words")
    with pytest.raises(SettingsError, match="key: value"):
        load_settings(file, {})
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(tmp_path / "none.yaml", {})


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        default_settings().cooldown.window_min = 5  # type: ignore[misc]


def test_the_file_of_symbols_lies_relative_to_the_folder_of_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.yaml").write_text(CONFIG.read_text())
    monkeypatch.setenv("SMALLCAPS_HOME", str(tmp_path))
    settings = load_settings(overrides={"universe": {"file": "lists/mine.csv"}})
    assert universe_file(settings) == (tmp_path / "lists" / "mine.csv").resolve()
    assert universe_file(load_settings(overrides={})) is None


def test_a_file_of_release_0_1_lacks_the_reach_of_relative_volume(tmp_path: Path) -> None:
    old = tmp_path / "config.yaml"
    old.write_text("".join(line for line in CONFIG.read_text().splitlines(True) if "rvol_sessions" not in line))
    assert load_settings(old, {}) == load_settings(CONFIG, {})
    assert load_settings(old, {}).features.rvol_sessions == 60


def test_research_tables_can_be_switched_off_and_their_settings_do_not_change_by_it() -> None:
    off = load_settings(CONFIG, {"research": {"enabled": False, "grid_hz": 10}}).research
    assert (off.enabled, off.params) == (False, ResearchParams(grid_hz=10))
    on = load_settings(CONFIG, {"research": {}}).research
    assert (on.enabled, on.params) == (True, ResearchParams())
    with pytest.raises(SettingsError, match="enabled = True: no such setting"):
        research_settings(off.params, ["enabled=true"])


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


@pytest.mark.slow
def test_every_setting_is_read_by_something() -> None:
    root = Path(smallcaps_assets.__file__).parent
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in root.rglob("*.py")]
    read = {node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    # the score looks its weights up by name
    constants = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant))
    by_name = {node.value for node in constants if isinstance(node.value, str)}
    assert {name for name in fields_of(Settings) if name not in read and name not in by_name} == set()


# ------------------------------------------------------------------------------------------------- Dagster's state

SHIPPED = CONFIG.parents[1] / "dagster.yaml"
POSTGRESQL = CONFIG.parents[1] / "deploy" / "postgresql" / "dagster.yaml"
NAMES = ("PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE")


def test_state_in_files_lies_in_the_folder_given(tmp_path: Path) -> None:
    document = yaml.safe_load(instance_config(SHIPPED, tmp_path))
    assert document["storage"] == {"sqlite": {"base_dir": str(tmp_path)}}
    assert document["local_artifact_storage"]["config"] == {"base_dir": str(tmp_path)}


def test_postgresql_replaces_the_storage_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, "a value")
    text = instance_config(SHIPPED, tmp_path, POSTGRESQL)
    shipped, with_postgresql = yaml.safe_load(instance_config(SHIPPED, tmp_path)), yaml.safe_load(text)
    reached = with_postgresql.pop("storage")["postgres"]["postgres_db"]
    del shipped["storage"]
    assert with_postgresql == shipped
    assert {value["env"] for value in reached.values() if isinstance(value, dict)} == set(NAMES)
    assert "a value" not in text


def test_an_override_of_dagster_yaml_names_its_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, "a value")
    monkeypatch.delenv("PGUSER")
    with pytest.raises(SettingsError, match=r"deploy.postgresql.dagster\.yaml: takes PGUSER from the environment"):
        instance_config(SHIPPED, tmp_path, POSTGRESQL)


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot be read"), ("storage: [", "cannot be read"), ("- storage", "must hold sections")],
)
def test_a_bad_override_of_dagster_yaml_is_rejected(tmp_path: Path, content: str | None, words: str) -> None:
    file = tmp_path / "over.yaml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SettingsError, match=words) as caught:
        instance_config(SHIPPED, tmp_path, file)
    assert str(file) in str(caught.value)
    assert "Correct dagster.laid_over" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "is missing. The folder that holds config/ also needs a dagster.yaml"),
        ("storage: [", "cannot be read"),
        ("- storage", "must hold sections"),
        ("storage: {postgres: {postgres_url: {env: NO_SUCH_VARIABLE}}}", "takes NO_SUCH_VARIABLE from the environment"),
    ],
)
def test_a_bad_dagster_yaml_is_rejected(tmp_path: Path, content: str | None, words: str) -> None:
    file = tmp_path / "dagster.yaml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SettingsError) as caught:
        instance_config(file, tmp_path)
    assert str(caught.value).startswith(f"{file}: {words}")


def test_a_dagster_yaml_of_an_earlier_version_names_the_launcher_of_this_one(tmp_path: Path) -> None:
    file = tmp_path / "dagster.yaml"
    launcher = yaml.safe_load(SHIPPED.read_text())["run_launcher"]
    file.write_text(yaml.safe_dump({"run_launcher": launcher | {"module": "smallcaps_assets.defs.launcher"}}))
    assert yaml.safe_load(instance_config(file, tmp_path)) == {"run_launcher": launcher}


def test_a_dagster_yaml_needs_no_section(tmp_path: Path) -> None:
    """Without them Dagster keeps its files where its home is."""
    file = tmp_path / "dagster.yaml"
    file.write_text("telemetry: {enabled: false}")
    assert yaml.safe_load(instance_config(file, tmp_path)) == {"telemetry": {"enabled": False}}
