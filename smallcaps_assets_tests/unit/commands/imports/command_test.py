"""The command that imports print as the next step."""

from pathlib import Path

import pytest

from smallcaps_assets.commands.imports.command import choose_from
from smallcaps_assets.lake.layout import Lake


@pytest.mark.parametrize(("config", "flag"), [(None, ""), (Path("my settings.yaml"), ' --config "my settings.yaml"')])
def test_a_manifest_is_chosen_with_the_settings_of_the_import(config: Path | None, flag: str) -> None:
    lake = Lake(Path("lake"))
    command = choose_from(lake, "core", lake.imported_events, config)
    folder = lake.manifests("core")
    assert command == f'smallcaps manifest --master "{lake.imported_events}" --profile core --out "{folder}"{flag}'
