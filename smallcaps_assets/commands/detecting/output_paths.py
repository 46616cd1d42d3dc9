"""Where `smallcaps detect` writes, and flags that contradict one another."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from smallcaps_assets.commands.detecting.result import FURTHER_OUTPUTS
from smallcaps_assets.errors import InputError


def output_paths(arguments: Namespace, lakes: Sequence[Path]) -> dict[str, Path]:
    """The files to write, by their content.

    Raises:
        InputError: there is nothing to do, or a file would be written twice, over an input or into a lake.
    """
    if arguments.out is None and arguments.compare is None:
        raise InputError("nothing to do: give --out FILE to write the events, or --compare OTHER to see what changes.")
    _require_consistent(arguments)
    named = {name: getattr(arguments, name) for name in ("out", "gained", "lost")}
    outputs: dict[str, Path] = {name: path for name, path in named.items() if path is not None}
    for name, path in outputs.items():
        if path.is_dir():
            raise InputError(
                f"--{name} {path}: is a folder. Give the path of the file to write, e.g. {path / 'events.parquet'}."
            )
    if "out" in outputs:
        outputs |= {name: outputs["out"].with_name(f"{outputs['out'].stem}.{name}.parquet") for name in FURTHER_OUTPUTS}
    taken = set() if arguments.compare is None else {arguments.compare.resolve()}
    for path in outputs.values():
        if path.resolve() in taken:
            raise InputError(f"{path}: is named twice as an input or output. Choose another output file.")
        for lake in lakes:
            if path.resolve().is_relative_to(lake):
                raise InputError(
                    f"{path}: lies in the lake {lake}, which only assets may write. Choose another folder."
                )
        taken.add(path.resolve())
    return outputs


def _require_consistent(arguments: Namespace) -> None:
    """Refuse flags that have no effect without another."""
    if arguments.compare is None and (arguments.json or arguments.gained or arguments.lost):
        raise InputError("--gained, --lost and --json need a comparison: give --compare OTHER as well.")
    if arguments.compare is None and arguments.outcomes:
        raise InputError("--outcomes are those of a comparison: give --compare OTHER as well.")
    if not arguments.outcomes and (arguments.label_spec or arguments.costs_of):
        raise InputError("--label-spec and --costs-of are of outcomes: give --outcomes as well.")
    if arguments.bars and arguments.costs_of:
        raise InputError("--costs-of reads the tape of a lake, and --bars none: leave one of them out.")
