"""The result of a check in one sentence, also where there was nothing to judge."""

import polars as pl

from smallcaps_assets.domain.findings import finding

NONE = pl.DataFrame({"symbol": []})
TWO = pl.DataFrame({"symbol": ["A", "B"]})


def test_a_finding_says_what_it_found() -> None:
    assert finding("rule", NONE).sentence() == "Passed."
    assert finding("rule", TWO).sentence() == "2 rows break this rule, such as symbol A."
    one = pl.DataFrame({"symbol": ["A"], "sessions_due": [28], "pct": [12.345678], "cause": [None]})
    assert finding("rule", one).sentence() == "1 row breaks this rule: symbol A, sessions due 28, pct 12.35."
    assert finding("rule", NONE)._replace(holds=False).sentence() == "The figures break this rule."
    assert finding("rule", TWO, {"verdict": "Two are late."}).sentence() == "Two are late."


def test_a_check_that_holds_because_nothing_was_there_is_not_judged() -> None:
    empty = finding("rule", NONE, {"verdict": "All 0 are fine."}).unjudged_if(True, "nothing is published")
    assert (empty.holds, empty.sentence()) == (True, "Not judged yet: nothing is published.")
    judged = finding("rule", NONE)
    assert judged.unjudged_if(False, "nothing is published") is judged
    # what breaks the rule is there
    assert finding("rule", TWO).unjudged_if(True, "nothing is published").unjudged == ""
