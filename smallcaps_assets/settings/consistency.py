"""Settings of one section that another one bounds."""

from collections.abc import Iterable

from smallcaps_assets.domain.manifests.selection import ProfileParams
from smallcaps_assets.domain.research.controls.params import ControlParams


def require_clear_windows(profiles: Iterable[tuple[str, ProfileParams]], rules: ControlParams) -> None:
    """Make sure that no window is longer than the time in which a control is kept clear of events.

    With `control_share` 0 there are no controls.

    Raises:
        ValueError: one is; names both settings.
    """
    for name, profile in profiles if rules.control_share else ():
        for key, window in (("window", profile.window), ("extended_window", profile.extended_window)):
            for side, minutes in window:
                if minutes > rules.control_clear_min:
                    raise ValueError(
                        f"profiles.{name}.{key}.{side} {minutes} is above research.control_clear_min "
                        f"{rules.control_clear_min}: the window of a control could hold an event of its symbol. "
                        f"Shorten the window, raise research.control_clear_min to {minutes} or more, or set "
                        "research.control_share to 0, which chooses no controls"
                    )
