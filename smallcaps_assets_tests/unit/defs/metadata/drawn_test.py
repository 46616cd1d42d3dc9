"""Pictures of the last materialization that are used again, and when they are not."""

import base64
from collections.abc import Iterator
from io import BytesIO

import dagster as dg
import polars as pl
import pytest
from PIL import Image

from smallcaps_assets.defs.metadata import drawn as module
from smallcaps_assets.defs.metadata.drawn import drawn, reused_pictures

ASSET = dg.AssetKey("asset")
DAYS = pl.DataFrame({"day": ["Monday", "Tuesday"], "events": [1, 2]})
CALLS: list[tuple[object, ...]] = []


def draw(days: pl.DataFrame, title: str) -> bytes:
    CALLS.append((days.height, title))
    png = BytesIO()
    Image.new("RGB", (days.height, 3), "#2f6fde").save(png, "png")
    return png.getvalue()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    CALLS.clear()
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def record(instance: dg.DagsterInstance, **pictures: dg.MetadataValue) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization(ASSET, metadata=pictures))


def again(instance: dg.DagsterInstance, days: pl.DataFrame, title: str) -> dg.MarkdownMetadataValue:
    with reused_pictures(instance, ASSET):
        return drawn("days", draw, days, title)


def test_a_picture_of_the_same_data_is_not_drawn_again(instance: dg.DagsterInstance) -> None:
    first = again(instance, DAYS, "a")
    record(instance, other=dg.MetadataValue.md("no picture"), days=first, number=dg.MetadataValue.int(1))
    # equal rows that lie otherwise in memory
    parts = pl.concat([DAYS.head(1), DAYS.tail(1)], rechunk=False)
    assert again(instance, parts, "a") == first
    assert len(CALLS) == 1
    # what it shows is no part of the image
    with reused_pictures(instance, ASSET):
        assert drawn("other words", draw, DAYS, "a").md_str == (first.md_str or "").replace("![days]", "![other words]")
    assert len(CALLS) == 1


def test_other_data_another_title_or_other_code_are_drawn(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(instance, days=again(instance, DAYS, "a"))
    CALLS.clear()
    for days, title in (
        (DAYS, "b"),
        (DAYS.reverse(), "a"),
        (DAYS.with_columns(events=pl.lit(1)), "a"),
        (DAYS.with_columns(pl.col("events").cast(pl.Int32)), "a"),
        (DAYS.rename({"events": "count"}), "a"),
    ):
        again(instance, days, title)
    assert len(CALLS) == 5
    monkeypatch.setattr(module, "_code", lambda: b"of another release")
    again(instance, DAYS, "a")
    assert len(CALLS) == 6


def test_only_the_last_materialization_of_the_same_asset_counts(instance: dg.DagsterInstance) -> None:
    found = again(instance, DAYS, "a")
    with reused_pictures(instance, ASSET):  # of an asset without a materialization
        drawn("days", draw, DAYS, "a")
    record(instance, days=found)
    record(instance, days=dg.MetadataValue.md("none"))
    again(instance, DAYS, "a")
    drawn("days", draw, DAYS, "a")  # outside a step
    assert len(CALLS) == 4


def test_the_image_stays_a_png_that_readers_accept_and_those_of_earlier_releases_are_drawn_anew(
    instance: dg.DagsterInstance,
) -> None:
    plain = draw(DAYS, "a")
    text = again(instance, DAYS, "a").md_str or ""
    png = base64.b64decode(text.partition("base64,")[2].rstrip(")"))
    with Image.open(BytesIO(png)) as image, Image.open(BytesIO(plain)) as before:
        image.load()  # proves the checksum of each chunk
        assert image.tobytes() == before.tobytes()
        assert len(image.info["drawn from"]) == 64
    record(instance, days=dg.MetadataValue.md(f"![days](data:image/png;base64,{base64.b64encode(plain).decode()})"))
    CALLS.clear()
    assert again(instance, DAYS, "a").md_str == text
    assert len(CALLS) == 1
