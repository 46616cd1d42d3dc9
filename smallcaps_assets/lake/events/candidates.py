"""Event candidates: one parquet file per symbol, beside its shard, of every edge that detection found.

With each edge are its `condition_bars`, from which experiments with stricter settings are judged. Nested as they are
they take long to decode, so experiments read a copy in a file of its own, with one row a bar and the same footer.
It is published after the candidates. Where it is absent, damaged or of another origin, the candidates are read instead.

The footer says what the candidates were detected from: the settings, as a shard records them, and the sessions. So it
is known whether they belong to a shard, or to the bars as they are now. Candidates that belong to neither are not used:
they are detected again from the bars. A symbol's candidates are published before its shard. A kill between the two
leaves a shard whose sessions are still to be detected, which then brings both up to date.
"""

import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Final, NamedTuple, Self

import polars as pl

from smallcaps_assets.domain.events.condition_bars import list_condition_bars
from smallcaps_assets.domain.tables import CANDIDATES, KEPT_CANDIDATES
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.bar_files.month_files import combine_fingerprints
from smallcaps_assets.lake.events.shard_coverage import SYMBOL_OF_SHARD, ShardCoverage
from smallcaps_assets.lake.files.content_hash import ProofState, proof_and_entry
from smallcaps_assets.lake.files.damaged_files import set_aside
from smallcaps_assets.lake.files.publish import PROVENANCE, disk_errors, provenance_of, publish_frame, sweep_below
from smallcaps_assets.lake.files.stored_tables import is_stored, read_table
from smallcaps_assets.lake.layout import Lake

# Key of a footer: the candidates have their `condition_bars`.
_CONDITIONS: Final = "conditions"


@dataclass(frozen=True)
class CandidateOrigin:
    """What candidates were detected from.

    Attributes:
        detections: by event type, a digest of everything that decides its events, as in the coverage of a shard.
        tiers: the minimum score of each tier.
        sessions: the fingerprint of the bars of all sessions.
    """

    detections: dict[str, str]
    tiers: list[float]
    sessions: str

    @classmethod
    def of(cls, detections: dict[str, str], tiers: list[float], sessions: Mapping[date, str]) -> Self:
        """The origin of candidates of sessions with these fingerprints."""
        return cls(detections, tiers, combine_fingerprints(sessions))

    @classmethod
    def of_shard(cls, coverage: ShardCoverage) -> Self:
        """The origin of the candidates that belong to a shard."""
        return cls(coverage.detections, coverage.tiers, coverage.fingerprint)

    def has_settings_of(self, coverage: ShardCoverage) -> bool:
        """Whether a shard was detected with the same settings."""
        return (self.detections, self.tiers) == (coverage.detections, coverage.tiers)


class StoredCandidates(NamedTuple):
    """Candidates and their origin, None where none are usable; whether a damaged file was set aside.

    They are CANDIDATES, or KEPT_CANDIDATES where these were asked for.
    """

    rows: pl.DataFrame | None
    origin: CandidateOrigin | None = None
    set_aside: bool = False


@dataclass(frozen=True)
class CandidateStore:
    """The event candidates of a lake."""

    lake: Lake

    def origin(self, symbol: str, *, conditions: bool = False) -> CandidateOrigin | None:
        """What the candidates of `symbol` were detected from; None where there are none, or it is not recorded.

        With `conditions`, also None where the file has no `condition_bars`, which an earlier release did not keep.

        Raises:
            LakeError: the file cannot be read, or holds candidates of another symbol.
        """
        path = self.lake.candidates_of(symbol)
        if not is_stored(path):
            return None
        footer: Mapping[str, Any] = provenance_of(path) or {}
        if (recorded := footer.get(SYMBOL_OF_SHARD, symbol)) != symbol:
            what = f"holds candidates of {recorded}"
            raise LakeError(f"{path}: {what}, not of {symbol}.", path).with_facts(what)
        return None if conditions and _CONDITIONS not in footer else origin_in(footer)

    def origin_of_condition_bars(self, symbol: str) -> CandidateOrigin | None:
        """What the condition bars of `symbol` come from; None where no file of them can be used. Reads all of it."""
        with suppress(OSError, ValueError):
            proof, text = proof_and_entry(self.lake.condition_bars_of(symbol), PROVENANCE)
            footer = json.loads(text or "null") if proof.state is ProofState.INTACT else None
            if isinstance(footer, dict) and footer.get(SYMBOL_OF_SHARD) == symbol:
                return origin_in(footer)
        return None

    def read(self, symbol: str, origins: Collection[CandidateOrigin], *, conditions: bool = False) -> StoredCandidates:
        """The candidates of `symbol` if they are of one of these origins; a damaged file is set aside.

        Args:
            symbol: whose candidates.
            origins: what they may have been detected from.
            conditions: with their `condition_bars`; then a file of a release without them is not usable.

        Raises:
            LakeError: the disk refuses.
        """
        path = self.lake.candidates_of(symbol)
        try:
            origin = self.origin(symbol, conditions=conditions)
            if origin not in origins:
                return StoredCandidates(None)
            return StoredCandidates(read_table(path, KEPT_CANDIDATES if conditions else CANDIDATES), origin)
        except LakeError as error:
            if isinstance(error.__cause__, OSError) or not path.is_file():
                raise
            set_aside(self.lake, path, error.cause or f"{error}")
        return StoredCandidates(None, set_aside=True)

    def publish(self, symbol: str, candidates: pl.DataFrame, origin: CandidateOrigin) -> None:
        """Publish candidates (KEPT_CANDIDATES) of `symbol`, what they were detected from, and their condition bars.

        Raises:
            LakeError: the disk fails.
        """
        footer = {SYMBOL_OF_SHARD: symbol, **asdict(origin), _CONDITIONS: True}
        rows = candidates.match_to_schema(KEPT_CANDIDATES)
        publish_frame(self.lake.candidates_of(symbol), rows, footer, sweeps=False, below=self.lake.root)
        self.publish_condition_bars(symbol, rows, origin)

    def publish_condition_bars(self, symbol: str, candidates: pl.DataFrame, origin: CandidateOrigin) -> None:
        """Publish the condition bars of the published candidates (KEPT_CANDIDATES) of `symbol`.

        Raises:
            LakeError: the disk fails.
        """
        bars, footer = list_condition_bars(candidates), {SYMBOL_OF_SHARD: symbol, **asdict(origin)}
        publish_frame(self.lake.condition_bars_of(symbol), bars, footer, sweeps=False, below=self.lake.root)

    def remove(self, symbol: str) -> None:
        """Remove the candidates of `symbol`, which its new shard would contradict, and their condition bars.

        Raises:
            LakeError: the disk refuses.
        """
        for path in (self.lake.condition_bars_of(symbol), self.lake.candidates_of(symbol)):
            with disk_errors("written", path):
                path.unlink(missing_ok=True)

    def sweep(self, symbols: Collection[str]) -> None:
        """Remove what killed writers of the candidates of `symbols` left."""
        for folder, place in (
            (self.lake.candidates, self.lake.candidates_of),
            (self.lake.condition_bars, self.lake.condition_bars_of),
        ):
            sweep_below(folder, ".symbol=*.part", of={place(symbol).name for symbol in symbols})


def origin_in(footer: Mapping[str, Any]) -> CandidateOrigin | None:
    """The origin that a footer records; None where it records none."""
    detections, tiers, sessions = (footer.get(name) for name in ("detections", "tiers", "sessions"))
    if isinstance(detections, dict) and isinstance(tiers, list) and isinstance(sessions, str):
        return CandidateOrigin(detections, tiers, sessions)
    return None
