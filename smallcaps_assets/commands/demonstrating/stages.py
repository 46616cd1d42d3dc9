"""The stages of a demo, and what it leaves to do by hand in the web UI."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import dagster as dg

from smallcaps_assets.defs.flat_files import takes_flat_files
from smallcaps_assets.defs.partitions import tape_key
from smallcaps_assets.defs.runs.run_log import RUN_LOG
from smallcaps_assets.domain.tables import WAVES
from smallcaps_assets.lake.controls import CONTROL_MANIFEST_TABLE
from smallcaps_assets.pipeline.research.bars.symbol_tables import SYMBOL_ASSETS
from smallcaps_assets.pipeline.research.controls.features import CONTROL_FEATURES_TABLE
from smallcaps_assets.pipeline.research.joined import EVENT_SCORES_TABLE
from smallcaps_assets.pipeline.research.joined_enriched import ENRICHED_TABLE
from smallcaps_assets.pipeline.research.joined_outcomes import JOINED_OF_PROFILES
from smallcaps_assets.pipeline.research.tape.tape_parts import ASSET_TABLES
from smallcaps_assets.settings.settings import PROFILES, Profile, Settings

# the profile whose waves are left to do by hand
LEFT_PROFILE: Final[Profile] = "premium"
# the profile whose research tables are made
RESEARCH_PROFILE: Final[Profile] = "core"
_MINUTE_BARS: Final = dg.AssetKey("minute_bars")
# with fewer symbols none is left out
_MIN_SYMBOLS: Final = 3


class Stage(NamedTuple):
    """One run: the assets it materializes, over a range of partitions if they have any."""

    title: str
    assets: Sequence[dg.AssetKey]
    first: str | None = None
    last: str | None = None


def run_config(stage: Stage, settings: Settings) -> dict[str, Any]:
    """The run config of a stage: as in a night, minute_bars takes the flat files that it needs, where they are used."""
    takes_files = _MINUTE_BARS in stage.assets and takes_flat_files(settings)
    steps = {_MINUTE_BARS.path[-1]: {"config": {"take_flat_files": True}}} if takes_files else {}
    return {"loggers": {RUN_LOG: {}}, "ops": steps}


def universe_stage(*, with_research: bool) -> Stage:
    """The symbols, and the reference tables that research reads."""
    tables = ("trade_conditions", "splits") if with_research else ()
    return Stage("universe: the symbols to follow", [dg.AssetKey(name) for name in ("universe", *tables)])


def review_stage() -> Stage:
    """The sheets, after everything that is captured: they show the tape of their events."""
    return Stage("review sheets", [dg.AssetKey([profile, "review_sheet"]) for profile in PROFILES])


def left_symbol(symbols: Sequence[str]) -> str | None:
    """The symbol whose bars and events are left to do by hand; None if there are too few symbols."""
    return symbols[len(symbols) // 2] if len(symbols) >= _MIN_SYMBOLS else None


def stages(
    symbols: Sequence[str],
    left: str | None,
    *,
    captures_all: bool = False,
    certifies_all: bool = False,
    with_research: bool = False,
) -> Iterator[Stage]:
    """Everything below the universe but the review sheets, in order.

    Args:
        symbols: the followed symbols, in the order of their partitions.
        left: the symbol whose bars and events are left to do by hand.
        captures_all: capture the tape of LEFT_PROFILE as well.
        certifies_all: build its ledger and report as well.
        with_research: make the research tables of the symbols and those of RESEARCH_PROFILE, in the same runs.
    """
    of_symbols = SYMBOL_ASSETS if with_research else ()
    for assets, what in ((("minute_bars",), "minute bars"), (("event_shards", *of_symbols), "events")):
        for first, last in _ranges(symbols, left):
            yield Stage(f"{what} of {first} to {last}", [dg.AssetKey(asset) for asset in assets], first, last)
    manifests = [dg.AssetKey([profile, "manifest"]) for profile in PROFILES]
    scores = [dg.AssetKey(EVENT_SCORES_TABLE)] if with_research else []
    yield Stage("MASTER and the three manifests", [dg.AssetKey("master_events"), *manifests, *scores])
    of_research = [[RESEARCH_PROFILE, name] for name in (*JOINED_OF_PROFILES, CONTROL_MANIFEST_TABLE)]
    # the widest windows first: their trades serve the narrower ones
    for profile in reversed(PROFILES):
        is_left, is_researched = profile == LEFT_PROFILE, with_research and profile == RESEARCH_PROFILE
        of_tape = [dg.AssetKey([profile, table]) for table in ASSET_TABLES] if is_researched else []
        for wave in () if is_left and not captures_all else WAVES:
            keys = (tape_key(symbol, wave) for symbol in (symbols[0], symbols[-1]))
            yield Stage(f"{profile}: tape of wave {wave}", [*tape_assets(profile), *of_tape], *keys)
        names = [[profile, "capture_ledger"], [profile, "capture_report"]]
        # the profile of research is the last one: the enriched events have the tape of all
        tables = [dg.AssetKey(name) for name in [*names, *([*of_research, [ENRICHED_TABLE]] if is_researched else [])]]
        if certifies_all or not is_left:
            yield Stage(f"{profile}: ledger and report", tables)


def control_stages(pairs: Sequence[tuple[str, str]]) -> Iterator[Stage]:
    """The windows of the controls of RESEARCH_PROFILE, after its ledger, and their features.

    Args:
        pairs: the symbols and waves of the windows, in the order of their partitions.
    """
    of = RESEARCH_PROFILE
    for wave in WAVES:
        keys = [tape_key(symbol, wave) for symbol, of_wave in pairs if of_wave == wave]
        if keys:
            # the table of minutes has those of controls as well; the others do not change, and say so
            tables = [*tape_assets(of), *(dg.AssetKey([of, table]) for table in ASSET_TABLES)]
            yield Stage(f"{of}: tape of its controls in wave {wave}", tables, keys[0], keys[-1])
    # once more: the table of minutes, which the enriched events are made from, is another one now
    names = [[of, "capture_ledger"], [of, "capture_report"], [of, CONTROL_FEATURES_TABLE], [ENRICHED_TABLE]]
    yield Stage(f"{of}: ledger, report and features of its controls", [dg.AssetKey(name) for name in names])


def tape_assets(profile: Profile) -> list[dg.AssetKey]:
    """The assets of a profile's trades and quotes."""
    return [dg.AssetKey([profile, f"tape_{kind}"]) for kind in ("trades", "quotes")]


def _ranges(symbols: Sequence[str], left: str | None) -> Iterator[tuple[str, str]]:
    """First and last symbol of each range of `symbols` without `left`."""
    place = len(symbols) if left is None else symbols.index(left)
    for part in (symbols[:place], symbols[place + 1 :]):
        if part:
            yield part[0], part[-1]
