"""S3's protocol over a bucket: LIST (version 2), GET with Range and If-Match, HEAD, signatures."""

import re
import time
from collections.abc import Mapping
from email.utils import format_datetime
from typing import Final
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

from smallcaps_assets.simulated.bucket.files import Bucket, StoredFile
from smallcaps_assets.simulated.bucket.signing import WrongSignature, check_signature
from smallcaps_assets.simulated.protocol.wire import BAD_REQUEST, FORBIDDEN, NOT_FOUND, OK, Reply

BUCKET: Final = "flatfiles"
# What the bucket accepts unless other keys are given: access key and secret key.
EMBEDDED_ACCESS_KEY: Final = "embedded"
EMBEDDED_SECRET_KEY: Final = "embedded-secret"  # noqa: S105 -- of the simulated exchange, which anyone may read
# Pseudo-header with the method of a request, as HTTP/2 has it; GET without.
METHOD: Final = ":method"
_PARTIAL: Final = 206
_PRECONDITION_FAILED: Final = 412
_RANGE_NOT_SATISFIABLE: Final = 416
_PAGE: Final = 1000
# A page ends early where making the files takes so many seconds, as S3 may end any page.
_PAGE_S: Final = 1.0
_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)
_NAMESPACE: Final = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


class BucketService:
    """Answers the requests for a bucket, by path (`/flatfiles/KEY`).

    Attributes:
        bucket: the files; may be exchanged while requests are answered.
        denies_files: whether GET of a file is answered with 403 while LIST works, as for a plan without flat files.

    Args:
        bucket: the files.
        secrets: the secret key of each accepted access key.
        denies_files: see above.
        page: keys of one LIST at most.
    """

    def __init__(
        self,
        bucket: Bucket,
        secrets: Mapping[str, str] | None = None,
        *,
        denies_files: bool = False,
        page: int = _PAGE,
    ) -> None:
        self.bucket = bucket
        self.denies_files = denies_files
        self._secrets = {EMBEDDED_ACCESS_KEY: EMBEDDED_SECRET_KEY} if secrets is None else dict(secrets)
        self._page = page

    def reply(self, request_id: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        """Answer a request; `path` is percent-encoded, `query` decoded, header names are in lower case."""
        try:
            check_signature(headers.get(METHOD, "GET"), path, query, headers, self._secrets)
        except WrongSignature as wrong:
            # as S3 does, which quotes the access key
            key = f"<AWSAccessKeyId>{wrong.access_key}</AWSAccessKeyId>" if wrong.access_key else ""
            return error_reply(request_id, FORBIDDEN, wrong.code, wrong.message, key)
        key = unquote(path).lstrip("/").partition("/")[2]
        return self._file(request_id, key, headers) if key else self._list(request_id, query)

    def _file(self, request_id: str, key: str, headers: Mapping[str, str]) -> Reply:
        if self.denies_files:
            return error_reply(request_id, FORBIDDEN, "AccessDenied", "Access Denied")
        about = self.bucket.stat(key)
        if about is None:
            return error_reply(request_id, NOT_FOUND, "NoSuchKey", "The specified key does not exist.")
        wanted = headers.get("if-match", "*")
        if wanted != "*" and about.etag not in [each.strip().strip('"') for each in wanted.split(",")]:
            return error_reply(
                request_id,
                _PRECONDITION_FAILED,
                "PreconditionFailed",
                "At least one of the pre-conditions you specified did not hold",
            )
        return self._content(request_id, about, headers)

    def _content(self, request_id: str, about: StoredFile, headers: Mapping[str, str]) -> Reply:
        described = {
            "Content-Type": "application/gzip",
            "ETag": f'"{about.etag}"',
            "Last-Modified": format_datetime(about.modified, usegmt=True),
            "Accept-Ranges": "bytes",
            "x-amz-request-id": request_id,
        }
        body = self.bucket.read(about.key) or b""
        found = _RANGE.fullmatch(headers.get("range", ""))
        if found is None or not any(found.groups()):
            return Reply(OK, described, body)
        start = int(found[1]) if found[1] else max(len(body) - int(found[2]), 0)
        end = min(int(found[2]) + 1, len(body)) if found[1] and found[2] else len(body)
        if start >= len(body) or start >= end:
            return error_reply(
                request_id, _RANGE_NOT_SATISFIABLE, "InvalidRange", "The requested range is not satisfiable"
            )
        described["Content-Range"] = f"bytes {start}-{end - 1}/{len(body)}"
        return Reply(_PARTIAL, described, body[start:end])

    def _list(self, request_id: str, query: Mapping[str, str]) -> Reply:
        if query.get("list-type") != "2":
            return error_reply(request_id, BAD_REQUEST, "InvalidArgument", "Only ListObjectsV2 is answered.")
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        asked = query.get("max-keys", "")
        most = min(int(asked), self._page) if asked.isdecimal() else self._page
        after = unquote(query.get("continuation-token", "")) or query.get("start-after", "")
        entries = sorted({_entry(key, prefix, delimiter) for key in self.bucket.keys(prefix)})
        left = [each for each in entries if each > after]
        files: list[StoredFile] = []
        folders: list[str] = []
        until = time.monotonic() + _PAGE_S
        shown: list[str] = []
        for each in left[:most]:
            if shown and time.monotonic() > until:
                break
            shown.append(each)
            if delimiter and each.endswith(delimiter):
                folders.append(each)
            elif about := self.bucket.stat(each):
                files.append(about)
        is_cut = len(left) > len(shown)
        encode = quote if query.get("encoding-type") == "url" else escape
        parts = [
            f"<Name>{BUCKET}</Name><Prefix>{encode(prefix)}</Prefix><KeyCount>{len(shown)}</KeyCount>",
            f"<MaxKeys>{most}</MaxKeys><IsTruncated>{str(is_cut).lower()}</IsTruncated>",
            f"<NextContinuationToken>{quote(shown[-1], safe='')}</NextContinuationToken>" if is_cut else "",
            *(_contents(about, encode(about.key)) for about in files),
            *(f"<CommonPrefixes><Prefix>{encode(each)}</Prefix></CommonPrefixes>" for each in folders),
        ]
        return _xml_reply(request_id, OK, f"<ListBucketResult {_NAMESPACE}>{''.join(parts)}</ListBucketResult>")


def is_bucket_path(path: str) -> bool:
    """Whether a path, decoded or not, is one of the bucket."""
    return path.lstrip("/").partition("/")[0] == BUCKET


def error_reply(request_id: str, status: int, code: str, message: str, more: str = "") -> Reply:
    """An error in S3's shape; `more` are further elements."""
    parts = f"<Code>{code}</Code><Message>{escape(message)}</Message>{more}<RequestId>{request_id}</RequestId>"
    return _xml_reply(request_id, status, f"<Error>{parts}</Error>")


def _xml_reply(request_id: str, status: int, document: str) -> Reply:
    headers = {"Content-Type": "application/xml", "x-amz-request-id": request_id}
    return Reply(status, headers, f'<?xml version="1.0" encoding="UTF-8"?>\n{document}'.encode())


def _entry(key: str, prefix: str, delimiter: str) -> str:
    """A key, or the folder that stands for it where there is a delimiter."""
    if not delimiter:
        return key
    head, found, _ = key[len(prefix) :].partition(delimiter)
    return f"{prefix}{head}{found}"


def _contents(about: StoredFile, key: str) -> str:
    modified = about.modified.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return (
        f"<Contents><Key>{key}</Key><LastModified>{modified}</LastModified><ETag>&quot;{about.etag}&quot;</ETag>"
        f"<Size>{about.size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )
