"""Checks of the ledger before it is published."""

import polars as pl

from smallcaps_assets.domain.tape.kpis import CAPTURE_STATES
from smallcaps_assets.errors import LakeError


def require_whole_ledger(ledger: pl.DataFrame, manifest: pl.DataFrame) -> None:
    """Make sure, before a ledger is published, that it certifies every event of its manifest, once and in order.

    Raises:
        LakeError: it does not.
    """
    told, asked = ledger["event_id"], manifest["event_id"]
    if not told.equals(asked) or not ledger["state"].is_in(CAPTURE_STATES).all():
        raise LakeError(
            f"the ledger does not certify its manifest: {told.len():,} rows, {told.n_unique():,} events, for "
            f"{asked.len():,} events. Nothing was published. Run `smallcaps verify`, then materialize the ledger again."
        )
