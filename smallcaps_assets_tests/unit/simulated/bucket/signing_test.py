"""Signatures that AWS publishes as examples (Authenticating Requests: Signature Version 4, Examples)."""

import pytest

from smallcaps_assets.simulated.bucket.signing import WrongSignature, check_signature

ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRETS = {ACCESS_KEY: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
HEADERS = {
    "host": "examplebucket.s3.amazonaws.com",
    "x-amz-content-sha256": EMPTY,
    "x-amz-date": "20130524T000000Z",
    "range": "bytes=0-9",
}
SIGNED = "host;x-amz-content-sha256;x-amz-date"
GET = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
LIST = "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"


def signed(signature: str, names: str = SIGNED, access_key: str = ACCESS_KEY) -> dict[str, str]:
    scope = f"{access_key}/20130524/us-east-1/s3/aws4_request"
    return HEADERS | {
        "authorization": f"AWS4-HMAC-SHA256 Credential={scope},SignedHeaders={names},Signature={signature}"
    }


def test_the_examples_of_aws() -> None:
    check_signature("GET", "/test.txt", {}, signed(GET, "host;range;x-amz-content-sha256;x-amz-date"), SECRETS)
    check_signature("GET", "/", {"max-keys": "2", "prefix": "J"}, signed(LIST), SECRETS)


@pytest.mark.parametrize(
    ("method", "path", "query", "changes"),
    [
        ("HEAD", "/", {"max-keys": "2", "prefix": "J"}, {}),
        ("GET", "/x", {"max-keys": "2", "prefix": "J"}, {}),
        ("GET", "/", {"max-keys": "3", "prefix": "J"}, {}),
        ("GET", "/", {"max-keys": "2"}, {}),
        ("GET", "/", {"max-keys": "2", "prefix": "J"}, {"host": "elsewhere"}),
        ("GET", "/", {"max-keys": "2", "prefix": "J"}, {"x-amz-date": "20130524T000001Z"}),
    ],
)
def test_whatever_is_signed_counts(method: str, path: str, query: dict[str, str], changes: dict[str, str]) -> None:
    with pytest.raises(WrongSignature) as caught:
        check_signature(method, path, query, signed(LIST) | changes, SECRETS)
    assert caught.value.code == "SignatureDoesNotMatch"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        (HEADERS, "AccessDenied"),
        (HEADERS | {"authorization": "Bearer embedded"}, "AccessDenied"),
        (signed(LIST, access_key="AKIAOTHER"), "InvalidAccessKeyId"),
        (signed(LIST, names="x-amz-date"), "SignatureDoesNotMatch"),
    ],
)
def test_other_requests_are_denied(headers: dict[str, str], code: str) -> None:
    with pytest.raises(WrongSignature) as caught:
        check_signature("GET", "/", {"max-keys": "2", "prefix": "J"}, headers, SECRETS)
    assert caught.value.code == code
