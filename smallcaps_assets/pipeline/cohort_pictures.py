"""Charts of cohorts as small PNGs."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from smallcaps_assets.domain.events.detectors import EVENT_TYPES
from smallcaps_assets.domain.research.cohorts.ranking import describe_costed, describe_q, name_cohort
from smallcaps_assets.domain.research.prices import BPS
from smallcaps_assets.domain.research.statistics.intervals import with_intervals
from smallcaps_assets.pipeline.pictures import INK, LINE_COLOURS, SOFT, png_of, small_canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WINNING_COLOUR: Final = "#2a9d6f"
COHORT_COLOUR: Final = LINE_COLOURS[0]
_MONTHS_NAMED: Final = 8
# an interval may be this many times wider than all means together before it is cut at the edge
_WIDEST: Final = 1.5
# columns right of the chart: heading, right edge as a share of their width, and text of a cohort
_COLUMNS: Final[tuple[tuple[str, float, Callable[[dict[str, Any]], str]], ...]] = (
    ("bps", 0.13, lambda row: f"{BPS * row['mean']:+.1f}"),
    ("n", 0.24, lambda row: f"{row['n']:,}"),
    ("eff. n", 0.40, lambda row: f"{row['effective_n']:,.0f}"),
    ("days", 0.52, lambda row: f"{row['n_days']:,}"),
    ("wins %", 0.68, lambda row: f"{100 * row['win_rate']:.0f}"),
    ("costed", 0.84, lambda row: describe_costed(row["costed_share"])),
    ("q", 1.0, lambda row: describe_q(row["q_value"])),
)
_CHART_AND_COLUMNS: Final = (1.0, 1.45)


def cohorts_picture(cohorts: pl.DataFrame, title: str) -> bytes:
    """A table of some cohorts (COHORTS), in their order: mean net return in bps with its 95 % interval, and counts.

    Winning ones are green; one that selects no event, because too few of its labels have costs, is a circle instead of
    a dot. A cohort of one date has no interval; one that is far wider than the means is cut at the
    edge.
    """
    rows = with_intervals(cohorts).to_dicts()
    figure, _ = small_canvas(0.25 * max(len(rows), 1) + 0.9)
    figure.clear()
    axes, columns = figure.subplots(1, 2, sharey=True, width_ratios=_CHART_AND_COLUMNS)
    columns.set_axis_off()
    for place, row in enumerate(rows):
        colour = WINNING_COLOUR if row["winning"] else COHORT_COLOUR
        if row["mean_lo"] is not None:
            axes.plot([BPS * row["mean_lo"], BPS * row["mean_hi"]], [place, place], color=colour, linewidth=1.6)
        inside = "white" if row["winning"] and row["selects"] is False else colour
        axes.plot([BPS * row["mean"]], [place], "o", color=colour, markerfacecolor=inside, markersize=5)
        for _, right, text in _COLUMNS:
            _write(columns, right, place, text(row), INK)
    for heading, right, _ in _COLUMNS:
        _write(columns, right, -1, heading, SOFT)
    axes.set_yticks(range(len(rows)), [name_cohort(row["cohort_id"]) for row in rows])
    axes.set_ylim(max(len(rows), 1) - 0.5, -1.5)
    axes.axvline(0, color=SOFT, linewidth=0.8)
    axes.tick_params(left=False, colors=SOFT, labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if rows:
        low, high = _bounds(rows)
        axes.set_xlim(low, high)
    return png_of(figure, title)


def _write(axes: "Axes", right: float, place: int, text: str, colour: str) -> None:
    """Write a cell of the table, right-aligned."""
    axes.text(
        right, place, text, transform=axes.get_yaxis_transform(), ha="right", va="center", fontsize=8, color=colour
    )


def _bounds(rows: list[dict[str, Any]]) -> tuple[float, float]:
    """The ends of the axis: all means and 0, and intervals as far as they are not much wider."""
    means = [0.0, *(BPS * row["mean"] for row in rows)]
    ends = [BPS * row[name] for row in rows for name in ("mean_lo", "mean_hi") if row[name] is not None]
    width = max(max(means) - min(means), 1.0)
    low = max(min([*means, *ends]), min(means) - _WIDEST * width)
    high = min(max([*means, *ends]), max(means) + _WIDEST * width)
    margin = 0.04 * (high - low)
    return low - margin, high + margin


def as_of_picture(cohorts: pl.DataFrame, title: str) -> bytes:
    """Mean net return in bps, and share of wins, over as_of: a line per event type and direction.

    Args:
        cohorts: COHORTS of one label spec and selection, of level L1.
        title: what they are.
    """
    figure, _ = small_canvas(4.4)
    figure.clear()
    above, below = figure.subplots(2, sharex=True)
    months = cohorts["as_of"].unique().sort().to_list()
    known = dict(zip(EVENT_TYPES, LINE_COLOURS, strict=True))
    for (cohort,) in cohorts.select("cohort_id").unique().sort("cohort_id").iter_rows():
        line = cohorts.filter(cohort_id=cohort).sort("as_of")
        _, event_type, direction = cohort.split("|")
        places = [months.index(day) for day in line["as_of"]]
        for axes, values in ((above, BPS * line["mean"]), (below, 100 * line["win_rate"])):
            axes.plot(
                places,
                values.to_numpy(),
                "o-" if direction == "up" else "o--",
                color=known.get(event_type, SOFT),
                linewidth=1.4,
                markersize=2.5,
                label=name_cohort(cohort),
            )
    shown = range(0, len(months), max(1, -(-len(months) // _MONTHS_NAMED)))
    below.set_xticks(list(shown), [f"{months[number]:%Y-%m}" for number in shown])
    above.axhline(0, color=INK, linewidth=0.6)
    above.set_ylabel("mean net bps", fontsize=8, color=SOFT)
    below.set_ylabel("wins %", fontsize=8, color=SOFT)
    for axes in (above, below):
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        axes.tick_params(colors=SOFT, labelsize=8)
    handles, labels = above.get_legend_handles_labels()
    legend = figure.legend(handles, labels, frameon=False, fontsize=7, loc="upper right") if months else None
    return png_of(figure, title, legend)
