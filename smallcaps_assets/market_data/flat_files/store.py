"""The connection to the vendor's bucket by obstore: keys, proxies, certificates, timeouts, retries.

obstore takes what it is not given from `AWS_...` variables of the environment, which belong to other buckets of the
user: everything that decides where requests go, and how they are signed, is given here.
"""

from datetime import timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from obstore.store import S3Store

from smallcaps_assets.domain.addresses import is_loopback
from smallcaps_assets.market_data.http.ways import Way

if TYPE_CHECKING:
    from collections.abc import Callable

    from obstore.store import ClientConfig, RetryConfig, S3Config, S3Credential

_FIRST_BACKOFF: Final = timedelta(seconds=0.5)
_LONGEST_BACKOFF: Final = timedelta(seconds=30)
# A request is signed once, and S3 rejects signatures that are 15 minutes old.
_LONGEST_RETRYING: Final = timedelta(minutes=10)
# Named together with the host as an exception, so that no proxy is used, also none of the system.
_NO_PROXY: Final = "http://127.0.0.1:9"


def open_store(  # noqa: PLR0913
    endpoint: str,
    bucket: str,
    region: str,
    keys: tuple[str, str],
    *,
    timeout_s: float,
    deadline_s: float,
    max_retries: int,
) -> S3Store:
    """A bucket at an S3-compatible endpoint; nothing is sent yet.

    Args:
        endpoint: https, host, optionally port and path; http only for this machine.
        bucket: its name.
        region: part of the signature.
        keys: access key and secret key.
        timeout_s: longest silence while connecting and while a response arrives.
        deadline_s: longest total time of one response.
        max_retries: attempts after the first, after 5xx, 429, broken connections and timeouts; a response that breaks
            off is continued where it ended.

    Raises:
        SettingsError: the environment names a proxy or certificates that cannot be used.
    """
    parts = urlsplit(endpoint)
    host = parts.hostname or ""
    way = Way(f"{parts.scheme}://{parts.netloc}", trust_env=not is_loopback(host))
    certificates = way.certificates_pem()
    client: ClientConfig = {
        "allow_http": parts.scheme == "http",
        "allow_invalid_certificates": False,
        "root_certificate": certificates,
        "connect_timeout": timedelta(seconds=timeout_s),
        "read_timeout": timedelta(seconds=timeout_s),
        "timeout": timedelta(seconds=deadline_s),
        "user_agent": "smallcaps_assets",
    }
    if way.proxy is None:
        client |= {"proxy_url": _NO_PROXY, "proxy_excludes": host}
    else:
        client |= {"proxy_url": str(way.proxy), "proxy_ca_certificate": certificates.decode(), "proxy_excludes": ""}
    config: S3Config = {
        "endpoint": endpoint,
        "aws_endpoint_url_s3": endpoint,
        "region": region,
        "virtual_hosted_style_request": False,
        "skip_signature": False,
        "s3_express": False,
        "request_payer": False,
        "unsigned_payload": False,
    }
    retry: RetryConfig = {
        "max_retries": max_retries,
        "backoff": {"init_backoff": _FIRST_BACKOFF, "max_backoff": _LONGEST_BACKOFF, "base": 2},
        "retry_timeout": min(timedelta(seconds=deadline_s * (max_retries + 1)), _LONGEST_RETRYING),
    }
    return S3Store(
        bucket, config=config, client_options=client, retry_config=retry, credential_provider=_provider(*keys)
    )


def _provider(access_key: str, secret_key: str) -> "Callable[[], S3Credential]":
    """Gives the keys whenever a request is signed; so they are no part of the store's own settings, which it shows."""

    def credential() -> "S3Credential":
        return {"access_key_id": access_key, "secret_access_key": secret_key, "token": None, "expires_at": None}

    return credential
