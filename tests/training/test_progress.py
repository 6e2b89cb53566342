"""The line and the curves of a training: what they say, how often, and how they end."""

import base64
import io
import json
import os
import re
import sys
import types
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from rnn_toolkit import watching
from rnn_toolkit.training import progress
from rnn_toolkit.training.progress import LiveCurves, Progress

ROOT = Path(__file__).resolve().parents[2]
NAN = float("nan")


class Terminal(io.StringIO):
    """A terminal that remembers what each look of the line was."""

    encoding = "utf-8"  # which tqdm asks for before it draws a smooth bar

    def isatty(self):
        return True

    def looks(self):
        """Return the line as it stood after each drawing, without bar and padding."""
        lines = [line.strip() for line in self.getvalue().replace("\n", "\r").split("\r")]
        return [line.rpartition("| ")[2] for line in lines if line]


class Notebook(io.StringIO):
    __module__ = "ipykernel.iostream"


def watch(monkeypatch, stdout):
    """Let the module write to a stub; pytest puts its own `sys.stdout` back before each test."""
    for module in (progress, watching):
        monkeypatch.setattr(module, "sys", types.SimpleNamespace(stdout=stdout))


@pytest.fixture
def terminal(monkeypatch):
    stub = Terminal()
    watch(monkeypatch, stub)
    monkeypatch.setenv("COLUMNS", "200")
    return stub


@pytest.fixture
def clock(monkeypatch):
    """Return a clock that stands still until its `now` is set."""
    stub = types.SimpleNamespace(now=0.0)
    monkeypatch.setattr(progress, "perf_counter", lambda: stub.now)
    return stub


def begin(callback, *, steps=10, state=None):
    """Do what `train` does before the first epoch."""
    callback.set_params({"steps": steps})
    callback.on_train_begin()
    if state is not None:
        callback.set_state(state)
    return callback


def run(callback, losses, *, first=0):
    """Do what `fit` does, an epoch for each validation loss, with no step."""
    for epoch, loss in enumerate(losses, start=first):
        callback.on_epoch_begin(epoch)
        callback.on_epoch_end(epoch, {"loss": 1.0, "val_loss": loss})


def test_the_line_says_epoch_step_losses_best_and_time_left(terminal, clock):
    line = begin(Progress(4), steps=10)
    run(line, [0.5])
    line.on_epoch_begin(1)
    line.on_train_batch_end(0, {"loss": 0.75})  # the pace is taken from here on
    clock.now = 9.0
    line.on_train_batch_end(3, {"loss": 0.25})  # three steps in 9 s, 26 of 40 are left
    assert terminal.looks()[-1] == "epoch 2/4, step 4/10, loss 0.25, val_loss 0.5, best 0.5 (epoch 1), 1:18 left"


def test_the_line_says_the_learning_rate_of_the_epoch(terminal):
    line = begin(Progress(2))
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.25), "mse")
    line.set_model(model)
    line.on_epoch_begin(0)
    assert terminal.looks() == ["epoch 1/2, rate 0.25"]


def test_the_line_is_drawn_five_times_a_second_at_most(terminal, clock):
    line = begin(Progress(1), steps=1000)
    line.on_epoch_begin(0)
    for step in range(1000):  # of a millisecond each
        clock.now = step / 1000
        line.on_train_batch_end(step, {"loss": 1.0})
    assert len(terminal.looks()) == 5


def test_the_bar_grows_with_the_steps(terminal, clock):
    line = begin(Progress(2), steps=4)
    line.on_epoch_begin(0)
    line.on_epoch_end(0, {"loss": 1.0})
    line.on_epoch_begin(1)
    clock.now = 1.0
    line.on_train_batch_end(1, {"loss": 1.0})  # one epoch and a half of two: 7.5 of 10 cells
    assert terminal.getvalue().rpartition("\r")[2].startswith("|███████▌  | epoch 2/2")


