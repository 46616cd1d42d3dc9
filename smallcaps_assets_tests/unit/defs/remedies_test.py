"""Every message that says what to materialize names an asset that there is."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import smallcaps_assets
from smallcaps_assets.defs.registry import REGISTRY
from smallcaps_assets.domain.research.tables.table_registry import TABLE_REGISTRY
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.remedies import how_to_restore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.research import ResearchStore, require_part
from smallcaps_assets.pipeline.research.controls.features import PREFIX
from smallcaps_assets.settings.settings import PROFILES

# a column that the research table takes from cohorts; no file has it alone
_NO_FILE: Final = "cohort_was_winning"
_TABLES: Final = [
    *(table for table in TABLE_REGISTRY if table != _NO_FILE),
    *(f"{PREFIX}{table}" for table in ("micro_features", "event_tape_state", "tape_halts", "event_reconciliation")),
]
_PROFILE: Final = r"(?:core|plus|premium|\{\})"
# what follows the word: names that cannot be words, as they have an underscore or a profile before them
_NAMED: Final = re.compile(rf"[Mm]aterialize (?:asset )?`?(?P<name>{_PROFILE}/[a-z_]+|[a-z]+(?:_[a-z]+)+)\b(?!\{{)")


def _files(lake: Lake, table: str) -> Iterator[Path]:
    """Where a table may lie; the layouts of a table that belongs to a profile have it in the path."""
    asset = how_to_restore(lake.research_table(table)).split()[1].rstrip(",")
    if asset in REGISTRY:
        yield from (lake.research_table(table), lake.research_symbol(table, "ABCD"))
        return
    for profile in PROFILES:
        yield from (lake.research_table(table, profile), lake.research_wave(profile, table, "PM", "ABCD"))


@pytest.mark.parametrize("table", _TABLES)
def test_a_research_table_that_is_damaged_or_missing_is_made_by_an_asset(table: str, tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for path in _files(lake, table):
        assert how_to_restore(path).startswith("Materialize ")
        assert how_to_restore(path).split()[1].rstrip(",") in REGISTRY
        with pytest.raises(LakeError) as raised:
            require_part(ResearchStore(lake), path)
        assert str(raised.value).split("Materialize ")[1].split(",")[0] in REGISTRY


def test_messages_name_assets() -> None:
    """Texts of the whole package; what a message inserts is `{}`, and only names that it spells out are judged."""
    package = Path(smallcaps_assets.__file__).parent
    found = {
        (name, path.name)
        for path in package.rglob("*.py")
        if "aterialize " in (source := path.read_text(encoding="utf-8"))
        for text in _texts(ast.parse(source))
        for name in _NAMED.findall(text)
    }
    assert len(found) > 40
    of_profiles = {name.partition("/")[2] for name in REGISTRY if "/" in name}
    known = {*REGISTRY, *(f"{{}}/{name}" for name in of_profiles)}
    assert {(name, file) for name, file in found if name not in known} == set()


def _texts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            # templates insert by names
            yield re.sub(r"\{+\w+\}+", "{}", node.value)
