"""The stages of a demo, and what it leaves to do by hand in the web UI."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import dagster as dg

from smallcaps_assets.defs.partitions import tape_key
from smallcaps_assets.domain.tables import WAVES
from smallcaps_assets.settings.settings import PROFILES, Profile

# the profile whose waves are left to do by hand
LEFT_PROFILE: Final[Profile] = "premium"
# with fewer symbols none is left out
_MIN_SYMBOLS: Final = 3


class Stage(NamedTuple):
    """One run: the assets it materializes, over a range of partitions if they have any."""

    title: str
    assets: Sequence[dg.AssetKey]
    first: str | None = None
    last: str | None = None


UNIVERSE_STAGE: Final = Stage("universe: the symbols to follow", [dg.AssetKey("universe")])


def left_symbol(symbols: Sequence[str]) -> str | None:
    """The symbol whose bars and events are left to do by hand; None if there are too few symbols."""
    return symbols[len(symbols) // 2] if len(symbols) >= _MIN_SYMBOLS else None


def stages(
    symbols: Sequence[str], left: str | None, *, captures_all: bool = False, certifies_all: bool = False
) -> Iterator[Stage]:
    """Everything below the universe, in order.

    Args:
        symbols: the followed symbols, in the order of their partitions.
        left: the symbol whose bars and events are left to do by hand.
        captures_all: capture the tape of LEFT_PROFILE as well.
        certifies_all: build its ledger and report as well.
    """
    for asset, what in (("minute_bars", "minute bars"), ("event_shards", "events")):
        for first, last in _ranges(symbols, left):
            yield Stage(f"{what} of {first} to {last}", [dg.AssetKey(asset)], first, last)
    manifests = [dg.AssetKey([profile, "manifest"]) for profile in PROFILES]
    yield Stage("MASTER and the three manifests", [dg.AssetKey("master_events"), *manifests])
    yield Stage("review sheets", [dg.AssetKey([profile, "review_sheet"]) for profile in PROFILES])
    # the widest windows first: their trades serve the narrower ones
    for profile in reversed(PROFILES):
        is_left = profile == LEFT_PROFILE
        for wave in () if is_left and not captures_all else WAVES:
            keys = (tape_key(symbol, wave) for symbol in (symbols[0], symbols[-1]))
            yield Stage(f"{profile}: tape of wave {wave}", tape_assets(profile), *keys)
        tables = [dg.AssetKey([profile, f"capture_{table}"]) for table in ("ledger", "report")]
        if certifies_all or not is_left:
            yield Stage(f"{profile}: ledger and report", tables)


def tape_assets(profile: Profile) -> list[dg.AssetKey]:
    """The assets of a profile's trades and quotes."""
    return [dg.AssetKey([profile, f"tape_{kind}"]) for kind in ("trades", "quotes")]


def _ranges(symbols: Sequence[str], left: str | None) -> Iterator[tuple[str, str]]:
    """First and last symbol of each range of `symbols` without `left`."""
    place = len(symbols) if left is None else symbols.index(left)
    for part in (symbols[:place], symbols[place + 1 :]):
        if part:
            yield part[0], part[-1]
