"""Checks of a manifest: its limits, order and windows, recomputed from its own rows."""

from typing import Any

import polars as pl

from smallcaps_assets.domain.findings import Finding, finding
from smallcaps_assets.domain.manifests.selection import UNIVERSE_ENTRY, ProfileParams, RankingParams
from smallcaps_assets.domain.manifests.windows import FLOOR_GUARD
from smallcaps_assets.domain.sessions import NEW_YORK
from smallcaps_assets.domain.words import count_noun


def caps(manifest: pl.DataFrame, profile: ProfileParams) -> Finding:
    """No more events than the profile allows: in total, per symbol, per symbol and day, per event and per group."""
    limits: dict[str, tuple[list[str], int]] = {
        "max_per_symbol": (["symbol"], profile.max_per_symbol),
        "max_per_symbol_day": (["symbol", "date"], profile.max_per_symbol_day),
        "events_of_a_group": (["event_group_id"], 1),
        "rows_of_an_event": (["event_id"], 1),
    }
    beyond = [
        manifest.group_by(by)
        .agg(rows=pl.len().cast(pl.Int64))
        .filter(pl.col("rows") > most)
        .select(limit=pl.lit(name), at_most=pl.lit(most, pl.Int64), of=pl.concat_str(by, separator=" "), rows="rows")
        for name, (by, most) in limits.items()
    ]
    whole = pl.DataFrame({"limit": ["max_events"], "at_most": [profile.max_events], "of": ["all"]}).with_columns(
        rows=pl.lit(manifest.height, pl.Int64)
    )
    breaking = pl.concat([whole.filter(pl.col("rows") > pl.col("at_most")), *beyond]).sort("limit", "of")
    return finding("profile_limits", breaking, {"events": manifest.height, "max_events": profile.max_events})


def ranks(manifest: pl.DataFrame, ranking: RankingParams) -> Finding:
    """Ranks count from 1, and a better rank never goes to a weaker event."""
    value = pl.col("score") * pl.col("event_type").replace_strict(
        ranking.type_weights, default=None, return_dtype=pl.Float64
    )
    order = ("value", "rvol_day", "dollar_volume", "event_id")
    rows = manifest.with_columns(value=value)
    best = rows.sort(*order, descending=[True, True, True, False], nulls_last=True)
    wrong = (pl.col("rank") != pl.int_range(1, pl.len() + 1)) | (pl.col("event_id") != best["event_id"])
    return finding("ranks", rows.filter(wrong.fill_null(value=True)).select("rank", *order))


def windows(manifest: pl.DataFrame, profile: ProfileParams) -> Finding:
    """Every window is positive and one of the profile's two, and no more are extended than allowed."""
    window = pl.struct("window_before_min", "window_after_min")
    longer, ordinary = (
        pl.struct(
            window_before_min=pl.lit(params.before_min, pl.Int64), window_after_min=pl.lit(params.after_min, pl.Int64)
        )
        for params in (profile.extended_window, profile.window)
    )
    wrong = pl.when("extended").then(window.ne_missing(longer)).otherwise(window.ne_missing(ordinary))
    odd = pl.any_horizontal(pl.col("window_before_min", "window_after_min") <= 0) | wrong
    breaking = manifest.filter(odd.fill_null(value=True)).select(
        "event_id", "extended", "window_before_min", "window_after_min"
    )
    extended = int(manifest["extended"].sum())
    most = int(profile.extension.max_extended_share * manifest.height + FLOOR_GUARD)
    found = finding("windows", breaking, {"extended": extended, "extended_at_most": most})
    return found._replace(holds=found.holds and extended <= most)


