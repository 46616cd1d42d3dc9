"""Which symbols are to be detected again, and whether shards, MASTER and manifests agree with the settings in force."""

from collections.abc import Callable, Iterable, Sequence

import polars as pl

from smallcaps_assets.domain.findings import Finding, finding
from smallcaps_assets.domain.words import count_clause
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.events.shard_proofs import find_damaged_shards
from smallcaps_assets.pipeline.checks import Checks
from smallcaps_assets.pipeline.events.detection import Detector

# returns what `Detector.survey` does
Survey = Callable[[], pl.DataFrame]


def symbols_to_detect(detector: Detector, survey: pl.DataFrame, symbols: Iterable[str]) -> list[str]:
    """Stale symbols of a survey (`Detector.survey`), and those of `symbols` with sessions that are not detected.

    A symbol whose files cannot be read is one of them, so that its detection names the cause; so is one whose shard is
    damaged, which its detection makes again.
    """
    stale, damaged = survey.filter(~pl.col("current"))["symbol"], find_damaged_shards(detector.shards)
    return sorted({*stale, *damaged, *(one for one in symbols if _is_behind(detector, one))})


def checks_of_shards(survey: Survey) -> Checks:
    """The checks of all shards."""
    return {"current_settings": lambda: current_settings(survey())}


def current_settings(survey: pl.DataFrame) -> Finding:
    """Whether all shards of a survey (`Detector.survey`) were detected with the settings in force."""
    stale = survey.filter(~pl.col("current")).select("symbol")
    verdict = (
        f"{stale.height:,} of {count_clause(survey.height, 'symbol was', 'symbols were')} detected with other "
        f"settings. Launch the job redetect."
        if stale.height
        else f"{'All ' * (survey.height > 1)}{count_clause(survey.height, 'symbol was', 'symbols were')} detected with "
        "the settings in force."
    )
    found = finding("current_settings", stale, {"verdict": verdict, "symbols": survey.height}, severe=False)
    return found.unjudged_if(survey.is_empty(), "no events are detected")


def shards_current(survey: pl.DataFrame, to_rebuild: Sequence[str]) -> Finding:
    """Whether MASTER has the events of shards (`Detector.survey`) that were all detected with the settings in force.

    `to_rebuild` is what `symbols_to_rebuild` returns.
    """
    stale = survey.filter(~pl.col("current")).select("symbol", reason=pl.lit("detected with other settings"))
    others = [symbol for symbol in to_rebuild if symbol not in set(stale["symbol"])]
    later = pl.DataFrame({"symbol": others}, schema={"symbol": pl.String})
    breaking = pl.concat([stale, later.with_columns(reason=pl.lit("MASTER was built from other events"))])
    return finding("shards_current", breaking, {"shards": survey.height}, severe=False)


def _is_behind(detector: Detector, symbol: str) -> bool:
    try:
        return bool(detector.backlog(symbol).undetected)
    except LakeError:
        return True
