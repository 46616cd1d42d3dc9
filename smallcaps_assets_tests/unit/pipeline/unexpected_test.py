"""Errors that nobody foresaw fail one unit, are kept for a report, and end the step where they are no matter of one."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pyarrow as pa
import pytest

from smallcaps_assets.errors import DiskFull, LakeError, Stopped, UnexpectedError
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.market_data.http.api_key import BearerKey
from smallcaps_assets.pipeline.unexpected import MOST_IN_A_ROW, UnexpectedErrors

KEY = "a-key-of-tests"


def failing(error: BaseException) -> Callable[[], NoReturn]:
    def work() -> NoReturn:
        raise error

    return work


def failure_of(errors: UnexpectedErrors, unit: str, error: BaseException) -> UnexpectedError:
    found = errors.attempt(unit, failing(error))
    assert isinstance(found, UnexpectedError)
    return found


def kept(lake: Lake) -> dict[str, str]:
    """The stack traces that a lake keeps."""
    return {file.name: file.read_text(encoding="utf-8") for file in lake.unexpected.glob("*")}


def test_work_without_an_error_returns_its_result_and_leaves_nothing(lake: Lake) -> None:
    assert UnexpectedErrors(lake, "minute_bars").attempt("AVLO", lambda: 3) == 3
    assert not lake.quarantine.exists()


def test_an_unforeseen_error_is_named_with_its_stack_trace(lake: Lake) -> None:
    found = failure_of(UnexpectedErrors(lake, "minute_bars"), "AVLO", KeyError("volume"))
    file = lake.unexpected / "minute_bars AVLO.txt"
    assert str(found) == (
        f"unexpected KeyError: 'volume'. Report it as a defect of this program; the stack trace is in {file}."
    )
    assert (found.cause, dict(found.facts)) == ("unexpected KeyError: 'volume'", {"file": str(file)})
    (text,) = kept(lake).values()
    assert text.startswith("minute_bars of AVLO, 20")
    assert "Traceback (most recent call last):" in text
    assert "in failing" not in text
    assert "\n    raise error\n" in text
    assert "smallcaps-assets 0.1.0, Polars " in text


def test_the_key_reaches_neither_message_nor_file(lake: Lake) -> None:
    errors = UnexpectedErrors(lake, "core trades", BearerKey(KEY).clean)
    inner = ValueError(f"Authorization: Bearer {KEY}")
    inner.__cause__ = OSError(f"sent {KEY}")
    found = failure_of(errors, "AVLO RTH", inner)
    assert KEY not in str(found)
    assert KEY not in repr(found.facts)
    assert "Bearer ***" in str(found)
    assert KEY not in "".join(kept(lake).values())
    assert "sent ***" in "".join(kept(lake).values())
    assert found.__cause__ is None
    assert found.__context__ is None


def test_errors_of_this_package_and_interruptions_propagate(lake: Lake) -> None:
    errors = UnexpectedErrors(lake, "minute_bars")
    for error in (Stopped("stopped"), LakeError("the lake is gone"), KeyboardInterrupt(), SystemExit(3)):
        with pytest.raises(type(error)):
            errors.attempt("AVLO", failing(error))
    with pytest.raises(EOFError):
        errors.attempt("AVLO", failing(EOFError()), (EOFError,))
    assert not kept(lake)


def test_what_a_disk_refuses_ends_the_step(lake: Lake) -> None:
    errors = UnexpectedErrors(lake, "minute_bars")
    with pytest.raises(DiskFull) as refused:
        errors.attempt("AVLO", failing(OSError(errno.ENOSPC, "No space left on device", str(lake.root / "x"))))
    assert refused.value.__context__ is None
    assert not kept(lake)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        pa.ArrowMemoryError("malloc of size 4096 failed"),
        pa.ArrowException("Unknown error: Failed to launch worker thread: Resource temporarily unavailable"),
        RuntimeError("can't start new thread"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_unit_too_large_for_the_memory_says_so(lake: Lake, error: Exception) -> None:
    found = failure_of(UnexpectedErrors(lake, "core quotes"), "AVLO", error)
    assert str(found).startswith(f"not enough memory ({type(error).__name__}: ")
    assert "Set fetch_threads lower, or use more memory; the stack trace is in " in str(found)


def test_many_in_a_row_end_the_step(lake: Lake) -> None:
    errors = UnexpectedErrors(lake, "minute_bars")
    for number in range(MOST_IN_A_ROW - 1):
        failure_of(errors, f"S{number}", ValueError("nothing works"))
    with pytest.raises(UnexpectedError, match=f"{MOST_IN_A_ROW} units of minute_bars in a row") as ended:
        errors.attempt("LAST", failing(ValueError("nothing works")))
    assert ended.value.facts["file"] == str(lake.unexpected / "minute_bars LAST.txt")
    assert ended.value.__context__ is None
    assert len(kept(lake)) == MOST_IN_A_ROW


def test_a_success_shows_that_it_is_a_matter_of_single_units(lake: Lake) -> None:
    errors = UnexpectedErrors(lake, "minute_bars", most_in_a_row=2)
    for number in range(6):
        failure_of(errors, f"S{number}", ValueError("sometimes"))
        errors.attempt(f"T{number}", lambda: None)


def test_a_stack_trace_is_removed_when_its_unit_succeeds(lake: Lake) -> None:
    errors = UnexpectedErrors(lake, "minute_bars")
    failure_of(errors, "AVLO", ValueError("once"))
    failure_of(errors, "CRVO", ValueError("once"))
    later = UnexpectedErrors(lake, "minute_bars")
    later.attempt("AVLO", lambda: None)
    assert list(kept(lake)) == ["minute_bars CRVO.txt"]


@pytest.mark.parametrize("unit", ["CON", "BRK.A/B", "../../up", "é" * 90, "caf\udce9.parquet", "x" * 300])
def test_any_unit_has_a_file_of_a_valid_name(lake: Lake, unit: str) -> None:
    errors = UnexpectedErrors(lake, "import bars")
    failure_of(errors, unit, ValueError(f"{unit} is odd"))
    (name,) = kept(lake)
    assert len(name) < 160
    UnexpectedErrors(lake, "import bars").attempt(unit, lambda: None)
    assert not kept(lake)


def test_without_a_lake_stack_traces_are_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = failure_of(UnexpectedErrors(Lake(tmp_path / "none"), "read bars"), "a.parquet", ValueError("odd"))
    assert Path(str(found.facts["file"])).is_relative_to(tmp_path / "smallcaps-assets")
    assert not (tmp_path / "none").exists()
