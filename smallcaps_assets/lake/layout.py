"""Where everything lies in the lake. Names are safe on every system; users and other programs read it directly."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from smallcaps_assets.domain.symbols import check_symbol


@dataclass(frozen=True)
class Lake:
    """Paths below one root folder; building one touches no disk."""

    root: Path

    @property
    def locks(self) -> Path:
        """Folder of the empty files by which processes wait for one another."""
        return self.root / ".locks"

    @cached_property
    def minute_bars(self) -> Path:
        """Folder of the folders of all symbols."""
        return self.root / "bars" / "minute"

    def bars(self, symbol: str) -> Path:
        """Folder of one symbol's month files."""
        return self.minute_bars / f"symbol={check_symbol(symbol)}"

    @cached_property
    def shards(self) -> Path:
        """Folder of all event shards."""
        return self.root / "events" / "shards"

    def shard(self, symbol: str) -> Path:
        """One symbol's events."""
        return self.shards / f"symbol={check_symbol(symbol)}.parquet"

    @property
    def master(self) -> Path:
        """The MASTER table."""
        return self.root / "events" / "master.parquet"

    @property
    def imported_events(self) -> Path:
        """MASTER of events that were found elsewhere."""
        return self.root / "events" / "adopted.parquet"

    @property
    def nightly_report(self) -> Path:
        """The symbols that the last night left behind."""
        return self.root / "reports" / "nightly.parquet"

    @property
    def coverage(self) -> Path:
        """Which sessions of every symbol and month are there."""
        return self.root / "reports" / "coverage.parquet"

    @property
    def universe(self) -> Path:
        """The symbols that are followed, and what reference data says of them."""
        return self.root / "reference" / "universe.parquet"

    @property
    def ticker_details(self) -> Path:
        """What the vendor answered of single symbols."""
        return self.root / "reference" / "ticker_details.parquet"

    @property
    def imports(self) -> Path:
        """Which kinds of things people brought into the lake."""
        return self.root / "reference" / "imports.json"

    def manifests(self, profile: str) -> Path:
        """Folder of one profile's frozen manifests."""
        return self.root / "manifests" / profile

    def tape(self, profile: str, kind: str) -> Path:
        """Folder of one profile's `trades` or `quotes`."""
        return self.root / "tape" / profile / kind

    def tape_wave(self, profile: str, kind: str, wave: str, symbol: str) -> Path:
        """Folder of the spans of one symbol and wave."""
        return self.tape(profile, kind) / f"wave={wave}" / f"symbol={check_symbol(symbol)}"

    def ledger(self, profile: str) -> Path:
        """One row per event of the manifest: what the lake holds of it."""
        return self.root / "tape" / profile / "ledger.parquet"

    def review(self, profile: str) -> Path:
        """Folder of one profile's review sheets."""
        return self.root / "review" / profile

    def review_sheet(self, profile: str, manifest_id: str) -> Path:
        """The page on which a person judges events of a manifest; its sample lies beside it, as JSON."""
        return self.review(profile) / f"{manifest_id}.html"

    def review_marks(self, profile: str, manifest_id: str) -> Path:
        """Folder of the marks that were taken in for a manifest."""
        return self.review(profile) / "marks" / manifest_id

    @property
    def quarantine(self) -> Path:
        """Rows and answers that were refused, with the reason; laid out as the lake itself."""
        return self.root / "quarantine"

    def quarantine_path(self, path: Path) -> Path:
        """Where the refused counterpart of `path` lies."""
        return self.quarantine / path.relative_to(self.root)
