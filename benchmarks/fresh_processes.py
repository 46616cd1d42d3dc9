"""The works of a script, each measured in fresh processes, beside the first of them."""

import argparse
import json
import subprocess
import sys
from collections.abc import Collection, Mapping
from typing import Final

Figures = dict[str, float]
REPEATS: Final = 3
_MEASURED: Final = ("wall_s", "cpu_s", "peak_mb")


def parse_sizes(doc: str, sizes: Mapping[str, int], works: Collection[str]) -> argparse.Namespace:
    """The flags of such a script: its sizes, with these defaults, `--repeats`, and `--work` of a fresh process."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    for name, size in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=size)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--work", choices=works)
    return parser.parse_args()


def measure(script: str, work: str, sizes: Mapping[str, int], repeats: int) -> Figures:
    """What `script --work` printed in the run with the least processor time of some."""
    command = [sys.executable, script, "--work", work, *(f"--{name}={size}" for name, size in sizes.items())]

    def once() -> Figures:
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
        return dict(json.loads(output))

    return min((once() for _ in range(repeats)), key=lambda figures: figures["cpu_s"])


def compare_works(
    script: str, works: Collection[str], arguments: argparse.Namespace, sizes: Collection[str], ratio: str
) -> None:
    """Measure and print all works; the last line is one JSON object.

    Args:
        script: of the works, each of which prints `wall_s`, `cpu_s`, `peak_mb` and counts.
        works: the first is what the others are compared with.
        arguments: those of the script.
        sizes: which of them are sizes.
        ratio: what a work's processor time over that of the first is called.
    """
    given: dict[str, int] = {name: getattr(arguments, name) for name in sizes}
    figures: dict[str, object] = dict(given)
    first: Figures = {}
    for work in works:
        found = measure(script, work, given, arguments.repeats)
        first = first or found
        figures[work] = {
            "wall_s": round(found["wall_s"], 2),
            "cpu_s": round(found["cpu_s"], 2),
            ratio: round(found["cpu_s"] / first["cpu_s"], 2),
            "peak_mb": round(found["peak_mb"]),
            **{name: int(count) for name, count in found.items() if name not in _MEASURED},
        }
        print(work, figures[work], flush=True)
    print(json.dumps(figures))
