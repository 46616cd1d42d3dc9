"""Windows that are longer than the minutes in which a control is kept clear of events."""

from smallcaps_assets.domain.research.controls.checks import describe_long_windows
from smallcaps_assets.domain.research.controls.params import ControlParams
from smallcaps_assets.settings.settings import load_settings


def test_a_window_longer_than_the_clear_minutes_is_named_with_both_settings() -> None:
    limits = load_settings(overrides={"profiles": {"premium": {"extended_window": {"after_min": 31}}}}).profiles[
        "premium"
    ]
    assert describe_long_windows(limits, ControlParams(control_clear_min=31)) is None
    said = describe_long_windows(limits, ControlParams(control_clear_min=30))
    assert said is not None
    assert said.startswith("extended_window.after_min 31 above research.control_clear_min 30: ")
