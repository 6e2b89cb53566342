import sys

import numpy as np
import pandas as pd
import pytest

from rnn_toolkit import drawing

pyplot = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture
def ax():
    return drawing.axes_of(None)


def labels(axis):
    axis.figure.canvas.draw()
    return [tick.get_text() for tick in axis.get_ticklabels() if tick.get_text()]


def test_new_axes_have_the_size_asked_for_and_given_ones_come_back(ax):
    assert ax.figure.get_size_inches().tolist() == [9, 4]
    assert drawing.axes_of(None, size=(3, 2)).figure.get_size_inches().tolist() == [3, 2]
    assert drawing.axes_of(ax, size=(3, 2)) is ax


def test_a_picture_without_matplotlib_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r'A picture needs .*pip install "rnn_toolkit\[plot\]"'):
        drawing.axes_of(None)


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        ({"loss": [1]}, TypeError, r"`history` must be a pandas DataFrame\. Received: dict"),
        (pd.DataFrame(), ValueError, "`history` holds nothing to draw: 0 rows, 0 columns"),
        (pd.DataFrame(index=[1, 2]), ValueError, "2 rows, 0 columns"),
        (pd.DataFrame({"loss": []}), ValueError, "0 rows, 1 columns"),
    ],
)
def test_what_cannot_be_drawn_is_refused(table, error, message):
    with pytest.raises(error, match=message):
        drawing.check_table(table, "history")


def test_numbers_read_like_numbers(ax):
    ax.plot([0, 20_000], [0.0001, 0.0002])
    drawing.plain_numbers(ax)

    assert labels(ax.xaxis)[-1].replace("\N{MINUS SIGN}", "-") in {"20,000", "22,500"}
    assert "0.0001" in labels(ax.yaxis)


def test_a_logarithmic_axis_has_ticks_at_one_two_and_five(ax):
    ax.plot([1, 2], [0.1, 10])
    drawing.logarithmic(ax)

    assert ax.get_yscale() == "log"
    assert {"0.1", "0.2", "0.5", "1", "2", "5", "10"} <= set(labels(ax.yaxis))


def test_a_logarithmic_axis_keeps_a_few_given_ticks(ax):
    ax.plot([1, 2], [0.1, 10])
    drawing.logarithmic(ax, [0.3, 3])

    assert labels(ax.yaxis) == ["0.3", "3"]


def test_whole_numbers_have_whole_ticks_and_half_a_step_of_room(ax):
    drawing.whole_ticks(ax, [1, 2, 3], "epoch")

    assert ax.get_xlim() == (0.5, 3.5)
    assert ax.get_xlabel() == "epoch"
    assert all(float(label) == int(float(label)) for label in labels(ax.xaxis))


def test_a_single_whole_number_has_its_tick(ax):
    drawing.whole_ticks(ax, [1], "epoch")

    assert "1" in labels(ax.xaxis)


@pytest.mark.parametrize(("x", "before", "side"), [(1, False, "left"), (1, True, "right"), (9, False, "right")])
def test_a_mark_has_its_label_where_there_is_room(ax, x, before, side):
    ax.set_xlim(0, 10)
    drawing.mark(ax, x, "best", before=before)

    assert ax.lines[0].get_xdata() == [x, x]
    assert (ax.texts[0].get_text(), ax.texts[0].get_horizontalalignment()) == ("best", side)


def test_a_date_can_be_marked(ax):
    days = pd.date_range("2024-01-01", periods=10)
    ax.plot(days, np.arange(10))
    drawing.mark(ax, days[2], "cut")

    assert ax.texts[0].get_text() == "cut"


@pytest.mark.parametrize("label", [None, "loss"])
def test_a_finished_picture_has_a_title_and_a_legend_only_where_there_is_something_to_name(ax, label):
    ax.plot([1, 2], label=label)
    drawing.finish(ax, "Training", "loss")

    assert (ax.get_title(loc="left"), ax.get_ylabel()) == ("Training", "loss")
    assert (ax.get_legend() is not None) == (label is not None)
    assert not ax.spines["top"].get_visible()


def test_colours_of_series_differ():
    assert len(set(drawing.SERIES)) == len(drawing.SERIES)
    assert all(one not in drawing.SERIES for one in drawing.TINTS)


def test_global_settings_are_left_alone(ax):
    before = dict(pyplot.rcParams)
    ax.plot([1, 2], label="a")
    drawing.logarithmic(ax)
    drawing.finish(ax, "Training", "loss")

    assert dict(pyplot.rcParams) == before
