"""Which profile's tape of an event is shown, given the event's id."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.events.master import load_master
from smallcaps_assets.lake.files.stored_tables import is_stored
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import Current, ManifestStore
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.pipeline.review.drawn_tape import TapeReader
from smallcaps_assets.pipeline.review.review import EVENT_LIMITS, Review
from smallcaps_assets.settings.settings import PROFILES, Profile, Settings

_ID: Final = pl.Schema({"event_id": pl.String()})


class CapturedEvent(NamedTuple):
    """An event with tape: its profile, its row of the current manifest (MANIFEST), the manifest's id and its events."""

    profile: Profile
    row: pl.DataFrame
    manifest_id: str
    manifest_events: int

    def page(self, lake: Lake, settings: Settings) -> str:
        """The HTML page of the event.

        Raises:
            LakeError: its tape or a file of bars is damaged.
        """
        return Review(lake, self.profile, settings).page_of(self.row, self.manifest_id, self.manifest_events)


def find_captured_event(lake: Lake, settings: Settings, event_id: str, profile: Profile | None) -> CapturedEvent:
    """The event and the profile that captured it.

    Args:
        lake: the lake.
        settings: all settings.
        event_id: the event.
        profile: only this profile; None: whichever captured the event.

    Raises:
        InputError: no manifest has the event, no tape of it is captured, or several profiles captured it.
        LakeError: a manifest is damaged.
    """
    manifests = _current_manifests(lake, profile)
    found = [
        CapturedEvent(name, rows, current.sidecar["manifest_id"], current.rows.height)
        for name, current in manifests.items()
        if (rows := current.rows.filter(event_id=event_id)).height
    ]
    if not found:
        raise InputError(_unknown(lake, event_id, manifests))
    captured = [event for event in found if _has_tape(lake, settings, event)]
    if not captured:
        names = [event.profile for event in found]
        session, symbol = found[0].row.select("session", "symbol").row(0)
        raise InputError(
            f"no tape of event {event_id} is captured in {_either(names)} yet: materialize {names[0]}/tape_trades and "
            f"{names[0]}/tape_quotes, wave {session}, symbol {symbol}."
        )
    if len(captured) > 1:
        names = [event.profile for event in captured]
        raise InputError(
            f"the tape of event {event_id} is captured in {' and '.join(names)}, with different windows and quotes: "
            f"choose one by --profile {' or --profile '.join(names)}."
        )
    return captured[0]


def _current_manifests(lake: Lake, profile: Profile | None) -> dict[Profile, Current]:
    """The current manifests, of one profile or of all that have one."""
    if profile is not None:
        return {profile: ManifestStore.in_lake(lake, profile).current()}
    stores = {name: ManifestStore.in_lake(lake, name) for name in PROFILES}
    found = {name: store.current() for name, store in stores.items() if store.current_id() is not None}
    if not found:
        raise InputError(f"{lake.root}: no manifest of any profile yet. Materialize {PROFILES[0]}/manifest first.")
    return found


def _unknown(lake: Lake, event_id: str, manifests: dict[Profile, Current]) -> str:
    """Why an event is in no manifest, and what to do."""
    profiles = _either(list(manifests))
    if is_stored(lake.master) and event_id in load_master(lake, _ID)["event_id"]:
        return (
            f"event {event_id} is not in the current manifest of {profiles}, so that no tape of it is captured: MASTER "
            "has it, but the selection of these profiles left it out."
        )
    known = pl.concat([current.rows["event_id"] for current in manifests.values()]).unique().sort().to_list()
    close = get_close_matches(event_id, known, n=1)
    meant = f" Did you mean {close[0]}?" if close else ""
    return (
        f"event {event_id} is unknown: neither the current manifest of {profiles} nor MASTER has it.{meant} Ids are in "
        "the column event_id of these tables, and on the review sheet."
    )


def _has_tape(lake: Lake, settings: Settings, event: CapturedEvent) -> bool:
    """Whether trades or quotes of the whole window are published, or a damaged file is in their place."""
    store = TapeStore(lake, event.profile, settings.profiles[event.profile])
    reader = TapeReader(store, event.row, settings, EVENT_LIMITS)
    return not reader.captured.is_empty() or bool(reader.damage_of_missing())


def _either(names: Sequence[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
