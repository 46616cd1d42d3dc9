"""Where the repository lies whose files tests read: configuration, documents, the Dagster instance."""

from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).parents[1]
