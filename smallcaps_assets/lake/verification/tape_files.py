"""Tape files one by one: compared with their certificates, their footers, their hashes and the rules of tape."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import polars as pl

from smallcaps_assets.domain.tape.rules import tape_rules
from smallcaps_assets.domain.tape.schemas import missing_columns, recorded_schema, schema_record
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.lake.files.content_hash import ProofState, proof_of
from smallcaps_assets.lake.files.publish import provenance_of, sha256
from smallcaps_assets.lake.files.stored_tables import is_stored
from smallcaps_assets.lake.symbol_paths import symbol_name, symbol_of
from smallcaps_assets.lake.tape.files import SPAN_TIME_FORMAT
from smallcaps_assets.lake.tape.rejected import read_rejected
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.lake.verification.discrepancy import DAMAGE_ERRORS, Discrepancy, first_line

# Whether files, by their paths below the lake, are what was published.
Proofs = Mapping[str, ProofState]

_COLUMNS: Final = "columns are not those of its footer"
_DAMAGED: Final = ("is damaged", "the content that was published (SHA-256)", "another")


@dataclass(frozen=True)
class CheckedFile:
    """One file; `sound` if its bytes are as certified and as published, and it has the columns of its footer."""

    file: str
    findings: Sequence[Discrepancy] = ()
    bytes: int = 0
    rows: int = 0
    exists: bool = True
    sound: bool = False
    anew: bool = False
    missing_columns: Sequence[str] = ()


@dataclass(frozen=True)
class TapeFileChecks:
    """The checks of the files of one profile's tape.

    Attributes:
        tape: the tape.
        proofs: whether files are what was published, where that is known already.
        twins: the file certified for each SHA-256.
        symbols: the symbol of each event of the ledger.
    """

    tape: TapeStore
    proofs: Proofs
    twins: Mapping[str, str]
    symbols: Mapping[str, str]

    def check_certified(self, certified: dict[str, Any]) -> CheckedFile:
        """Compare one file with its certificate (CERTIFIED)."""
        file, events = certified["file"], tuple(certified["events"])
        path = self.tape.lake.root / file

        def finding(what: str, expected: object, found: object) -> Discrepancy:
            return Discrepancy(file, what, str(expected), str(found), events)

        place = self._place(certified, path)
        if file != place:
            return CheckedFile(file, [finding("is not named as its certificate says", place, file)], exists=False)
        findings: list[Discrepancy] = []
        size, rows, anew, sound = 0, 0, False, False
        lacks: Sequence[str] = ()
        try:
            if not is_stored(path):
                return CheckedFile(file, [finding("is missing", "a file", "nothing")], exists=False)
            size = path.stat().st_size
            hashed, state = sha256(path), self._state(file)
            as_certified = hashed == certified["sha256"]
            if not as_certified:
                twin = f", which is that of {self.twins[hashed]}" if hashed in self.twins else ""
                findings = [finding("SHA-256 differs", certified["sha256"], hashed + twin)]
            elif state is ProofState.DAMAGED:
                findings = [finding(*_DAMAGED)]
            footer = provenance_of(path) or {}
            broken, rows = self._contents(path, certified, footer)
            sound = (
                as_certified and state is not ProofState.DAMAGED and not any(what == _COLUMNS for what, *_ in broken)
            )
            replaced = not (as_certified or broken or hashed in self.twins) and _is_later(
                footer, certified["fetched_at"]
            )
            # every file that is fetched now carries a hash; whoever changes one of an earlier release can date it anew
            anew = replaced and state is ProofState.INTACT
            if replaced and state is ProofState.NOT_PROVABLE:
                findings = [finding("was replaced, and carries no hash of its own", certified["sha256"], hashed)]
            findings = [] if anew else findings + [finding(*one) for one in broken]
            lacks = missing_columns(certified["kind"], self.tape.schema(certified["kind"]).names(), footer)
        except DAMAGE_ERRORS as error:
            findings.append(finding("cannot be read", "a parquet file", first_line(error)))
        return CheckedFile(file, findings, size, rows, sound=sound, anew=anew, missing_columns=lacks)

    def check_uncertified(self, file: str) -> CheckedFile:
        """Check a file without a certificate: its hash and its place; without a hash, that it can be read."""
        path = self.tape.lake.root / file
        try:
            state = self._state(file)
            if state is ProofState.NOT_PROVABLE:
                pl.read_parquet(path, hive_partitioning=False, glob=False)
            faults = [_DAMAGED] if state is ProofState.DAMAGED else self._origin(path, provenance_of(path) or {}, {})
        except DAMAGE_ERRORS as error:
            faults = [("cannot be read", "a parquet file", first_line(error))]
        return CheckedFile(file, [Discrepancy(file, what, str(rule), str(found)) for what, rule, found in faults])

    def _state(self, file: str) -> ProofState:
        return self.proofs.get(file) or proof_of(self.tape.lake.root / file).state

    def _place(self, certified: Mapping[str, Any], path: Path) -> str:
        """Where the file of a certificate lies."""
        wave, symbol = path.parent.parent.name, certified["symbol"]
        span = f"{certified['start']:{SPAN_TIME_FORMAT}}_{certified['end']:{SPAN_TIME_FORMAT}}"
        folder = path.parent.name if symbol_of(path.parent.name) == symbol else symbol_name(symbol)
        return f"tape/{self.tape.profile}/{certified['kind']}/{wave}/{folder}/{span}.parquet"

    def _origin(
        self, path: Path, footer: Mapping[str, Any], required: Mapping[str, str]
    ) -> list[tuple[str, object, object]]:
        """Where a footer says that the file belongs, if it is elsewhere: earlier releases named no symbol and wave.

        Args:
            path: the file.
            footer: its provenance.
            required: entries that it must have.
        """
        symbol = symbol_of(path.parent.name)
        wave, kind = path.parent.parent.name.removeprefix("wave="), path.parent.parent.parent.name
        place = {"kind": kind, "profile": self.tape.profile, "symbol": symbol, "wave": wave}
        expected = dict(required) or {name: value for name, value in place.items() if name in footer}
        expected |= {name: place[name] for name in ("symbol", "wave") if name in footer}
        broken: list[tuple[str, object, object]] = [
            (f"the footer says another {name}", value, footer.get(name))
            for name, value in expected.items()
            if footer.get(name) != value
        ]
        events = footer.get("events_merged") or ()
        others = sorted({self.symbols[event] for event in events if event in self.symbols} - {symbol})
        if others and "symbol" not in footer:
            broken.append(("has events of another symbol", symbol, ", ".join(others)))
        return broken

    def _contents(
        self, path: Path, certified: Mapping[str, Any], footer: Mapping[str, Any]
    ) -> tuple[list[tuple[str, object, object]], int]:
        """Differences in footer and rows (what, expected, found), and the number of rows."""
        kind = certified["kind"]
        broken = self._origin(path, footer, {"kind": kind, "profile": self.tape.profile})
        # a file of the other kind agrees with its own footer, but not with its place
        own = footer if footer.get("kind", kind) == kind else schema_record(self.tape.schema(kind))
        recorded = recorded_schema(kind, own)
        lazy = pl.scan_parquet(path, hive_partitioning=False, glob=False)
        columns = {name: str(dtype) for name, dtype in lazy.collect_schema().items()}
        if list(columns.items()) != list(recorded.items()):
            return [*broken, (_COLUMNS, *_unlike(recorded, columns))], 0
        rules = tape_rules(kind, certified["start"], certified["end"], columns, opening_book=kind == "quotes")
        counts = [rule.broken.alias(str(number)) for number, rule in enumerate(rules)]
        # all columns are read: on small files the rules are far faster on a frame than in a query of the file
        frame = lazy.collect()
        rows, bad = frame.height, frame.select(counts).row(0)
        broken += [
            (rule.what, rule.expected, f"{count:,} of {count_noun(rows, 'row')}")
            for rule, count in zip(rules, bad, strict=True)
            if count
        ]
        received, rejected = footer.get("received", rows), footer.get("rejected") or 0
        if footer.get("rows") != rows:
            broken.append(("the footer says another number of rows", footer.get("rows"), rows))
        elif received < rows + rejected or (kind == "trades" and received != rows + rejected):
            broken.append(("the footer says another number of rows received", rows + rejected, received))
        aside = read_rejected(self.tape.lake, [path], self.tape.schema(kind)).height if rejected else 0
        if aside != rejected:
            broken.append(("its rejected rows are not in the quarantine", rejected, aside))
        return broken, rows


def _unlike(expected: Mapping[str, str], found: Mapping[str, str]) -> tuple[str, str]:
    """The columns in which two schemas differ, as text; all names where only their order differs."""
    names = [name for name in {**expected, **found} if expected.get(name) != found.get(name)]

    def words(schema: Mapping[str, str]) -> str:
        return ", ".join(f"{name} {schema.get(name, 'absent')}" for name in names) or ", ".join(schema)

    return words(expected), words(found)


def _is_later(footer: Mapping[str, Any], certified_at: datetime | None) -> bool:
    """Whether the file of this footer was fetched after the certified one."""
    fetched_at = datetime.fromisoformat(footer["fetched_at"]) if footer.get("fetched_at") else None
    if fetched_at is None or fetched_at.tzinfo is None or certified_at is None:
        return False
    return fetched_at > certified_at