def test_the_start_is_shown_and_competes_for_the_best(terminal):
    progress = Progress(2)
    progress.set_params({})
    progress.on_train_begin()
    progress.on_start({"val_loss": 0.5})
    assert "epoch 0/2, val_loss 0.5, best 0.5 (epoch 0)" in terminal.getvalue()
    progress.on_train_end()


def test_nothing_but_a_finite_value_is_ever_the_best(terminal):
    line = begin(Progress(9))
    run(line, [NAN, -np.inf, 3.0, NAN, 4.0])
    assert line.get_state() == {"best": 3.0, "best_epoch": 3}


def test_a_resumed_run_starts_at_its_epoch_with_its_best(terminal, clock):
    first = begin(Progress(10))
    run(first, [0.5, 0.25, 0.75])
    state = json.loads(json.dumps(first.get_state()))
    first.on_train_end()
    second = begin(Progress(10), state=state)
    second.on_epoch_begin(3)
    assert terminal.looks()[-1] == "epoch 4/10, best 0.25 (epoch 2)"
    clock.now = 1.0
    second.on_epoch_end(3, {"loss": 1.0, "val_loss": 0.3})
    assert second.get_state() == {"best": 0.25, "best_epoch": 2}


def test_a_run_that_never_began_an_epoch_has_a_state_too(terminal):
    state = json.loads(json.dumps(Progress(3).get_state()))
    line = begin(Progress(3), state=state)
    run(line, [2.0])
    assert line.get_state() == {"best": 2.0, "best_epoch": 1}


def test_another_training_forgets_the_best_of_the_one_before(terminal):
    line = begin(Progress(3))
    run(line, [1.0])
    assert begin(line).get_state() == {"best": None, "best_epoch": None}


def test_the_steps_of_an_epoch_are_counted_where_the_data_do_not_say(terminal, clock):
    line = begin(Progress(2), steps=None)
    line.on_epoch_begin(0)
    clock.now = 1.0
    line.on_train_batch_end(6, {"loss": 1.0})
    assert terminal.looks()[-1] == "epoch 1/2, step 7, loss 1"
    line.on_epoch_end(0, {"loss": 1.0})
    line.on_epoch_begin(1)
    clock.now = 2.0
    line.on_train_batch_end(1, {"loss": 1.0})
    assert "epoch 2/2, step 2/7" in terminal.looks()[-1]


def test_a_training_that_stops_early_says_for_how_many_epochs_it_was_no_better(terminal, clock):
    line = begin(Progress(9))
    run(line, [2.0, 1.0, 3.0, 4.0])
    line.on_train_end()
    assert terminal.getvalue().endswith("best 1 (epoch 2), no better for 2 epochs, took 0:00\n")


def test_the_line_ends_with_one_newline_and_the_time_it_took(terminal, clock):
    line = begin(Progress(2))
    run(line, [2.0, 1.0])
    clock.now = 75.0
    line.on_train_end()
    line.on_train_end()  # as after an error in another callback's `on_train_end`
    assert terminal.getvalue().endswith("epoch 2/2, loss 1, val_loss 1, best 1 (epoch 2), took 1:15\n")
    assert terminal.getvalue().count("\n") == 1


def test_the_line_ends_where_an_interrupted_training_does(terminal, clock):
    line = begin(Progress(5), steps=10)
    run(line, [2.0])
    line.on_epoch_begin(1)
    line.on_train_batch_end(3, {"loss": 1.0})
    line.on_train_end()
    assert terminal.looks()[-1].startswith("epoch 2/5, step 4/10")
    assert terminal.getvalue().count("\n") == 1


def test_a_training_without_an_epoch_leaves_no_line(terminal):
    begin(Progress(5)).on_train_end()
    assert terminal.getvalue() == ""


