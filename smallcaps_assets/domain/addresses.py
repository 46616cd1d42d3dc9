"""Addresses that a secret may be sent to, such as the vendor's key: encrypted, or on this machine."""

import re
from ipaddress import IPv6Address, ip_address
from typing import Final

# The same vendor under its present and its former name: REST, and the bucket of flat files.
VENDOR_HOSTS: Final = ("api.massive.com", "api.polygon.io")
VENDOR_BUCKET_HOSTS: Final = ("files.massive.com", "files.polygon.io")
# Nothing that programs read differently: no user, backslash, space, query or fragment.
_ORIGIN: Final = (
    r"(?P<scheme>https?)://(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?"
)
_ADDRESS: Final = re.compile(rf"{_ORIGIN}(?:/[A-Za-z0-9._~/-]*)?")
_NOTICE_ADDRESS: Final = re.compile(rf"{_ORIGIN}(?:[/?][A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?")
_THIS_MACHINE: Final = "127.0.0.1, localhost, [::1]"
_LAST_PORT: Final = 65_535
_USER: Final = re.compile(r"""(?<=//)[^\s"'<>]*@""")


def check_base_url(url: str) -> str:
    """Return `url` if the vendor's key may be sent to it.

    Raises:
        ValueError: it is no https or http address, or http beyond this machine; the message does not quote it.
    """
    found = _parse(_ADDRESS, url)
    if found is None:
        raise ValueError("is not the address of a vendor: give https://, a host and no user, query or fragment")
    if not _is_private(found):
        raise ValueError(
            f"would send the API key unencrypted: give https://. http:// is for this machine only ({_THIS_MACHINE}), "
            "where an SSH tunnel or a proxy that encrypts may listen"
        )
    return url


def check_notice_url(url: str) -> str:
    """Return `url`, which may have a query and may itself be a secret, if notices may be posted to it.

    Raises:
        ValueError: it is no https or http address, or http beyond this machine; the message does not quote it.
    """
    found = _parse(_NOTICE_ADDRESS, url)
    if found is None:
        raise ValueError("is not an http:// or https:// URL: give https://, a host and no user or fragment")
    if not _is_private(found):
        raise ValueError(
            "would send the notice and the secret in its address unencrypted: give https://. http:// is for this "
            f"machine only ({_THIS_MACHINE})"
        )
    return url


def _parse(pattern: re.Pattern[str], url: str) -> re.Match[str] | None:
    found = pattern.fullmatch(url)
    return found if found and int(found["port"] or 0) <= _LAST_PORT and _is_ipv6(found["ipv6"]) else None


def _is_private(found: re.Match[str]) -> bool:
    """Whether nobody else can read what is sent to an address."""
    return found["scheme"] == "https" or is_loopback(found["ipv6"] or found["name"])


def is_loopback(host: str) -> bool:
    """Whether a host, as in a URL without brackets, is this machine on every network."""
    if host.lower() == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        return address.scope_id is None and (address.ipv4_mapped or address).is_loopback
    return address.is_loopback


def _is_ipv6(text: str | None) -> bool:
    """Whether the text between brackets is an address; true without brackets."""
    try:
        return text is None or bool(IPv6Address(text))
    except ValueError:
        return False


def hide_users(text: str) -> str:
    """`text` without the users and passwords of its URLs."""
    return _USER.sub("***@", text)
