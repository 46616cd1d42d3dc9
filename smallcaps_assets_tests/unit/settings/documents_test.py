from pathlib import Path
from typing import Any

import pytest

from smallcaps_assets.errors import NotAuthenticated, SettingsError
from smallcaps_assets.settings.documents import DocumentError, parse_document
from smallcaps_assets.settings.layers import argument_layer, file_layer
from smallcaps_assets.settings.problems import plain_number
from smallcaps_assets.settings.settings import (
    api_key,
    config_path,
    environment_overrides,
    home,
    instance_config,
    load_settings,
)
from smallcaps_assets_tests.repository import REPOSITORY

CONFIG = REPOSITORY / "config" / "config.yaml"
NINE = "[{0}, {0}, {0}, {0}, {0}, {0}, {0}, {0}, {0}]"


def bomb(first: str, later: str) -> str:
    """Nine times as many values with every line: 9^20 in the last."""
    return first + "".join(later.format(f"a{n}", NINE.format(f"*a{n - 1}")) for n in range(1, 21))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (bomb("a0: &a0 x\n", "{0}: &{0} {1}\n"), "line 7: more than 100,000 values, counting what aliases (*name)"),
        (bomb("a0: &a0 {x: 1}\n", "{0}: &{0}\n  <<: {1}\n"), "line 11: more than 100,000 values, counting what a"),
        ("a: " + "[" * 20_000, "line 1: more than 40 levels of brackets or indentation."),
        ("\na: " + "{b: " * 20_000, "line 2: more than 40 levels of brackets or indentation."),
        ("a: &a\n  b: *a", "line 2: *a stands inside of what it repeats. Remove it."),
        ("a: 1\nb:\n  c: 2\n  d: 3\n  c: 4", "line 5: b.c is set again, after line 3. Remove one of the two."),
        ("a: [{b: 1, b: 2}]", "line 1: a.0.b is set again, after line 1. Remove one of the two."),
        ("a: 1\nb: !!python/object/apply:os.system [x]", "line 2: !!python/object/apply:os.system is a YAML tag"),
        ("a: !!bool x", "line 1: !!bool is a YAML tag, and settings have none. Remove it."),
        ("a: 1\nb: \0", r"line 2: has the character '\x00'. Remove it."),
        ("a: 2025-13-45", "line 1: 2025-13-45 is not a number or date that exists. Correct it, or put it in quotes"),
        ("a: 1\nb: " + "9" * 5_000, "line 2: 9999999999999999999999999999999999999999... is not a number or date"),
        ("a: 9007199254740993", "line 1: 9007199254740993 is not a number up to 9,007,199,254,740,992."),
        ('a: 1\nb: "\\ud800"', r"line 2: has half of a character ('\ud800'). Write the whole character."),
        ("? [a]\n: 2\n? [a]\n: 3", "line 1, column 3: a list or section cannot be a key: put it in quotes."),
        ("? {a: 1}\n: 2", "line 1, column 3: a list or section cannot be a key: put it in quotes."),
    ],
)
def test_a_text_that_no_settings_are_is_one_sentence(text: str, problem: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_document(text)
    assert str(caught.value).startswith(problem)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # to the base 60 and 8 in YAML 1.1
        ("16:00", "16:00"),
        ("1:30.5", "1:30.5"),
        ("0100", "0100"),
        ("1_000", 1_000),
        ("-7", -7),
        (".5", 0.5),
        ("1.5e+3", 1_500.0),
        ("on", True),
        ("~", None),
    ],
)
def test_numbers_are_decimal(text: str, value: object) -> None:
    found = parse_document(f"a: {text}").content["a"]
    assert (found, type(found)) == (value, type(value))


def test_aliases_and_merges_of_reasonable_size_mean_what_yaml_says() -> None:
    text = "base: &base {a: 1, b: 2}\nother:\n  <<: *base\n  b: 3\nlist: [*base, *base]"
    found = parse_document(text).content
    assert found["other"] == {"a": 1, "b": 3}
    assert found["list"] == [{"a": 1, "b": 2}] * 2


