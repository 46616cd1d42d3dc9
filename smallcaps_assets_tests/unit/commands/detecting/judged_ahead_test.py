"""Batches that are judged while further symbols are looked at: the batches of the experiment, each judged once."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator

import polars as pl
import pytest

from smallcaps_assets.commands.detecting.batches import Batch
from smallcaps_assets.commands.detecting.judge import JUDGED_AT_ONCE, JUDGING_THREADS, JudgedAhead
from smallcaps_assets.errors import LakeError

MANY = [f"S{number:03}" for number in range(JUDGED_AT_ONCE + 2)]


def batch_of(symbols: list[str]) -> Batch:
    nothing = pl.DataFrame()
    return Batch(list(symbols), len(symbols), nothing, nothing, [], nothing, from_candidates=True)


class Recorder:
    """Judges, and counts the batches that it was given."""

    def __init__(self) -> None:
        self.judged = Counter[tuple[str, ...]]()
        self._lock = threading.Lock()

    def __call__(self, symbols: list[str]) -> Batch:
        with self._lock:
            self.judged[tuple(symbols)] += 1
        return batch_of(symbols)


@pytest.fixture
def ahead() -> Iterator[Callable[[Callable[[list[str]], Batch]], JudgedAhead]]:
    made = list[JudgedAhead]()

    def make(judge: Callable[[list[str]], Batch]) -> JudgedAhead:
        made.append(JudgedAhead(judge))
        return made[-1]

    yield make
    for one in made:
        one.close()


Make = Callable[[Callable[[list[str]], Batch]], JudgedAhead]


def see(ahead: JudgedAhead, symbols: list[str], unusable: str = "", without_bars: str = "") -> None:
    for symbol in symbols:
        ahead.see(symbol, is_usable=symbol != unusable, has_bars=symbol != without_bars)
    ahead.end()


def test_batches_are_as_long_as_those_of_the_experiment_and_judged_once(ahead: Make) -> None:
    judge = Recorder()
    judged = ahead(judge)
    see(judged, MANY)
    full, rest = MANY[:JUDGED_AT_ONCE], MANY[JUDGED_AT_ONCE:]
    assert [judged(symbols).symbols for symbols in (full, rest)] == [full, rest]
    assert judge.judged == {tuple(full): 1, tuple(rest): 1}


def test_a_batch_ends_before_a_symbol_that_needs_bars(ahead: Make) -> None:
    judge = Recorder()
    judged = ahead(judge)
    see(judged, MANY[:5], unusable=MANY[2])
    assert judged(MANY[:2]).symbols == MANY[:2]
    assert judged(MANY[3:5]).symbols == MANY[3:5]
    assert judge.judged == {tuple(MANY[:2]): 1, tuple(MANY[3:5]): 1}


def test_a_symbol_without_bars_is_left_out_of_its_batch(ahead: Make) -> None:
    judge = Recorder()
    judged = ahead(judge)
    see(judged, MANY[:3], without_bars=MANY[1])
    assert judged([MANY[0], MANY[2]]).rows == 2
    assert judge.judged == {(MANY[0], MANY[2]): 1}


def test_another_batch_is_judged_when_it_is_asked_for(ahead: Make) -> None:
    judge = Recorder()
    judged = ahead(judge)
    assert judged(["X"]).symbols == ["X"]
    # and a batch that was given away once more
    see(judged, MANY[:1])
    assert [judged(MANY[:1]).symbols, judged(MANY[:1]).symbols] == [MANY[:1]] * 2
    assert judge.judged == {("X",): 1, (MANY[0],): 2}


def test_few_batches_are_kept_however_many_symbols_there_are(ahead: Make) -> None:
    begun = threading.Semaphore(0)
    judged = ahead(lambda symbols: (begun.release(), batch_of(symbols))[1])
    # each symbol a batch of its own
    for number in range(200):
        judged.see(f"S{number}", is_usable=True, has_bars=True)
        judged.see(f"S{number}x", is_usable=False, has_bars=True)
    assert judged.waiting() == [[f"S{number}"] for number in range(16)]
    assert [judged([f"S{number}"]).symbols for number in range(200)] == [[f"S{number}"] for number in range(200)]
    # each was judged once, ahead or when it was asked for
    assert sum(begun.acquire(blocking=False) for _ in range(400)) == 200


def test_an_error_is_that_of_the_batch(ahead: Make) -> None:
    def fail(symbols: list[str]) -> Batch:
        raise LakeError(f"{symbols[0]}: cannot be read")

    judged = ahead(fail)
    see(judged, MANY[:1])
    with pytest.raises(LakeError, match="S000: cannot be read"):
        judged(MANY[:1])


def test_what_nobody_asked_for_is_not_begun_after_the_end(ahead: Make) -> None:
    free, judge = threading.Event(), Recorder()

    def wait(symbols: list[str]) -> Batch:
        free.wait(10)
        return judge(symbols)

    judged = ahead(wait)
    for number in range(10):
        judged.see(f"S{number}", is_usable=True, has_bars=True)
        judged.see(f"S{number}x", is_usable=False, has_bars=True)
    closing = threading.Thread(target=judged.close)
    closing.start()
    while judged.waiting():
        closing.join(0.001)
    free.set()
    closing.join(10)
    assert not closing.is_alive()
    # only those that threads were at
    assert len(judge.judged) <= JUDGING_THREADS < 10
