"""The path of the repository, whose configuration, documents and dagster.yaml tests read."""

from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).parents[1]
