"""`smallcaps detect`: detect events in any bars without Dagster, and compare settings. Never writes to a lake."""

import json
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Final

from smallcaps_assets.commands.console import show
from smallcaps_assets.commands.detecting.comparison import Baseline, Comparison
from smallcaps_assets.commands.detecting.experiment import Experiment, sample
from smallcaps_assets.commands.detecting.outcomes import Outcomes
from smallcaps_assets.commands.detecting.output_paths import output_paths
from smallcaps_assets.commands.detecting.result import NAMED_BY, DetectionResult
from smallcaps_assets.commands.detecting.roads import ExperimentPart, Road, survey_road
from smallcaps_assets.commands.files import parquet_files, read_master
from smallcaps_assets.commands.flag_types import column_names, positive_number, price_scale
from smallcaps_assets.domain.imports.bars import BarForm
from smallcaps_assets.domain.imports.prices import PriceScale
from smallcaps_assets.domain.listings.borders import NO_BORDERS
from smallcaps_assets.domain.research.cohorts.follow_up import PRIMARY_SPEC
from smallcaps_assets.domain.research.outcomes.barriers import LABEL_SPECS
from smallcaps_assets.domain.symbols import ExchangeTestSymbols, describe_test_symbols
from smallcaps_assets.domain.words import count_clause
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.files.listing import list_paths
from smallcaps_assets.lake.files.publish import require_writable
from smallcaps_assets.lake.files.stored_tables import is_stored
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.listing_borders import load_borders
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.pipeline.imports.bar_files import BarReader
from smallcaps_assets.pipeline.imports.bars_by_symbol import BarsBySymbol
from smallcaps_assets.pipeline.progress import log_if_long
from smallcaps_assets.pipeline.research.costs_of_others import CostsOfOthers
from smallcaps_assets.pipeline.universe.symbol_file import read_symbols
from smallcaps_assets.settings.settings import PROFILES, Settings, config_path, lake_path, trial_settings

NEEDS: Final = (
    "a lake with bars, or parquet files with the columns symbol, timestamp, open, high, low, close, volume, and "
    "optionally vwap and transactions."
)
EXAMPLE: Final = 'smallcaps detect --bars "bars/*.parquet" --out events.parquet'

_SETTINGS_SUFFIXES: Final = (".yaml", ".yml")
_SHOWN: Final = 5
_INCOMPLETE: Final = 1


def _log(line: str) -> None:
    """Print a line to stderr, so that stdout holds nothing but the result."""
    show(line, file=sys.stderr)


def add_flags(parser: ArgumentParser) -> None:
    """Add the command's flags."""
    bars = parser.add_mutually_exclusive_group()
    bars.add_argument("--bars", metavar="PATH", help="a parquet file, a folder, or a quoted pattern")
    bars.add_argument("--lake", type=Path, metavar="DIR", help="read the bars of this lake (default: lake.path)")
    parser.add_argument(
        "--columns",
        type=column_names,
        default={},
        metavar="OURS=THEIRS,...",
        help="column names of the files of --bars, such as transactions=trade_count,vwap=average",
    )
    parser.add_argument(
        "--price-scale",
        type=price_scale,
        metavar="DOLLARS",
        help="dollars that a price of 1 in the files of --bars stands for: 1e-9, 1e-4, 0.01 for cents, or 1",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="the parquet file to write")
    parser.add_argument(
        "--config",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="settings that override config/config.yaml; may be repeated, a later file overrides an earlier one",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override one setting; may be repeated"
    )
    parser.add_argument(
        "--from-bars", action="store_true", help="read the bars of the lake even where its candidates decide the events"
    )
    part = parser.add_argument_group("part of the universe")
    part.add_argument("--symbols-from", type=Path, metavar="FILE", help="only the symbols of a .csv or .parquet file")
    part.add_argument("--sample", type=positive_number, metavar="N", help="only N symbols, drawn at random")
    part.add_argument("--sample-seed", type=int, default=0, metavar="N", help="seed of --sample (default: 0)")
    part.add_argument("--first", type=date.fromisoformat, metavar="DATE", help="first New York date of events")
    part.add_argument("--last", type=date.fromisoformat, metavar="DATE", help="last New York date of events")
    other = parser.add_argument_group("comparison")
    other.add_argument(
        "--compare", type=Path, metavar="OTHER", help="events (.parquet), or settings (.yaml) to detect with as well"
    )
    other.add_argument("--gained", type=Path, metavar="FILE", help="write the events that OTHER does not have")
    other.add_argument("--lost", type=Path, metavar="FILE", help="write the events that only OTHER has")
    other.add_argument(
        "--outcomes",
        action="store_true",
        help="what kept, gained and lost events returned, in the causal sample; reads every bar",
    )
    other.add_argument(
        "--label-spec",
        action="append",
        choices=(specs := [spec.name for spec in LABEL_SPECS]),
        metavar="SPEC",
        help=f"labels of --outcomes: {' or '.join(specs)}; may be repeated (default: {PRIMARY_SPEC})",
    )
    other.add_argument("--costs-of", choices=PROFILES, help="the profile whose tape says what events cost (core)")
    other.add_argument("--json", action="store_true", help="print JSON instead of tables")