def test_the_reason_of_an_interruption_stands_instead_of_rate_and_time(terminal):
    line = begin(Progress(5))
    run(line, [2.0])
    line.on_interrupt("stopped:\nno better val_loss")
    line.on_train_end()
    assert terminal.looks()[-1] == "epoch 1/5, loss 1, val_loss 2, best 2 (epoch 1), stopped: no better val_loss"
    assert terminal.getvalue().count("\n") == 1


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        (84, "|█████     | epoch 1/2, loss 1, val_loss 2, best 2 (epoch 1), rate 0.125, took 0:00"),
        (83, "epoch 1/2, loss 1, val_loss 2, best 2 (epoch 1), rate 0.125, took 0:00"),
        (70, "epoch 1/2, loss 1, val_loss 2, best 2 (epoch 1), took 0:00"),
        (58, "epoch 1/2, val_loss 2, best 2 (epoch 1), took 0:00"),
        (50, "epoch 1/2, best 2 (epoch 1), took 0:00"),
    ],
)
def test_a_narrow_terminal_gets_the_most_important_parts(terminal, clock, monkeypatch, columns, shown):
    monkeypatch.setenv("COLUMNS", str(columns))
    line = begin(Progress(2))
    run(line, [2.0])
    line._rate = 0.125
    line.on_train_end()
    assert terminal.getvalue().rstrip("\n").rpartition("\r")[2].rstrip() == shown


def test_the_line_goes_through_a_real_training(terminal):
    x = np.ones((8, 4, 1), "float32")
    model = keras.Sequential([keras.Input((4, 1)), keras.layers.SimpleRNN(1)])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    model.fit(x, x[:, 0], validation_data=(x, x[:, 0]), epochs=2, batch_size=4, verbose=0, callbacks=[Progress(2)])
    assert terminal.looks()[-1].startswith("epoch 2/2, loss ")
    assert re.search(r"\(epoch 1\), rate 0, took \d+:\d\d$", terminal.looks()[-1])


# live curves


class Handle:
    """What IPython's `display` returns: an output that can be replaced."""

    def __init__(self):
        self.pictures = []

    def update(self, picture):
        self.pictures.append(picture.data)


@pytest.fixture
def notebook(monkeypatch, clock):
    """Pretend that stdout is a notebook's, and return the handle of what is displayed."""
    handle, shown = Handle(), []

    def display(data, *, raw, display_id):
        shown.append(data)
        return handle

    module = types.ModuleType("IPython.display")
    module.display, module.Image = display, lambda data: types.SimpleNamespace(data=data)
    package = types.ModuleType("IPython")
    package.version_info, package.get_ipython = (9, 0), lambda: None  # Matplotlib asks for them
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    handle.shown, handle.stdout = shown, Notebook()
    watch(monkeypatch, handle.stdout)
    return handle


def table(losses):
    return pd.DataFrame({"loss": losses}, index=pd.RangeIndex(1, len(losses) + 1, name="epoch"))


def test_the_curves_are_one_output_that_is_replaced(notebook, clock):
    losses = []
    curves = begin(LiveCurves(lambda: table(losses), 3, monitor="loss"))
    for epoch in range(3):
        clock.now = 10.0 * epoch
        curves.on_epoch_begin(epoch)
        losses.append(3.0 - epoch)
        curves.on_epoch_end(epoch, {"loss": losses[-1]})
    curves.on_train_end()
    assert [list(data) for data in notebook.shown] == [["text/plain"]]
    assert len(notebook.pictures) == 4  # one an epoch, and the last
    assert all(picture.startswith(b"\x89PNG") for picture in notebook.pictures)
    assert "epoch 3/3, loss 1, best 1 (epoch 3)" in notebook.stdout.getvalue()


def test_the_curves_leave_no_figure_open(notebook):
    from matplotlib import pyplot as plt

    curves = begin(LiveCurves(lambda: table([1.0]), 1))
    run(curves, [1.0])
    curves.on_train_end()
    assert notebook.pictures and plt.get_fignums() == []


