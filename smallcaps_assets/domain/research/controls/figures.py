"""Figures of the capture of controls, apart from those of events."""

import polars as pl

from smallcaps_assets.domain.research.controls.tables import CONTROLS
from smallcaps_assets.domain.tape.budget import BYTES_PER_MB
from smallcaps_assets.domain.tape.kpis import CAPTURE_STATES
from smallcaps_assets.domain.tape.tables import KPIS
from smallcaps_assets.domain.words import count_noun


def control_figures(ledger: pl.DataFrame, effort: pl.DataFrame) -> pl.DataFrame:
    """Figures of the capture of controls (KPIS, without targets), `controls` in place of the wave; no rows without any.

    Args:
        ledger: the ledger of the controls (CONTROL_LEDGER).
        effort: EFFORT of the spans that were fetched for controls alone.
    """
    if ledger.is_empty():
        return KPIS.to_frame()
    counts = {state: ledger.filter(state=state).height for state in CAPTURE_STATES}
    figures: dict[str, float] = {
        "windows": ledger.height,
        **{state: count for state, count in counts.items() if count or state in {"complete", "missing"}},
        "megabytes": float(ledger["bytes"].sum()) / BYTES_PER_MB,
        "requests": int(effort["requests"].sum()),
    }
    rows = [(CONTROLS, name, float(value), None, True) for name, value in figures.items()]
    return pl.DataFrame(rows, schema=KPIS, orient="row")


def describe_controls(ledger: pl.DataFrame) -> str:
    """The windows of the controls by state, and their tape, in one line: `12 windows: 10 complete, 2 missing; 0.4 MB`.

    `ledger` is that of the controls (CONTROL_LEDGER), with at least one row.
    """
    counts = [(ledger.filter(state=state).height, state) for state in CAPTURE_STATES]
    states = ", ".join(f"{count:,} {state.replace('_', ' ')}" for count, state in counts if count)
    megabytes = float(ledger["bytes"].sum()) / BYTES_PER_MB
    return f"{count_noun(ledger.height, 'window')}: {states}; {megabytes:,.2f} MB"
