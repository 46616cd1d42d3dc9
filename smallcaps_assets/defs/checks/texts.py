"""Names and descriptions of the asset checks, in the words of a user: what must hold, and what to do if it does not."""

from collections.abc import Mapping
from typing import Final

SHARD_CHECKS: Final[Mapping[str, str]] = {
    "current_settings": "The events of all symbols were detected with the settings in force. Otherwise launch the job "
    "redetect: it detects the stale symbols again, and then builds MASTER and the manifests.",
}
MASTER_CHECKS: Final[Mapping[str, str]] = {
    "unique_events": "No event occurs more than once.",
    "complete_rows": "No event lacks a value that ranks and windows are computed from (null, NaN or infinite).",
    "session_clock": "Session, date and flags of every event agree with the New York clock and the exchange calendar, "
    "half days and daylight saving time included.",
    "type_shares": "No type of event makes up more than checks.master.max_type_share_pct of all events; below "
    "checks.master.min_events_for_shares events it is not judged.",
    "events_per_session": "No symbol has implausibly many events on a day, and the mean per symbol and session is "
    "within bounds. A detector that always fires, or never, fails this check.",
    "cooldown": "Events of one symbol and type keep the cooldown: of events close to each other, only those are kept "
    "whose score is nearly as high as the best.",
    "shards_current": "All events were detected with the settings in force, and none since this table was built; the "
    "symbols of others are named. Otherwise launch the job redetect.",
}
MANIFEST_CHECKS: Final[Mapping[str, str]] = {
    "profile_limits": "No more events than the profile allows: in total, per symbol, per symbol and day, per group of "
    "events.",
    "time_buckets": "Every event is in the time bucket of its New York time, and each bucket has at least the number "
    "of events that ranking.time_buckets guarantees it.",
    "ranks": "Ranks count from 1 without gaps, and no better rank goes to a weaker event.",
    "windows": "Every window has one of the two lengths of the profile, and no more are extended than it allows.",
    "file_unchanged": "The file is, byte for byte, the one that was frozen. If not, materialize the manifest again.",
    "up_to_date": "It was selected from the current MASTER, and both with the settings in force; where the lake has "
    "listings, the same events were in the universe on their date. Otherwise launch the job redetect; captured tape "
    "stays, and is not fetched again.",
}
# of manifests whose events cohorts select
COHORTS_KEPT: Final = "cohorts_as_selected"
FOLLOW_UP_CHECKS: Final[Mapping[str, str]] = {
    COHORTS_KEPT: "The cohorts that select its events are what they were when they first did. Costs that became known "
    "since may have changed them: the kept ones still select, so that no event leaves or comes for what was learned "
    "later. To select by the cohorts as they are now, materialize the manifest with renew_cohorts: true.",
}
BAR_CHECKS: Final[Mapping[str, str]] = {
    "session_coverage": "Every followed symbol has all expected sessions. Symbols with missing sessions are named: "
    "materialize them; only missing sessions are fetched.",
    "empty_sessions": "No session is without any bar for many symbols that have bars before and after it.",
    "missing_minutes": "In the last sessions, no minute of regular hours is without a bar for most of the symbols that "
    "trade continuously.",
    "suspect_print": "In the last months, no high or low of a bar is far outside those of its neighbours and undone at "
    "once, as one wrong trade makes it. Such bars are listed with the events of the same day at or after them: the "
    "day's high and VWAP carry the price on. Detection uses the bars as they are.",
}
# where flat files are a source of bars
FLAT_CHECKS: Final[Mapping[str, str]] = {
    "flat_files_agree": "Wherever bars of REST were compared with those of flat files, they agree. Minutes that only "
    "one source has, and other prices, volumes and numbers of transactions are counted by kind. The setting "
    "source.flat_files.prefer decides which are stored. vwap is not compared: files have none.",
    "flat_files_current": "No stored session is from a flat file that was replaced since. Otherwise materialize "
    "minute_bars of the symbols named: these sessions are stored again, without a request.",
}
LISTING_CHECKS: Final[Mapping[str, str]] = {
    "borders": "The first and the last session of every listing are known, but of those that began before the first "
    "list. Where universe.listing_borders is monthly, or the universe does not follow the type of a ticker, they are "
    "not asked for; what the vendor failed to answer is asked for again by the next materialization.",
}
COVERAGE_CHECKS: Final[Mapping[str, str]] = {
    "all_published": "All expected sessions of all symbols are published; their number is named. Otherwise materialize "
    "minute_bars: only missing sessions are fetched.",
    "missing_minutes": "In no session is a minute of regular hours without a bar for most of the symbols that trade "
    "continuously.",
    "suspect_print": "In no session is a high or low of a bar far outside those of its neighbours and undone at once; "
    "see the check of minute_bars.",
    "doubled_volumes": "In no session are nearly all volumes even, as they are when every share was counted twice.",
}
# checks of a capture: the figure that each checks, and its description
KPI_CHECKS: Final[Mapping[str, tuple[str, str]]] = {
    "success_rate": ("success_pct", "At least kpis.min_success_pct of the windows have both trades and quotes."),
    "retries": ("retries_pct", "Fewer than kpis.max_retries_pct of the requests had to be repeated."),
    "throttling": (
        "throttled_pct",
        (
            "Fewer than kpis.max_throttled_pct of the requests were answered with 429, too many requests. If not, "
            "lower source.requests_per_minute."
        ),
    ),
    "session_mix": (
        "session_drift_pp",
        (
            "The share of each session in the complete windows is that in the manifest, within "
            "kpis.max_session_drift_pp points. If not, capture the wave that the verdict names again."
        ),
    ),
    "event_size": ("p90_event_mb", "Nine in ten events take less than kpis.max_p90_event_mb megabytes of disk."),
    "reconciliation": (
        "reconciled_pct",
        (
            "At least kpis.min_reconciled_pct of the minutes with trades or a bar have the bar that their trades make. "
            "Not judged in a wave before bar_reconciliation is up to date for all of its published trades."
        ),
    ),
}
EMPTY_WINDOWS: Final = "empty_windows"
# of checks that Dagster cannot execute by themselves, and whose button is grey
WITH_ITS_ASSET: Final = " Judged whenever the asset is materialized; Execute is grey because it does not run by itself."
EMPTY_WINDOWS_TEXT: Final = (
    "No published window is without trades although bars of the same minutes have volume, or without quotes although "
    "bars or trades show trading. The run config `retry_empty: true` of tape_trades and tape_quotes asks again."
)
# of every research table
REGISTRY_TEXT: Final = (
    "Every column of the table has a text, the unit of its numbers and the time at which it is known, and the columns "
    "of every file are those. Otherwise materialize the partitions of the named files again."
)
