"""Run the checks of a published table; the checks themselves are in the folder of their subject."""

from collections.abc import Callable, Collection, Iterator, Mapping

import polars as pl

from smallcaps_assets.domain.findings import Finding
from smallcaps_assets.errors import LakeError

Checks = Mapping[str, Callable[[], Finding]]


def run_checks(checks: Checks, chosen: Collection[str]) -> Iterator[Finding]:
    """Run the `chosen` checks in order; a check whose files cannot be read fails."""
    for name, check in checks.items():
        if name in chosen:
            try:
                yield check()
            except LakeError as error:
                yield Finding(name, holds=False, figures={"cannot_be_read": str(error)}, examples=pl.DataFrame())
