"""Files of a lake that other files name and that are missing, or are not those that they name."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any, Final

import polars as pl

from smallcaps_assets.domain.research.tape.pinned_conditions import pinned_conditions
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.lake.bar_files.import_records import IMPORTS
from smallcaps_assets.lake.bar_files.month_files import parse_sessions
from smallcaps_assets.lake.bar_files.months import MonthCoverage
from smallcaps_assets.lake.events.candidates import CandidateStore
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.files.content_hash import DOCUMENT_KEY, ProofState, document_proof
from smallcaps_assets.lake.files.documents import parse_json_object
from smallcaps_assets.lake.files.publish import provenance_of, sha256
from smallcaps_assets.lake.files.remedies import how_to_restore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.reference_tables import CONDITIONS_INPUT, SPLITS_INPUT, SPLITS_UNKNOWN
from smallcaps_assets.lake.research import ResearchStore
from smallcaps_assets.lake.selecting_cohorts import COHORTS_ENTRY
from smallcaps_assets.lake.symbol_paths import symbol_of
from smallcaps_assets.lake.verification.cohort_files import compare_cohort_files
from smallcaps_assets.lake.verification.discrepancy import DAMAGE_ERRORS, Discrepancy, first_line, relative_path
from smallcaps_assets.lake.verification.listing_files import missing_of_listings

_NOTHING: Final = "nothing"


def find_missing_files(lake: Lake, files: Mapping[str, str], profile: str | None = None) -> list[Discrepancy]:
    """What is missing beside the `files` of a lake; what cannot be read of them is left to other rules.

    Args:
        lake: the lake.
        files: its files and their kinds, or those of one profile.
        profile: that profile.
    """
    sidecars = sorted(file for file in files if files[file] == "sidecars")
    of_profiles = [
        *_of_manifests(lake, files, sidecars),
        *_of_selecting_cohorts(lake, files, sidecars),
        *_of_reviews(files),
        *compare_cohort_files(lake, files),
    ]
    if profile is not None:
        return of_profiles
    footers = _month_footers(lake, files)
    return [
        *_of_selections(lake, files, sidecars),
        *_of_reference(lake, files, footers),
        *_of_bars(lake, files, footers),
        *_of_shards(lake, files),
        *_of_candidates(lake, files),
        *_of_research(lake, files),
        *(_missing(file, expected) for file, expected in missing_of_listings(lake, files)),
        *of_profiles,
    ]


def _missing(file: str, expected: str, what: str = "is missing", found: str = _NOTHING) -> Discrepancy:
    return Discrepancy(file, what, expected, found, remedy=how_to_restore(Path(file)))


def _document(lake: Lake, file: str) -> Mapping[str, Any]:
    """The entries of a document; none where it is damaged or cannot be read."""
    try:
        document = parse_json_object((lake.root / file).read_bytes()) or {}
    except OSError:
        return {}
    return {} if document_proof(document).state is ProofState.DAMAGED else document


def _month_footers(lake: Lake, files: Mapping[str, str]) -> Mapping[str, Mapping[str, Any]]:
    """The provenance of each month of bars that can be read."""
    found = {}
    for file in sorted(files):
        if file.startswith("bars/minute/"):
            try:
                found[file] = provenance_of(lake.root / file) or {}
            except DAMAGE_ERRORS:
                continue
    return found


def _of_reference(
    lake: Lake, files: Mapping[str, str], footers: Mapping[str, Mapping[str, Any]]
) -> Iterator[Discrepancy]:
    universe, imports = relative_path(lake, lake.universe), relative_path(lake, lake.imports)
    made_from_it = [relative_path(lake, path) for path in (lake.ticker_details, lake.nightly_report)]
    if universe not in files and (made := [file for file in made_from_it if file in files]):
        yield _missing(universe, f"the universe that {made[0]} was made with")
    kinds = ["bars"] * any(footer.get(IMPORTS) for footer in footers.values())
    kinds += ["events"] * (relative_path(lake, lake.imported_events) in files)
    recorded = _document(lake, imports).get("kinds") if imports in files else ()
    if imports not in files or (isinstance(recorded, list) and "windows" not in recorded):
        kinds += ["windows"] * _has_imported_windows(lake, files)
    if imports not in files and kinds:
        yield _missing(imports, f"a record of imported {_list(kinds)}")
    elif isinstance(recorded, list):
        if lost := [kind for kind in kinds if kind not in recorded]:
            record = f"a record of imported {_list(kinds)}"
            yield _missing(imports, record, "lacks kinds, as an older copy does", f"none of {_list(lost)}")
        if "events" in recorded and "events" not in kinds:
            yield _missing(relative_path(lake, lake.imported_events), f"the events that {imports} names")


def _list(kinds: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(kinds[:-1]), kinds[-1]) if part)


def _has_imported_windows(lake: Lake, files: Mapping[str, str]) -> bool:
    """Whether a tape file names files that it was imported from; reads footers up to the first one."""
    for file in (file for file in sorted(files) if files[file] == "tape"):
        with suppress(*DAMAGE_ERRORS):
            if (provenance_of(lake.root / file) or {}).get("adopted_from"):
                return True
    return False


def _of_bars(lake: Lake, files: Mapping[str, str], footers: Mapping[str, Mapping[str, Any]]) -> Iterator[Discrepancy]:
    """Sessions that shards were detected on and that no month of bars has."""
    store = ShardStore(lake)
    for symbol in _symbols_of_shards(files):
        try:
            coverage = store.coverage(symbol)
            folder = relative_path(lake, lake.bars(symbol))
        except DAMAGE_ERRORS:
            continue
        for month, detected in sorted(coverage.months.items() if coverage else ()):
            file = f"{folder}/{month}.parquet"
            if file not in files:
                yield _missing(file, f"{count_noun(len(detected), 'session')} that events of {symbol} were detected on")
            elif lost := sorted(detected.fingerprints().keys() - _sessions(footers.get(file, {}), detected)):
                yield _missing(
                    file,
                    f"the {count_noun(len(detected), 'session')} that events of {symbol} were detected on",
                    "lacks sessions, as an older copy does",
                    f"{len(lost):,} less, such as {lost[0]}",
                )


def _sessions(footer: Mapping[str, Any], detected: MonthCoverage) -> set[date]:
    """The sessions of a month of bars; those detected where its footer names none."""
    return set(parse_sessions(footer["sessions"]) if "sessions" in footer else detected.fingerprints())


def _of_shards(lake: Lake, files: Mapping[str, str]) -> Iterator[Discrepancy]:
    """Shards whose events are in MASTER, or of which a table of coverage tells."""
    named: dict[str, str] = {}
    for file in sorted(files):
        if file.startswith("events/coverage/"):
            symbols = _document(lake, file).keys() - {DOCUMENT_KEY}
            named |= dict.fromkeys(symbols, f"the shard that {file} belongs to")
    master = relative_path(lake, lake.master)
    if master in files:
        try:
            rows = pl.scan_parquet(lake.master, hive_partitioning=False, glob=False)
            counts = rows.group_by("symbol").len().collect()
        except DAMAGE_ERRORS:
            counts = pl.DataFrame(schema={"symbol": pl.String, "len": pl.UInt32})
        named |= {symbol: f"{count_noun(count, 'event')} that {master} has" for symbol, count in counts.iter_rows()}
    for symbol in sorted(named.keys() - set(_symbols_of_shards(files))):
        try:
            yield _missing(relative_path(lake, lake.shard(symbol)), named[symbol])
        except DAMAGE_ERRORS:
            continue


def _of_candidates(lake: Lake, files: Mapping[str, str]) -> Iterator[Discrepancy]:
    """Candidates beside shards that were detected with other settings."""
    candidates, shards = CandidateStore(lake), ShardStore(lake)
    for symbol in _symbols_of_shards(files):
        try:
            file = relative_path(lake, lake.candidates_of(symbol))
            origin = candidates.origin(symbol) if file in files else None
            coverage = shards.coverage(symbol) if origin else None
        except DAMAGE_ERRORS:
            continue
        if origin and coverage and not origin.has_settings_of(coverage):
            words = "were detected with other settings than the shard beside them"
            yield _missing(file, "the settings of the shard", words, "others")


def _of_research(lake: Lake, files: Mapping[str, str]) -> Iterator[Discrepancy]:
    """Splits and trade conditions that research tables were computed with; without them other figures would follow.

    Conditions that are those of the pinned copy are not missed: the same figures follow from it.
    """
    splits, conditions = (relative_path(lake, path) for path in (lake.splits, lake.trade_conditions))
    absent = {
        name: (file, other)
        for name, file, other in (
            (SPLITS_INPUT, splits, SPLITS_UNKNOWN),
            (CONDITIONS_INPUT, conditions, pinned_conditions()["sha256"][0]),
        )
        if file not in files
    }
    for table in sorted(file for file, kind in files.items() if kind == "research tables") if absent else ():
        with suppress(*DAMAGE_ERRORS):
            inputs = ResearchStore(lake).recorded(lake.root / table) or {}
            for name, (file, other) in [*absent.items()]:
                if inputs.get(name, other) != other:
                    yield _missing(file, f"the {Path(file).stem.replace('_', ' ')} that {table} was computed with")
                    del absent[name]
        if not absent:
            return


def _symbols_of_shards(files: Mapping[str, str]) -> list[str]:
    names = (file.removeprefix("events/shards/") for file in files if file.startswith("events/shards/symbol="))
    return sorted({symbol_of(name.removesuffix(".parquet")) for name in names if name.endswith(".parquet")})


def _of_selections(lake: Lake, files: Mapping[str, str], sidecars: Collection[str]) -> Iterator[Discrepancy]:
    """MASTER, if the newest manifest was selected from it. Tape and manifests may be copied without the events."""
    master, imported = (relative_path(lake, path) for path in (lake.master, lake.imported_events))
    if not sidecars or master in files or not _symbols_of_shards(files):
        return
    selected_from = _document(lake, max(sidecars, key=_time_of)).get("master_sha256")
    if imported not in files or _sha256(lake, imported) != selected_from:
        yield _missing(master, f"the events that {max(sidecars, key=_time_of)} was selected from")


def _time_of(sidecar: str) -> str:
    return sidecar.partition("_")[2]


def _of_manifests(lake: Lake, files: Mapping[str, str], sidecars: Collection[str]) -> Iterator[Discrepancy]:
    """Manifests that are not what their sidecars describe; pointers that lead nowhere."""
    for file in sidecars:
        manifest = file.removesuffix(".json") + ".parquet"
        recorded = _document(lake, file).get("sha256")
        if manifest not in files:
            yield _missing(manifest, f"the manifest that {file} describes")
        elif recorded and (found := _sha256(lake, manifest)) != recorded:
            yield _missing(manifest, f"SHA-256 {recorded}", "is not the one that its sidecar describes", found)
    of_manifests = {"manifests", "sidecars", "pointers"}
    for folder in sorted({file.rpartition("/")[0] for file, kind in files.items() if kind in of_manifests}):
        pointer = f"{folder}/current.json"
        if pointer in files:
            current, profile = _document(lake, pointer).get("manifest_id"), folder.rpartition("/")[2]
            sidecar = f"{folder}/{current}.json"
            if current and not f"{current}".startswith(f"{profile}_"):
                yield _missing(pointer, f"a manifest of {profile}", "names the manifest of another profile", current)
            elif current and sidecar not in files:
                yield _missing(sidecar, f"the sidecar of the manifest that {pointer} names")
        elif any(file.startswith(f"{folder}/") for file in sidecars):
            yield _missing(pointer, "the name of the current manifest")


def _of_selecting_cohorts(lake: Lake, files: Mapping[str, str], sidecars: Collection[str]) -> Iterator[Discrepancy]:
    """Cohorts that selected the events of manifests, as their sidecars name them."""
    named = {
        f"{file.rpartition('/')[0]}/{entry['file']}": file
        for file in sidecars
        if isinstance(entry := _document(lake, file).get(COHORTS_ENTRY), dict) and "file" in entry
    }
    for cohorts, file in sorted(named.items()):
        if cohorts not in files:
            yield _missing(cohorts, f"the cohorts that selected the events, which {file} names")


def _sha256(lake: Lake, file: str) -> str:
    try:
        return sha256(lake.root / file)
    except DAMAGE_ERRORS as error:
        return first_line(error)


def _of_reviews(files: Mapping[str, str]) -> Iterator[Discrepancy]:
    """Pages without their samples, samples without their pages."""
    for file in sorted(files):
        if files[file] in {"review pages", "review samples"}:
            stem, _, suffix = file.rpartition(".")
            other = f"{stem}.{'json' if suffix == 'html' else 'html'}"
            if other not in files:
                yield _missing(other, f"the file beside {file}")
