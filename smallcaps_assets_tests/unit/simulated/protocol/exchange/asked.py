"""Requests to the simulated exchange."""

import json
from urllib.parse import parse_qsl, urlsplit

KEY = {"Authorization": "Bearer anything", "Host": "127.0.0.1:8080"}
DAY = "2025-11-13"


def get(exchange, path, status=200, headers=KEY, /, **query):
    reply = exchange.reply(path, {name: str(value) for name, value in query.items()}, headers)
    body = json.loads(reply.body)
    assert reply.status == status, body
    return body


def follow(exchange, path, /, **query):
    """All pages of an answer."""
    body = get(exchange, path, **query)
    pages = [body]
    while "next_url" in body:
        address = urlsplit(body["next_url"])
        assert "apiKey" not in body["next_url"]
        assert address.netloc == "127.0.0.1:8080"
        body = get(exchange, address.path, **dict(parse_qsl(address.query)))
        pages.append(body)
    return pages


def rows_of(pages):
    return [row for page in pages for row in page.get("results", [])]
