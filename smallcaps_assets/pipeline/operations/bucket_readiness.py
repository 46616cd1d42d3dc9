"""Whether the vendor's bucket of flat files can be listed and read, and how new its files are."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

from smallcaps_assets.errors import MarketDataError, NotEntitled
from smallcaps_assets.market_data.flat_files.client import FlatFiles
from smallcaps_assets.pipeline.operations.readiness import ReadinessCheck

BUCKET_CHECK: Final = "flat_files"
_RECENT: Final = timedelta(days=14)
_BYTES_PER_MB: Final = 1e6


def check_bucket(bucket: FlatFiles, sessions: Sequence[date]) -> ReadinessCheck:
    """List the files of the last two weeks of `sessions`, which are complete, and read one byte of the newest one.

    A plan without flat files lets its keys list the bucket, so that only reading shows it.
    """
    last = sessions[-1]
    try:
        files = bucket.list_days(last - _RECENT, last)
        if not files:
            remedy = "Without a file, sessions come over REST. Correct history, or ask the vendor."
            return ReadinessCheck(BUCKET_CHECK, "note", f"no file from {last - _RECENT} to {last}", remedy)
        newest = files[max(files)]
        bucket.require_access(newest)
    except NotEntitled:
        remedy = "Change the plan, or set source.bars to rest."
        return ReadinessCheck(BUCKET_CHECK, "problem", "the plan does not include it (HTTP 403)", remedy)
    except MarketDataError as error:
        return ReadinessCheck(BUCKET_CHECK, "problem", str(error))
    size = f"{newest.size / _BYTES_PER_MB:,.1f} MB"
    return ReadinessCheck(BUCKET_CHECK, "ok", f"allowed; the newest file is of {newest.day} ({size})")