def buckets(manifest: pl.DataFrame, sidecar: dict[str, Any], profile: ProfileParams, ranking: RankingParams) -> Finding:
    """Every event is in its time bucket, and every bucket has the events it is guaranteed.

    A bucket that offered fewer events than guaranteed has all of them; the sidecar records how many it offered.
    """
    belongs = _bucket_bounds(ranking)
    clock = manifest.select(
        "event_id", "session", "time_bucket", clock=pl.col("timestamp").dt.convert_time_zone(NEW_YORK).dt.time()
    )
    placed = clock.join(belongs, on="session", how="left").filter(
        (pl.col("clock") >= pl.col("from")).fill_null(value=True)
        & (pl.col("clock") < pl.col("until")).fill_null(value=True)
    )
    misplaced = placed.filter(pl.col("time_bucket").ne_missing(pl.col("belongs")))
    counts = dict(manifest.group_by("time_bucket").len().iter_rows())
    offered = offered_by(sidecar)
    short = []
    for bucket in ranking.time_buckets:
        guaranteed = min(int(bucket.share * profile.max_events + FLOOR_GUARD), offered.get(bucket.name, 0))
        if counts.get(bucket.name, 0) < guaranteed:
            short.append(f"{bucket.name}: {counts.get(bucket.name, 0)} of {guaranteed}")
    figures = {f"events/{bucket.name}": counts.get(bucket.name, 0) for bucket in ranking.time_buckets}
    found = finding("time_buckets", misplaced, {"too_few_of": "; ".join(short) or "none", **figures})
    return found._replace(holds=found.holds and not short)


def offered_by(sidecar: dict[str, Any]) -> dict[str, int]:
    """How many events each time bucket offered before max_events; empty if the sidecar does not record it."""
    last = sidecar["funnel"][-1] if sidecar["funnel"] else {}
    return {name.removeprefix("offered_"): rows for name, rows in last.items() if name.startswith("offered_")}


def _bucket_bounds(ranking: RankingParams) -> pl.DataFrame:
    """The time buckets in order: session, from (included), until (excluded, null: no bound), belongs (the name)."""
    rows, begins = [], dict.fromkeys(("PM", "RTH", "AH"))
    for bucket in ranking.time_buckets:
        rows.append((bucket.session, begins[bucket.session], bucket.until, bucket.name))
        begins[bucket.session] = bucket.until
    schema = {"session": pl.String, "from": pl.Time, "until": pl.Time, "belongs": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def unchanged(sidecar: dict[str, Any], found_sha256: str, rows: int) -> Finding:
    """The file is the one described by its sidecar, byte for byte."""
    facts = pl.DataFrame(
        {
            "what": ["sha256", "rows"],
            "sidecar": [sidecar["sha256"], str(sidecar["rows"])],
            "file": [found_sha256, str(rows)],
        }
    )
    broken = facts.filter(pl.col("sidecar") != pl.col("file"))
    verdict = {} if broken.is_empty() else {"verdict": "The file is not the one that was frozen. Materialize it again."}
    return finding("file_unchanged", broken, {"sha256": found_sha256} | verdict)


def up_to_date(
    sidecar: dict[str, Any],
    master_sha256: str,
    config_hash: str,
    stale_symbols: int = 0,
    universe: str | None = None,
) -> Finding:
    """The manifest was selected from the current MASTER, with the settings in force.

    Args:
        sidecar: of the manifest.
        master_sha256: of the current MASTER.
        config_hash: of the profile in force.
        stale_symbols: of how many symbols the events in MASTER were not detected with the settings in force.
        universe: the digest of which events were in the universe on their date, None where that does not decide.
    """
    selected_by = (sidecar.get(UNIVERSE_ENTRY) or {}).get("sha256")
    facts = pl.DataFrame(
        {
            "what": ["MASTER", "settings", "stale symbols of MASTER"],
            "manifest": [sidecar["master_sha256"], sidecar["config_hash"], f"{stale_symbols}"],
            "now": [master_sha256, config_hash, "0"],
        }
    )
    reasons = [
        "MASTER has changed since it was selected",
        "the settings of the profile have changed since it was selected",
        f"the events of {count_noun(stale_symbols, 'symbol')} in MASTER were detected with other settings",
    ]
    if universe != selected_by:
        names = [str(digest or "that of today") for digest in (selected_by, universe)]
        other = pl.DataFrame({"what": ["universe of the events' dates"], "manifest": names[:1], "now": names[1:]})
        facts = facts.vstack(other)
        reasons.append("which events were in the universe on their date has changed since it was selected")
    stale = facts.with_columns(reason=pl.Series(reasons)).filter(pl.col("manifest") != pl.col("now"))
    verdict = (
        {} if stale.is_empty() else {"verdict": f"Stale: {', and '.join(stale['reason'])}. Launch the job redetect."}
    )
    return finding("up_to_date", stale.drop("reason"), {"manifest_id": sidecar["manifest_id"]} | verdict, severe=False)
