"""What is fixed about an asset, apart from how it is made: where its data lies, its stage, code version and lineage."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import dagster as dg
import polars as pl

from smallcaps_assets.domain.versions import code_version
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.settings.settings import Settings

PARQUET: Final = frozenset({"polars", "parquet"})

_Stage = Literal["reference", "bars", "events", "selection", "tape", "proof", "review", "research", "nightly"]
Lineage = Mapping[str, Sequence[dg.TableColumnDep]]


def no_settings(settings: Settings) -> tuple[object, ...]:  # noqa: ARG001 -- rows share one signature
    """No settings: those that decide the content of an asset which none decides."""
    return ()


def always(settings: Settings) -> bool:  # noqa: ARG001 -- rows share one signature
    """An asset that exists with all settings."""
    return True


def no_lineage(settings: Settings) -> Lineage:  # noqa: ARG001 -- rows share one signature
    """The lineage of no column."""
    return {}


@dataclass(frozen=True, kw_only=True)
class AssetFacts:
    """What is fixed about one asset, apart from how it is made.

    Attributes:
        path: its parquet file, or the folder of its partitions or files.
        stage: its tag `stage`.
        paid: whether making it spends vendor requests; its tag `paid`.
        group: its group in the web UI.
        kinds: its kinds in the web UI.
        version: the version of its code. Raise it with every change of code that changes the data; what was made
            before is then shown as out of date. None where it never is.
        decided_by: the settings that decide its content; they are part of its code version.
        lineage: the columns of other assets that each of its columns is derived from.
        lineage_by_settings: of columns that only some settings give it.
        schema: the columns of its table, where other assets read it through the IO manager.
        added: those of them that earlier releases did not write.
        is_defined: whether the asset exists with some settings.
    """

    path: Callable[[Lake], Path]
    stage: _Stage
    paid: bool
    group: str
    kinds: frozenset[str] = PARQUET
    version: str | None
    decided_by: Callable[[Settings], tuple[object, ...]] = no_settings
    lineage: Lineage = field(default_factory=dict)
    lineage_by_settings: Callable[[Settings], Lineage] = no_lineage
    schema: Mapping[str, pl.DataType] = field(default_factory=dict)
    added: Sequence[str] = ()
    is_defined: Callable[[Settings], bool] = always

    def code_version(self, settings: Settings) -> str | None:
        """The version of the code, and a digest of the settings that decide the content."""
        return None if self.version is None else code_version(self.version, *self.decided_by(settings))


def from_columns(upstream: Sequence[str], columns: Mapping[str, Iterable[str]]) -> Lineage:
    """The lineage of columns that each are derived from columns of one upstream asset."""
    key = dg.AssetKey(upstream)
    return {name: [dg.TableColumnDep(key, column) for column in found] for name, found in columns.items()}
