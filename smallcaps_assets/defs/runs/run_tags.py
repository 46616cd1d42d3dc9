"""The tags that say, in the run list of the web UI, what a run is about: profile, wave and symbols."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import dagster as dg

from smallcaps_assets.defs.partitions import SYMBOLS, partition_ends
from smallcaps_assets.defs.runs.settings_tag import settings_tag
from smallcaps_assets.domain.tables import WAVES
from smallcaps_assets.settings.settings import PROFILES

# the job of the nightly run
NIGHTLY: Final = "nightly"
PROFILE_TAG: Final = "smallcaps/profile"
WAVE_TAG: Final = "smallcaps/wave"
SYMBOLS_TAG: Final = "smallcaps/symbols"
# of a cluster: the name of the machine, or that the run has none yet
HOST_TAG: Final = "smallcaps/machine"
WAITS: Final = "waits for a worker"
# the stage of a demo
DEMO_TAG: Final = "smallcaps/demo"
# symbols that are named; of the others, the number is
_NAMED: Final = 2


def tags_at_launch(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dict[str, str]:
    """The tags that every launcher gives a run: what the run list shows, and the settings it is launched with."""
    assets, symbols = run.asset_selection or (), instance.get_dynamic_partitions(SYMBOLS.name or "")
    return describe_run(run.tags, assets, symbols) | settings_tag()


def describe_run(tags: Mapping[str, str], assets: Iterable[dg.AssetKey], symbols: Sequence[str]) -> dict[str, str]:
    """The tags of a run over `assets`; none of what does not apply to it.

    Args:
        tags: of the run, which name its partitions.
        assets: that it materializes.
        symbols: all symbols, in the order of their partitions.
    """
    parts = {part for asset in assets for part in asset.path}
    profiles = [profile for profile in PROFILES if profile in parts]
    ends = [key.partition("|") for key in partition_ends(tags)]
    chosen = _between(symbols, [symbol for symbol, _, _ in ends])
    waves = _between(WAVES, [wave for _, _, wave in ends if wave])
    found = {PROFILE_TAG: ", ".join(profiles), WAVE_TAG: ", ".join(waves), SYMBOLS_TAG: _shorten(chosen)}
    return {name: value for name, value in found.items() if value}


def _between(keys: Sequence[str], ends: Sequence[str]) -> Sequence[str]:
    """The keys from the first to the last of `ends`; `ends` themselves where they are not among the keys."""
    if not ends or not set(ends) <= set(keys):
        return list(dict.fromkeys(ends))
    return keys[keys.index(ends[0]) : keys.index(ends[-1]) + 1]


def _shorten(symbols: Sequence[str]) -> str:
    """`AVLO, EMBR +10` for twelve symbols."""
    more = f" +{len(symbols) - _NAMED}" if len(symbols) > _NAMED else ""
    return ", ".join(symbols[:_NAMED]) + more
