"""What services say on the terminal of `smallcaps ui`."""

import warnings

import pytest

from smallcaps_assets.commands.services.child import say_wrong_settings_once


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("/home/me/config.yaml, line 13: source.burst = 'many': Input should be a valid integer", False),
        ("C:\\me\\config.yaml: is not usable YAML. line 2: a line begins with a tab: indent with spaces.", False),
        ("dagster._core.errors.DagsterUserCodeUnreachableError: Could not reach user code server.", True),
    ],
)
def test_only_errors_that_the_code_server_does_not_say_are_said(error: str, said: bool) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        say_wrong_settings_once()
        warnings.warn(f"Error loading repository location smallcaps_assets:{error}", stacklevel=1)
    assert len(caught) == said
