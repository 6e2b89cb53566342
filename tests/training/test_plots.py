import os
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from pictures import bands, lines, words

from rnn_toolkit.drawing import TINTS
from rnn_toolkit.networks.optimization import SCHEDULES
from rnn_toolkit.training.plots import plot_history, plot_schedule

ROOT = Path(__file__).resolve().parents[2]


def epochs(**columns):
    count = len(next(iter(columns.values())))
    return pd.DataFrame(columns, index=pd.RangeIndex(1, count + 1, name="epoch"))


# plot_history


def test_history_shows_both_losses_and_marks_the_best_epoch():
    ax = plot_history(epochs(loss=[4.0, 3.0, 2.0], val_loss=[4.0, 3.5, 3.75], learning_rate=[0.1] * 3))
    assert lines(ax) == {"training": ([1, 2, 3], [4, 3, 2]), "validation": ([1, 2, 3], [4, 3.5, 3.75])}
    assert ax.get_title("left") == "Validation loss: best at epoch 2 of 3"
    assert words(ax) == ["3.5"]
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) == ("epoch", "loss", "linear")
    assert len(ax.figure.axes) == 1  # the learning rate never changes


def test_history_shows_the_start_and_says_when_nothing_beat_it():
    history = epochs(loss=[np.nan, 3.0], val_loss=[2.5, 3.5], learning_rate=[np.nan, 0.1]).set_axis([0, 1])
    ax = plot_history(history)
    assert lines(ax)["validation"] == ([0, 1], [2.5, 3.5])
    assert ax.get_title("left") == "Validation loss: the start is best of 1" and words(ax) == ["2.5"]


def test_history_of_a_training_that_was_stopped_in_its_first_epoch_shows_the_start():
    ax = plot_history(epochs(loss=[np.nan], val_loss=[2.5]).set_axis([0]))
    assert lines(ax)["validation"] == ([0], [2.5])
    assert ax.get_title("left") == "Validation loss: the start, before the first epoch" and words(ax) == ["2.5"]


def test_history_without_validation_marks_the_best_training_loss():
    ax = plot_history(epochs(loss=[4.0, 3.0, 2.0]))
    assert list(lines(ax)) == ["training"]
    assert ax.get_title("left") == "Training loss: best at epoch 3 of 3"


def test_history_shades_overfitting_only_where_validation_is_worse_behind_the_best_epoch():
    ax = plot_history(epochs(loss=[4.0, 3.0, 2.0, 1.0], val_loss=[5.0, 3.5, 3.75, 4.0]))
    assert bands(ax) == {"overfitting": (1.0, 4.0, TINTS[-1])}
    assert plot_history(epochs(loss=[4.0, 3.0, 2.0], val_loss=[3.5, 2.5, 1.5])).collections[:] == []


def test_history_does_not_call_to_and_fro_overfitting():
    assert plot_history(epochs(loss=[4.0, 3.0, 2.0, 1.0], val_loss=[5.0, 3.5, 3.6, 3.67])).collections[:] == []


def test_history_is_logarithmic_from_a_tenfold_range_on():
    assert plot_history(epochs(loss=[10.0, 1.0])).get_yscale() == "log"
    assert plot_history(epochs(loss=[9.9, 1.0])).get_yscale() == "linear"
    assert plot_history(epochs(loss=[10.0, -1.0])).get_yscale() == "linear"


def test_history_draws_a_learning_rate_that_changes_on_an_axis_of_its_own():
    ax = plot_history(epochs(loss=[4.0, 3.0, 2.0], learning_rate=[0.1, 0.1, 0.05]))
    (right,) = (one for one in ax.figure.axes if one is not ax)
    assert right.lines[0].get_ydata().tolist() == [0.1, 0.1, 0.05]
    assert right.get_yticks().tolist() == [0.1, 0.05]
    assert right.get_ylabel() == "learning rate (dotted)"


def test_history_of_any_length_has_whole_epochs_as_ticks():
    for count in (1, 2, 3, 50):
        ax = plot_history(epochs(loss=list(range(1, count + 1))))
        shown = [tick for tick in ax.get_xticks() if 0.5 <= tick <= count + 0.5]
        assert shown and all(tick == int(tick) for tick in shown)


def test_history_of_a_run_that_diverged_late_leaves_out_what_is_not_finite():
    ax = plot_history(epochs(loss=[2.0, 1.0, np.inf], val_loss=[2.0, 1.0, np.nan]))
    assert np.isnan(lines(ax)["training"][1][2])
    assert ax.get_title("left") == "Validation loss: best at epoch 2 of 3"


def test_history_without_loss_is_refused():
    with pytest.raises(ValueError, match=r"`history` has no column 'loss'; it has: Loss\. Did you mean 'Loss'"):
        plot_history(epochs(Loss=[1.0]))


def test_history_that_never_was_finite_is_refused():
    with pytest.raises(ValueError, match=r"no finite val_loss in 2 epochs\. If the training diverged"):
        plot_history(epochs(loss=[1.0, 2.0], val_loss=[np.nan, np.inf]))


