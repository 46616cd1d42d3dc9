"""Margins from the widths of texts: against what Matplotlib itself measures once a chart is drawn."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from smallcaps_assets.pipeline.picture_margins import set_margins

LONG = "opening range break of a long name (1,234)"


def bars(figure: Figure) -> Any:
    axes = figure.subplots()
    axes.barh([LONG, "flush"], [3, 1])


def wide_numbers(figure: Figure) -> Any:
    axes = figure.subplots()
    axes.plot([0, 1], [0, 123_456_789])
    axes.ticklabel_format(style="plain")
    axes.set_ylabel("dollars", fontsize=8)
    axes.set_xticks([0, 1], ["a first label", "a last label"])


def above_each_other(figure: Figure) -> Any:
    above, below = figure.subplots(2, sharex=True)
    for axes in (above, below):
        axes.plot([0, 1], [-1000, 1000], label=LONG)
        axes.set_ylabel("mean", fontsize=8)
    handles, labels = above.get_legend_handles_labels()
    return figure.legend(handles, labels, frameon=False, fontsize=7, loc="upper right")


def with_legend(figure: Figure) -> Any:
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], label=LONG)
    return axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))


@pytest.mark.parametrize("draw", [bars, wide_numbers, above_each_other, with_legend])
def test_every_text_lies_within_the_picture_and_little_room_is_left(draw: Callable[[Figure], Any]) -> None:
    figure = Figure(figsize=(7.2, 2.6), dpi=100)
    legend = draw(figure)
    figure.axes[0].set_title("A title", loc="left", fontsize=10, y=1.0)
    set_margins(figure, legend)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    box = figure.get_tightbbox(canvas.get_renderer())  # type: ignore[no-untyped-call]  # in inches
    assert box.x0 > 0
    assert box.y0 > 0
    assert box.x1 < 7.2
    assert box.y1 < 2.6
    # at most a fifth of an inch at the left, where labels end, and at the top
    assert box.x0 < 0.2
    assert box.y1 > 2.4


def test_charts_side_by_side_do_not_overlap() -> None:
    figure = Figure(figsize=(7.2, 2.6), dpi=100)
    left, right = figure.subplots(1, 2, sharey=True)
    right.set_axis_off()
    left.barh([LONG], [1])
    set_margins(figure)
    ends = np.array([[axes.get_position().x0, axes.get_position().x1] for axes in (left, right)])
    assert ends[0, 1] < ends[1, 0] < ends[0, 1] + 0.1
    assert ends[1, 1] < 1


def test_a_hidden_axis_takes_no_room() -> None:
    figure = Figure(figsize=(7.2, 2.6), dpi=100)
    axes = figure.subplots()
    axes.xaxis.set_visible(False)
    set_margins(figure)
    assert axes.get_position().y0 < 0.03
