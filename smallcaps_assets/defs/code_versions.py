"""The code version of every asset: of its code, and of the settings that decide what it makes.

Raise the number of an asset with every change of code that changes what it holds: what was made before is then shown
as out of date.
"""

from collections.abc import Mapping
from typing import Final

from smallcaps_assets.domain.tape.schemas import TAPE_SCHEMA_NUMBER
from smallcaps_assets.domain.versions import code_version
from smallcaps_assets.pipeline.events.detection import CODE_VERSION
from smallcaps_assets.settings.settings import PROFILES, Profile, Settings

UNIVERSE: Final = "1"
MINUTE_BARS: Final = "1"
COVERAGE: Final = "2"
MASTER: Final = "1"
MANIFEST: Final = "1"
TAPE: Final = f"{TAPE_SCHEMA_NUMBER}"
LEDGER: Final = "2"
REPORT: Final = "1"
REVIEW_SHEET: Final = "1"


def code_versions(settings: Settings) -> dict[str, str]:
    """The code version of each asset, by its key in words (`core/manifest`).

    That of MASTER speaks of the detection as well: what it holds was detected by the rules in force, or is out of
    date.
    """
    detection, window = settings.detection, {"group_window_min"}
    of_shards = (detection.model_dump(mode="json", exclude={"cooldown": window}), settings.sessions)
    history, universe = settings.history, settings.universe
    return {
        "universe": code_version(UNIVERSE, universe.model_dump(mode="json", exclude={"limits"}), history.first_session),
        "minute_bars": code_version(MINUTE_BARS, history.first_session, history.last_session),
        "coverage": code_version(COVERAGE, history.first_session, history.last_session, settings.checks.bars),
        "event_shards": code_version(CODE_VERSION, *of_shards),
        "master_events": code_version(f"{MASTER}-{CODE_VERSION}", detection, settings.sessions),
        **{
            f"{profile}/{name}": version
            for profile in PROFILES
            for name, version in _of_profile(profile, settings).items()
        },
    }


def _of_profile(profile: Profile, settings: Settings) -> Mapping[str, str]:
    own, capture = settings.profiles[profile], settings.capture
    budget = (capture.size_budget, capture.quotes_without_trades)
    drawn = (settings.review, settings.sessions, settings.features, settings.detectors.opening_range_break.range_min)
    return {
        "manifest": code_version(MANIFEST, own, settings.ranking),
        "tape_trades": code_version(TAPE, own.columns),
        "tape_quotes": code_version(TAPE, own.columns, own.quotes, *budget),
        "capture_ledger": code_version(LEDGER),
        "capture_report": code_version(REPORT, settings.kpis),
        "review_sheet": code_version(REVIEW_SHEET, *drawn),
    }
