"""The way to the vendor that the environment names: a proxy, and the certificates that are trusted."""

import ssl
import time
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
from urllib3.exceptions import HTTPError
from urllib3.util import Url, parse_url
from urllib3.util.ssl_ import create_urllib3_context

from smallcaps_assets.errors import SettingsError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class ProxySocket:
    """An encrypted connection to a proxy, within which another one is encrypted; its timeout is that of both together.

    A handshake or a record of the inner connection takes any number of operations on the outer one. A timeout of the
    outer one alone would begin anew with each of them.
    """

    def __init__(self, outer: ssl.SSLSocket) -> None:
        """Use `outer`, whose timeout is the first one."""
        self._outer = outer
        self.fileno, self.close, self.gettimeout = outer.fileno, outer.close, outer.gettimeout
        self.settimeout(outer.gettimeout())

    def settimeout(self, seconds: float | None) -> None:
        """Limit all that is received and sent until the next call; None is no limit."""
        self._end = None if seconds is None else time.monotonic() + seconds

    def recv(self, size: int) -> bytes:
        """At most `size` bytes.

        Raises:
            TimeoutError: they did not come in time.
        """
        self._limit()
        return self._outer.recv(size)

    def recv_into(self, buffer: "WriteableBuffer") -> int:
        """Receive into `buffer`, at most as much as it holds; returns how many bytes.

        Raises:
            TimeoutError: they did not come in time.
        """
        self._limit()
        return self._outer.recv_into(buffer)

    def sendall(self, content: bytes) -> None:
        """Send all of `content`.

        Raises:
            TimeoutError: it was not accepted in time.
        """
        self._limit()
        self._outer.sendall(content)

    def _limit(self) -> None:
        left_s = None if self._end is None else self._end - time.monotonic()
        if left_s is not None and left_s <= 0:
            raise TimeoutError
        self._outer.settimeout(left_s)


class Way:
    """How one origin is reached; the environment is read when it is first needed.

    Raises:
        SettingsError: by a property, because the environment names what cannot be used.
    """

    def __init__(self, origin: str, *, trust_env: bool) -> None:
        """Follow HTTPS_PROXY, ALL_PROXY, NO_PROXY, REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE if `trust_env`."""
        self._origin, self._trust_env = origin, trust_env

    @cached_property
    def _environment(self) -> dict[str, Any]:
        """What the environment says of proxies and certificates."""
        with requests.Session() as session:
            session.trust_env = self._trust_env
            return {**session.merge_environment_settings(self._origin, {}, stream=None, verify=None, cert=None)}

    @cached_property
    def proxy(self) -> Url | None:
        """The proxy, if there is one."""
        named = requests.utils.select_proxy(self._origin, self._environment["proxies"])
        if not named:
            return None
        with suppress(HTTPError):
            proxy = parse_url(named if "://" in named else f"http://{named}")
            if proxy.scheme in ("http", "https") and proxy.host:
                return proxy
        # not quoted, since a password may be anywhere in it
        raise SettingsError(
            "the proxy in HTTPS_PROXY (or ALL_PROXY) is no address that can be used: give http:// or https:// and a "
            "host, or remove it."
        )

    @cached_property
    def certificates(self) -> Path:
        """The file or folder of the certificates that are trusted."""
        verify = self._environment["verify"]
        return Path(verify if isinstance(verify, str) else requests.utils.DEFAULT_CA_BUNDLE_PATH)

    @cached_property
    def tls(self) -> ssl.SSLContext:
        """The certificates that are trusted, shared by all connections."""
        certificates = self.certificates
        context = create_urllib3_context()
        try:
            if certificates.is_dir():
                context.load_verify_locations(capath=certificates)
            else:
                context.load_verify_locations(cafile=certificates)
        except OSError as error:
            raise self._unreadable(error) from error
        return context

    def certificates_pem(self) -> bytes:
        """The certificates that are trusted, one after the other, as PEM."""
        found = self.certificates
        try:
            files = sorted(found.iterdir()) if found.is_dir() else [found]
            return b"\n".join(file.read_bytes() for file in files if file.is_file())
        except OSError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: OSError) -> SettingsError:
        return SettingsError(
            f"{self.certificates}: no certificates can be read ({error}). Correct or remove REQUESTS_CA_BUNDLE (or "
            "CURL_CA_BUNDLE)."
        )