def run(arguments: Namespace) -> int:
    """Detect events, write them to `--out`, report what was found and rejected, and compare with `--compare`.

    Returns 1, as `smallcaps import bars` does, where sessions of bars of another length, rows of another symbol than
    their path's, or many bad rows were left out.

    Raises:
        InputError: flags that contradict one another, bars or events that cannot be used, an output in the lake.
        SettingsError: see `trial_settings`.
        LakeError: an output cannot be written.
    """
    settings = trial_settings(arguments.config, arguments.set)
    lake = Lake((arguments.lake or lake_path(settings)).resolve())
    outputs = output_paths(arguments, (lake.root, lake_path(settings)))
    baseline = None if arguments.compare is None else _read_baseline(arguments.compare)
    configurations = [settings, *([baseline.settings] if baseline and baseline.settings else [])]
    if baseline and arguments.outcomes and not baseline.settings:
        # the sample of events that were lost is that of the settings in force
        configurations.append(trial_settings())
    for path in outputs.values():
        require_writable(path.parent)
    with (
        closing(_road(arguments, lake, configurations)) as road,
        tempfile.TemporaryDirectory(prefix="smallcaps-detect-", ignore_cleanup_errors=True) as scratch,
    ):
        files, available = _files(arguments, lake, list(outputs.values()), road)
        symbols, tests = _symbols(arguments, available, settings, lake)
        experiment = Experiment(
            files=files,
            symbols=symbols,
            first=arguments.first,
            last=arguments.last,
            configurations=configurations,
            reference=None if arguments.bars else UniverseStore(lake).reference(),
            borders=NO_BORDERS if arguments.bars else load_borders(lake),
            with_candidates=road.candidates.coverages.keys() if road.candidates else frozenset(),
            judge=road.judged,
            keeps_candidates=arguments.outcomes,
        )
        comparison = Comparison(baseline, _name(arguments), settings) if baseline else None
        absent = files.reader.absent if files else {}
        outcomes = _outcomes(arguments, lake, configurations) if arguments.outcomes else None
        result = DetectionResult(Path(scratch), outputs, comparison, tests, absent, road, outcomes)
        for batch in experiment.run(Path(scratch) / "bars", log_if_long(_log)):
            result.add(batch)
        source = arguments.bars or str(lake.root)
        result.publish(source)
    if arguments.json:
        print(json.dumps(result.document()))
    else:
        show(*result.text())
    problems = [*dict.fromkeys(files.problems if files else ()), *result.problems(source)]
    for problem in problems:
        _log(problem)
    return _INCOMPLETE if problems else 0


def _outcomes(arguments: Namespace, lake: Lake, configurations: Sequence[Settings]) -> Outcomes:
    after, before = configurations
    profile = None if arguments.bars else arguments.costs_of or PROFILES[0]
    specs = arguments.label_spec or [PRIMARY_SPEC]
    chosen = [spec.name for spec in LABEL_SPECS if spec.name in specs]
    return Outcomes(before, after, chosen, CostsOfOthers(lake, after.research, after.sessions, profile))


def _read_baseline(path: Path) -> Baseline:
    if path.suffix.lower() in _SETTINGS_SUFFIXES:
        return Baseline(str(path), trial_settings([path]), None)
    return Baseline(str(path), None, read_master(path))


def _name(arguments: Namespace) -> str:
    files = [str(file) for file in arguments.config or [config_path()]]
    return " ".join([*files, *(f"--set {argument}" for argument in arguments.set)])


