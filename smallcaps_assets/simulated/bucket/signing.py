"""AWS Signature Version 4 of a request without a body, as S3 checks it."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

_AUTHORIZATION: Final = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/,]+)/(\d{8})/([^/,]+)/s3/aws4_request, ?SignedHeaders=([a-z0-9;-]+), ?"
    r"Signature=([0-9a-f]{64})"
)


class WrongSignature(Exception):  # noqa: N818 -- becomes an answer with status 403
    """A request is not signed by a known key; `code` is the error code of S3, `access_key` may be empty."""

    def __init__(self, code: str, message: str, access_key: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.access_key = access_key


def check_signature(
    method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], secrets: Mapping[str, str]
) -> None:
    """Check the `Authorization` header of a request.

    Args:
        method: GET or HEAD.
        path: percent-encoded, as it was sent.
        query: decoded.
        headers: by lower-case name.
        secrets: the secret key of each access key.

    Raises:
        WrongSignature: AccessDenied without a signature, InvalidAccessKeyId or SignatureDoesNotMatch.
    """
    found = _AUTHORIZATION.fullmatch(headers.get("authorization", "").strip())
    if found is None:
        raise WrongSignature("AccessDenied", "Access Denied")
    access_key, day, region, signed, signature = found.groups()
    if access_key not in secrets:
        raise WrongSignature("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
    names = signed.split(";")
    canonical = "\n".join(
        [
            method,
            path,
            "&".join(f"{_encode(name)}={_encode(value)}" for name, value in sorted(query.items())),
            *(f"{name}:{' '.join(headers.get(name, '').split())}" for name in names),
            "",
            signed,
            headers.get("x-amz-content-sha256", ""),
        ]
    )
    scope = f"{day}/{region}/s3/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{headers.get('x-amz-date', '')}\n{scope}\n{digest}"
    key = f"AWS4{secrets[access_key]}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    expected = hmac.digest(key, text.encode(), "sha256").hex()
    if "host" not in names or not hmac.compare_digest(expected, signature):
        raise WrongSignature(
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. Check your key and "
            "signing method.",
            access_key,
        )


def _encode(text: str) -> str:
    return quote(text, safe="-_.~")
