"""Checks of the ledger before it is published."""

import polars as pl

from smallcaps_assets.domain.tape.kpis import CAPTURE_STATES
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.errors import LakeError


def require_whole_ledger(ledger: pl.DataFrame, manifest: pl.DataFrame) -> None:
    """Check that a ledger certifies every event of its manifest, once and in order, before it is published.

    Raises:
        LakeError: it does not.
    """
    certified, expected = ledger["event_id"], manifest["event_id"]
    if not certified.equals(expected) or not ledger["state"].is_in(CAPTURE_STATES).all():
        raise LakeError(
            f"the ledger does not certify its manifest: {count_noun(certified.len(), 'row')}, "
            f"{count_noun(certified.n_unique(), 'event')}, for "
            f"{count_noun(expected.len(), 'event')}. Nothing was published. Run `smallcaps verify`, then "
            f"materialize the ledger "
            "again."
        )