def _road(arguments: Namespace, lake: Lake, configurations: Sequence[Settings]) -> Road:
    if arguments.bars:
        return Road(None)
    if arguments.from_bars:
        return Road(None, "as --from-bars asks for")
    if arguments.outcomes:
        return Road(None, "--outcomes needs the bars after events, and every candidate of small days")
    # the lake is detected with the settings in force, without those of the flags
    part = ExperimentPart(arguments.first, arguments.last, not (arguments.symbols_from or arguments.sample))
    return survey_road(lake, trial_settings(), configurations, part, log_if_long(_log))


def _files(arguments: Namespace, lake: Lake, exclude: list[Path], road: Road) -> tuple[BarsBySymbol | None, list[str]]:
    """The bars of the symbols that have to be read, None if there are none; and all symbols with bars, sorted."""
    log = _log if arguments.json else show
    if arguments.bars:
        reader = BarReader(BarForm(names=arguments.columns, scale=arguments.price_scale))
        files = BarsBySymbol.scan(reader, parquet_files(arguments.bars, exclude, log), log_if_long(_log))
        return files, files.symbols
    if arguments.columns:
        raise InputError("--columns names columns of files: give --bars PATH as well. The columns of a lake are known.")
    if arguments.price_scale:
        raise InputError(
            "--price-scale is the unit of files: give --bars PATH as well. The prices of a lake are dollars."
        )
    judged = road.candidates.with_bars() if road.candidates else []
    if judged and road.candidates and not road.candidates.reasons:
        return None, judged
    folder = lake.minute_bars
    # a folder in the place of a file would be left out in silence
    if not [path for path in list_paths(folder, "*/*.parquet") if is_stored(path)]:
        raise InputError(f"{lake.root}: no bars in this lake. Materialize minute_bars first, or give --bars PATH.")
    paths = parquet_files(str(folder), exclude, log)
    if road.candidates:
        covered = {lake.bars(symbol) for symbol in road.candidates.coverages}
        paths = [path for path in paths if path.parent not in covered]
    if not paths:
        return None, judged
    reader = BarReader(BarForm(scale=PriceScale("1")), optional=())
    files = BarsBySymbol.scan(reader, paths, log_if_long(_log))
    return files, sorted({*judged, *files.symbols})


def _symbols(arguments: Namespace, available: list[str], settings: Settings, lake: Lake) -> tuple[list[str], list[str]]:
    """The requested symbols that have bars, and test symbols that were left out, both sorted; logs those without bars.

    Raises:
        InputError: no requested symbol has bars, or the dates are in the wrong order.
    """
    if arguments.first and arguments.last and arguments.first > arguments.last:
        raise InputError(f"--first {arguments.first} is after --last {arguments.last}: swap them.")
    tests = list[str]()
    symbols = available
    if arguments.symbols_from:
        requested = read_symbols(arguments.symbols_from)
        for note in requested.notes:
            _log(f"{arguments.symbols_from}: {note}")
        wanted = requested.rows["symbol"].to_list()
        without_bars = sorted(set(wanted) - set(symbols))
        if without_bars:
            more = f" and {len(without_bars) - _SHOWN:,} more" if len(without_bars) > _SHOWN else ""
            names = ", ".join(without_bars[:_SHOWN])
            _log(
                f"{len(without_bars):,} of {count_clause(len(wanted), 'symbol has', 'symbols have')} no bars: "
                f"{names}{more}"
            )
        symbols = sorted(set(wanted) & set(symbols))
        if not symbols:
            raise InputError(f"{arguments.symbols_from}: none of its symbols has bars. List symbols that have bars.")
    else:
        tests = _test_symbols(arguments, settings, lake).among(symbols)
        symbols = [symbol for symbol in symbols if symbol not in tests]
        if tests and not symbols:
            raise InputError(f"{describe_test_symbols(tests, NAMED_BY)}. Nothing is left.")
    return sample(symbols, arguments.sample, arguments.sample_seed) if arguments.sample else symbols, tests


def _test_symbols(arguments: Namespace, settings: Settings, lake: Lake) -> ExchangeTestSymbols:
    if arguments.bars:
        return ExchangeTestSymbols(settings.universe.test_symbols, settings.universe.symbols or ())
    return UniverseStore(lake).test_symbols(settings.universe)
