"""The ledger as certificates: whether it is complete, which files it names, whether each window is as certified."""

from datetime import timedelta
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.research.controls.tables import control_windows
from smallcaps_assets.domain.tables import MANIFEST, UTC_US
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS, TapeKind
from smallcaps_assets.domain.tape.tables import CERTIFIED, LEDGER, LEDGER_ADDED, WINDOWS
from smallcaps_assets.domain.tape.windows import cut_pieces, event_windows, uncovered_windows
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.controls import ControlStore
from smallcaps_assets.lake.files.stored_tables import is_stored, read_table
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.lake.verification.discrepancy import DAMAGE_ERRORS, Discrepancy, first_line, relative_path

# what is wrong with a ledger whose manifest is damaged: the ledger itself may be sound
MANIFEST_UNUSABLE: Final = "its manifest cannot be used"
CONTROLS_MISSING: Final = "certifies controls whose manifest is missing"
_ABSENT: Final = ("failed", "denied", "missing")
# from the end of a download to the publication of its file: a ledger may be made while a capture runs
_PUBLISHING_TAKES: Final = timedelta(seconds=10)


class Uncertified(NamedTuple):
    """Events of a ledger without a certificate of a kind of tape that is published.

    Attributes:
        since: events captured since the ledger was made: it is out of date.
        before: findings about events captured before that.
    """

    since: tuple[str, ...]
    before: list[Discrepancy]


def read_ledger(lake: Lake, profile: str) -> pl.DataFrame:
    """The ledger of a profile (LEDGER).

    Raises:
        InputError: there is none, or it belongs to another profile.
        LakeError: it is damaged, cannot be read, or is no ledger.
    """
    path, remedy = lake.ledger(profile), f"Materialize {profile}/capture_ledger."
    if not is_stored(path):
        raise InputError(f"{path}: no ledger of profile {profile} yet. {remedy}")
    ledger = read_table(path, LEDGER, LEDGER_ADDED)
    others = ledger["profile"].unique().drop_nulls().sort().to_list()
    if ledger["profile"].has_nulls() or others not in ([], [profile]):
        raise InputError(f"{path}: is the ledger of profile {', '.join(others) or 'none'}, not of {profile}. {remedy}")
    return ledger


def compare_with_manifest(ledger: pl.DataFrame, manifests: ManifestStore, file: str) -> list[Discrepancy]:
    """Differences between a ledger and the current manifest: each event must be there once, with its window."""
    try:
        current = manifests.sidecar()["manifest_id"]
        manifest = manifests.load()
    except DAMAGE_ERRORS as error:
        return [_unusable(file, error)]
    found = []
    named = ledger["manifest_id"].unique().sort().to_list()
    if ledger.height and named != [current]:
        names = ", ".join(name or "none" for name in named)
        found.append(Discrepancy(file, "is not of the current manifest", current, names))
        older = manifests.folder / f"{named[0]}.parquet"
        if len(named) > 1 or not older.is_file():
            return found
        try:
            manifest = read_table(older, MANIFEST)
        except DAMAGE_ERRORS as error:
            return [*found, _unusable(file, error)]
    return [*found, *_other_windows(ledger, manifest, file)]


def compare_with_controls(
    ledger: pl.DataFrame, controls: ControlStore, manifests: ManifestStore, file: str
) -> list[Discrepancy]:
    """Differences between the ledger of controls (CONTROL_LEDGER) and their manifest: each window once, as chosen.

    Args:
        ledger: the ledger.
        controls: the controls of the profile.
        manifests: the manifests of the profile.
        file: the name of the ledger, for the findings.
    """
    try:
        if not is_stored(controls.path):
            asset, expected = f"{controls.profile}/{controls.path.stem}", relative_path(controls.lake, controls.path)
            remedy = f"materialize {asset}, unless there shall be no controls"
            return [Discrepancy(file, CONTROLS_MISSING, expected, "nothing", (), remedy)]
        windows = control_windows(controls.load(manifests.load()))
    except DAMAGE_ERRORS as error:
        return [_unusable(file, error)]
    return _other_windows(ledger, windows, file)


