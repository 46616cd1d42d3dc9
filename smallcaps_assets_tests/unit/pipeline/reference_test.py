"""Reference tables of a lake: fetched, kept, replaced by the pinned copy, and verified."""

import json
from dataclasses import replace
from datetime import date

import pytest

from smallcaps_assets.domain.research.tape.pinned_conditions import PINNED_SHA256, pinned_conditions
from smallcaps_assets.errors import LakeError, RequestRejected
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.reference_tables import ReferenceTables
from smallcaps_assets.lake.verification.lake_files import verify_files
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.pipeline.reference import ReferenceUpdate
from smallcaps_assets.simulated.protocol.wire import Reply
from smallcaps_assets_tests.conftest import Gate, refusal

FIRST, TODAY = date(2025, 10, 20), date(2025, 12, 1)


@pytest.fixture
def update(lake: Lake, client: MarketDataClient) -> ReferenceUpdate:
    lake.root.mkdir(parents=True, exist_ok=True)
    return ReferenceUpdate(ReferenceTables(lake), client, "simulated market, seed 7", log=lambda line: None)  # noqa: ARG005


def test_conditions_are_asked_for_again_after_28_days(update: ReferenceUpdate, gate: Gate) -> None:
    assert update.tables.trade_conditions().equals(pinned_conditions())
    fetched = update.trade_conditions(TODAY)
    assert (fetched.height, fetched["source_date"][0]) == (18, TODAY)
    assert fetched["sha256"][0] != PINNED_SHA256
    assert update.tables.trade_conditions().equals(fetched)
    assert update.trade_conditions(date(2025, 12, 28)).equals(fetched)
    assert len(gate.requests) == 1
    later = update.trade_conditions(date(2025, 12, 29))
    assert len(gate.requests) == 2
    # served again unchanged, so with the same hash
    assert later.drop("source_date").equals(fetched.drop("source_date"))


@pytest.mark.parametrize("status", [403, 404])
def test_the_pinned_copy_stands_in_until_the_vendor_serves_the_table(
    update: ReferenceUpdate, gate: Gate, status: int
) -> None:
    gate.rule = lambda path, query: refusal(status)  # noqa: ARG005
    assert update.trade_conditions(TODAY).equals(pinned_conditions())
    assert update.tables.conditions_fetched_on() is None
    gate.rule = lambda path, query: None  # noqa: ARG005
    assert update.trade_conditions(TODAY).height == 18
    assert update.tables.conditions_fetched_on() == TODAY


def test_a_fault_of_the_vendor_changes_nothing(update: ReferenceUpdate, gate: Gate) -> None:
    gate.rule = lambda path, query: refusal(400)  # noqa: ARG005
    with pytest.raises(RequestRejected):
        update.trade_conditions(TODAY)
    with pytest.raises(RequestRejected):
        update.splits(FIRST, TODAY)
    assert not update.tables.lake.trade_conditions.exists()
    assert update.tables.splits() is None


def test_splits_are_asked_for_once_a_day(update: ReferenceUpdate, gate: Gate) -> None:
    assert update.tables.splits_cover() is None
    splits = update.splits(FIRST, TODAY)
    assert splits is not None
    assert (
        gate.requests[0][1].items() >= {"execution_date.gte": "2025-06-22", "execution_date.lte": "2025-12-01"}.items()
    )
    assert update.tables.splits_cover() == (date(2025, 6, 22), TODAY)
    stored = update.splits(FIRST, TODAY)
    assert stored is not None
    assert stored.equals(splits)
    assert len(gate.requests) == 1
    # an earlier first session and a later day need more
    update.splits(date(2024, 1, 2), TODAY)
    update.splits(FIRST, date(2025, 12, 2))
    assert len(gate.requests) == 3


def test_splits_that_are_left_out_are_logged(update: ReferenceUpdate, gate: Gate) -> None:
    lines: list[str] = []
    row = {"ticker": "AEMD", "execution_date": "2025-11-04", "split_from": 8, "split_to": 1}
    body = json.dumps({"status": "OK", "results": [row, row | {"split_from": 9}]}).encode()
    gate.rule = lambda path, query: Reply(200, {"Content-Type": "application/json"}, body)  # noqa: ARG005
    splits = replace(update, log=lines.append).splits(FIRST, TODAY)
    assert splits is not None
    assert splits.is_empty()
    assert lines == ["a bad row in the vendor's list is left out: splits of AEMD, two rows of 2025-11-04 differ"]


def test_splits_outside_the_plan_are_unknown_and_not_none(update: ReferenceUpdate, gate: Gate) -> None:
    gate.rule = lambda path, query: refusal(403)  # noqa: ARG005
    assert update.splits(FIRST, TODAY) is None
    assert not update.tables.lake.splits.exists()


def test_the_tables_are_verified_and_a_damaged_one_names_the_remedy(update: ReferenceUpdate) -> None:
    update.trade_conditions(TODAY)
    update.splits(FIRST, TODAY)
    verified = verify_files(update.tables.lake)
    assert (verified.findings, verified.unknown) == ((), ())
    assert {one.kind for one in verified.kinds} == {"trade conditions", "splits"}
    path = update.tables.lake.trade_conditions
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(LakeError, match="materialize trade_conditions"):
        update.tables.trade_conditions()
