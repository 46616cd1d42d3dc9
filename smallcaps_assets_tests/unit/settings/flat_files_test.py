"""Settings and keys of flat files: defaults of older files, bad values by name, keys from the environment only."""

from typing import Any

import pytest
import yaml

from smallcaps_assets.errors import NotAuthenticated, SettingsError
from smallcaps_assets.settings.sections import SourceParams
from smallcaps_assets.settings.settings import Settings, flat_file_keys, load_settings, missing_flat_file_keys
from smallcaps_assets_tests.repository import REPOSITORY

CONFIG = REPOSITORY / "config" / "config.yaml"
KEYS = ("MASSIVE_S3_ACCESS_KEY", "POLYGON_S3_ACCESS_KEY", "MASSIVE_S3_SECRET_KEY", "POLYGON_S3_SECRET_KEY")


def source_with(**changes: Any) -> SourceParams:
    return load_settings(CONFIG, {"source": changes}).source


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)


def test_files_of_earlier_releases_use_rest() -> None:
    document = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    shipped = Settings.model_validate(document).source
    del document["source"]["bars"], document["source"]["flat_files"]
    earlier = Settings.model_validate(document).source
    assert earlier == shipped
    assert (earlier.bars, earlier.uses_flat_files, earlier.stores_flat_files) == ("rest", False, False)


@pytest.mark.parametrize(
    ("bars", "prefer", "stores"),
    [("flat_files", "rest", True), ("both", "rest", False), ("both", "flat_files", True)],
)
def test_whose_bars_are_stored(bars: str, prefer: str, stores: bool) -> None:
    source = source_with(bars=bars, flat_files={"prefer": prefer})
    assert (source.uses_flat_files, source.stores_flat_files) == (True, stores)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bars": "files"}, "source.bars"),
        ({"flat_files": {"endpoint": "http://files.massive.com"}}, "source.flat_files.endpoint"),
        ({"flat_files": {"bucket": "flat/files"}}, "source.flat_files.bucket"),
        ({"flat_files": {"prefix": "/us_stocks_sip/"}}, "source.flat_files.prefix"),
        ({"flat_files": {"region": "us east"}}, "source.flat_files.region"),
        ({"flat_files": {"prefer": "both"}}, "source.flat_files.prefer"),
        ({"flat_files": {"access_key_variables": []}}, "source.flat_files.access_key_variables"),
        ({"flat_files": {"secret_key_variables": ["not a name"]}}, "source.flat_files.secret_key_variables"),
        ({"flat_files": {"keys": 1}}, "source.flat_files.keys"),
    ],
)
def test_bad_values_are_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        source_with(**changes)


def test_the_vendors_files_belong_to_the_vendors_rest() -> None:
    elsewhere: dict[str, Any] = {"kind": "vendor", "base_url": "http://127.0.0.1:8900"}
    with pytest.raises(SettingsError, match=r"files\.massive\.com is the vendor's, base_url 127\.0\.0\.1 is not"):
        source_with(**elsewhere, bars="flat_files")
    assert source_with(**elsewhere).bars == "rest"
    assert source_with(**elsewhere, bars="both", flat_files={"endpoint": "http://127.0.0.1:8900"}).uses_flat_files
    mirror = {"endpoint": "https://mirror.example", "bucket": "copy"}
    assert source_with(kind="vendor", bars="flat_files", flat_files=mirror).uses_flat_files


def test_keys_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    source = source_with(kind="vendor", bars="flat_files")
    with pytest.raises(NotAuthenticated, match=r"no access key .*MASSIVE_S3_ACCESS_KEY or POLYGON.*no secret"):
        flat_file_keys(source)
    monkeypatch.setenv("POLYGON_S3_ACCESS_KEY", " access ")
    (missing,) = missing_flat_file_keys(source)
    assert missing.startswith("secret key of flat files: set the environment variable MASSIVE_S3_SECRET_KEY or ")
    monkeypatch.setenv("MASSIVE_S3_SECRET_KEY", "secret/key+")
    keys = flat_file_keys(source)
    assert keys is not None
    assert [key.get_secret_value() for key in keys] == ["access", "secret/key+"]
    assert "secret/key" not in repr(keys) + str(keys)
    assert flat_file_keys(source_with()) is None
    assert missing_flat_file_keys(source_with()) == []
