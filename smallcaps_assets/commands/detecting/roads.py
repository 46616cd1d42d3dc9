"""Which road an experiment takes: from the event candidates of the lake, which takes seconds, or from its bars."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final, NamedTuple

from smallcaps_assets.commands.detecting.judge import CandidateJudge, JudgedAhead
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


class ExperimentPart(NamedTuple):
    """The part of a universe that an experiment is over: its dates (ET, both included), and whether all symbols."""

    first: date | None
    last: date | None
    is_every_symbol: bool


@dataclass(frozen=True)
class Road:
    """From what the events of each symbol come.

    Attributes:
        candidates: those that can be used; None if all events come from bars.
        judged: judges them; what it can begin before the road is known it has begun.
        because: why all events come from bars; empty if some come from candidates.
        symbols: how many symbols' events came from candidates, and from bars by the reason.
    """

    candidates: KeptCandidates | None
    because: str = ""
    judged: JudgedAhead | None = None
    symbols: Counter[str] = field(default_factory=Counter)

    def close(self) -> None:
        """Stop judging what nobody asked for."""
        if self.judged:
            self.judged.close()

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


def survey_road(
    lake: Lake, in_force: Settings, configurations: Sequence[Settings], part: ExperimentPart, log: Callable[[str], None]
) -> Road:
    """The road of an experiment over a lake.

    Args:
        lake: where bars, shards and candidates are.
        in_force: the settings that the lake is detected with.
        configurations: those of the experiment.
        part: of the universe, over which it is.
        log: receives lines of progress.
    """
    if because := describe_need(in_force, configurations):
        return Road(None, because)
    bars, universe = BarsStore(lake), UniverseStore(lake)
    reference = universe.reference()
    detector = Detector(
        bars,
        ShardStore(lake),
        in_force.detection,
        in_force.sessions,
        reference,
        universe.test_symbols(in_force.universe),
        borders=load_borders(lake),
    )
    symbols = bars.symbols()
    progress = Progress(len(symbols), "symbols looked at", log)
    candidates = KeptCandidates(detector)
    judged = JudgedAhead(CandidateJudge(candidates, configurations, part.first, part.last, reference))
    with ExitStack() as on_error:
        on_error.callback(judged.close)
        for symbol in candidates.survey(symbols):
            if part.is_every_symbol and symbol not in detector.test_symbols:
                is_usable = symbol in candidates.coverages
                judged.see(symbol, is_usable=is_usable, has_bars=is_usable and candidates.has_bars(symbol))
            progress.add(1)
        judged.end()
        on_error.pop_all()
    return Road(candidates, judged=judged)


def describe_need(in_force: Settings, configurations: Sequence[Settings]) -> str:
    """Which settings need bars, in words; empty if candidates decide them all."""
    needed = dict[str, str]()
    for settings in configurations:
        changed = setting_differences(in_force.sessions, settings.sessions)
        names = [f"sessions.{name}" for name, _, _ in changed] + needs_bars(in_force.detection, settings.detection)
        values = {name: (before, after) for name, before, after in setting_differences(in_force, settings)}
        needed |= {name: f"{name} from {values[name][0]} to {values[name][1]}" for name in names}
    return f"{_NEED_BARS} {', '.join(needed.values())}" if needed else ""
