"""Charts of tables as small PNGs, shown beside the figures of an asset."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Final

import polars as pl

from smallcaps_assets.domain.events.detectors import EVENT_TYPES
from smallcaps_assets.domain.research.tape.around_event import FROM_S, STEP_S, UNTIL_S
from smallcaps_assets.domain.sessions import NEW_YORK
from smallcaps_assets.domain.tables import SESSIONS
from smallcaps_assets.pipeline.picture_margins import set_margins

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

COLOURS: Final[Mapping[str, str]] = {"PM": "#e0a030", "RTH": "#2f6fde", "AH": "#7a4fd0"}
# of event types, in their order
LINE_COLOURS: Final = ("#2f6fde", "#e0a030", "#7a4fd0", "#2a9d6f", "#d43d4c", "#5d6b7a", "#b0578d")
INK: Final = "#16202c"
SOFT: Final = "#5d6b7a"
DPI: Final = 100
MINUTES_PER_BAR: Final = 15
SCORE_BINS: Final = 40
# with fewer, a colour of few pixels, such as that of one line, may be merged with another
COLOURS_KEPT: Final = 96
MONTHS_NAMED: Final = 8
MONTHS_COUNTED: Final = 12
# columns of MONTHLY_SURVIVORSHIP in their order from the axis up; the last one is below it
SURVIVORSHIP_COLOURS: Final[Mapping[str, tuple[str, str]]] = {
    "both": ("then and today", "#2f6fde"),
    "only_then": ("only then", "#2a9d6f"),
    "unknown": ("not known", "#b4bec9"),
    "only_today": ("only today: hindsight", "#d43d4c"),
}
# lower bound in per cent and label
BANDS: Final = ((0.0, "none"), (0.01, "below 50 %"), (50.0, "50 to 95 %"), (95.0, "95 % and more"), (100.0, "all"))


def funnel_picture(funnel: Sequence[Mapping[str, int | str]]) -> bytes:
    """Number of events left after each step of a selection."""
    steps = [str(step["step"]).replace("_", " ") for step in funnel]
    rows = [int(step["rows"]) for step in funnel]
    figure, axes = small_canvas(0.42 * len(steps) + 0.7)
    axes.barh(steps, rows, color="#2f6fde", height=0.72)
    axes.invert_yaxis()
    axes.margins(x=0.16)
    axes.tick_params(left=False)
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    first = max(rows[0], 1) if rows else 1
    for place, number in enumerate(rows):
        axes.annotate(
            f" {number:,} ({100 * number / first:.0f} %)", (number, place), va="center", color=INK, fontsize=9
        )
    return png_of(figure, "Events left after each step")


def score_picture(events: pl.DataFrame) -> bytes:
    """Distribution of the scores by event type: one row per type, each on its own scale."""
    counts = (
        events.with_columns(bin=(pl.col("score") * SCORE_BINS).floor().clip(0, SCORE_BINS - 1).cast(pl.Int64))
        .group_by("event_type", "bin")
        .len()
    )
    medians = dict(events.group_by("event_type").agg(pl.col("score").median()).iter_rows())
    totals = dict(events.group_by("event_type").len().iter_rows())
    types = [name for name in reversed(EVENT_TYPES) if name in totals]
    figure, axes = small_canvas(0.42 * len(types) + 0.9)
    for place, name in enumerate(types):
        histogram = counts.filter(pl.col("event_type") == name).sort("bin")
        heights = 0.85 * histogram["len"] / histogram["len"].max()
        boxes = zip(histogram["bin"] / SCORE_BINS, [place] * histogram.height, heights, strict=True)
        _bars(axes, boxes, 1 / SCORE_BINS, "#2f6fde")
        axes.plot([medians[name]] * 2, [place, place + 0.85], color="#d43d4c", linewidth=1.6)
    axes.set_yticks(range(len(types)), [f"{name.replace('_', ' ')} ({totals[name]:,})" for name in types])
    axes.set_ylim(-0.05, max(len(types), 1))
    axes.set_xlim(0, 1)
    axes.tick_params(left=False)
    return png_of(figure, "Score by event type (red: median)")


def clock_picture(events: pl.DataFrame) -> bytes:
    """Number of events in each quarter of an hour, New York time, by session."""
    moment = pl.col("timestamp").dt.convert_time_zone(NEW_YORK)
    quarter = (moment.dt.hour().cast(pl.Int64) * 60 + moment.dt.minute()) // MINUTES_PER_BAR
    figure, axes = small_canvas(2.4)
    width = MINUTES_PER_BAR / 60
    counts = events.group_by("session", place=quarter).len()
    for session, places, heights, floors in _stacked(counts):
        label = f"{session} {sum(heights):,}"
        boxes = zip((place * width for place in places), floors, heights, strict=True)
        _bars(axes, boxes, width * 0.9, COLOURS[session], label)
    axes.set_xlim(4, 20)
    axes.set_xticks(range(4, 21, 2), [f"{hour:02}:00" for hour in range(4, 21, 2)])
    _style_counts(axes)
    return png_of(figure, "Events by quarter of an hour, New York")


def sessions_picture(events: pl.DataFrame) -> bytes:
    """Number of events per trading day, by session."""
    counts = events.group_by("session", "date").len()
    days = counts["date"].unique().sort().to_list()
    numbered = counts.with_columns(place=pl.col("date").rank("dense").cast(pl.Int64) - 1)
    figure, axes = small_canvas(2.2)
    for session, places, heights, floors in _stacked(numbered):
        boxes = zip((place - 0.45 for place in places), floors, heights, strict=True)
        _bars(axes, boxes, 0.9, COLOURS[session], session)
    shown = range(0, len(days), max(1, len(days) // 6))
    axes.set_xticks(list(shown), [days[number] for number in shown])
    _style_counts(axes)
    return png_of(figure, "Events per day")


def coverage_picture(shares: pl.DataFrame) -> bytes:
    """Number of symbols by their share of the expected sessions of each month.

    Args:
        shares: `month` and `pct`, one row per symbol and month.
    """
    months = shares["month"].unique().sort()
    bands = len(BANDS)
    # complete symbols on top
    place = bands - 1 - pl.sum_horizontal((pl.col("pct") >= least).cast(pl.Int64) for least, _ in BANDS[1:])
    counts = shares.group_by("month", place=place).len()
    cells = [[0] * months.len() for _ in BANDS]
    for month, row, count in counts.iter_rows():
        cells[row][int(months.index_of(month) or 0)] = count
    figure, axes = small_canvas(0.42 * bands + 0.8)
    most = max(1, *(max(row) for row in cells)) if months.len() else 1
    axes.imshow(cells or [[0]], cmap="Blues", vmin=0, vmax=most, aspect="auto", interpolation="nearest")
    axes.set_yticks(range(bands), [name for _, name in reversed(BANDS)])
    shown = range(0, months.len(), max(1, -(-months.len() // MONTHS_NAMED)))
    axes.set_xticks(list(shown), [f"{months[number]:%Y-%m}" for number in shown])
    if months.len() <= MONTHS_COUNTED:
        for row, line in enumerate(cells):
            for column, count in enumerate(line):
                colour = "white" if 2 * count > most else INK
                axes.annotate(f"{count:,}" if count else "", (column, row), ha="center", va="center", color=colour)
    return png_of(figure, "Symbols by share of expected sessions published")


def percentile_picture(percentiles: pl.Series) -> bytes:
    """Number of events by their percentile among recent events, 0 to 1; even where scores are stable over time."""
    bins = (percentiles * SCORE_BINS).floor().clip(0, SCORE_BINS - 1).cast(pl.Int64)
    figure, axes = small_canvas(1.9)
    counts = bins.value_counts().sort(bins.name)
    boxes = ((place / SCORE_BINS, 0, count) for place, count in counts.iter_rows())
    _bars(axes, boxes, 0.9 / SCORE_BINS, COLOURS["RTH"])
    axes.set_xlim(0, 1)
    return png_of(figure, "Events by percentile of their score among recent ones")


def market_state_picture(by_month: pl.DataFrame) -> bytes:
    """Days of symbols with a short sale restriction triggered, and halts, of each month.

    Args:
        by_month: `month` (YYYY-MM), `ssr_days`, `halts`, sorted by month.
    """
    figure, axes = small_canvas(2.2)
    for shift, (column, label, colour) in enumerate(
        (("ssr_days", "SSR days", COLOURS["AH"]), ("halts", "halts", COLOURS["PM"]))
    ):
        boxes = ((place - 0.4 + 0.4 * shift, 0, count) for place, count in enumerate(by_month[column]))
        _bars(axes, boxes, 0.38, colour, f"{label} {by_month[column].sum():,}")
    shown = range(0, by_month.height, max(1, -(-by_month.height // MONTHS_NAMED)))
    axes.set_xticks(list(shown), [by_month["month"][number] for number in shown])
    _style_counts(axes)
    return png_of(figure, "Short sale restrictions and halts by month")


def survivorship_picture(by_month: pl.DataFrame) -> bytes:
    """Events of each month that the universe of their date has, and below the axis those that only today's list has.

    Args:
        by_month: MONTHLY_SURVIVORSHIP.
    """
    figure, axes = small_canvas(2.7)
    floors = pl.Series("floor", [0] * by_month.height, pl.Int64)
    for column, (label, colour) in SURVIVORSHIP_COLOURS.items():
        heights = by_month[column] * (-1 if column == "only_today" else 1)
        begins = [0] * by_month.height if column == "only_today" else floors.to_list()
        boxes = ((place - 0.45, begins[place], height) for place, height in enumerate(heights))
        _bars(axes, boxes, 0.9, colour, f"{label} ({by_month[column].sum():,})")
        floors += heights
    axes.axhline(0, color=SOFT, linewidth=0.8)
    axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):,g}")
    shown = range(0, by_month.height, max(1, -(-by_month.height // MONTHS_NAMED)))
    axes.set_xticks(list(shown), [f"{by_month['month'][number]:%Y-%m}" for number in shown])
    _style_counts(axes)
    legend = axes.legend(frameon=False, fontsize=8, ncols=1, loc="center left", bbox_to_anchor=(1, 0.5))
    return png_of(figure, "Events in the universe of their date; below: only in today's list", legend)


def around_event_picture(means: pl.DataFrame, column: str, title: str) -> bytes:
    """One line per event type from three minutes before to five minutes after the events are known.

    Args:
        means: MEANS_AROUND.
        column: the column to draw.
        title: what it is.
    """
    figure, axes = small_canvas(2.7)
    for name, colour in zip(EVENT_TYPES, LINE_COLOURS, strict=True):
        line = means.filter(event_type=name)
        if line[column].count():
            label = f"{name.replace('_', ' ')} ({int(line.select(pl.col('events').max()).item()):,})"
            middles = line["second"] + STEP_S / 2
            axes.plot(middles.to_numpy(), line[column].to_numpy(), color=colour, linewidth=1.4, label=label)
    # the event's minute
    axes.axvspan(-60, 0, color="#eef1f4", linewidth=0)
    axes.set_xlim(FROM_S, UNTIL_S)
    ticks = range(FROM_S, UNTIL_S + 1, 60)
    axes.set_xticks(ticks, [f"{second:+} s" if second else "known" for second in ticks])
    _style_counts(axes)
    legend = axes.legend(frameon=False, fontsize=8, ncols=1, loc="center left", bbox_to_anchor=(1, 0.5))
    return png_of(figure, title, legend)


def _bars(
    axes: "Axes", boxes: Iterable[tuple[float, float, float]], width: float, colour: str, label: str | None = None
) -> None:
    """Draw vertical bars, each given by its left edge, its floor and its height.

    They are one artist: `Axes.bar` creates one per bar, which takes seconds for years of days.
    """
    from matplotlib.collections import PolyCollection  # noqa: PLC0415 -- as in small_canvas

    corners = [
        [(left, floor), (left, floor + height), (left + width, floor + height), (left + width, floor)]
        for left, floor, height in boxes
    ]
    drawn = PolyCollection(corners, facecolors=colour, linewidths=0, label=label)
    drawn.sticky_edges.y.append(0)
    axes.add_collection(drawn)
    axes.autoscale_view()


def _stacked(counts: pl.DataFrame) -> Iterator[tuple[str, list[int], list[int], list[int]]]:
    """Per session: the places, the number of events of the session at each, and that of earlier sessions.

    `counts` has the number of events, `len`, by session and place.
    """
    by_session = (pl.col("len").filter(pl.col("session") == name).sum().alias(name) for name in SESSIONS)
    wide = counts.group_by("place").agg(by_session).sort("place")
    for number, session in enumerate(SESSIONS):
        floors = wide.with_columns(floor=pl.sum_horizontal(pl.lit(0), *SESSIONS[:number]))["floor"].to_list()
        yield session, wide["place"].to_list(), wide[session].to_list(), floors


def small_canvas(height_in: float) -> "tuple[Figure, Axes]":
    """A figure with one pair of axes, without decoration."""
    from matplotlib.figure import Figure  # noqa: PLC0415 -- heavy, and only needed when something is drawn

    figure = Figure(figsize=(7.2, height_in), dpi=DPI)
    axes = figure.subplots()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=SOFT, labelsize=9)
    return figure, axes


def _style_counts(axes: "Axes") -> None:
    """Add horizontal grid lines, and a legend of the sessions above them."""
    axes.spines["left"].set_visible(False)
    axes.tick_params(left=False)
    axes.grid(axis="y", color="#e6eaee", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, fontsize=9, ncols=3, loc="lower right", bbox_to_anchor=(1, 0.98))


def png_of(figure: "Figure", title: str, beside: "Legend | None" = None) -> bytes:
    """The figure as a PNG of few colours, to keep it small; equal figures give equal bytes.

    Args:
        figure: charts in a row or a column.
        title: stands above the first of them.
        beside: a legend right of them.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 -- as in small_canvas
    from PIL import Image  # noqa: PLC0415

    for axes in figure.axes[:1]:
        # `y`: or the labels are measured, to move the title out of their way
        axes.set_title(title, loc="left", fontsize=10, color=INK, fontweight="bold", y=1.0)
    set_margins(figure, beside)
    # drawn once: `savefig` draws twice and encodes a PNG that would have to be decoded
    canvas, small = FigureCanvasAgg(figure), BytesIO()
    canvas.draw()  # type: ignore[no-untyped-call]
    size, pixels = canvas.get_width_height(), canvas.buffer_rgba()  # type: ignore[no-untyped-call]
    with Image.frombuffer("RGBA", size, pixels, "raw", "RGBA", 0, 1) as image:
        image.convert("RGB").quantize(COLOURS_KEPT, dither=Image.Dither.NONE).save(small, "png", optimize=True)
    return small.getvalue()
