"""Notices of failed runs: a line in a file, and a POST to a URL that only the environment holds."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from pydantic import SecretStr

from smallcaps_assets.domain.addresses import check_notice_url
from smallcaps_assets.errors import NoticeError
from smallcaps_assets.lake.files.locks import exclusive_lock
from smallcaps_assets.lake.files.publish import disk_errors, make_folders, publish_text
from smallcaps_assets.market_data.http.answers import RetryableFailure
from smallcaps_assets.market_data.http.connections import Connections

Notice = Mapping[str, str | None]
# an answer of any length is good
_MAX_BODY_BYTES: Final = 1 << 16


def write_notice(path: Path, notice: Notice, lake: Path) -> None:
    """Append a notice to a file, as one line of JSON; the file's folder is created, but never the lake.

    Raises:
        LakeError: the file cannot be written, or lies in a lake that does not exist.
    """
    line = json.dumps(notice, ensure_ascii=False) + "\n"
    with disk_errors("written", path):
        if path.is_relative_to(lake):
            make_folders(path.parent, below=lake)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(_lock_of(path)), path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(line)


def remove_old_notices(path: Path, now: datetime, days: int | None) -> int:
    """Remove the lines of a notices file that are older than `days`; returns how many. None keeps all.

    Lines without a readable time stay.

    Raises:
        LakeError: the file cannot be read or written.
    """
    if days is None or not path.is_file():
        return 0
    with exclusive_lock(_lock_of(path)), disk_errors("read", path):
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if not _is_older(line, now - timedelta(days=days))]
        if len(kept) < len(lines):
            publish_text(path, "".join(kept))
    return len(lines) - len(kept)


def _is_older(line: str, moment: datetime) -> bool:
    try:
        return datetime.fromisoformat(json.loads(line)["time"]) < moment
    except (ValueError, KeyError, TypeError):
        return False


def _lock_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def post_notice(url: SecretStr, notice: Notice, timeout_s: float) -> None:
    """Post a notice as JSON within `timeout_s`. Messages name only the host of the URL: the rest may be a secret.

    Raises:
        NoticeError: it could not be posted, or the answer is not a status of 200 to 299.
    """
    problem = _post(url.get_secret_value(), notice, timeout_s)
    if problem:
        raise NoticeError(f"the notice of a failed run could not be posted: {problem}. It is in the notices file.")


def _post(url: str, notice: Notice, timeout_s: float) -> str | None:
    """Why the notice was not accepted; None where it was."""
    try:
        parts = urlsplit(check_notice_url(url))
    except ValueError as error:
        return f"the address {error}"
    body = json.dumps(notice).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}
    target = urlunsplit(("", "", parts.path or "/", parts.query, ""))
    connections = Connections(
        f"{parts.scheme}://{parts.netloc}",
        headers,
        timeout_s=timeout_s,
        deadline_s=timeout_s,
        max_body_bytes=_MAX_BODY_BYTES,
        trust_env=True,
    )
    answer = connections.post(target, body)
    connections.close()
    if isinstance(answer, RetryableFailure):
        return f"{parts.hostname} did not answer: {answer.cause}"
    accepted = HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES
    return None if accepted else f"{parts.hostname} answered with status {answer.status}"
