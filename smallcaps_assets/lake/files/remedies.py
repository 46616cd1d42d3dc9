"""How to get back a damaged file of the lake: what makes it again, and what that costs."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote

_UNKNOWN: Final = (
    "Check that the file exists, is intact and readable by this user; restore it, or remove it and run again."
)
_FREE: Final = "without a request"
_SYMBOL: Final = "symbol=(?P<symbol>[^/]+)"
_PROFILE: Final = "(?P<profile>[^/]+)"

# the end of a path, and the remedy; the first one that fits counts
_REMEDIES: Final[Sequence[tuple[str, str]]] = (
    (
        r"quarantine/tape/.*\.json",
        (
            "Remove it: it only records why a window could not be fetched, and the next capture requests that window "
            "again."
        ),
    ),
    (r"quarantine/unexpected/.*", "Remove it: it only records an error."),
    (
        r"quarantine/(?:bars|events|tape)/.*",
        "Restore it, or remove it: it holds rejected rows only, and no published row is lost.",
    ),
    (
        r"lake\.json",
        (
            "Restore it, or remove it: the lake is given another id, and a state of Dagster in a database asks whether "
            "it is the same lake; one in .dagster is found by the path of the lake."
        ),
    ),
    (
        r"reference/universe\.parquet",
        (
            "Restore it, or remove what is left of it and materialize universe, which costs the requests of its lists; "
            "the days when symbols were first seen, and the symbols that are gone from the lists, are then lost."
        ),
    ),
    (
        r"reference/ticker_details\.parquet",
        (
            "Restore it, or remove it and materialize universe, which costs one request for each symbol whose details "
            "it needs."
        ),
    ),
    (
        r"reference/(?P<table>trade_conditions|splits)\.parquet",
        "Restore it, or remove it and materialize {table}, which costs one or two requests.",
    ),
    (
        r"reference/listing(?:s|_facts)\.parquet",
        f"Materialize listings, which makes it from the stored lists of tickers {_FREE}.",
    ),
    (
        r"reference/listings/snapshots/(?P<day>[^/]+)\.parquet",
        (
            "Restore it, or remove it and materialize listings, which asks for the list of {day} again, about one "
            "request per 1,000 tickers."
        ),
    ),
    (
        r"reference/listings/observations\.parquet",
        (
            "Restore it, or remove it and materialize listings, which asks again for the days on which listings begin "
            "and end; the asset states the number of requests before it sends them."
        ),
    ),
    (
        r"reference/listings/ticker_events\.parquet",
        (
            "Restore it, or remove it and materialize listings, which asks for it again: one request for each change "
            "of a ticker that no share class FIGI proves."
        ),
    ),
    (
        r"reference/listings/delisted\.parquet",
        (
            "Restore it, or remove it and materialize listings, which asks for it again: one request per 1,000 "
            "tickers that were ever delisted, and up to three for each listing that its answers do not show."
        ),
    ),
    (
        r"reference/shares_outstanding\.parquet",
        (
            "Restore it, or remove it and materialize event_listings, which asks for it again: one to two requests "
            "per symbol and quarter with events."
        ),
    ),
    (r"events/listings\.parquet", f"Materialize event_listings, which makes it from MASTER and listings {_FREE}."),
    (
        r"reference/imports\.json",
        (
            'Restore it, or write into it what was imported, such as {{"kinds": ["bars"]}}; the kinds are bars, events '
            "and windows."
        ),
    ),
    (
        rf"bars/minute/{_SYMBOL}/(?P<month>[^/]+)\.parquet",
        (
            "Restore it, or materialize minute_bars of {symbol} with the run config {{refetch_damaged: true}}, which "
            "sets it aside in the quarantine and costs about one request (imported bars: `smallcaps import bars`)."
        ),
    ),
    (
        r"bars/minute(/symbol=[^/]+)?",
        (
            "Restore it, or materialize minute_bars with the run config {{refetch_damaged: true}}, which sets aside "
            "what is damaged in it and costs about one request for each month of a symbol."
        ),
    ),
    (
        r"bars/flat/minute/(?P<day>[^/]+)\.parquet",
        (
            "Restore it, or materialize flat_minute_bars of {day}, which sets it aside in the quarantine and downloads "
            "the file of that session again; without it, published bars of symbols stay."
        ),
    ),
    (
        r"bars/flat(?:/minute)?",
        (
            "Restore it, or materialize flat_minute_bars, which sets aside what is damaged in it and downloads the "
            "files of these sessions again."
        ),
    ),
    (
        rf"events/shards/{_SYMBOL}\.parquet",
        (
            f"Materialize event_shards of {{symbol}}, which sets it aside in the quarantine and detects its events "
            f"again {_FREE}; then master_events."
        ),
    ),
    (
        r"events/shards",
        (
            f"Materialize event_shards, which sets aside what is damaged in it and detects the events again {_FREE}; "
            "then master_events."
        ),
    ),
    (
        rf"events/candidates/{_SYMBOL}\.parquet",
        f"Remove it: with the next session of {{symbol}}, or when they are needed, they are detected again {_FREE}.",
    ),
    (
        r"events/candidates",
        f"Remove what is damaged in it: what is needed of it is detected again from the bars {_FREE}.",
    ),
    (
        rf"events/condition_bars(?:/{_SYMBOL}\.parquet)?",
        (
            "Remove what is damaged: experiments read the candidates instead, and it is made again with the next "
            f"session {_FREE}."
        ),
    ),
    (r"events/coverage/[^/]+\.json", f"Remove it: the next materialization of event_shards writes it again {_FREE}."),
    (r"events/master\.parquet", f"Materialize master_events, which makes it from the shards {_FREE}."),
    (r"events/adopted\.parquet", f"Remove it and run `smallcaps import events` again, which makes it {_FREE}."),
    (
        rf"manifests/{_PROFILE}/current\.json",
        f"Materialize {{profile}}/manifest, which selects the events from MASTER again and writes it anew, {_FREE}.",
    ),
    (
        rf"manifests/{_PROFILE}/cohorts_[^/]+",
        (
            "Restore it, or materialize {profile}/manifest with the run config {{renew_cohorts: true}}, which selects "
            f"the events by the cohorts as they are now, {_FREE}."
        ),
    ),
    (
        rf"manifests/{_PROFILE}/[^/]+",
        (
            f"Restore it, or materialize {{profile}}/manifest, which selects the events from MASTER again, in a "
            f"manifest beside it, {_FREE}."
        ),
    ),
    (
        rf"tape/{_PROFILE}/(?:control_)?ledger\.parquet",
        f"Materialize {{profile}}/capture_ledger, which makes it from the tape {_FREE}.",
    ),
    (
        rf"tape/{_PROFILE}/report\.parquet",
        f"Materialize {{profile}}/capture_report, which makes it from the ledger {_FREE}.",
    ),
    (
        rf"tape/{_PROFILE}/(?P<kind>trades|quotes)/wave=(?P<wave>[^/]+)/{_SYMBOL}/[^/]+\.parquet",
        (
            "Restore it, or remove it and materialize {profile}/tape_{kind} of {symbol} and {wave}, which costs one "
            "request for each page of its window."
        ),
    ),
    (
        rf"tape/{_PROFILE}/(?P<kind>trades|quotes)",
        (
            "Restore what is damaged in it, which `smallcaps verify --profile {profile}` names, or remove that and "
            "materialize {profile}/tape_{kind}, which costs one request for each page of its windows."
        ),
    ),
    (r"tape", "Restore what is damaged in it, which `smallcaps verify` names, or remove that and capture it again."),
    (
        r"research/(?P<profile>[a-z]+)/(?P<table>[a-z_]+)(/.*|\.parquet)",
        f"Materialize {{profile}}/{{asset}}, which sets it aside in the quarantine and makes it again {_FREE}.",
    ),
    (
        r"research/(?P<table>[a-z_]+)(/.*|\.parquet)",
        f"Materialize {{asset}}, which sets it aside in the quarantine and makes it again {_FREE}.",
    ),
    (
        rf"review/{_PROFILE}/marks/[^/]+(/[^/]+)?",
        "Restore it, or remove it and run `smallcaps review` on the exported labels again.",
    ),
    (
        rf"review/{_PROFILE}/[^/]+",
        f"Materialize {{profile}}/review_sheet, which makes it from manifest and bars {_FREE}.",
    ),
    (r"reports/coverage\.parquet", f"Materialize coverage, which makes it {_FREE}."),
    (
        r"reports/nightly\.parquet",
        "Remove it: the next run of the job nightly writes it again, and only the list of the last night is lost.",
    ),
    (
        (
            r"(?:reference(?:/listings(?:/snapshots)?)?|"
            r"bars|events(?:/(?:coverage|candidates|condition_bars))?|reports|manifests(?:/[^/.]+)?|"
            r"review(?:/[^/.]+(?:/marks)?)?|"
            r"research(?:/[^/.]+)*|tape/[^/.]+(?:/(?:trades|quotes)/wave=[^/.]+(?:/symbol=[^/]+)?)?|"
            r"quarantine(?:/[^/.]+)?)"
        ),
        "Restore what was in the folder: `smallcaps verify` names what is missing, with its remedy.",
    ),
)
# Research tables that are no assets, and the asset that makes each beside its own table; so are those of controls.
_MADE_BESIDE: Final = {
    "event_outcomes": "event_waves",
    "event_reconciliation": "bar_reconciliation",
    "tape_halts": "event_tape_state",
    "cohort_members": "cohorts",
}
_OF_CONTROLS: Final = "control_"
_CONTROL_ASSETS: Final = ("control_manifest", "control_features")
# folders of a lake: beside one of them, another shows that it is one
_FOLDERS: Final = ("reference", "bars", "events", "manifests", "tape", "research", "reports", "quarantine")
_COMPILED: Final = [(re.compile(f"(?:^|/){pattern}$"), words) for pattern, words in _REMEDIES]


def asset_of_table(table: str) -> str:
    """The asset, without its profile, that makes a research table: of the same name, or the one that it lies beside."""
    if table.startswith(_OF_CONTROLS) and table not in _CONTROL_ASSETS:
        return _CONTROL_ASSETS[1]
    return _MADE_BESIDE.get(table, table)


def how_to_restore(path: Path) -> str:
    """How to get back a damaged file or folder of a lake, in a sentence; what to check where it is none of a lake."""
    return remedy_of_lake_file(path) or _UNKNOWN


def remedy_within_lake(path: Path) -> str | None:
    """The same where other folders of a lake are beside that of the file: people's own files may be laid out alike."""
    whole = path.absolute()
    for pattern, _ in _COMPILED:
        if found := pattern.search(whole.as_posix()):
            root = Path(whole.as_posix()[: found.start()] or "/")
            own = whole.relative_to(root).parts[0]
            is_lake = any((root / name).is_dir() for name in _FOLDERS if name != own)
            return remedy_of_lake_file(whole) if is_lake else None
    return None


def remedy_of_lake_file(path: Path) -> str | None:
    """How to get back a damaged file of a lake; None where its path is none of a lake."""
    name = path.as_posix()
    for pattern, words in _COMPILED:
        if found := pattern.search(name):
            parts = {key: unquote(part) for key, part in found.groupdict().items() if part}
            return words.format(**parts, asset=asset_of_table(parts.get("table", "")))
    return None
