"""The calendar before work begins: known holidays and early closes of 2026."""

from datetime import UTC, date, datetime

from smallcaps_assets.pipeline.operations.readiness import check_calendar
from smallcaps_assets_tests.scenarios import default_settings

DAY_BEFORE_THANKSGIVING = datetime(2026, 11, 25, 15, tzinfo=UTC)


def test_the_calendar_names_the_next_sessions_and_early_closes() -> None:
    found = check_calendar(default_settings(), DAY_BEFORE_THANKSGIVING)
    assert found.verdict == "ok"
    assert found.message == (
        "today, 2026-11-25, is a session; next 2026-11-27, 2026-11-30, 2026-12-01; early closes until 2026-12-09: "
        "2026-11-27; last complete session 2025-12-01"
    )


def test_today_is_a_date_of_new_york() -> None:
    # 22:30 on Wednesday in New York
    found = check_calendar(default_settings(), datetime(2026, 11, 26, 3, 30, tzinfo=UTC))
    assert found.message.startswith("today, 2026-11-25, is a session; next 2026-11-27")


def test_a_history_without_a_complete_session_is_a_problem() -> None:
    settings = default_settings()
    history = settings.history.model_copy(update={"first_session": date(2026, 11, 26), "last_session": None})
    found = check_calendar(settings.model_copy(update={"history": history}), DAY_BEFORE_THANKSGIVING)
    assert found.verdict == "problem"
    assert "no session of history is complete" in found.message
    assert found.remedy == "Correct history.first_session and history.last_session."
