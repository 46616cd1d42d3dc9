"""Notices of failed runs: a line in a file, and a POST to a URL that only the environment holds."""

import json
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import requests
from pydantic import SecretStr

from smallcaps_assets.errors import NoticeError
from smallcaps_assets.lake.files.publish import disk_errors, make_folders

Notice = Mapping[str, str | None]


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
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(line)


def post_notice(url: SecretStr, notice: Notice, timeout_s: float) -> None:
    """Post a notice as JSON. Messages name only the host of the URL: the rest may be a secret.

    Raises:
        NoticeError: it could not be posted, or the answer is not a status of 200 to 299.
    """
    problem = _post(url.get_secret_value(), notice, timeout_s)
    if problem:
        raise NoticeError(f"the notice of a failed run could not be posted: {problem}. It is in the notices file.")


def _post(url: str, notice: Notice, timeout_s: float) -> str | None:
    """Why the notice was not accepted; None where it was."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        host = None
    if host is None or parts.scheme not in ("http", "https"):
        return "the address is not an http:// or https:// URL"
    try:
        answer = requests.post(url, json=notice, timeout=timeout_s, allow_redirects=False)
    except (requests.RequestException, ValueError) as error:
        return f"{host} did not answer ({type(error).__name__})"
    return None if answer.ok and not answer.is_redirect else f"{host} answered with status {answer.status_code}"
