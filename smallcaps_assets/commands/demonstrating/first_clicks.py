"""What a demo leaves to do by hand, counted from the lake, and Python that reads its tape."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import polars as pl

from smallcaps_assets.commands.demonstrating.stages import LEFT_PROFILE
from smallcaps_assets.domain.tables import WAVES
from smallcaps_assets.domain.tape.tables import LEDGER
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.files.stored_tables import read_table
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.ledger import build_ledger
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.pipeline.operations.nightly import has_simulated_nights, simulated_night
from smallcaps_assets.pipeline.source import profile_tape
from smallcaps_assets.settings.settings import Profile, Settings

# how wide the names of the clicks are
_NAME: Final = "  {:<12}"
# of a file of settings
_IMPORTS: Final = """\
from pathlib import Path
from smallcaps_assets.settings.settings import load_settings
"""
_SNIPPET: Final = """\
import polars as pl
from smallcaps_assets.research import open_lake
{imports}
lake = open_lake({lake!r}{settings})
event_id = {event_id!r}
trades = lake.trades([event_id], "{profile}").collect()  # exactly the event's window
quotes = lake.quotes([event_id], "{profile}").collect()
in_force = trades.join_asof(quotes, on="timestamp", suffix="_of_quote")  # each trade with the best bid and ask then
minutes = in_force.group_by_dynamic("timestamp", every="1m").agg(
    pl.len().alias("trades"),
    shares=pl.sum("size"),
    vwap=(pl.col("price") * pl.col("size")).sum() / pl.sum("size"),
    spread=(pl.col("ask_price") - pl.col("bid_price")).median(),
)
print(minutes)"""


def first_clicks(lake: Lake, settings: Settings) -> list[str]:
    """What is left to do by hand in the web UI, one line each; empty where nothing is."""
    return [*_symbols(lake), *_windows(lake, settings), *_night(lake, settings)]


def tape_snippet(lake: Lake, profile: Profile, config: Path | None) -> str | None:
    """Python that reads the tape of the best complete event of a profile; None where there is none.

    It runs in any folder where `smallcaps` runs, pasted into `python` as well as from a file.

    Args:
        lake: the lake.
        profile: the profile; its ledger is published.
        config: the file of `--config`, if one was given.
    """
    ledger = read_table(lake.ledger(profile), {name: LEDGER[name] for name in ("event_id", "state")})
    best = ledger.filter(pl.col("state") == "complete").select("event_id").head(1)
    if best.is_empty():
        return None
    imports, settings = ("", "") if config is None else (_IMPORTS, f", load_settings(Path({str(config.resolve())!r}))")
    return _SNIPPET.format(
        lake=str(lake.root), profile=profile, event_id=best.item(), imports=imports, settings=settings
    )


def _symbols(lake: Lake) -> Iterator[str]:
    bars = BarsStore(lake)
    for symbol in UniverseStore(lake).followed():
        if not bars.covered(symbol):
            yield f"{_NAME.format('one symbol')}{symbol} has no bars: materialize minute_bars, then event_shards, of it"


def _windows(lake: Lake, settings: Settings) -> Iterator[str]:
    manifest = ManifestStore.in_lake(lake, LEFT_PROFILE).load()
    ledger = build_ledger(manifest, profile_tape(lake, LEFT_PROFILE, settings), hashes=False)
    for symbol, wave in ledger.filter(pl.col("state") == "failed").select("symbol", "wave").iter_rows():
        yield (
            f"{_NAME.format('one failure')}{LEFT_PROFILE}/tape_quotes of {symbol}, wave {wave}: the exchange answered "
            "with a web page. Materialize it again"
        )
    missing = dict(ledger.filter(pl.col("state") == "missing").group_by("wave").len().iter_rows())
    if missing:
        counts = ", ".join(f"{wave} {missing[wave]}" for wave in WAVES if wave in missing)
        yield (
            f"{_NAME.format('one wave')}{LEFT_PROFILE} has windows to fetch ({counts}): materialize "
            f"{LEFT_PROFILE}/tape_trades, then {LEFT_PROFILE}/tape_quotes, of a wave"
        )


def _night(lake: Lake, settings: Settings) -> Iterator[str]:
    if not has_simulated_nights(settings):
        return
    night = simulated_night(BarsStore(lake), UniverseStore(lake).followed(), settings, datetime.now(UTC))
    if night.session:
        yield (
            f"{_NAME.format('one night')}Automation > nightly > Preview tick result, any time, Continue, Launch all: "
            f"brings the session of {night.session}"
        )