def _other_windows(ledger: pl.DataFrame, manifest: pl.DataFrame, file: str) -> list[Discrepancy]:
    """Windows of a ledger that are not those of its manifest."""
    found = []
    facts = [*WINDOWS, "extended"]
    expected = event_windows(manifest).with_columns(extended=manifest["extended"])
    twice = ledger.filter(pl.col("event_id").is_duplicated())["event_id"].unique().sort()
    ids = {
        "lacks events of its manifest": (expected.join(ledger, on="event_id", how="anti"), "no event less"),
        "has events that are not in its manifest": (ledger.join(expected, on="event_id", how="anti"), "no event more"),
        "has events twice": (twice.to_frame(), "each event once"),
        "has other windows than its manifest": (
            ledger.select(facts).join(expected, on="event_id", how="semi").join(expected, on=facts, how="anti"),
            "symbol, wave, start, end and extended as in the manifest",
        ),
    }
    for what, (rows, rule) in ids.items():
        if rows.height:
            events = tuple(rows["event_id"].to_list())
            found.append(
                Discrepancy(file, what, rule, f"{rows.height:,} of {count_noun(manifest.height, 'event')}", events)
            )
    return found


def _unusable(file: str, error: BaseException) -> Discrepancy:
    remedy = "mend the manifest that cannot be used, as it says"
    return Discrepancy(file, MANIFEST_UNUSABLE, "the manifest as it was frozen", first_line(error), remedy=remedy)


def find_uncertified(ledger: pl.DataFrame, tape: TapeStore, file: str) -> Uncertified:
    """Events that a ledger says are not captured, although their tape is published.

    A ledger is made after the latest download that it certifies. Tape that was downloaded before is a finding, unless
    it came from elsewhere, which may have happened at any time.

    Args:
        ledger: the ledger (LEDGER), with unique events.
        tape: the tape.
        file: the name of the ledger, for the findings.
    """
    latest = ledger.select(pl.max_horizontal(pl.col(f"{kind}_fetched_at").max() for kind in TAPE_KINDS)).item()
    since: dict[str, None] = {}
    before = []
    is_own = (pl.col("taken_from").list.len().fill_null(0) + pl.col("adopted_from").list.len().fill_null(0)) == 0
    for kind in TAPE_KINDS:
        windows = ledger.filter(pl.col(f"{kind}_rows").is_null()).select(*WINDOWS)
        if windows.is_empty():
            continue
        published = tape.published(kind, windows["symbol"].unique(maintain_order=True).drop_nulls().to_list())
        older = published.filter(is_own & (pl.col("fetched_at") + _PUBLISHING_TAKES < pl.lit(latest, UTC_US)))
        present, known = (
            windows.join(uncovered_windows(windows, spans), on="event_id", how="anti") for spans in (published, older)
        )
        since |= dict.fromkeys(present.join(known, on="event_id", how="anti")["event_id"])
        if events := tuple(known["event_id"]):
            words = f"none for {count_noun(len(events), 'event')}"
            rule = "certificates of all that was captured before it was made"
            before.append(Discrepancy(file, f"lacks certificates of {kind}", rule, words, events))
    return Uncertified(tuple(since), before)


def list_certified_files(ledger: pl.DataFrame, file: str) -> tuple[pl.DataFrame, list[Discrepancy]]:
    """The files that a ledger names (CERTIFIED), sorted by name, and its contradictions about them."""
    found: list[Discrepancy] = []
    named = []
    for kind in TAPE_KINDS:
        names = {"file": f"{kind}_files", "sha256": f"{kind}_sha256", "span": f"{kind}_spans"}
        rows = ledger.select("event_id", "symbol", kind=pl.lit(kind), fetched_at=f"{kind}_fetched_at", **names)
        counts = [pl.col(name).list.len().fill_null(0) for name in names]
        uneven = pl.any_horizontal(count != counts[0] for count in counts)
        events = tuple(rows.filter(uneven)["event_id"])
        if events:
            words = f"{count_noun(len(events), 'event')} with more of the one than of the other"
            found.append(Discrepancy(file, f"{kind} certified in part", "one hash and span per file", words, events))
        named.append(rows.filter(~uneven).explode(*names).drop_nulls("file").unnest("span"))
    facts = ("symbol", "sha256", "start", "end")
    files = (
        pl.concat(named)
        .group_by("kind", "file")
        .agg(
            *(pl.col(name).first() for name in facts),
            pl.col("fetched_at").min(),
            events="event_id",
            agree=pl.struct(facts).n_unique() == 1,
        )
        .sort("kind", "file")
    )
    for row in files.filter(~pl.col("agree")).to_dicts():
        words = f"several hashes or spans of {row['file']}"
        found.append(Discrepancy(file, "contradicts itself", "one hash and span per file", words, tuple(row["events"])))
    return files.select(*CERTIFIED).match_to_schema(CERTIFIED), found


