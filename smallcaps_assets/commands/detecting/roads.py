"""Which road an experiment takes: from the event candidates of the lake, which takes seconds, or from its bars."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from smallcaps_assets.domain.events.stricter import needs_bars
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.listing_borders import load_borders
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.pipeline.events.detection import Detector
from smallcaps_assets.pipeline.events.kept_candidates import KeptCandidates
from smallcaps_assets.pipeline.progress import Progress
from smallcaps_assets.settings.layers import setting_differences
from smallcaps_assets.settings.settings import Settings

_NEED_BARS: Final = "candidates do not decide a change of"


@dataclass(frozen=True)
class Road:
    """From what the events of each symbol come.

    Attributes:
        candidates: those that can be used; None if all events come from bars.
        because: why all events come from bars; empty if some come from candidates.
        symbols: how many symbols' events came from candidates, and from bars by the reason.
    """

    candidates: KeptCandidates | None
    because: str = ""
    symbols: Counter[str] = field(default_factory=Counter)

    def document(self) -> dict[str, Any]:
        """For JSON."""
        reasons = dict(self.candidates.reasons) if self.candidates else {}
        return {"because": self.because or None, "symbols_without_candidates": reasons, **self.symbols}

    def text(self) -> list[str]:
        """In words, for the terminal."""
        bars, judged = self.symbols["from_bars"], self.symbols["from_candidates"]
        if self.candidates is None:
            return [f"from bars: {self.because}"] if self.because else []
        lines = []
        if judged:
            lines.append(
                f"from candidates of {count_noun(judged, 'symbol')}: their bars were not read, so bars outside "
                "sessions, rejected bars and suspect prints were not looked for (--from-bars does)"
            )
        if bars:
            lines.append(f"from bars of {count_noun(bars, 'symbol')}")
        found = self.candidates.reasons.most_common()
        return [*lines, *(f"  {count_noun(symbols, 'symbol')} {reason}" for reason, symbols in found)]


def survey_road(lake: Lake, in_force: Settings, configurations: Sequence[Settings], log: Callable[[str], None]) -> Road:
    """The road of an experiment over a lake.

    Args:
        lake: where bars, shards and candidates are.
        in_force: the settings that the lake is detected with.
        configurations: those of the experiment.
        log: receives lines of progress.
    """
    if because := describe_need(in_force, configurations):
        return Road(None, because)
    bars, universe = BarsStore(lake), UniverseStore(lake)
    detector = Detector(
        bars,
        ShardStore(lake),
        in_force.detection,
        in_force.sessions,
        universe.reference(),
        universe.test_symbols(in_force.universe),
        borders=load_borders(lake),
    )
    symbols = bars.symbols()
    progress = Progress(len(symbols), "symbols looked at", log)
    found = KeptCandidates.survey(detector, symbols, lambda: progress.add(1))
    return Road(found)


def describe_need(in_force: Settings, configurations: Sequence[Settings]) -> str:
    """Which settings need bars, in words; empty if candidates decide them all."""
    needed = dict[str, str]()
    for settings in configurations:
        changed = setting_differences(in_force.sessions, settings.sessions)
        names = [f"sessions.{name}" for name, _, _ in changed] + needs_bars(in_force.detection, settings.detection)
        values = {name: (before, after) for name, before, after in setting_differences(in_force, settings)}
        needed |= {name: f"{name} from {values[name][0]} to {values[name][1]}" for name in names}
    return f"{_NEED_BARS} {', '.join(needed.values())}" if needed else ""
