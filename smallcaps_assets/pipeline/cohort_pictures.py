"""Charts of cohorts as small PNGs."""

from typing import Final

import polars as pl

from smallcaps_assets.domain.research.prices import BPS
from smallcaps_assets.pipeline.pictures import INK, LINE_COLOURS, SOFT, png_of, small_canvas

# of the mean, from its error clustered by date
INTERVAL_Z: Final = 1.959964
_GREEN: Final = "#2a9d6f"
_MONTHS_NAMED: Final = 8


def cohorts_picture(cohorts: pl.DataFrame, title: str) -> bytes:
    """Mean net return of some cohorts (COHORTS) in bps with its 95 % interval, and how many events and dates each has.

    Winning ones are green. One date has no interval.
    """
    figure, axes = small_canvas(0.34 * max(cohorts.height, 1) + 0.8)
    names = []
    for place, row in enumerate(cohorts.iter_rows(named=True)):
        mean, half = BPS * row["mean"], BPS * INTERVAL_Z * (row["se"] or 0)
        colour = _GREEN if row["winning"] else LINE_COLOURS[0]
        axes.plot([mean - half, mean + half], [place, place], color=colour, linewidth=1.6)
        axes.plot([mean], [place], "o", color=colour, markersize=5)
        words = " ".join(row["cohort_id"].split("|")[1:]).replace("_", " ")
        names.append(f"{words} (n {row['n']:,}, {row['n_days']:,} d)")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.axvline(0, color=SOFT, linewidth=0.8)
    axes.tick_params(left=False)
    return png_of(figure, title)


def as_of_picture(cohorts: pl.DataFrame, title: str) -> bytes:
    """Mean net return in bps of cohorts (COHORTS) of one label spec, selection and level, a line each over as_of."""
    figure, axes = small_canvas(2.7)
    months = cohorts["as_of"].unique().sort().to_list()
    for number, (cohort,) in enumerate(cohorts.select("cohort_id").unique().sort("cohort_id").iter_rows()):
        line = cohorts.filter(cohort_id=cohort).sort("as_of")
        words = " ".join(cohort.split("|")[1:]).replace("_", " ")
        places = [months.index(day) for day in line["as_of"]]
        style = "-" if number < len(LINE_COLOURS) else "--"
        colour = LINE_COLOURS[number % len(LINE_COLOURS)]
        means = (BPS * line["mean"]).to_numpy()
        axes.plot(places, means, style, color=colour, linewidth=1.4, marker="o", markersize=2.5, label=words)
    shown = range(0, len(months), max(1, -(-len(months) // _MONTHS_NAMED)))
    axes.set_xticks(list(shown), [f"{months[number]:%Y-%m}" for number in shown])
    axes.axhline(0, color=INK, linewidth=0.6)
    axes.legend(frameon=False, fontsize=7, ncols=1, loc="center left", bbox_to_anchor=(1, 0.5))
    return png_of(figure, f"{title}, by as-of month")
