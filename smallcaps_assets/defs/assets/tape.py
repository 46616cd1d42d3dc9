"""Fetching tape in a step, whether an asset or a wave of a job asks for it, and the tables that certify it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg
import polars as pl
from pydantic import Field

from smallcaps_assets.defs.recording import Metadata, counts, table
from smallcaps_assets.defs.resources import LakeResource, MarketDataResource, SettingsResource
from smallcaps_assets.domain.manifests.selection import profile_hash, trial
from smallcaps_assets.domain.tape.kpis import capture_kpis, ledger_problems, speed, state_counts, verdict
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS, TapeKind, describe_stale
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.ledger import build_ledger, capture_effort
from smallcaps_assets.pipeline.checks import require_whole_ledger
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.tape.capture import Capture, Pair
from smallcaps_assets.pipeline.tape.cost_estimate import Planner, require_room
from smallcaps_assets.pipeline.tape.request_budget import Allowance
from smallcaps_assets.settings.settings import Profile


class TapeConfig(dg.Config):
    """A trial before the real thing. The partitions of a trial are recorded as such: they are not whole."""

    best: int | None = Field(default=None, gt=0, description="Capture only so many of the best-ranked events.")
    one_per_symbol: bool = Field(default=False, description="Capture only the best-ranked event of each symbol.")
    upgrade: bool = Field(
        default=False,
        description="Fetch stale windows again as well: those published before the profile's tape had all its columns. "
        "It spends requests; `smallcaps plan --upgrade` shows how many.",
    )


@dataclass(frozen=True)
class TapeStep:
    """Everything that fetching the tape of a profile takes in a step."""

    profile: Profile
    context: dg.OpExecutionContext
    settings: SettingsResource
    lake: LakeResource
    market_data: MarketDataResource

    def outcomes(
        self, kind: TapeKind, pairs: Sequence[Pair], config: TapeConfig, allowance: Allowance | None = None
    ) -> Iterator[Outcome]:
        """Fetch what is missing of `pairs`; outcomes as they are done.

        Raises:
            LakeError: the disk does not hold it, or the manifest was edited; nothing was asked for.
        """
        loaded, log = self.settings.load(), self.context.log
        store = self.lake.tape(self.profile, loaded)
        manifest, sidecar = self.lake.manifests(self.profile).current()
        chosen = trial(manifest, config.best, config.one_per_symbol)
        planner = Planner(store, loaded.capture.assumptions, loaded.source.requests_per_minute)
        plan = planner.plan(chosen, [kind], pairs, upgrade=config.upgrade)
        require_room(plan, loaded.capture.free_disk)
        if sidecar["config_hash"] != profile_hash(loaded.profiles[self.profile], loaded.ranking):
            log.warning("%s was chosen with other settings than those in force.", sidecar["manifest_id"])
        capture = Capture(
            kind=kind,
            tape=store,
            client=self.market_data.client(self.lake, self.context.instance),
            threads=loaded.fetch_threads,
            config_hash=sidecar["config_hash"],
            log=log.info,
        )
        left_out = manifest.height - chosen.height
        yield from capture.run(chosen, pairs, left_out=left_out, allowance=allowance, backlog=plan.backlogs[kind])


Listing = Mapping[TapeKind, pl.DataFrame]


def ledger_of(
    profile: Profile, settings: SettingsResource, lake: LakeResource, published: Listing | None = None
) -> tuple[pl.DataFrame, Metadata]:
    """The ledger (LEDGER) of the current manifest and its metadata; `published` as `TapeStore.listing` returned it."""
    manifest, sidecar = lake.manifests(profile).current()
    manifest_id = sidecar["manifest_id"]
    ledger = build_ledger(manifest, lake.tape(profile, settings.load()), manifest_id, published=published)
    require_whole_ledger(ledger, manifest)
    figures: Metadata = {
        "dagster/row_count": ledger.height,
        "manifest_id": manifest_id,
        "windows": table(state_counts(ledger)),
        "bytes": int(ledger["bytes"].sum()),
        **_capture_figures(ledger),
        **_stale_figures(ledger),
        **counts(ledger, "state"),
    }
    return ledger, figures


def report_of(
    profile: Profile,
    ledger: pl.DataFrame,
    settings: SettingsResource,
    lake: LakeResource,
    published: Listing | None = None,
) -> tuple[pl.DataFrame, Metadata]:
    """The figures of a capture (KPIS) and their metadata; `published` is what `TapeStore.listing` returned.

    Raises:
        LakeError: the ledger is not of the current manifest.
    """
    loaded = settings.load()
    problems = ledger_problems(ledger, profile, lake.manifests(profile).sidecar()["manifest_id"])
    if problems:
        raise LakeError(f"{lake.lake.ledger(profile)}: {'; '.join(problems)}. Materialize {profile}/capture_ledger.")
    spent = capture_effort(lake.tape(profile, loaded), published)
    kpis = capture_kpis(ledger, spent, loaded.kpis)
    return kpis, _report_metadata(ledger, spent, kpis)


def _report_metadata(ledger: pl.DataFrame, spent: pl.DataFrame, kpis: pl.DataFrame) -> Metadata:
    """What people see of a capture: windows by state, figures with their targets, GO or NO-GO and why."""
    go, reasons = verdict(kpis, ledger)
    return {
        "dagster/row_count": kpis.height,
        "windows": table(state_counts(ledger)),
        "kpis": table(kpis),
        "go": go,
        "why_not": "\n".join(reasons),
        "requests": int(spent["requests"].sum()),
        "retries": int(spent["retries"].sum()),
        "throttled": int(spent["throttled"].sum()),
        **_capture_figures(ledger),
        **{
            f"{figure}/{wave}": value
            for wave, figure, value in kpis.select("wave", "figure", "value").iter_rows()
            if value is not None
        },
    }


def _stale_figures(ledger: pl.DataFrame) -> Metadata:
    """How many windows are stale and why, by kind; nothing where none is."""
    stale = {kind: describe_stale(ledger[f"{kind}_missing_columns"]) for kind in TAPE_KINDS}
    return {f"stale/{kind}": words for kind, words in stale.items() if words}


def _capture_figures(ledger: pl.DataFrame) -> Metadata:
    """Figures of a capture that mean something over time: share of complete windows, bytes of one, how fast they came.

    The pace is that of the last hour in which any came; unknown figures are left out.
    """
    complete = ledger.filter(state="complete")
    (per_hour, left) = ledger.select(speed()).row(0)
    known = {
        "complete_pct": 100 * complete.height / ledger.height if ledger.height else None,
        "bytes_per_window": complete["bytes"].mean(),
        "windows_per_minute": None if per_hour is None else per_hour / 60,
        "windows_left": left,
    }
    return {name: value for name, value in known.items() if isinstance(value, int | float)}
