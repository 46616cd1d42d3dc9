"""Settings files in a backup: without what looks like a secret."""

from pathlib import Path

import pytest

from smallcaps_assets.pipeline.backup.settings_files import settings_files
from smallcaps_assets.settings.settings import load_settings


@pytest.mark.parametrize(
    ("text", "secret", "place"),
    [
        ("storage:\n  postgres:\n    postgres_db: {password: hunter2, username: me}\n", "hunter2", "password"),
        ("x:\n  postgres_url: postgresql://me:hunter2@host/db\n", "hunter2", "x.postgres_url"),
        ("x: {address: 'https://me:hunter2@host/'}  # hunter2\n", "hunter2", "x.address"),
        ('a:\n- {api_key: "two\\twords"}\n', "two\twords", "a[0].api_key"),
        ("run_launcher:\n  config: {access_token: 12345}\n", "12345", "run_launcher.config.access_token"),
    ],
)
def test_secrets_are_removed_and_named(text: str, secret: str, place: str, fresh_home: Path) -> None:
    (fresh_home / "dagster.yaml").write_text(text, encoding="utf-8")
    (file,) = (one for one in settings_files(load_settings()) if one.name == "dagster.yaml")
    assert secret not in file.content.decode()
    assert "two\\twords" not in file.content.decode()
    assert [name for name in file.removed if name.endswith(place)] == list(file.removed)
    assert len(file.removed) == 1


def test_names_of_environment_variables_are_no_secrets(fresh_home: Path) -> None:
    text = b"# a comment stays\npostgres_db:\n  password: {env: PGPASSWORD}\n"
    (fresh_home / "dagster.yaml").write_bytes(text)
    files = {file.name: file for file in settings_files(load_settings())}
    assert files.keys() == {"config/config.yaml", "dagster.yaml"}
    assert (files["dagster.yaml"].content, files["dagster.yaml"].removed) == (text, ())
    assert files["config/config.yaml"].content == (fresh_home / "config" / "config.yaml").read_bytes()
