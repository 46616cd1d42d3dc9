"""What the research tables of a profile over all symbols are made from, so that who reads one sees that it is older.

A table is compared with what its footer says it was made from, by the hashes in the footers of its inputs: no row is
read. A table of an earlier release, which does not say it, is compared as far as it does.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from smallcaps_assets.errors import InputError, LakeError
from smallcaps_assets.lake.cohorts import COHORTS_TABLE
from smallcaps_assets.lake.files.remedies import asset_of_table
from smallcaps_assets.lake.files.stored_tables import is_stored
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import Current, ManifestStore
from smallcaps_assets.lake.research import ResearchStore
from smallcaps_assets.lake.selecting_cohorts import COHORTS_ENTRY

# Key of a footer: the digest of each input by the name of its table.
CONTENTS: Final = "contents"
MANIFEST_INPUT: Final = "manifest"

# Files by the table that they are of.
InputFiles = Mapping[str, Sequence[Path]]


class StaleTable(NamedTuple):
    """A table that was made from something else than there is now.

    Attributes:
        asset: what makes it.
        changed: the inputs that differ, in words.
        unknown: why it is not known of which manifest the table is, where it is not.
    """

    asset: str
    changed: Sequence[str]
    unknown: str = ""


def profile_of_cohorts(sidecar: Mapping[str, Any], profile: str, cohorts_from: str) -> str:
    """Whose cohorts say what was known of the events of a manifest: those that selected them, else those of its tape.

    Args:
        sidecar: of the manifest.
        profile: whose manifest it is.
        cohorts_from: the profile whose cohorts select the events of others.
    """
    return cohorts_from if COHORTS_ENTRY in sidecar else profile


def inputs_of_research_table(lake: Lake, profile: str, symbols: Collection[str], cohorts_of: str) -> InputFiles:
    """The files that the research table of a profile is made from, apart from its manifest.

    Args:
        lake: the lake.
        profile: whose table.
        symbols: those of the manifest.
        cohorts_of: the profile whose cohorts count; see `profile_of_cohorts`.
    """
    store = ResearchStore(lake)
    return {
        "event_bar_features": store.of_symbols(lake.research / "event_bar_features", symbols),
        "event_scores": store.of_lake("event_scores"),
        "micro_features": store.of_symbols(lake.research / profile / "micro_features", symbols),
        "event_tape_state": store.of_symbols(lake.research / profile / "event_tape_state", symbols),
        COHORTS_TABLE: store.of_lake(COHORTS_TABLE, cohorts_of),
    }


def inputs_of_research_labels(lake: Lake, profile: str, symbols: Collection[str]) -> InputFiles:
    """The files that `research_labels` of a profile is made from, apart from its manifest; as of the research table."""
    store = ResearchStore(lake)
    return {
        "event_labels": store.of_symbols(lake.research / "event_labels", symbols),
        "micro_features": store.of_symbols(lake.research / profile / "micro_features", symbols),
        "event_costs": store.of_lake("event_costs", profile),
    }


def contents_of(lake: Lake, inputs: InputFiles) -> dict[str, str]:
    """A digest of each input by the name of its table, from footers alone.

    Raises:
        LakeError: a file cannot be read.
    """
    store = ResearchStore(lake)
    return {table: store.contents(files) for table, files in inputs.items()}


def stale_features(lake: Lake, profile: str, cohorts_from: str) -> list[StaleTable]:
    """The research table of a profile, where it was made from another manifest than the current one, or other inputs.

    Raises:
        LakeError: a file cannot be read.
    """

    def inputs(current: Current) -> InputFiles:
        cohorts_of = profile_of_cohorts(current.sidecar, profile, cohorts_from)
        return inputs_of_research_table(lake, profile, set(current.rows["symbol"]), cohorts_of)

    return _of_manifest(lake, "research_table", profile, inputs)


def stale_outcomes(lake: Lake, profile: str) -> list[StaleTable]:
    """Of what `outcomes` of a profile reads, and its costs: what was made from something else, in the order to make it.

    Raises:
        LakeError: a file cannot be read.
    """
    store, folder = ResearchStore(lake), lake.research
    labels, waves, features = (
        store.of_symbols(folder / table) for table in ("event_labels", "event_outcomes", "event_bar_features")
    )
    micro = store.of_symbols(folder / profile / "micro_features")
    found: list[StaleTable] = []
    for table, owner, files in (
        ("events_with_waves_enriched", "", {"outcomes": waves}),
        ("event_costs", profile, {"labels": labels, "features": features, "micro": micro}),
    ):
        path = lake.research_table(table, owner)
        known = store.recorded(path) or {}
        # recorded under the names of the inputs
        changed = [_WORDS[name] for name, paths in files.items() if known.get(name, "") != store.contents(paths)]
        if is_stored(path) and changed and known.keys() >= files.keys():
            found.append(StaleTable("/".join(filter(None, (owner, table))), changed))

    def inputs(current: Current) -> InputFiles:
        return inputs_of_research_labels(lake, profile, set(current.rows["symbol"]))

    return [*found, *_of_manifest(lake, "research_labels", profile, inputs)]


# inputs of tables that record them by these names
_WORDS: Final = {
    "outcomes": asset_of_table("event_outcomes"),
    "labels": "event_labels",
    "features": "event_bar_features",
    "micro": "micro_features",
}


def _of_manifest(lake: Lake, table: str, profile: str, inputs_of: Callable[[Current], InputFiles]) -> list[StaleTable]:
    """A table of the current manifest, where it was made from another one or from other inputs.

    A table without a manifest is not judged.
    """
    known = ResearchStore(lake).recorded(lake.research_table(table, profile)) or {}
    before, changed = known.get(CONTENTS), list[str]()
    try:
        current = ManifestStore.in_lake(lake, profile).current()
    except InputError:
        return []
    except LakeError as error:
        # the table itself can be read
        return [StaleTable(f"{profile}/{table}", [], str(error))]
    if known.get(MANIFEST_INPUT, current.sidecar["sha256"]) != current.sidecar["sha256"]:
        changed = [f"manifest {current.sidecar['manifest_id']}"]
    elif isinstance(before, dict):
        now = contents_of(lake, inputs_of(current))
        changed = [name for name, found in now.items() if before.get(name) != found]
    return [StaleTable(f"{profile}/{table}", changed)] if changed else []


def describe_stale_tables(tables: Sequence[StaleTable]) -> str:
    """Stale tables with what has changed since and what to materialize, in a sentence or a few."""
    changed = [table for table in tables if table.changed]
    since = "; ".join(f"{table.asset} was made before {', '.join(table.changed)} changed" for table in changed)
    remedy = ", then ".join(table.asset for table in changed)
    words = [f"{since}. Materialize {remedy}, without a request."] if changed else []
    unknown = [table for table in tables if table.unknown]
    words += [f"Whether {one.asset} is of the current manifest is not known: {one.unknown}" for one in unknown]
    return " ".join(words)
