"""Bodies of answers: decompressed up to a limit, whatever they claim about themselves."""

import gzip
import json

import pytest

from smallcaps_assets.errors import BadPage
from smallcaps_assets.market_data.envelope import MAX_VALUES
from smallcaps_assets.market_data.http.answers import (
    MAX_BODY_BYTES,
    Answer,
    RawAnswer,
    parse_success,
)
from smallcaps_assets.market_data.wire import parse_trades_page

BODY = b'{"results":[' + b"1," * 400 + b"2]}"
ZIP = gzip.compress(BODY)

CUT, TRAILING = "a body cut short", "a compressed body with other bytes behind its end"
DAMAGED: dict[str, tuple[bytes, str]] = {
    "no last byte": (ZIP[:-1], CUT),
    "only a beginning": (ZIP[:30], CUT),
    "nothing": (b"", CUT),
    "nothing compressed": (gzip.compress(b""), CUT),
    "no closing brace": (gzip.compress(BODY[:-1]), CUT),
    "another byte": (ZIP + b"\0", TRAILING),
    "another stream": (ZIP + ZIP, TRAILING),
    "no gzip": (BODY, "a damaged body (Error -3 while decompressing data: incorrect header check)"),
    "a wrong checksum": (
        ZIP[:-8] + bytes(4) + ZIP[-4:],
        "a damaged body (Error -3 while decompressing data: incorrect data check)",
    ),
}


def parsed(body: bytes, limit: int, *, is_cut: bool = False, encoding: str = "gzip") -> bytes | str:
    """The body that is parsed, or the cause of a failure that is worth a retry."""
    raw = RawAnswer(status=200, headers={"Content-Encoding": encoding}, body=body, is_cut=is_cut)
    found = parse_success(raw, lambda content: content, "/v3/trades/AVLO", "trades", limit)
    return found.content if isinstance(found, Answer) else found.cause


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP"])
def test_a_body_of_exactly_the_limit_is_read(encoding: str) -> None:
    assert parsed(ZIP, len(BODY), encoding=encoding) == BODY
    assert parsed(BODY, len(BODY), encoding="") == BODY


@pytest.mark.parametrize("stated", [0, 1, len(BODY), 2**32 - 1])
def test_a_longer_body_is_rejected_without_a_retry_whatever_length_it_states(stated: int) -> None:
    lie = ZIP[:-4] + stated.to_bytes(4, "little")
    with pytest.raises(BadPage, match=r"^GET /v3/trades/AVLO for trades was answered with a body of more than 0 MB"):
        parsed(lie, len(BODY) // 2)
    with pytest.raises(BadPage, match=f"{len(BODY)} bytes arrived"):
        parsed(BODY, len(BODY) - 1, encoding="")
    with pytest.raises(BadPage):
        parsed(BODY, len(BODY), is_cut=True, encoding="")


def test_a_long_body_is_the_same_as_the_sum_of_its_pieces() -> None:
    # incompressible enough that it is longer than one piece when compressed
    body = json.dumps({"results": [number * 7919 % 104_729 for number in range(40_000)]}).encode()
    compressed = gzip.compress(body)
    assert len(compressed) > 3 * 16_384
    assert parsed(compressed, len(body)) == body


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_body_is_worth_a_retry(name: str) -> None:
    body, cause = DAMAGED[name]
    assert parsed(body, 10_000) == cause


def test_a_stream_that_ends_where_a_piece_ends_may_have_nothing_behind_it() -> None:
    # stored blocks: 10 bytes of gzip header, 5 of each block, 8 of gzip trailer
    stored = gzip.compress(b"{" + b" " * (16_384 - 25) + b"}", 0)
    assert len(stored) == 16_384
    assert isinstance(parsed(stored, 20_000), bytes)
    assert parsed(stored + b"\0", 20_000) == "a compressed body with other bytes behind its end"


WIDEST_QUOTE = {
    "ask_exchange": 999,
    "ask_price": 99999.9999,
    "ask_size": 9999999999,
    "bid_exchange": 999,
    "bid_price": 99999.9999,
    "bid_size": 9999999999,
    "conditions": [999, 999, 999, 999],
    "indicators": [999, 999, 999, 999],
    "participant_timestamp": 1760441340000000000,
    "sequence_number": 9223372036854775807,
    "sip_timestamp": 1760441340000000000,
    "tape": 3,
    "trf_timestamp": 1760441340000000000,
}


def test_the_limit_is_several_times_a_full_page_of_the_widest_rows() -> None:
    row = len(json.dumps(WIDEST_QUOTE, separators=(",", ":"))) + 1
    assert row == 355
    assert MAX_BODY_BYTES / (50_000 * row) == pytest.approx(3.6, abs=0.01)


@pytest.mark.parametrize("filling", [b"{},", b"null,", b"0,"])
def test_a_page_of_too_many_values_is_rejected_before_it_is_parsed(filling: bytes) -> None:
    few, many = (b'{"results":[' + filling * count + b'0],"status":"OK"}' for count in (600_000, 2_100_000))
    with pytest.raises(BadPage, match="not the promised JSON"):
        parse_trades_page(few, (0, 1))
    with pytest.raises(BadPage, match=r"about [24],[12]00,\d\d\d values, more than 2,000,000"):
        parse_trades_page(many, (0, 1))


def test_a_page_of_too_many_documents_is_rejected_before_it_is_parsed() -> None:
    with pytest.raises(BadPage, match=r"about 2,100,000 values"):
        parse_trades_page(b"{}" * 2_100_000, (0, 1))


def test_a_page_of_too_many_brackets_is_rejected_before_it_is_parsed() -> None:
    deep = b'{"other":' + b"[" * 2_100_000 + b"]" * 2_100_000 + b',"results":[],"status":"OK"}'
    with pytest.raises(BadPage, match=r"about 2,100,00\d values"):
        parse_trades_page(deep, (0, 1))


def test_the_limit_of_values_is_above_a_full_page_of_the_widest_rows() -> None:
    row = json.dumps(WIDEST_QUOTE)
    assert pytest.approx(1.8, abs=0.05) == MAX_VALUES / (
        50_000 * (row.count(",") + 1 + row.count("{") + row.count("["))
    )
