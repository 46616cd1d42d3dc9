"""Which research tables of tape are up to date, by the sizes and times of modification of the files behind them.

Where nothing is new, opening the footers of all tape files would take longer than everything else. A document in the
cache of the lake therefore keeps, of each symbol and wave, in which states its files were when its tables were last
found to be up to date. Where a state differs, as in a copy of the lake with other times, the footers decide.
"""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.versions import digest
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.bar_files.listed import TICK_NS
from smallcaps_assets.lake.files.documents import publish_document, read_document
from smallcaps_assets.lake.tape.file_states import state_of, states_of_tape
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.research.tape.tape_parts import ASSET_TABLES, PartResult
from smallcaps_assets.pipeline.tape.capture import Pair

# Raise it when the tables come to depend on something that no state shows.
_VERSION: Final = "1"
_OF_EVENT: Final = (
    "event_id", "symbol", "session", "timestamp", "direction", "window_before_min", "window_after_min",
)  # fmt: skip
_PAIRS: Final = "pairs"


class _Inputs(NamedTuple):
    """A digest of the states of what the tables of a symbol depend on.

    `can_be_kept` is false where a file was changed so recently that a later version could have the same state.
    """

    digest: str
    can_be_kept: bool


class KnownParts:
    """What is known of the tables of some symbols."""

    def __init__(self, tape: TapeStore, rules: Sequence[object], manifest: pl.DataFrame, prefix: str = "") -> None:
        """Read what was kept; a damaged document counts as none.

        Args:
            tape: the tape of the profile.
            rules: by what rows are computed, beside the tape, the bars and the events: values with a stable repr.
            manifest: the events (CAPTURED).
            prefix: before the names of the tables.
        """
        self._tape, self._prefix = tape, prefix
        read_by = (tape.params, tape.budget, tape.quotes_without_trades, tape.quote_sizes_in_shares_from)
        self._rules = digest([_VERSION, *map(repr, (*read_by, *rules))])
        self._events = _events_by_symbol(manifest)
        self._inputs: dict[str, _Inputs | None] = {}
        self._kept = self._read()
        self._noted: dict[str, Any] = {}

    def unchanged(self, pair: Pair, assets: Sequence[str]) -> PartResult | None:
        """The result of a pair whose tables are known to be up to date; None of any other.

        The states that `note` keeps are those of this call: make it before the files are read.
        """
        kept, inputs = self._kept.get(_key(pair)), self._inputs_of(pair[0])
        if kept is None or inputs is None or kept["inputs"] != inputs.digest:
            return None
        outcomes = dict[str, Outcome]()
        for asset in assets:
            known = kept["assets"].get(asset)
            if known is None or known["files"] != self._files(pair, asset):
                return None
            outcomes[asset] = Outcome(pair, {"events": known["events"], "events_computed": 0}, version=known["version"])
        return PartResult(pair, outcomes, (), frozenset())

    def note(self, result: PartResult) -> None:
        """Keep the states of a pair whose tables are up to date now; of a table that failed, nothing is kept."""
        inputs = self._inputs_of(result.pair[0])
        if inputs is None or not inputs.can_be_kept:
            return
        kept = self._kept.get(_key(result.pair))
        others = kept["assets"] if kept is not None and kept["inputs"] == inputs.digest else {}
        known = {
            asset: {"files": files, "events": outcome.figures["events"], "version": outcome.version}
            for asset, outcome in result.outcomes.items()
            if not outcome.problems and (files := self._files(result.pair, asset)) is not None
        }
        of_others = {asset: found for asset, found in others.items() if asset not in result.outcomes}
        self._noted[_key(result.pair)] = {"inputs": inputs.digest, "assets": of_others | known}

    def save(self) -> None:
        """Keep what was noted, beside what other processes have kept meanwhile.

        Raises:
            LakeError: the disk refuses.
        """
        if self._noted:
            self._kept = {**self._read(), **self._noted}
            lake = self._tape.lake
            publish_document(self._path, {"rules": self._rules, _PAIRS: self._kept}, below=lake.root)
            self._noted = {}

    @property
    def _path(self) -> Path:
        return self._tape.lake.cache / f"{self._prefix}research_{self._tape.profile}.json"

    def _read(self) -> dict[str, Any]:
        try:
            document = read_document(self._path, "", {"rules": str, _PAIRS: dict})
        except LakeError:
            return {}
        pairs: dict[str, Any] = document[_PAIRS]
        return pairs if document["rules"] == self._rules else {}

    def _inputs_of(self, symbol: str) -> _Inputs | None:
        if symbol not in self._inputs:
            self._inputs[symbol] = self._states(symbol)
        return self._inputs[symbol]

    def _states(self, symbol: str) -> _Inputs | None:
        still = time.time_ns() - TICK_NS
        try:
            states = states_of_tape(self._tape.lake, self._tape.profile, symbol)
        except OSError:  # named where the file is read
            return None
        lines = (f"{name} {state.size} {state.modified_ns}" for name, state in sorted(states.items()))
        can_be_kept = all(state.modified_ns < still for state in states.values())
        return _Inputs(digest([self._events.get(symbol, ""), *lines]), can_be_kept)

    def _files(self, pair: Pair, asset: str) -> str | None:
        lake, profile = self._tape.lake, self._tape.profile
        try:
            tables = [f"{self._prefix}{table}" for table in ASSET_TABLES[asset]]
            states = [state_of(lake.research_wave(profile, table, pair[1], pair[0])) for table in tables]
        except OSError:
            return None
        return json.dumps(states)


def _key(pair: Pair) -> str:
    return f"{pair[1]} {pair[0]}"


def _events_by_symbol(manifest: pl.DataFrame) -> Mapping[str, str]:
    """A digest of what the tables depend on of the events of each symbol."""
    shown = pl.concat_str(pl.col(_OF_EVENT).cast(pl.String).fill_null("-"), separator=" ")
    lines = manifest.sort("event_id").group_by("symbol").agg(line=shown)
    return {symbol: digest(found) for symbol, found in lines.iter_rows()}
