from smallcaps_assets.pipeline.tape.request_budget import Allowance


def test_without_a_budget_every_item_starts() -> None:
    allowance = Allowance(None)
    assert list(allowance.admit(range(5))) == [0, 1, 2, 3, 4]
    assert not allowance.used_up


def test_a_started_item_reserves_a_request() -> None:
    allowance = Allowance(2)
    assert list(allowance.admit(range(5))) == [0, 1]
    assert (allowance.spent, allowance.used_up) == (0, True)


def test_actual_requests_are_counted_over_several_kinds_of_work() -> None:
    allowance = Allowance(6, spent=1)
    trades = allowance.admit("ab")
    assert next(trades) == "a"
    allowance.settle(3)  # three pages
    assert next(trades) == "b"
    allowance.settle(0)  # another run was faster
    assert allowance.spent == 4
    assert list(allowance.admit("cde")) == ["c", "d"]
    for _ in "cd":
        allowance.settle(1)
    assert allowance.spent == 6
    assert list(allowance.admit("f")) == []
