"""A table of coverage that a disk damaged never raises, and never covers a session that the shard did not cover."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.domain.tables import SHARD
from smallcaps_assets.lake.bar_files.months import FileState, MonthCoverage
from smallcaps_assets.lake.events.shard_coverage import ShardCoverage
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.files.content_hash import DOCUMENT_KEY
from smallcaps_assets.lake.layout import Lake

COVERAGE = ShardCoverage({"flush": "f"}, [0.6], {"2025-01": MonthCoverage(FileState(1, 2), "2025-01-02 1-a 0.5")}, 0)
GROWN = ShardCoverage(
    {"flush": "f"},
    [0.6],
    COVERAGE.months | {"2025-02": MonthCoverage(FileState(3, 4), "2025-02-03 2-b 1.5")},
    0,
)
FIELDS = (
    *((name,) for name in ("of", "detections", "tiers", "events", "files")),
    *(("detections", "flush"), ("files", "2025-02"), ("files", "2025-02", "stamp"), ("files", "2025-02", "sessions")),
)
WRONG = st.one_of(
    st.none(),
    st.booleans(),
    st.floats(),
    st.text(),
    st.sampled_from(
        [3, [3], ["a", "b"], [3, None], {}, {"a": 1}, "2025-02-30 1-a", "2025-02-03 x", "2025-02-03 1-b x"]
    ),
)


@pytest.mark.slow
@given(field=st.sampled_from(FIELDS), value=WRONG)
def test_a_wrong_value_never_raises_and_never_adds_a_session(field: tuple[str, ...], value: object) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = ShardStore(Lake(Path(folder)))
        store.replace("ABCD", SHARD.to_frame(), COVERAGE)
        store.replace("ABCD", SHARD.to_frame(), GROWN)
        path = store.lake.shard_coverage("ABCD")
        table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        inner = table["ABCD"]
        for name in field[:-1]:
            inner = inner[name]
        inner[field[-1]] = value
        del table[DOCUMENT_KEY]  # as earlier releases wrote it: damage beside a hash is found by the hash
        path.write_text(json.dumps(table), encoding="utf-8")
        found = ShardStore(store.lake).coverage("ABCD")
        assert found is not None
        assert found.sessions.items() <= GROWN.sessions.items()
        assert found.dollar_volumes.keys() <= GROWN.dollar_volumes.keys()
        assert found.session_count == len(found.sessions)
        assert all(isinstance(tier, int | float) for tier in found.tiers)