def test_an_unquoted_time_is_the_time_that_it_looks_like(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG.read_text(encoding="utf-8").replace('"16:00"', "16:00"), encoding="utf-8")
    assert load_settings(file, {}) == load_settings(CONFIG, {})


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty. Give the path of a config.yaml."),
        (b"# only a comment", "is empty. Give the path of a config.yaml."),
        (b"a: 1\nb: \xff", "is not usable YAML. line 2: is not UTF-8 text (invalid start byte). Save it as UTF-8."),
        ("a: 1".encode("utf-16"), "is not usable YAML. line 1: is not UTF-8 text"),
        (b"a: 1\n" + b"#" * 1_000_000, "is not usable YAML. has more than 1,000,000 bytes"),
        (b"a:\n\tb: 1", "is not usable YAML. line 2: a line begins with a tab: indent with spaces."),
    ],
)
def test_a_file_that_holds_no_settings_is_named(content: bytes, problem: str, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        file_layer(file)
    assert str(caught.value).startswith(f"{file}: {problem}")


def test_a_byte_order_mark_is_no_part_of_a_key_and_a_folder_no_file(tmp_path: Path) -> None:
    (tmp_path / "bom.yaml").write_bytes(b"\xef\xbb\xbfa: 1")
    assert file_layer(tmp_path / "bom.yaml").settings == {"a": 1}
    with pytest.raises(SettingsError, match="cannot be read"):
        file_layer(tmp_path)


def test_a_dagster_yaml_that_sets_a_key_twice_is_rejected_without_quoting_it(tmp_path: Path) -> None:
    file = tmp_path / "dagster.yaml"
    file.write_text("storage:\n  password: hunter2\n  password: hunter2\n")
    with pytest.raises(SettingsError, match=r"line 3: storage\.password is set again, after line 2") as caught:
        instance_config(file, tmp_path)
    assert "hunter2" not in str(caught.value)
    file.write_text("storage:\n  password: hunter2: [\n")
    with pytest.raises(SettingsError, match="line 2, column") as caught:
        instance_config(file, tmp_path)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("argument", ["a b", "=1", "a.=1", ".a=1", " =1", "a. .b=1"])
def test_an_argument_without_a_name_is_rejected(argument: str) -> None:
    with pytest.raises(SettingsError, match="give KEY=VALUE"):
        argument_layer(argument)


# ---------------------------------------------------------------------------------------------------------- values


def error_of(changes: dict[str, Any]) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(CONFIG, changes)
    return str(caught.value)


@pytest.mark.parametrize(
    ("section", "name"),
    [("lake", "path"), ("source.embedded", "replay"), ("dagster", "laid_over"), ("universe", "file"),
     ("notices", "file")],
)  # fmt: skip
def test_a_path_that_is_none_is_rejected_by_name(section: str, name: str) -> None:
    def with_value(value: str) -> dict[str, Any]:
        changes: dict[str, Any] = {name: value}
        for part in reversed(section.split(".")):
            changes = {part: changes}
        return changes

    for value, problem in (("", "is no path"), (" ", "is no path"), ("a\0b", "is no path"), ("~/a", "only a shell")):
        message = error_of(with_value(value))
        assert f"{section}.{name} = {value!r}: " in message
        assert problem in message
    load_settings(CONFIG, with_value("a~b"))


@pytest.mark.parametrize(
    ("section", "changes"),
    [
        ("source", {"timeout_s": 1e300}),
        ("source", {"deadline_s": 1e300}),
        ("source", {"requests_per_minute": float("inf")}),
        ("history", {"publication_delay_min": 10**15}),
        ("universe", {"market_cap_max_age_days": 10**15}),
        ("review", {"minutes_before": 10**15}),
        ("profiles", {"core": {"window": {"before_min": 10**15}}}),
    ],
)
def test_a_duration_that_no_clock_can_hold_is_rejected(section: str, changes: dict[str, Any]) -> None:
    assert f"{section}." in error_of({section: changes})


def test_what_may_be_a_key_is_not_shown() -> None:
    key = "aB3dE6gH9jK2mN5pQ8rS1tU4vW7xY0zA"
    for changes in (
        {"source": {"api_key": key}},
        {"source": {"key_variables": [key]}},
        {"source": {"base_url": f"https://user:{key}@api.massive.com"}},
        {"source": {"base_url": f"https://user:a {key}/@api.massive.com"}},
        {"notices": {"url_variable": f"https://hooks.example/{key}"}},
    ):
        assert key not in error_of(changes)
    assert "source.key_variables.0: is not the name of an environment variable" in error_of(
        {"source": {"key_variables": [key]}}
    )


def test_a_long_name_and_a_path_that_is_no_text_are_one_short_sentence() -> None:
    assert "k... = 1: no such setting" in error_of({"k" * 5_000: 1})
    assert len(error_of({"k" * 5_000: 1})) < 500
    assert "lake.path = '\\udcff': has bytes that are not UTF-8 text" in error_of({"lake": {"path": "\udcff"}})


@pytest.mark.parametrize("text", ["{", "[]", "null", '{"a": ' * 20_000])
def test_overrides_that_are_none_are_rejected(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMALLCAPS_OVERRIDES", text)
    with pytest.raises(SettingsError, match=r"SMALLCAPS_OVERRIDES .* unset it"):
        environment_overrides()


@pytest.mark.parametrize("blank", ["", " "])
def test_a_blank_variable_is_not_set(blank: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SMALLCAPS_OVERRIDES", "SMALLCAPS_HOME", "SMALLCAPS_CONFIG"):
        monkeypatch.setenv(name, blank)
    monkeypatch.chdir(REPOSITORY)
    assert environment_overrides() == {}
    assert home() == REPOSITORY.resolve()
    assert config_path() == CONFIG.resolve()
    source = load_settings(CONFIG, {"source": {"kind": "vendor"}}).source
    monkeypatch.setenv("MASSIVE_API_KEY", blank)
    monkeypatch.setenv("POLYGON_API_KEY", blank)
    with pytest.raises(NotAuthenticated):
        api_key(source)
    monkeypatch.setenv("POLYGON_API_KEY", "second")
    assert api_key(source).get_secret_value() == "second"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: http: x", 1, "a colon where none belongs: put a value with a colon in quotes"),
        ("a:\n  b: 1\nc\nd: 1", 4, "a key without its colon, which begins in line 3"),
        ("a: - 1", 1, "a list item (-) where none belongs"),
        ("a: 1\nb: 'x\nc: 2", 3, "a quote that is opened in line 2 is not closed"),
        ('a: "C:\\Users"', 1, "a backslash in double quotes begins an escape: use single quotes"),
        ("a: @x", 1, "a value may not begin with this character: put it in quotes"),
        ("a: 1\nb: [1, 2\nc: 3", 3, "a list that is opened with [ in line 2 is not closed"),
        ("a: {b: 1\nc: 2", 2, "a section that is opened with { in line 1 is not closed"),
        ("a:\n  b: 1\n c: 2", 3, "indented otherwise than those of the section that begins in line 1"),
        ("a: 'it's'\nb: 1", 1, "text follows a value that has ended: correct the quotes or brackets"),
        ("a: 'x' y", 1, "text follows a value that has ended"),
        ("a: *b", 1, "*name repeats a value that no &name marks"),
        ("a: 1\n---\nb: 1", 2, "settings are one document"),
        ("a: *", 1, "& and * begin names of values"),
        ("a: |x", 1, "| and > begin text of several lines"),
        ("? [1]\n: 2", 1, "a list or section cannot be a key"),
        ("<<: 1", 1, "<< takes a section"),
    ],
)
def test_a_fault_of_the_text_is_message_without_the_words_of_the_parser(text: str, line: int, words: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_document(text)
    message = str(caught.value)
    assert message.startswith(f"line {line}, column ")
    assert words in message
    assert "expected" not in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "hint"), [("5e4", "50000"), ("1e-06", "1.0e-06"), ("2.5e-9", "2.5e-09"), ("1e30", "1.0e+30")]
)
def test_the_number_of_a_hint_is_read_as_that_number(text: str, hint: str) -> None:
    assert plain_number(text) == hint
    assert parse_document(f"a: {hint}").content == {"a": float(text)}
