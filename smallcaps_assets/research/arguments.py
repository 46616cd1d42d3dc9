"""Arguments of those who read a lake: profiles, label specs and dates."""

from datetime import date, datetime

from smallcaps_assets.domain.research.outcomes.barriers import LABEL_SPECS
from smallcaps_assets.errors import InputError
from smallcaps_assets.settings.settings import PROFILES


def require_profile(profile: str) -> str:
    """The name of a profile.

    Raises:
        InputError: there is none of that name.
    """
    if profile not in PROFILES:
        raise InputError(f"profile {profile!r} is unknown. The profiles are {', '.join(PROFILES)}.")
    return profile


def require_spec(label_spec: str) -> str:
    """The name of a label spec.

    Raises:
        InputError: there is none of that name.
    """
    specs = [spec.name for spec in LABEL_SPECS]
    if label_spec not in specs:
        raise InputError(f"label spec {label_spec!r} is unknown. The specs are {', '.join(map(repr, specs))}.")
    return label_spec


def require_date(as_of: object) -> date:
    """A date, given as one or as `YYYY-MM-DD`; a moment is none, since its time and zone would be ignored.

    Raises:
        InputError: it is neither.
    """
    if isinstance(as_of, str):
        try:
            return date.fromisoformat(as_of)
        except ValueError:
            pass
    if isinstance(as_of, date) and not isinstance(as_of, datetime):
        return as_of
    raise InputError(f'as_of {as_of!r}: is no date. Give the first day of a month, such as "2025-11-01".')
