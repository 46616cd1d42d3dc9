"""The results of `smallcaps detect`: tables that grow batch by batch, and their figures."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

import polars as pl

from smallcaps_assets.commands.console import Printable, TextTable
from smallcaps_assets.commands.detecting.batches import Batch
from smallcaps_assets.commands.detecting.comparison import Comparison
from smallcaps_assets.commands.detecting.outcomes import Outcomes
from smallcaps_assets.commands.detecting.prints import prints_table
from smallcaps_assets.commands.detecting.roads import Road
from smallcaps_assets.commands.detecting.spool import Spool
from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS, REPEATED, reasons
from smallcaps_assets.domain.bars.suspect_prints import LISTED_PRINTS, count_touched, describe_prints
from smallcaps_assets.domain.bars.unknown import OPTIONAL, count_unknown, describe_unknown
from smallcaps_assets.domain.events.detection import DETECTION_COUNTS
from smallcaps_assets.domain.symbols import describe_test_symbols
from smallcaps_assets.domain.tables import EVENTS
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.errors import InputError
from smallcaps_assets.pipeline.imports.bar_files import describe_absent
from smallcaps_assets.pipeline.imports.bar_messages import describe_bad_rows, describe_sessions, is_of_bad_session

_QUARANTINE: Final = "quarantine"
_PRINTS: Final = "suspect_prints"
# Tables written beside the events, and only if they have rows
FURTHER_OUTPUTS: Final = {_QUARANTINE: QUARANTINED_BARS, _PRINTS: LISTED_PRINTS}
NAMED_BY: Final = "--symbols-from or universe.symbols"
_SHOWN: Final = 5
_OF_EVENTS: Final = (
    "{found} found, {events_filtered:,} removed by the global filters, {events_cooled_down:,} by the "
    "cooldown; {reference_unknown:,} passed without reference data; {days} skipped below the minimum "
    "dollar volume of events"
)


class DetectionResult:
    """The results of a run, accumulated batch by batch."""

    def __init__(  # noqa: PLR0913, PLR0917 -- what a run knows before its batches
        self,
        scratch: Path,
        outputs: dict[str, Path],
        comparison: Comparison | None,
        tests: Sequence[str],
        absent: Mapping[str, Collection[Path]],
        road: Road,
        outcomes: Outcomes | None = None,
    ) -> None:
        self._outputs, self._comparison, self._tests, self._absent = outputs, comparison, tests, absent
        self._road, self._outcomes = road, outcomes
        schemas = {name: FURTHER_OUTPUTS.get(name, EVENTS) for name in outputs}
        self._spools = {name: Spool(scratch / name, schema) for name, schema in schemas.items()}
        self._counts = Counter[str](dict.fromkeys(("bars", "symbols", *DETECTION_COUNTS), 0))
        self._unknown = Counter[str](dict.fromkeys((f"{name}_unknown" for name in OPTIONAL), 0))
        self._kinds, self._rejected = Counter[tuple[str, str]](), Counter[str]()
        self._prints = LISTED_PRINTS.to_frame()
        self._bad_sessions = [QUARANTINED_BARS.to_frame()]

    def add(self, batch: Batch) -> None:
        """Add the tables and figures of a batch."""
        tables = {_QUARANTINE: batch.rejected, _PRINTS: batch.prints}
        self._prints = pl.concat([self._prints, batch.prints])
        self._rejected.update(reasons(batch.rejected))
        self._unknown.update(count_unknown(batch.unknown))
        self._bad_sessions.append(batch.rejected.filter(is_of_bad_session()))
        self._counts.update(bars=batch.rows, symbols=len(batch.symbols))
        self._road.symbols.update({"from_candidates" if batch.from_candidates else "from_bars": len(batch.symbols)})
        if batch.found:
            detected = batch.found[0]
            tables["out"] = detected.master
            self._counts.update(detected.counts)
            kinds = detected.master.group_by("event_type", "direction").len()
            self._kinds.update({(event_type, direction): rows for event_type, direction, rows in kinds.iter_rows()})
            if self._comparison:
                gained, lost = self._comparison.add(batch)
                tables["gained"], tables["lost"] = gained, lost
                if self._outcomes:
                    self._outcomes.add(batch, gained, lost)
        for name in tables.keys() & self._spools.keys():
            self._spools[name].add(tables[name])

    def publish(self, source: str) -> None:
        """Write the outputs, rejected bars first.

        Raises:
            InputError: no bar of `source` is usable; only the rejected bars were written.
        """
        for name in FURTHER_OUTPUTS.keys() & self._spools.keys():
            if self._spools[name].rows:
                self._spools[name].publish(self._outputs[name])
            else:
                self._outputs[name].unlink(missing_ok=True)
        if self._counts["bars"] == self._rejected.total():
            why = f" ({self._describe_rejected()})" if self._rejected else ""
            sessions = "".join(f" {message}" for message in self._describe_bad_sessions(source))
            raise InputError(
                f"{source}: no usable bar in {count_noun(self._counts['bars'], 'requested row')}{why}. No "
                f"events were written."
                f"{sessions}"
            )
        for name in (name for name in self._spools if name not in FURTHER_OUTPUTS):
            self._spools[name].publish(self._outputs[name])

    def problems(self, source: str) -> list[str]:
        """Why the result is not that of all bars of `source`: sessions that were rejected, many bad rows."""
        bad = self._rejected.total() - self._rejected[REPEATED]
        return self._describe_bad_sessions(source) + describe_bad_rows(source, bad, self._counts["bars"])

    def document(self) -> dict[str, object]:
        """All figures, for JSON."""
        rejected: dict[str, object] = {"bars_set_aside": dict(self._rejected), **self._unknown}
        rejected |= {f"files_without_{name}": len(self._absent.get(name, ())) for name in OPTIONAL}
        rejected |= {"test_symbols_left_out": list(self._tests), _PRINTS: count_touched(self._prints)._asdict()}
        if self._road.symbols["from_candidates"]:
            # not known, since no bar of these symbols was read
            rejected |= dict.fromkeys(("bars_outside_sessions", "bars_set_aside", *self._unknown, _PRINTS))
        return {
            "road": self._road.document(),
            **self._counts,
            **rejected,
            **(self._comparison.document() if self._comparison else {}),
            **({"outcomes": self._outcomes.document()} if self._outcomes else {}),
        }

    def text(self) -> list[Printable]:
        """All figures as lines and tables."""
        lines: list[Printable] = [describe_test_symbols(self._tests, NAMED_BY)] if self._tests else []
        lines += self._road.text()
        lines += [self._describe_rejected()] if self._rejected else []
        lines += describe_unknown(self._unknown) + describe_absent(self._absent)
        lines += [self._describe_bars(), *self._describe_prints(), self._describe_events()]
        if self._comparison:
            lines += self._comparison.text()
            lines += self._outcomes.text() if self._outcomes else []
        else:
            rows = [(kind, way, f"{count:,}") for (kind, way), count in sorted(self._kinds.items())]
            lines += [TextTable(("type", "direction", "events"), rows, left=2)] if rows else []
        for name in (name for name in self._spools if name not in FURTHER_OUTPUTS):
            kind = "" if name == "out" else f" {name}"
            lines.append(f"{count_noun(self._spools[name].rows, 'event')}{kind} written to {self._outputs[name]}")
        return lines

    def _describe_bars(self) -> str:
        bars, symbols = count_noun(self._counts["bars"], "bar"), count_noun(self._counts["symbols"], "symbol")
        if self._road.symbols["from_candidates"]:
            return f"{bars} of {symbols}"
        return f"{bars} of {symbols}, {self._counts['bars_outside_sessions']:,} outside every session, ignored"

    def _describe_events(self) -> str:
        found, days = (
            count_noun(self._counts["events_found"], "event"),
            count_noun(self._counts["days_filtered"], "day"),
        )
        return _OF_EVENTS.format(found=found, days=days, **self._counts)

    def _describe_prints(self) -> list[Printable]:
        if self._prints.is_empty():
            return []
        place = f"; listed in {self._outputs[_PRINTS]}" if _PRINTS in self._outputs else ""
        more = self._prints.height - _SHOWN
        return [
            f"suspect prints: {describe_prints(count_touched(self._prints))}{place}",
            prints_table(self._prints.head(_SHOWN)),
            *([f"  and {more:,} more"] if more > 0 else []),
        ]

    def _describe_bad_sessions(self, source: str) -> list[str]:
        return describe_sessions(pl.concat(self._bad_sessions), lambda rows: source)  # noqa: ARG005 -- all are its

    def _describe_rejected(self) -> str:
        place = f" and written to {self._outputs[_QUARANTINE]}" if _QUARANTINE in self._outputs else ""
        counts = "; ".join(f"{count:,} {reason}" for reason, count in self._rejected.most_common())
        return f"{count_noun(self._rejected.total(), 'bar')} rejected{place}: {counts}"
