"""Audit published spans: fetch a sample again and report what the vendor changed; the lake is not changed."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.tape.budget import thin_after
from smallcaps_assets.domain.tape.differences import Differences, compare_tape
from smallcaps_assets.domain.tape.judging import judge_tape
from smallcaps_assets.domain.tape.nbbo import Thinning, thin_frame
from smallcaps_assets.domain.tape.schemas import TAPE_SCHEMAS
from smallcaps_assets.domain.tape.tables import AUDIT, WINDOWS
from smallcaps_assets.domain.tape.windows import event_windows, with_known_at
from smallcaps_assets.domain.words import count_clause, count_noun
from smallcaps_assets.errors import (
    InputError,
    LakeError,
    MarketDataError,
    NotAuthenticated,
    NotEntitled,
    UnexpectedError,
)
from smallcaps_assets.lake.files.publish import disk_errors
from smallcaps_assets.lake.files.stored_tables import prove
from smallcaps_assets.lake.tape.files import Span, describe_damage
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.pipeline.concurrency import in_threads
from smallcaps_assets.pipeline.progress import Progress, log_if_long
from smallcaps_assets.pipeline.tape.download import download_tape
from smallcaps_assets.pipeline.unexpected import UnexpectedErrors

WINDOWS_UNKNOWN: Final = (
    "its quotes were thinned to the size budget around events whose windows are not in the current manifest"
)

MANIFEST_DAMAGED: Final = "its quotes were thinned to the size budget around events of the manifest, which is damaged"

_SPAN: Final = ("symbol", "wave", "start", "end")
Published = Mapping[str, Any]


class Sample(NamedTuple):
    """Spans to fetch again (PUBLISHED and `kind`), how many there are in all, and about how many requests it takes."""

    spans: pl.DataFrame
    of: int
    requests: int


@dataclass(frozen=True)
class Audit:
    """An audit of one profile.

    Attributes:
        damaged: receives what is wrong with files that cannot be compared, or cannot be drawn.
        tape: the published tape.
        client: client of the vendor.
        threads: how many spans are fetched and in memory at once.
        log: receives progress and example lines.
    """

    tape: TapeStore
    client: MarketDataClient
    threads: int
    log: Callable[[str], None]
    damaged: list[LakeError] = field(default_factory=list)

    def sample(self, size: int, seed: int) -> Sample:
        """Draw at most `size` published spans of both kinds; the same seed draws the same spans of the same tape.

        Spans that were published without a request are excluded.

        Raises:
            InputError: nothing is published.
            LakeError: all that is published is damaged; names the first file.
        """
        listing = self.tape.listing()
        self.damaged.extend(self.tape.all_damaged(listing))
        published = pl.concat(rows.with_columns(kind=pl.lit(kind)) for kind, rows in listing.items())
        requested = published.filter(pl.col("skipped").is_null()).sort("kind", "symbol", "start", "end", "wave")
        if requested.is_empty():
            for damage in self.damaged:
                raise damage
            profile = self.tape.profile
            raise InputError(
                f"{self.tape.lake.root}: no tape of profile {profile} yet. Materialize {profile}/tape_trades and "
                f"{profile}/tape_quotes first."
            )
        chance = random.Random(seed)  # noqa: S311 -- no secret
        chosen = requested[sorted(chance.sample(range(requested.height), min(size, requested.height)))]
        return Sample(chosen, requested.height, int(chosen["pages"].fill_null(1).clip(lower_bound=1).sum()))

    def run(self, sample: int, seed: int) -> pl.DataFrame:
        """Fetch a sample of spans again; one row each (AUDIT), sorted by kind, symbol and time.

        Raises:
            InputError: nothing is published.
            NotAuthenticated, NotEntitled: the vendor refuses.
        """
        chosen = self.sample(sample, seed)
        self.log(
            f"{chosen.spans.height:,} of {count_clause(chosen.of, 'published span is', 'published spans are')} fetched "
            f"again (sample seed {seed}): about "
            f"{count_noun(chosen.requests, 'request')}"
        )
        if words := describe_damage(self.damaged):
            self.log(f"damaged: {words}")
        stop = Event()
        unexpected = UnexpectedErrors(self.tape.lake, f"audit of {self.tape.profile}", self.client.clean)
        work = _Work(self.tape, self.client.until(stop), self._windows(), unexpected, self.damaged)
        rows = []
        progress = Progress(chosen.spans.height, "spans fetched again", log_if_long(self.log), self.client)
        spans = chosen.spans.to_dicts()
        for row, found in in_threads(work.compare, spans, self.threads, tick=progress.tick, stop=stop):
            rows.append(row)
            progress.add(failed=row["cause"] is not None)
            if found is not None:
                self._log_examples(row, found)
        return pl.DataFrame(rows, schema=AUDIT, orient="row").sort("kind", "symbol", "start", "end", "wave")

    def _windows(self) -> pl.DataFrame | None:
        """Windows of what is captured, with `known_at`; none without a manifest, None if it is damaged.

        Those of controls are left out where their manifest is damaged.
        """
        of_controls = list[LakeError]()
        try:
            captured = self.tape.captured(of_controls)
        except InputError:
            return pl.DataFrame(schema={"event_id": pl.String})
        except LakeError as error:
            self.damaged.append(error)
            self.log(f"damaged: {error}")
            return None
        for damage in of_controls:
            self.damaged.append(damage)
            self.log(f"damaged: {damage}")
        return with_known_at(event_windows(captured), captured["timestamp"])

    def _log_examples(self, row: Mapping[str, Any], found: Differences) -> None:
        for example in found.examples.to_dicts():
            values = f": {example['values']}" if example["values"] else ""
            self.log(
                f"{row['kind']} {row['symbol']}: {example['change']} {example['timestamp']} "
                f"#{example['sequence_number']}{values}"
            )


@dataclass(frozen=True)
class _Work:
    """State shared by the threads of an audit."""

    tape: TapeStore
    client: MarketDataClient
    windows: pl.DataFrame | None  # None: the manifest is damaged
    unexpected: UnexpectedErrors
    damaged: list[LakeError]

    def compare(self, published: Published) -> tuple[dict[str, Any], Differences | None]:
        """The row (AUDIT) of one span, and its differences if there are any."""
        row = {name: published[name] for name in AUDIT if name in published}
        unit = f"{published['kind']} {published['symbol']} {published['wave']} {Path(published['path']).stem}"
        found = self.unexpected.attempt(unit, partial(self._compare, published, row))
        return (row | {"cause": str(found)}, None) if isinstance(found, UnexpectedError) else found

    def _compare(self, published: Published, row: dict[str, Any]) -> tuple[dict[str, Any], Differences | None]:
        windows = self._windows_of(published)
        if windows is None:
            return row | {"cause": MANIFEST_DAMAGED if self.windows is None else WINDOWS_UNKNOWN}, None
        try:
            kind, span = published["kind"], Span(**{name: published[name] for name in _SPAN}, events_merged=())
            # earlier releases requested no opening book, and files of users have none
            has_book = published["opening_book"] is not None and not published["adopted_from"]
            fetched = download_tape(self.client, kind, span, TAPE_SCHEMAS[kind, "all"], opening_book=has_book)
            path = Path(published["path"])
            prove(path)
            with disk_errors("read", path):
                before = pl.read_parquet(path, hive_partitioning=False, glob=False)
        except (NotAuthenticated, NotEntitled):
            raise
        except (MarketDataError, LakeError) as error:
            if isinstance(error, LakeError):
                self.damaged.append(error)
            return row | {"cause": str(error)}, None
        # impossible rows are not published; earlier releases did
        stored, now = (judge_tape(frame, published["kind"]) for frame in (before, fetched.frame))
        if now.fault is not None:
            return row | {"cause": f"the vendor's {published['kind']} are impossible: {now.fault.sentence}"}, None
        after = _thin_like(now.rows, published, windows)
        found = compare_tape(stored.rows, after, published["kind"])
        counts = {"added": found.added, "removed": found.removed, "altered": found.altered}
        return row | {"rows": before.height, **counts, "cause": None}, found if any(counts.values()) else None

    def _windows_of(self, published: Published) -> pl.DataFrame | None:
        """Windows of the events of a span that was thinned to the size budget; None if they are not known.

        They are known if together they are the span. Other spans need none.
        """
        if not published["budget_hz"]:
            return WINDOWS.to_frame()
        if self.windows is None:
            return None
        events = published["events_merged"]
        windows = self.windows.filter(pl.col("event_id").is_in(events))
        if windows.height != len(events):
            return None
        reach = windows["start"].min(), windows["end"].max()
        return windows if reach == (published["start"], published["end"]) else None


def _thin_like(frame: pl.DataFrame, published: Published, windows: pl.DataFrame) -> pl.DataFrame:
    """A download, thinned as the published file was."""
    if published["kind"] == "trades":
        return frame
    thinning = Thinning(**published["thinning"])
    kept = thin_frame(frame, thinning)
    if windows.is_empty():
        return kept
    if published["budget_from"] is None:  # release 0.1 began a minute earlier, with the event's own
        windows = windows.with_columns(known_at=pl.col("known_at") - timedelta(minutes=1))
    rates = dict(zip(published["budget_events"], published["budget_hz"], strict=True))
    return thin_after(kept, windows, rates, thinning).collect()
