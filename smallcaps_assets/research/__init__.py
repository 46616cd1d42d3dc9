"""A lake as lazy tables, for research in Python.

    from smallcaps_assets.research import open_lake

    lake = open_lake("lake")
    flushes = lake.events().filter(pl.col("event_type") == "flush").collect()

Every method returns a Polars LazyFrame, of which only what is asked is read, when it is collected. That the files are
there and undamaged is checked when the method is called, for which each is read whole once in a process. A table that
is older than what it is made from is named in a StaleTableWarning. Nothing is fetched and nothing is written. All times
are UTC, all prices USD.
"""

from smallcaps_assets.research.reader import OUTCOMES, ResearchLake, StaleTableWarning, open_lake

__all__ = ["OUTCOMES", "ResearchLake", "StaleTableWarning", "open_lake"]