def test_the_curves_are_drawn_once_a_second_at_most_and_at_the_end(notebook, clock):
    curves = begin(LiveCurves(lambda: table([1.0, 2.0]), 100))
    for epoch in range(25):
        clock.now = epoch / 10
        curves.on_epoch_begin(epoch)
        curves.on_epoch_end(epoch, {"loss": 1.0})
    assert len(notebook.pictures) == 3  # at 0, 1 and 2 seconds
    curves.on_train_end()
    assert len(notebook.pictures) == 4


def test_slow_pictures_take_a_tenth_of_the_time_at_most(notebook, clock, monkeypatch):
    def slow(history, *, ax):
        clock.now += 0.5

    monkeypatch.setattr(progress, "plot_history", slow)
    curves = begin(LiveCurves(lambda: table([1.0]), 1000))
    curves.on_epoch_begin(0)  # draws what earlier runs left, until 0.5
    drawn = []
    for second in range(1, 100):
        clock.now = float(second)
        curves.on_epoch_end(second, {"loss": 1.0})
        drawn += [second] if clock.now > second else []
    assert drawn[:3] == [6, 12, 18]  # 5 s behind 0.5, 6.5, 12.5


def test_the_curves_of_a_resumed_run_show_all_of_it_at_once(notebook, monkeypatch):
    seen = []
    monkeypatch.setattr(progress, "plot_history", lambda history, *, ax: seen.append(len(history)))
    begin(LiveCurves(lambda: table([3.0, 2.0, 1.0]), 9)).on_epoch_begin(3)
    assert seen == [3]


@pytest.mark.parametrize(
    "history", [table([]), pd.DataFrame(), table([NAN, np.inf]), table([1.0]).rename(columns=str.upper)]
)
def test_the_curves_wait_for_a_loss_that_can_be_drawn(notebook, history):
    curves = begin(LiveCurves(lambda: history, 2))
    run(curves, [1.0])
    curves.on_train_end()
    assert notebook.pictures == []


def test_outside_a_notebook_the_curves_are_the_line(terminal):
    curves = begin(LiveCurves(lambda: pytest.fail("nothing is drawn here"), 2))
    run(curves, [2.0, 1.0])
    curves.on_train_end()
    assert "epoch 2/2, loss 1, val_loss 1, best 1 (epoch 2)" in terminal.getvalue()


def test_the_curves_without_matplotlib_are_refused_with_the_line_that_installs_it(notebook, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'progress="live" needs .* pip install "rnn_toolkit\[plot\]"'):
        LiveCurves(lambda: table([1.0]), 1)


@pytest.mark.slow
def test_a_real_kernel_shows_one_picture_and_one_line(tmp_path):
    import nbformat
    from nbclient import NotebookClient

    code = """if True:
        import pandas as pd
        from rnn_toolkit.training.progress import LiveCurves

        losses = []
        table = lambda: pd.DataFrame({"loss": losses}, index=range(1, len(losses) + 1))
        curves = LiveCurves(table, 3, monitor="loss")
        curves.on_train_begin()
        for epoch in range(3):
            curves.on_epoch_begin(epoch)
            losses.append(3.0 - epoch)
            curves.on_epoch_end(epoch, {"loss": losses[-1]})
        curves.on_train_end()
    """
    cells = [nbformat.v4.new_code_cell(code)]
    os.environ["PYTHONPATH"], before = str(ROOT), os.environ.get("PYTHONPATH")
    try:
        notebook = NotebookClient(
            nbformat.v4.new_notebook(cells=cells),
            kernel_name="python3",
            timeout=120,
            resources={"metadata": {"path": str(tmp_path)}},
        ).execute()
    finally:
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)
    outputs = notebook.cells[0].outputs
    (picture,) = [output for output in outputs if output.output_type == "display_data"]
    assert base64.b64decode(picture["data"]["image/png"]).startswith(b"\x89PNG")
    printed = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
    assert printed.count("\n") == 1
    assert "epoch 3/3, loss 1, best 1 (epoch 3), took 0:0" in printed
