"""Lists of problems: a cause is named once, with how many windows and symbols it concerns."""

import pickle

from smallcaps_assets.errors import BadPage, LakeError, NotEntitled, VendorUnavailable
from smallcaps_assets.pipeline.problems import Problem, facts_of_problems, group_problems, name_problems


def unavailable(symbol: str, windows: int, status: int = 503) -> Problem:
    error = VendorUnavailable(f"GET /v3/quotes/{symbol} failed, HTTP {status} (request id: {symbol}-1).")
    error.with_facts(f"HTTP {status}, the vendor says: later", http_status=status, endpoint=f"/v3/quotes/{symbol}")
    return Problem.of(f"{symbol} RTH 1", error, symbol=symbol, windows=windows)


def test_a_cause_is_named_once_however_many_windows_it_concerns() -> None:
    many = [unavailable(f"S{number:02}", windows=4) for number in range(12)]
    assert group_problems([*many, "X: its file is damaged."]) == [
        (
            "48 windows of 12 symbols (S00, S01, S02, S03, S04 and 7 more): "
            "GET /v3/quotes/S00 failed, HTTP 503 (request id: S00-1)."
        ),
        "X: its file is damaged.",
    ]


def test_the_cause_of_most_units_comes_first_and_codes_are_kept_apart() -> None:
    lines = group_problems([unavailable("A", 1, 500), unavailable("B", 1), unavailable("C", 1)])
    assert [line.split(":")[0] for line in lines] == ["2 windows of 2 symbols (B, C)", "A RTH 1"]


def test_numbers_in_a_cause_do_not_separate_it() -> None:
    pages = [BadPage(f"GET /{rows}: {rows} rows are null.").with_facts(f"{rows} rows are null") for rows in (3, 17)]
    assert group_problems([Problem.of(f"A, {page}", page, symbol="A") for page in pages]) == [
        "2 failures of A: GET /3: 3 rows are null."
    ]


def test_problems_without_a_known_cause_are_not_mixed() -> None:
    texts = ["A: damaged.", "B: damaged.", "A: damaged."]
    assert group_problems(texts) == ["2 failures: A: damaged.", "B: damaged."]
    errors = [LakeError("a.parquet: damaged."), LakeError("b.parquet: damaged.")]
    assert len(group_problems([Problem.of("A", error, symbol="A") for error in errors])) == 2


def test_the_facts_count_windows_and_symbols_and_name_codes_and_endpoints() -> None:
    problems = [unavailable("A", 2), unavailable("A", 3), unavailable("B", 1, 500)]
    assert facts_of_problems(problems) == {
        "windows_failed": 6,
        "symbols_failed": 2,
        "http_status": "503, 500",
        "endpoint": "/v3/quotes/A, /v3/quotes/B",
    }
    assert facts_of_problems([unavailable("A", 2)]) == {
        "windows_failed": 2,
        "http_status": 503,
        "endpoint": "/v3/quotes/A",
    }
    assert facts_of_problems(["a text"]) == {}


def test_a_problem_keeps_what_is_known_of_it_between_processes() -> None:
    denied = NotEntitled("no quotes.").with_facts("HTTP 403", http_status=403)
    problem = Problem.of("A", denied, symbol="A", windows=2, advice=" Or a later start.")
    copied = pickle.loads(pickle.dumps(problem))  # noqa: S301 -- as steps of a run pass values on
    assert copied == "A: no quotes. Or a later start."
    assert (copied.symbol, copied.windows, copied.cause, copied.kind) == ("A", 2, "HTTP 403", NotEntitled)
    assert copied.facts == {"http_status": 403}
    assert pickle.loads(pickle.dumps(Problem.of("A", BadPage("pages without end."), symbol="A"))).facts == {}  # noqa: S301


def test_symbols_that_are_behind_for_one_reason_are_one_line() -> None:
    behind = [
        Problem.about(
            f"{symbol}: 1 session missing", f"{symbol}, 2025-12: HTTP 503", symbol=symbol, cause=", 2025-12: HTTP 503"
        )
        for symbol in ("A", "B", "C")
    ]
    assert group_problems(behind) == ["3 symbols (A, B, C): A, 2025-12: HTTP 503"]
    assert group_problems(behind[:1]) == ["A: 1 session missing: A, 2025-12: HTTP 503"]


def test_the_page_of_a_partition_names_each_cause_once_after_its_windows() -> None:
    many = [unavailable("A", 1), unavailable("A", 1), Problem.of("A RTH 2", LakeError("x is damaged."), symbol="A")]
    assert name_problems(many) == [
        "A RTH 1, A RTH 1: GET /v3/quotes/A failed, HTTP 503 (request id: A-1).",
        "A RTH 2: x is damaged.",
    ]
    seven = [Problem.of(f"A RTH {n}", LakeError("x."), symbol="A") for n in range(7)]
    for problem in seven:
        problem.cause = "x"
    assert name_problems(seven) == ["A RTH 0, A RTH 1, A RTH 2, A RTH 3, A RTH 4 and 2 more: x."]
    assert name_problems(["A: only a text."]) == ["A: only a text."]