def test_history_that_is_no_table_is_refused():
    with pytest.raises(TypeError, match=r"`history` must be a pandas DataFrame\. Received: dict"):
        plot_history({"loss": [1.0]})


def test_history_without_rows_is_refused():
    with pytest.raises(ValueError, match=r"`history` holds nothing to draw: 0 rows, 1 columns"):
        plot_history(epochs(loss=[]))


# plot_schedule


def curve(ax):
    """Return the rate by step of the first line."""
    return dict(zip(ax.lines[0].get_xdata().tolist(), ax.lines[0].get_ydata().tolist(), strict=True))


def test_schedule_by_name_is_drawn_from_first_to_last_step_with_its_top():
    ax = plot_schedule("one_cycle", learning_rate=0.5, steps=100)
    rates = curve(ax)
    assert [rates[0], rates[15], rates[30], rates[100]] == pytest.approx([0.02, 0.26, 0.5, 0.0], abs=1e-7)
    assert ax.get_title("left") == "One cycle: learning rate over 100 steps"
    assert words(ax) == ["0.5 at step 30"]
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_xlim()) == ("training step", "learning rate", (0, 100))
    assert ax.get_legend() is None


def test_schedule_by_several_names_is_a_line_each():
    names = list(SCHEDULES)
    ax = plot_schedule(names, learning_rate=1.0, steps=10)
    drawn = lines(ax)
    assert list(drawn) == ["constant", "exponential", "cosine", "warmup cosine", "one cycle"]
    assert [drawn[name][1][0] for name in drawn] == pytest.approx([1, 1, 1, 0.04, 0.04])
    assert [drawn[name][1][-1] for name in drawn] == pytest.approx([1, 0.01, 0, 0, 0], abs=1e-7)
    assert ax.get_title("left") == "Learning rate over 10 steps"
    assert len({line.get_color() for line in ax.lines}) == 5
    assert len(ax.get_legend().get_texts()) == 5


def test_schedule_of_many_steps_keeps_its_corner():
    rates = curve(plot_schedule("warmup_cosine", learning_rate=0.5, steps=123_457))
    assert len(rates) <= 402
    assert rates[6173] == pytest.approx(0.5)  # 5 % of the steps


def test_schedule_with_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"must be one of 'constant', .*'one_cycle'\. .* Did you mean 'one_cycle'\?"):
        plot_schedule("onecycle")


def test_schedule_without_a_name_is_refused():
    with pytest.raises(ValueError, match=r"`schedule` is an empty list\. Pass at least one name"):
        plot_schedule([])


def test_schedule_that_is_a_number_is_refused():
    with pytest.raises(ValueError, match=r"`schedule` must be one of 'constant', .*\. Received: 0\.001"):
        plot_schedule(0.001)


def test_schedule_of_one_step_is_refused():
    with pytest.raises(ValueError, match=r"`steps` must be at least 2\. Received: 1"):
        plot_schedule("cosine", steps=1)


def test_schedule_of_a_rate_of_zero_is_refused():
    with pytest.raises(ValueError, match=r"`learning_rate` must be positive\. Received: 0"):
        plot_schedule("cosine", learning_rate=0)


# all of them

PICTURES = {
    "history": lambda ax=None: plot_history(epochs(loss=[9.0, 0.5], learning_rate=[1.0, 0.5]), ax=ax),
    "schedule": lambda ax=None: plot_schedule("one_cycle", ax=ax),
    "schedules": lambda ax=None: plot_schedule(["cosine", "one_cycle"], ax=ax),
}


@pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES)
def test_picture_goes_on_the_axes_that_are_given(picture):
    figure, (left, right) = plt.subplots(1, 2)
    assert picture(right) is right
    assert right.lines and not left.lines
    assert plt.get_fignums() == [figure.number]


@pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES)
def test_picture_is_returned_unshown_and_changes_no_setting(picture, monkeypatch):
    monkeypatch.setattr(plt, "show", lambda *args, **options: pytest.fail("plt.show was called"))
    before = mpl.rcParams.copy()
    ax = picture()
    ax.figure.canvas.draw()
    assert mpl.rcParams == before
    assert len(plt.get_fignums()) == 1
    assert ax.figure.get_size_inches().tolist() == [9, 4]
    assert [name for name, spine in ax.spines.items() if spine.get_visible()] == ["bottom"]


@pytest.mark.slow
def test_importing_the_module_does_not_import_matplotlib():
    code = """if True:
        import sys
        import keras  # imports Matplotlib by itself where it is installed
        before = set(sys.modules)
        import rnn_toolkit.training.plots
        sys.exit(any(name.startswith("matplotlib") for name in set(sys.modules) - before))
    """
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=os.environ, capture_output=True, timeout=300)
    assert result.returncode == 0, result.stderr


def test_picture_without_matplotlib_names_the_line_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r'A picture needs .* pip install "rnn_toolkit\[plot\]"'):
        plot_history(epochs(loss=[1.0]))
