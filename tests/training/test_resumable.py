"""A callback of one's own is given what the run has to give, and goes on where an interruption left it."""

import keras
import numpy as np
import pytest

from rnn_toolkit.training.callbacks import EarlyStopping
from rnn_toolkit.training.resumable import ResumableCallback
from rnn_toolkit.training.snapshots import Snapshots
from rnn_toolkit.training.train import train

ROW = np.ones((1, 1), "float32"), np.zeros((1, 1), "float32")


class Script(keras.callbacks.Callback):
    """Pretend that the losses are those of a script, and crash where there is none."""

    def __init__(self, losses):
        super().__init__()
        self.losses = losses

    def on_epoch_end(self, epoch, logs=None):
        if self.losses[epoch] is None:
            raise RuntimeError("crash")
        logs["loss"] = logs["mae"] = self.losses[epoch]


class Counter(ResumableCallback):
    """Count epochs, all calls of `train` together."""

    def on_train_begin(self, logs=None):
        self.count, self.array = 0, np.zeros(2, "int8")

    def on_epoch_end(self, epoch, logs=None):
        self.count, self.array = self.count + 1, self.array + np.int8(1)

    def get_state(self):
        return {"count": self.count, "nested": [{"array": self.array}]}

    def set_state(self, state):
        self.count, self.array = state["count"], state["nested"][0]["array"]


def once(losses, *callbacks, run_dir=None):
    """Train a new model, as a new process would, with a loss for each epoch."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"], run_eagerly=True)
    options = {"run_dir": run_dir, "snapshot_steps": 1, "progress": None}
    return train(model, ROW, epochs=len(losses), callbacks=[Script(losses), *callbacks], **options)


def crashed(losses, *callbacks, run_dir):
    """Train until there is no loss."""
    with pytest.raises(RuntimeError, match="crash"):
        once([*losses, None], *callbacks, run_dir=run_dir)


def test_a_state_outlives_a_crash(tmp_path):
    crashed([1.0] * 3, Counter(), run_dir=tmp_path)
    counter = Counter()
    once([1.0] * 5, counter, run_dir=tmp_path)
    assert counter.count == 5 and counter.array.tolist() == [5, 5] and counter.array.dtype == "int8"


def test_a_finished_run_gives_its_callbacks_their_state(tmp_path):
    once([1.0, 1.0], Counter(), run_dir=tmp_path)
    counter = Counter()
    once([1.0, 1.0], counter, run_dir=tmp_path)
    assert counter.count == 2


def stops(*watched) -> list[EarlyStopping]:
    return [EarlyStopping(monitor, mode=mode, patience=9) for monitor, mode in watched]


def test_of_one_class_each_gets_the_state_of_what_it_watches(tmp_path):
    crashed([3.0, 1.0, 2.0], *stops(("loss", "min"), ("loss", "max"), ("mae", "min")), run_dir=tmp_path)
    again = stops(("mae", "min"), ("loss", "max"), ("loss", "min"))
    once([3.0, 1.0, 2.0, 1.5], *again, run_dir=tmp_path)
    assert [stop.best for stop in again] == [1.0, 3.0, 1.0]


def test_a_callback_that_is_added_takes_no_state_of_another_one(tmp_path):
    crashed([1.0], *stops(("loss", "min")), run_dir=tmp_path)
    added, kept = stops(("mae", "min"), ("loss", "min"))
    once([1.0, 2.0], added, kept, run_dir=tmp_path)
    assert (added.best, kept.best) == (2.0, 1.0)


def test_equal_callbacks_are_told_apart_by_their_order(tmp_path):
    class Named(Counter):
        def __init__(self, name):
            super().__init__()
            self.label = name

        def get_state(self):
            return {"label": self.label}

        def set_state(self, state):
            self.found = state["label"]

    crashed([1.0], Named("a"), Named("b"), run_dir=tmp_path)
    again = Named(""), Named("")
    once([1.0, 1.0], *again, run_dir=tmp_path)
    assert [one.found for one in again] == ["a", "b"]


def test_a_callback_that_the_next_call_lacks_is_named_with_what_it_watches(tmp_path):
    crashed([1.0], Counter(), *stops(("loss", "min")), run_dir=tmp_path)
    (other,) = stops(("mae", "min"))
    with pytest.warns(UserWarning, match="callbacks that this call lacks: Counter, EarlyStopping of loss. It goes on"):
        once([1.0, 2.0], other, run_dir=tmp_path)
    assert other.best == 2.0


def test_a_snapshot_of_an_earlier_version_which_stored_the_class_alone_is_read(tmp_path):
    crashed([1.0], *stops(("loss", "min")), run_dir=tmp_path)
    snapshots = Snapshots(tmp_path / "snapshots")
    state = snapshots.read()
    state["callbacks"] = [{name: one[name] for name in ("name", "state")} for one in state["callbacks"]]
    snapshots.write(state)
    (stop,) = stops(("loss", "min"))
    once([1.0, 2.0], stop, run_dir=tmp_path)
    assert stop.best == 1.0


class Given(ResumableCallback):
    """Note what it was given, and why it was stopped."""

    reason = None

    def on_train_begin(self, logs=None):
        self.seen = self.run_dir, self.data[0], self.probe

    def on_interrupt(self, reason):
        self.reason = reason


def assert_given_and_taken_back(given, run_dir):
    folder, batch, probe = given.seen
    assert folder == run_dir and np.array_equal(batch, ROW) and np.array_equal(probe, ROW[0])
    assert given.run_dir is given.data is given.probe is None


def test_a_run_gives_folder_batches_and_rows_and_takes_them_back(tmp_path):
    given = Given()
    once([1.0], given, run_dir=tmp_path)
    assert_given_and_taken_back(given, tmp_path)
    once([1.0], given)
    assert_given_and_taken_back(given, None)
    assert given.reason is None


def test_a_run_that_crashes_says_why_and_takes_back_what_it_gave(tmp_path):
    given = Given()
    crashed([], given, run_dir=tmp_path)
    assert_given_and_taken_back(given, tmp_path)
    assert given.reason == "stopped by RuntimeError"


def test_a_callback_that_needs_nothing_of_it_has_an_empty_state(tmp_path):
    crashed([1.0], ResumableCallback(), run_dir=tmp_path)
    assert len(once([1.0, 1.0], ResumableCallback(), run_dir=tmp_path)) == 2


def test_a_callback_with_a_state_that_derives_from_another_class_is_named(tmp_path):
    class Stateful(keras.callbacks.Callback):
        def get_state(self):
            return {}

    with pytest.warns(
        UserWarning, match=r"Stateful has a `get_state`, but .* class Stateful\(rt\.callbacks\.Resumable"
    ):
        once([1.0], Stateful(), run_dir=tmp_path)
