"""The vendor's API key: sent in a header, removed from text that may quote it, never printed."""

import re
from typing import Final
from urllib.parse import quote

from smallcaps_assets.domain.addresses import hide_users
from smallcaps_assets.errors import NotAuthenticated, SettingsError

KEY_VARIABLES: Final = "MASSIVE_API_KEY (or POLYGON_API_KEY)"

# The vendor's keys have 32 characters. What is shorter than this may be part of ordinary words, which removing it from
# messages would cut apart.
SHORTEST_KEY: Final = 8
_MAX_TEXT_LENGTH: Final = 300


class BearerKey:
    """Authorizes requests by the key and removes the key from text received from the vendor.

    Raises:
        NotAuthenticated: the key is empty.
        SettingsError: the key is too short, or has characters that an HTTP header cannot carry.
    """

    def __init__(self, api_key: str) -> None:
        if not api_key:
            raise NotAuthenticated(f"no API key was given. Set {KEY_VARIABLES} in the environment.")
        if len(api_key) < SHORTEST_KEY:
            raise SettingsError(
                f"the API key has fewer than {SHORTEST_KEY} characters, as no key of the vendor has: it was cut short. "
                f"Correct {KEY_VARIABLES}."
            )
        if not re.fullmatch(r"[A-Za-z0-9._~+/=-]+", api_key):
            raise SettingsError(
                f"the API key contains characters that no key has, such as spaces. Correct {KEY_VARIABLES}."
            )
        self._api_key = api_key

    @property
    def authorization(self) -> str:
        """The value of the header that authorizes a request."""
        return f"Bearer {self._api_key}"

    def __repr__(self) -> str:
        return "BearerKey(***)"

    def clean(self, text: str) -> str:
        """Text from outside made safe for messages: on one line, at most 300 characters, without the key.

        Users and passwords of URLs are removed too, such as those of a proxy named in the environment.
        """
        without_key = text.replace(self._api_key, "***").replace(quote(self._api_key, safe=""), "***")
        line = hide_users(" ".join(re.sub(r"[^ -~\u00a0-\ud7ff\ue000-\uffff]", " ", without_key).split()))
        return line if len(line) <= _MAX_TEXT_LENGTH else line[:_MAX_TEXT_LENGTH] + "..."
