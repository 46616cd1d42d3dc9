"""What people read at the end of a demo and in `smallcaps status`: windows by state, KPIs, GO or NO-GO and why."""

import polars as pl

from smallcaps_assets.domain.kpis import capture_kpis, state_counts, verdict
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.ledger import build_ledger, effort
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.tape import TapeStore
from smallcaps_assets.settings import Profile, Settings


def profile_report(lake: Lake, profile: Profile, settings: Settings) -> str:
    """The state of one profile's capture, counted from what is published."""
    tape = TapeStore(lake, profile, settings.profiles[profile])
    manifest = ManifestStore(lake.manifests(profile), profile)
    sidecar = manifest.sidecar()
    ledger = build_ledger(manifest.load(), tape)
    kpis = capture_kpis(ledger, effort(tape), settings.kpis)
    go, reasons = verdict(kpis)
    lines = [
        f"profile {profile}: {sidecar['rows']:,} events of {sidecar['symbols']:,} symbols in {sidecar['manifest_id']}",
        _states(state_counts(ledger)),
        *_causes(ledger),
        _kpis(kpis),
        "  GO: every figure meets its target" if go else "  NO-GO: " + "; ".join(reasons),
    ]
    return "\n".join(lines)


def _states(counts: pl.DataFrame) -> str:
    head = f"  {'wave':<5}{'windows':>9}{'complete':>10}{'empty':>7}{'partly':>8}{'failed':>8}{'missing':>9}{'MB':>10}"
    rows = [
        f"  {row['wave']:<5}{row['windows']:>9,}{row['complete']:>10,}{row['empty']:>7,}"
        f"{row['trades_only'] + row['quotes_only']:>8,}{row['failed'] + row['denied']:>8,}{row['missing']:>9,}"
        f"{row['bytes'] / 1e6:>10,.2f}"
        for row in counts.to_dicts()
    ]
    return "\n".join([head, *rows])


def _causes(ledger: pl.DataFrame) -> list[str]:
    """Why windows are failed or denied: an example of each wave and state, with how many there are."""
    told = (
        ledger.filter(pl.col("cause").is_not_null())
        .group_by("wave", "state", maintain_order=True)
        .agg(pl.len(), pl.col("event_id").first(), pl.col("cause").first())
    )
    return [
        f"  {wave} {state} {windows:,}, such as {event_id}: {cause}"
        for wave, state, windows, event_id, cause in told.iter_rows()
    ]


def _kpis(kpis: pl.DataFrame) -> str:
    """One line per figure: its target, and its value per wave and in all, marked where it misses."""
    shown = kpis.with_columns(
        text=pl.when(pl.col("value").is_null())
        .then(pl.lit("unknown!"))
        .otherwise(pl.col("value").round(3).cast(pl.String) + pl.when("holds").then(pl.lit(" ")).otherwise(pl.lit("!")))
    )
    waves = kpis["wave"].unique(maintain_order=True).to_list()
    wide = shown.pivot(on="wave", index="figure", values="text", aggregate_function="first")
    targets = shown.group_by("figure", maintain_order=True).agg(
        pl.col("target").unique(maintain_order=True).str.join(", ")
    )
    head = f"  {'figure (! misses its target)':<30}{'target':<24}" + "".join(f"{wave:>10}" for wave in waves)
    rows = [
        f"  {row['figure']:<30}{row['target']:<24}" + "".join(f"{row[wave] or '':>10}" for wave in waves)
        for row in targets.join(wide, on="figure", how="left", maintain_order="left").to_dicts()
    ]
    return "\n".join([head, *rows])
