"""Paths of the files in the lake, a public interface: names are valid on every system."""

from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Final

from smallcaps_assets.domain.symbols import check_symbol
from smallcaps_assets.lake.symbol_paths import KEY, UnusualNames, symbol_name, symbol_of, unusual_names

_PARQUET: Final = ".parquet"


@dataclass(frozen=True)
class Lake:
    """Paths below one root folder.

    Creating one does not access the disk. Paths of symbols depend on the names that earlier releases left; each folder
    is listed once.
    """

    root: Path
    _unusual: dict[tuple[Path, str], UnusualNames] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def identity(self) -> Path:
        """The file with the id of the lake."""
        return self.root / "lake.json"

    @property
    def locks(self) -> Path:
        """Folder of the lock files."""
        return self.root / ".locks"

    @property
    def cache(self) -> Path:
        """Folder of what only spares work; it may be removed at any time."""
        return self.root / ".cache"

    @cached_property
    def minute_bars(self) -> Path:
        """Folder with one folder of minute bars for each symbol."""
        return self.root / "bars" / "minute"

    @cached_property
    def flat_bars(self) -> Path:
        """Folder with one table of the whole market's minute bars for each session with a flat file."""
        return self.root / "bars" / "flat" / "minute"

    def bars(self, symbol: str) -> Path:
        """Folder of one symbol's month files."""
        return self._of_symbol(self.minute_bars, symbol)

    @cached_property
    def shards(self) -> Path:
        """Folder of all event shards."""
        return self.root / "events" / "shards"

    def shard(self, symbol: str) -> Path:
        """Event shard of one symbol."""
        return self._of_symbol(self.shards, symbol, _PARQUET)

    @cached_property
    def candidates(self) -> Path:
        """Folder of the event candidates of all symbols."""
        return self.root / "events" / "candidates"

    def candidates_of(self, symbol: str) -> Path:
        """Event candidates of one symbol."""
        return self._of_symbol(self.candidates, symbol, _PARQUET)

    @cached_property
    def condition_bars(self) -> Path:
        """Folder of the condition bars of all symbols."""
        return self.root / "events" / "condition_bars"

    def condition_bars_of(self, symbol: str) -> Path:
        """Condition bars of the candidates of one symbol."""
        return self._of_symbol(self.condition_bars, symbol, _PARQUET)

    @cached_property
    def shard_coverages(self) -> Path:
        """Folder of what the shards cover beyond their footers."""
        return self.root / "events" / "coverage"

    def shard_coverage(self, symbol: str) -> Path:
        """What the shards of all symbols with the same initial cover beyond their footers."""
        return self.shard_coverages / f"{check_symbol(symbol)[0].upper()}.json"

    @property
    def master(self) -> Path:
        """The MASTER table."""
        return self.root / "events" / "master.parquet"

    @property
    def imported_events(self) -> Path:
        """MASTER of imported events."""
        return self.root / "events" / "adopted.parquet"

    @property
    def nightly_report(self) -> Path:
        """The symbols that the last nightly run left incomplete."""
        return self.root / "reports" / "nightly.parquet"

    @property
    def coverage(self) -> Path:
        """Published sessions of every symbol and month."""
        return self.root / "reports" / "coverage.parquet"

    @property
    def universe(self) -> Path:
        """The universe: every symbol with its reference data, followed or not."""
        return self.root / "reference" / "universe.parquet"

    @property
    def ticker_details(self) -> Path:
        """The vendor's details of single symbols."""
        return self.root / "reference" / "ticker_details.parquet"

    @property
    def trade_conditions(self) -> Path:
        """The vendor's trade conditions."""
        return self.root / "reference" / "trade_conditions.parquet"

    @property
    def splits(self) -> Path:
        """Splits of all symbols."""
        return self.root / "reference" / "splits.parquet"

    @property
    def listings(self) -> Path:
        """Listings: the days on which each security was listed under each ticker."""
        return self.root / "reference" / "listings.parquet"

    @property
    def listing_facts(self) -> Path:
        """Type, exchange and name of the listings through time."""
        return self.root / "reference" / "listing_facts.parquet"

    @property
    def listing_snapshots(self) -> Path:
        """Folder of the vendor's lists of tickers, one file per session."""
        return self.root / "reference" / "listings" / "snapshots"

    def listing_snapshot(self, day: date) -> Path:
        """The vendor's list of tickers of one session."""
        return self.listing_snapshots / f"{day}{_PARQUET}"

    @property
    def listing_observations(self) -> Path:
        """What the vendor answered about single tickers on single days."""
        return self.root / "reference" / "listings" / "observations.parquet"

    @property
    def ticker_events(self) -> Path:
        """What the vendor answered about the tickers that securities had."""
        return self.root / "reference" / "listings" / "ticker_events.parquet"

    @property
    def delisted_tickers(self) -> Path:
        """The vendor's list of delisted tickers, of those delisted within the history."""
        return self.root / "reference" / "listings" / "delisted.parquet"

    @property
    def shares_outstanding(self) -> Path:
        """Shares outstanding of single symbols, by the day for which the vendor gave them."""
        return self.root / "reference" / "shares_outstanding.parquet"

    @property
    def event_listings(self) -> Path:
        """The listing of each event of MASTER, and whether it was in the universe then."""
        return self.root / "events" / "listings.parquet"

    @property
    def imports(self) -> Path:
        """The kinds of data that were imported into the lake."""
        return self.root / "reference" / "imports.json"

    def manifests(self, profile: str) -> Path:
        """Folder of one profile's frozen manifests."""
        return self.root / "manifests" / profile

    def tape(self, profile: str, kind: str) -> Path:
        """Folder of one profile's `trades` or `quotes`."""
        return self.root.joinpath("tape", profile, kind)

    def tape_wave(self, profile: str, kind: str, wave: str, symbol: str) -> Path:
        """Folder of the tape files of one symbol and wave."""
        # called for every symbol of a lake: each step of a path costs as much as all of them in one
        return self._of_symbol(self.root.joinpath("tape", profile, kind, f"wave={wave}"), symbol)

    def tape_failures(self, profile: str, kind: str, wave: str, symbol: str) -> Path:
        """The `quarantine_path` of `tape_wave`: folder of rejected rows and of the records of spans that failed."""
        return self._of_symbol(self.root.joinpath("quarantine", "tape", profile, kind, f"wave={wave}"), symbol)

    def ledger(self, profile: str) -> Path:
        """The capture ledger: one certificate per event of the manifest."""
        return self.root / "tape" / profile / "ledger.parquet"

    def control_ledger(self, profile: str) -> Path:
        """The ledger of the controls: one certificate per window of the control manifest."""
        return self.root / "tape" / profile / "control_ledger.parquet"

    @property
    def research(self) -> Path:
        """Folder of the research tables."""
        return self.root / "research"

    def research_table(self, table: str, profile: str = "") -> Path:
        """A research table in one file, of a profile or of the whole lake."""
        return self.research / profile / f"{table}{_PARQUET}"

    def research_symbol(self, table: str, symbol: str) -> Path:
        """One symbol's file of a research table that is partitioned by symbol."""
        return self._of_symbol(self.research / table, symbol, _PARQUET)

    def research_wave(self, profile: str, table: str, wave: str, symbol: str) -> Path:
        """One symbol's file of a wave, of a research table of a profile."""
        return self._of_symbol(self.root.joinpath("research", profile, table, f"wave={wave}"), symbol, _PARQUET)

    def review(self, profile: str) -> Path:
        """Folder of one profile's review sheets."""
        return self.root / "review" / profile

    def review_sheet(self, profile: str, manifest_id: str) -> Path:
        """The review sheet of a manifest (HTML); its sample is a JSON file of the same name beside it."""
        return self.review(profile) / f"{manifest_id}.html"

    def review_labels(self, profile: str, manifest_id: str) -> Path:
        """Folder of the imported label files of a manifest."""
        return self.review(profile) / "marks" / manifest_id

    @property
    def quarantine(self) -> Path:
        """Folder of rejected rows and answers with their reasons; its layout repeats the lake's."""
        return self.root / "quarantine"

    @property
    def unexpected(self) -> Path:
        """Folder of the stack traces of errors that nobody foresaw, one text file per unit of work."""
        return self.quarantine / "unexpected"

    def quarantine_path(self, path: Path) -> Path:
        """Path of the rejected rows that belong to the file `path` of the lake."""
        place, names = self.quarantine, list[str]()
        for part in path.relative_to(self.root).parts:
            if part.startswith(KEY) and not part.endswith(_PARQUET):
                place, names = self._of_symbol(place.joinpath(*names), symbol_of(part)), []
            else:
                names.append(part)
        return place.joinpath(*names)

    def damaged_path(self, path: Path) -> Path:
        """Path beside which the file `path` of the lake is set aside where it is damaged."""
        return self.quarantine / "damaged" / self.quarantine_path(path).relative_to(self.quarantine)

    def _of_symbol(self, folder: Path, symbol: str, suffix: str = "") -> Path:
        """The path of a symbol's folder in `folder`, or of its file with `suffix`."""
        unusual = self._unusual.get((folder, suffix))
        if unusual is None:
            unusual = self._unusual[folder, suffix] = unusual_names(folder, suffix)
        return folder / f"{symbol_name(check_symbol(symbol), unusual)}{suffix}"
