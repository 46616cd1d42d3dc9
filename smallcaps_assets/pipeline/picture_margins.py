"""Margins of a chart, from the widths of its texts.

Matplotlib's constrained layout measures every text of a chart twice, which takes longer than drawing it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

_POINTS_PER_INCH: Final = 72
# all in points: from the edge of the picture, from an axis to its labels, from a label to what it names
_EDGE: Final = 4.0
_TO_LABELS: Final = 7.0
_TO_NAME: Final = 6.0
_LINE: Final = 1.2
# parts of a legend left of its texts, and around it, in units of its font
_HANDLES: Final = 4.4
# drawn glyphs lie on whole pixels, which makes texts a little wider
_HINTED: Final = 1.03
# between the rows of several charts
_BETWEEN: Final = 12.0


def set_margins(figure: "Figure", beside: "Legend | None" = None) -> None:
    """Place the charts of a figure, so that titles, labels and a legend right of them have the room they take.

    Args:
        figure: a row or a column of charts; the labels of those that are not at its left or lower edge are not shown.
        beside: a legend between the charts and the right edge.
    """
    width, height = (_POINTS_PER_INCH * float(inches) for inches in figure.get_size_inches())
    charts = figure.axes
    for axis in (axis for chart in charts for axis in (chart.xaxis, chart.yaxis)):
        if not axis.get_label_text():
            # or the labels of the ticks are measured, to place a name that there is not
            axis.set_label_coords(0, 0)
    left = right = bottom = _EDGE
    top = _EDGE
    for chart in charts:
        place = chart.get_subplotspec()
        if chart.axison and place is not None and place.is_first_col():
            left = max(left, _beside_axis(chart.yaxis))
        if chart.axison and place is not None and place.is_last_row():
            bottom = max(bottom, _below_axis(chart.xaxis))
        title = chart.title, chart._left_title  # type: ignore[attr-defined]  # noqa: SLF001 -- it has no getter
        sizes = [float(one.get_fontsize()) for one in title if one.get_text()]
        top = max(top, *(_EDGE + _LINE * size + _TO_NAME for size in sizes), _EDGE)
    if beside is not None:
        size = max((float(text.get_fontsize()) for text in beside.get_texts()), default=0.0)
        right = max(right, _widest([text.get_text() for text in beside.get_texts()], size) + _HANDLES * size)
    for chart in charts:
        left, right = _room_for_ends(chart, left, right, width)
    figure.subplots_adjust(
        left=left / width,
        right=1 - right / width,
        bottom=bottom / height,
        top=1 - top / height,
        hspace=_BETWEEN * len(charts) / height,
        wspace=_BETWEEN * len(charts) / width,
    )


def _labels(axis: "Axis") -> tuple[Sequence[float], Sequence[str], float]:
    """Places, texts and font size of the labels of an axis that lie between its ends; none of a hidden one."""
    if not axis.get_visible():
        return [], [], 0.0
    low, high = sorted(axis.get_view_interval())
    places = [float(place) for place in axis.get_majorticklocs()]
    texts = axis.get_major_formatter().format_ticks(places)
    shown = [(place, text) for place, text in zip(places, texts, strict=True) if low <= place <= high and text]
    tick = axis.get_major_ticks(1)[0]
    return [place for place, _ in shown], [text for _, text in shown], float(tick.label1.get_fontsize())


def _beside_axis(axis: "Axis") -> float:
    """The room left of a vertical axis, in points."""
    _, texts, size = _labels(axis)
    labels = _widest(texts, size) + _TO_LABELS if texts else 0.0
    return _EDGE + labels + _name_of(axis)


def _below_axis(axis: "Axis") -> float:
    """The room below a horizontal axis, in points."""
    _, texts, size = _labels(axis)
    return _EDGE + (_LINE * size + _TO_LABELS if texts else 0.0) + _name_of(axis)


def _name_of(axis: "Axis") -> float:
    return _LINE * float(axis.label.get_fontsize()) + _TO_NAME if axis.get_label_text() else 0.0


def _room_for_ends(chart: "Axes", left: float, right: float, width: float) -> tuple[float, float]:
    """Wider margins where the first or the last label of the horizontal axis would be cut off."""
    if not chart.axison:
        return left, right
    places, texts, size = _labels(chart.xaxis)
    if not texts:
        return left, right
    low, high = sorted(chart.xaxis.get_view_interval())
    room, span = width - left - right, (high - low) or 1.0
    first = _widest(texts[:1], size) / 2 - room * (places[0] - low) / span + _EDGE
    last = _widest(texts[-1:], size) / 2 - room * (high - places[-1]) / span + _EDGE
    return max(left, first), max(right, last)


def _widest(texts: Sequence[str], size: float) -> float:
    """The width of the widest of some texts, in points."""
    from matplotlib.font_manager import FontProperties  # noqa: PLC0415 -- heavy, and only needed to draw
    from matplotlib.textpath import text_to_path  # noqa: PLC0415

    font = FontProperties(size=size)
    widths = (text_to_path.get_text_width_height_descent(text, font, ismath=False)[0] for text in texts)
    return _HINTED * max((float(width) for width in widths), default=0.0)
