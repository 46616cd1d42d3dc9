"""The tag by which a run works only under the settings that it was launched with, on any machine."""

from collections.abc import Mapping
from typing import Final

from smallcaps_assets.errors import SettingsError
from smallcaps_assets.settings.settings import Settings, config_path, load_settings, settings_version

# Dagster hides tags that begin so from the web UI
SETTINGS_TAG: Final = ".dagster/smallcaps_settings"


def settings_tag() -> dict[str, str]:
    """The tag of a run that is launched now; none where the settings are wrong, which the run itself says."""
    try:
        return {SETTINGS_TAG: settings_version(load_settings())}
    except SettingsError:
        return {}


def require_settings(tags: Mapping[str, str], settings: Settings) -> None:
    """Make sure that a run has the settings that it was launched with; a run without the tag has any.

    Raises:
        SettingsError: it has others: those of another machine, or of a file that was changed just now.
    """
    launched_with, present = tags.get(SETTINGS_TAG), settings_version(settings)
    if launched_with not in (None, present):
        raise SettingsError(
            f"{config_path()}: this run was launched with other settings (version {launched_with}) than this process "
            f"read ({present}), and would make tables that do not fit together. Give all machines the same "
            "config/config.yaml and the same flags, then launch the run again."
        )