def compare_windows(ledger: pl.DataFrame, sound: pl.DataFrame, tape: TapeStore, file: str) -> list[Discrepancy]:
    """Differences between the certificate of each event and its window: state, spans, rows in the files.

    Args:
        ledger: the ledger (LEDGER), with unique events.
        sound: its files (CERTIFIED) that are as certified; rows are only counted for events without other files.
        tape: the tape.
        file: the name of the ledger, for the findings.

    Raises:
        LakeError: a file cannot be read.
    """
    found = _states(ledger, file)
    for kind in TAPE_KINDS:
        published = ledger.filter(pl.col(f"{kind}_rows").is_not_null())
        found += _spans(published, kind, file)
        files = sound.filter(pl.col("kind") == kind)
        countable = pl.col(f"{kind}_files").list.eval(pl.element().is_in(files["file"].to_list())).list.all()
        found += _rows(published.filter(countable), files, tape, kind, file)
    return found


def _states(ledger: pl.DataFrame, file: str) -> list[Discrepancy]:
    trades, quotes = (pl.col(f"{kind}_rows") for kind in TAPE_KINDS)
    follows = (
        pl.when(trades.is_null() | quotes.is_null())
        .then(pl.lit(" or ".join(_ABSENT)))
        .when((trades > 0) & (quotes > 0))
        .then(pl.lit("complete"))
        .when(trades > 0)
        .then(pl.lit("trades_only"))
        .when(quotes > 0)
        .then(pl.lit("quotes_only"))
        .otherwise(pl.lit("empty"))
    )
    holds = (pl.col("state") == pl.col("follows")) | (
        pl.col("state").is_in(_ABSENT) & (trades.is_null() | quotes.is_null())
    )
    wrong = ledger.with_columns(follows=follows).filter(~holds.fill_null(value=False))
    return [
        Discrepancy(file, f"state of {event} does not follow from its rows", expected, str(state), (event,))
        for event, expected, state in wrong.select("event_id", "follows", "state").iter_rows()
    ]


def _spans(published: pl.DataFrame, kind: TapeKind, file: str) -> list[Discrepancy]:
    """Events whose window is not inside their certified spans."""
    # `symbol` is the event here: no two events share a span
    windows = published.select(*WINDOWS).with_columns(symbol="event_id")
    spans = published.select(pl.col("event_id").alias("symbol"), span=f"{kind}_spans").explode("span").unnest("span")
    outside = uncovered_windows(windows, spans.drop_nulls())
    return [
        Discrepancy(
            file, f"{kind} of {event} lack a part of its window", f"[{start}, {end})", "shorter spans", (event,)
        )
        for event, start, end in outside.select("event_id", "start", "end").iter_rows()
    ]


def _rows(
    published: pl.DataFrame, files: pl.DataFrame, tape: TapeStore, kind: TapeKind, file: str
) -> list[Discrepancy]:
    """Events whose window has rows other than certified."""
    paths = [str(tape.lake.root / name) for name in files["file"]]
    places = files.select("symbol", "start", "end", path=pl.Series(paths, dtype=pl.String))
    counted = (
        tape.count_pieces(kind, cut_pieces(published.select(*WINDOWS), places))
        .group_by("event_id")
        .agg(pl.col("rows").sum(), pl.col("first").min(), pl.col("last").max())
    )
    names = ("rows", "first", "last")
    both = (
        published.select("event_id", **{f"certified_{name}": f"{kind}_{name}" for name in names})
        .join(counted, on="event_id", how="left", maintain_order="left")
        .with_columns(pl.col("rows").fill_null(0))
    )
    wrong = both.filter(pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"certified_{name}")) for name in names))
    return [
        Discrepancy(
            file,
            f"{kind} of {row['event_id']} are not those of its window",
            f"{count_noun(row['certified_rows'], 'row')} from {row['certified_first']} to {row['certified_last']}",
            f"{count_noun(row['rows'], 'row')} from {row['first']} to {row['last']}",
            (row["event_id"],),
        )
        for row in wrong.to_dicts()
    ]
