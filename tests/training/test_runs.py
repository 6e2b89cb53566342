"""A training that was stopped and called again ends where it would have ended."""

import contextlib
import functools
import os
import re
import signal
import threading

import keras
import numpy as np
import pytest
from training.one_weight import EAGERLY, NOT_ON_TORCH, line

import rnn_toolkit as rt
from rnn_toolkit import load_history, make_optimizer, train
from rnn_toolkit.training import runs
from rnn_toolkit.training.callbacks import BestModel, EarlyStopping, ReduceLROnPlateau, default_callbacks
from rnn_toolkit.training.resumable import ResumableCallback
from rnn_toolkit.training.snapshots import Snapshots

on_tensorflow = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="reads tf.data")


@pytest.fixture(autouse=True)
def each_press_by_itself(monkeypatch):
    """Let no press of Ctrl-C count as the second one of a test before."""
    monkeypatch.setattr("rnn_toolkit.training.runs.TWICE_SECONDS", 0)


@pytest.fixture(scope="module")
def data():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(40, 5, 2)).astype("float32")
    return x, x.sum((1, 2))[:, None]


def noisy(optimizer=None) -> keras.Model:
    """Return a model that draws random numbers in training and compiles quickly; recurrent ones: test_resume.py."""
    layers = [keras.layers.Flatten(), keras.layers.Dropout(0.3), keras.layers.Dense(4), keras.layers.GaussianNoise(0.1)]
    model = keras.Sequential([keras.Input((5, 2)), *layers, keras.layers.Dense(1)])
    model.compile(optimizer or keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
    return model


@functools.cache
def compiled() -> keras.Model:
    """Return a model that keeps its compiled step: compiling one takes longer than a training here."""
    model = noisy()
    model.optimizer.build(model.trainable_variables)
    return model


def as_new(seed) -> keras.Model:
    """Return the compiled model with all variables as they are in a new one of that seed."""
    model = compiled()
    keras.utils.set_random_seed(seed)
    new = noisy()
    new.optimizer.build(new.trainable_variables)
    for variable, value in zip(everything(model), everything(new), strict=True):
        variable.assign(value)
    return model


class Crash(keras.callbacks.Callback):
    """Raise in a step of an epoch, both counted from 0, or at the end of the epoch."""

    def __init__(self, epoch, step=None):
        super().__init__()
        self.at = epoch, step

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            raise RuntimeError("crash")

    def on_epoch_end(self, epoch, logs=None):
        if (epoch, None) == self.at:
            raise RuntimeError("crash")


def everything(model) -> list:
    """Return all variables that a training changes."""
    return [*model.variables, *model.optimizer.variables]


def outcome(model, history):
    """Return all that two trainings must have in common."""
    values = [np.array(keras.ops.convert_to_numpy(one)) for one in everything(model)]
    return values, history.drop(columns="seconds", errors="ignore")


def assert_identical(one, other):
    for a, b in zip(one[0], other[0], strict=True):
        assert np.array_equal(a, b)
    assert one[1].equals(other[1])


def run(folder, data, *, extra=(), epochs=4, seed=5, **options):
    """Train with callbacks that remember, validation, and a snapshot every two of five steps an epoch."""
    model = as_new(seed)
    callbacks = [ReduceLROnPlateau(patience=1), EarlyStopping(patience=3), BestModel(), *extra]
    x, y = data
    options = {"batch_size": 8, "snapshot_steps": 2, "progress": None, "callbacks": callbacks} | options
    history = train(model, data, (x[:9], y[:9]), epochs=epochs, run_dir=folder, **options)
    return outcome(model, history)


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """Return what a training gives that nobody stops."""
    return run(tmp_path_factory.mktemp("whole"), data)


@pytest.mark.parametrize("crash", [(0, 0), (0, 3), (1, None), (2, 4), (3, 1)], ids=str)
def test_a_training_that_crashed_ends_as_if_it_had_not(data, tmp_path, whole, crash):
    with pytest.raises(RuntimeError, match="crash"):
        run(tmp_path / "run", data, extra=[Crash(*crash)])
    assert_identical(run(tmp_path / "run", data, seed=99), whole)  # other initial weights, which do not count


@pytest.mark.slow
def test_a_training_may_crash_again_and_again(data, tmp_path, whole):
    for crash in ((0, 2), (0, 4), (1, 1), (1, 1), (3, None)):
        with pytest.raises(RuntimeError, match="crash"):
            run(tmp_path / "run", data, extra=[Crash(*crash)])
    assert_identical(run(tmp_path / "run", data), whole)


def test_the_same_model_in_memory_goes_on_too(data, tmp_path, whole):
    model, validation = as_new(5), (data[0][:9], data[1][:9])
    options = {"epochs": 4, "batch_size": 8, "run_dir": tmp_path / "run", "snapshot_steps": 2, "progress": None}
    remember = [ReduceLROnPlateau(patience=1), EarlyStopping(patience=3), BestModel()]
    with pytest.raises(RuntimeError, match="crash"):
        train(model, data, validation, callbacks=[*remember, Crash(2, 2)], **options)
    assert_identical(outcome(model, train(model, data, validation, callbacks=remember, **options)), whole)


def test_a_rate_lowered_behind_the_last_snapshot_is_no_other_run(data, tmp_path):
    model = as_new(0)
    plateau = ReduceLROnPlateau("loss", mode="max", patience=1)  # lowers the rate in every epoch but the first
    options = {"epochs": 3, "run_dir": tmp_path, "progress": None}
    for extra in (Crash(1, None), Crash(2, None)):
        with pytest.raises(RuntimeError, match="crash"):
            train(model, data, callbacks=[plateau, extra], **options)
    assert train(model, data, callbacks=[plateau], **options).learning_rate.is_monotonic_decreasing


def test_snapshots_change_nothing_in_the_training(data, whole):
    model = as_new(5)
    callbacks = [ReduceLROnPlateau(patience=1), EarlyStopping(patience=3)]
    options = {"batch_size": 8, "callbacks": callbacks, "progress": None}
    history = train(model, data, (data[0][:9], data[1][:9]), epochs=4, **options)
    assert_identical(outcome(model, history), whole)


def test_steps_that_are_done_are_not_seen_by_callbacks(data, tmp_path):
    class Steps(keras.callbacks.Callback):
        seen = ()

        def on_train_batch_end(self, batch, logs=None):
            self.seen = (*self.seen, batch)

    with pytest.raises(RuntimeError, match="crash"):
        run(tmp_path, data, extra=[Crash(0, 4)])
    steps = Steps()
    run(tmp_path, data, extra=[steps], epochs=1)
    assert steps.seen == (4,)  # the last snapshot was behind the fourth of five


@NOT_ON_TORCH
@pytest.mark.parametrize("steps", [2, 5])
def test_several_steps_in_one_execution_go_on_as_well(data, tmp_path, steps):
    def stepped(folder, **options):
        keras.utils.set_random_seed(1)
        model = noisy()
        model.compile("adam", "mse", steps_per_execution=steps)
        history = train(model, data, epochs=2, batch_size=4, run_dir=folder, snapshot_steps=1, progress=None, **options)
        return outcome(model, history)

    expected = stepped(tmp_path / "whole")
    with pytest.raises(RuntimeError, match="crash"):
        stepped(tmp_path / "run", callbacks=[*default_callbacks(monitor="loss"), Crash(1, 9)])
    assert_identical(stepped(tmp_path / "run"), expected)


@NOT_ON_TORCH
def test_a_snapshot_is_due_at_the_end_of_the_execution_in_which_its_step_lies(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(Snapshots, "write", lambda self, state: written.append(state["step"]))
    data = np.ones((20, 1)), np.zeros((20, 1))
    options = {"epochs": 1, "batch_size": 1, "snapshot_steps": 6, "callbacks": [], "progress": None}
    train(line(steps_per_execution=4), data, run_dir=tmp_path, **options)
    assert written == [0, 8, 12, 20, 0]  # behind steps 6, 12 and 18; before the first step, and behind the epoch


def test_a_finished_run_returns_its_history_at_once_and_the_best_weights(data, tmp_path, whole):
    run(tmp_path, data)
    assert_identical(run(tmp_path, data, extra=[Crash(0, 0)]), whole)


def test_more_epochs_go_on_from_a_finished_run(data, tmp_path, whole):
    assert run(tmp_path, data, epochs=2)[1].index.tolist() == [0, 1, 2]
    assert_identical(run(tmp_path, data, epochs=4), whole)


def test_a_run_that_stopped_early_stays_stopped(data, tmp_path):
    stop = {"callbacks": [EarlyStopping("loss", mode="max", patience=1)], "epochs": 9}
    first = run(tmp_path, data, **stop)
    assert len(first[1]) < 9
    assert_identical(run(tmp_path, data, **stop), first)


@pytest.mark.slow
def test_a_callback_of_ones_own_is_carried_over(data, tmp_path):
    class Count(ResumableCallback):
        total = 0

        def on_train_batch_end(self, batch, logs=None):
            self.total += 1

        def get_state(self):
            return {"total": self.total}

        def set_state(self, state):
            self.total = state["total"]

    with pytest.raises(RuntimeError, match="crash"):
        run(tmp_path, data, extra=[Count(), Crash(2, 3)])
    count = Count()
    run(tmp_path, data, extra=[count])
    assert count.total == 4 * 5


def test_a_callback_that_is_missing_on_a_resume_is_named(data, tmp_path):
    run(tmp_path, data, epochs=1)
    with pytest.warns(
        UserWarning, match="callbacks that this call lacks: ReduceLROnPlateau of val_loss, BestModel of val_loss"
    ):
        run(tmp_path, data, epochs=2, callbacks=[EarlyStopping()])


def interrupting(number):
    """Return a callback that sends a signal to this process in the second epoch."""
    return keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: os.kill(os.getpid(), number) if batch == 2 else None
    )


def test_ctrl_c_ends_training_cleanly_and_the_same_call_goes_on(data, tmp_path, whole):
    before = signal.getsignal(signal.SIGINT)
    _, history = run(tmp_path, data, extra=[interrupting(signal.SIGINT)])
    assert history.index.tolist() == [0] and signal.getsignal(signal.SIGINT) is before
    assert history["loss"].isna().all()  # there is the column, for the picture and whoever else reads it
    assert Snapshots(tmp_path / "snapshots").read()["step"] == 3
    assert_identical(run(tmp_path, data), whole)


def test_ctrl_c_twice_ends_a_loop_of_trainings_and_once_only_the_one_that_runs(data, monkeypatch):
    monkeypatch.setattr(runs, "TWICE_SECONDS", 60)
    monkeypatch.setattr(runs.Run, "pressed", float("-inf"))
    options = {"epochs": 2, "batch_size": 8, "callbacks": [interrupting(signal.SIGINT)], "progress": None}
    assert train(as_new(0), data, data, **options).index.tolist() == [0]
    with pytest.raises(KeyboardInterrupt):
        train(as_new(1), data, data, **options)


def test_the_line_says_that_the_same_call_goes_on(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("rnn_toolkit.training.train.is_interactive", lambda: True)
    run(tmp_path, data, extra=[interrupting(signal.SIGINT)], progress="auto")
    assert capsys.readouterr().out.rstrip().endswith("stopped; the same call goes on")


def test_a_run_that_somebody_watched_goes_on_where_nobody_does_without_a_word(data, tmp_path, capsys, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("rnn_toolkit.training.train.is_interactive", lambda: True)
        run(tmp_path, data, epochs=1, progress="auto")
    assert "epoch 1/1" in capsys.readouterr().out
    assert len(run(tmp_path, data, epochs=2, progress="auto")[1]) == 3  # pytest raises on a warning
    assert capsys.readouterr().out == ""


def test_ctrl_c_within_the_validation_loses_nothing(data, tmp_path, whole):
    stop = keras.callbacks.LambdaCallback()
    stop.on_test_batch_end = lambda batch, logs=None: os.kill(os.getpid(), signal.SIGINT)
    run(tmp_path, data, extra=[stop])
    assert Snapshots(tmp_path / "snapshots").read()["step"] == 5
    assert_identical(run(tmp_path, data), whole)


def test_ctrl_c_restores_the_best_weights(data):
    model = as_new(0)
    kept = {}
    script = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: (
            logs.update(val_loss=float(epoch) - 9),  # below what the start has
            kept.setdefault(epoch, model.get_weights()),
        ),
        on_train_batch_end=lambda batch, logs: os.kill(os.getpid(), signal.SIGINT) if 1 in kept else None,
    )
    history = train(model, data, data, callbacks=[script, EarlyStopping()], progress=None)
    assert history.index.tolist() == [0, 1, 2]
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), kept[0], strict=True))


def test_the_look_at_the_start_leaves_no_trace(data):
    options = {"epochs": 1, "batch_size": 8, "callbacks": [], "progress": None}
    with_start, without = as_new(5), as_new(5)
    train(with_start, data, data, **options)
    seen = [keras.ops.convert_to_numpy(one) for one in with_start.trainable_variables]
    without = as_new(5)
    train(without, data, **options)
    assert all(np.array_equal(a, b) for a, b in zip(seen, without.trainable_variables, strict=True))


def test_a_run_stopped_in_the_look_at_its_start_looks_again(data, tmp_path, whole, monkeypatch):
    monkeypatch.setattr(
        runs.Run, "on_test_batch_begin", lambda run, batch, logs=None: signal.raise_signal(signal.SIGINT)
    )
    assert run(tmp_path, data)[1].empty
    monkeypatch.undo()
    assert_identical(run(tmp_path, data), whole)


def test_sigterm_writes_a_snapshot_and_then_does_what_it_would_have_done(data, tmp_path, whole):
    heard = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        outcome = run(tmp_path, data, extra=[interrupting(signal.SIGTERM)], snapshot_steps=None)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert len(heard) == 4 and len(list((tmp_path / "snapshots").iterdir())) == 2
    assert_identical(outcome, whole)  # this handler let it live


def test_training_in_a_thread_leaves_the_signals_alone(data):
    lengths = []
    thread = threading.Thread(target=lambda: lengths.append(len(train(noisy(), data, epochs=1, progress=None))))
    thread.start()
    thread.join()
    assert lengths == [1]


def test_another_run_is_refused_with_the_differences(data, tmp_path):
    run(tmp_path, data, epochs=1)
    with pytest.raises(
        ValueError, match=r"another run: train\.batch_size is 4, was 8; .* To start afresh, pass another"
    ):
        run(tmp_path, data, batch_size=4)
    more = np.concatenate([data[0], data[0]]), np.concatenate([data[1], data[1]])
    with pytest.raises(ValueError, match=r"train\.rows is 80, was 40"):
        run(tmp_path, more)


def test_resume_false_overwrites_nothing(data, tmp_path):
    run(tmp_path, data, epochs=1)
    before = load_history(tmp_path)
    with pytest.raises(ValueError, match=r"holds a run of 1 epochs, and resume=False\. .*delete this one: shutil"):
        run(tmp_path, data, resume=False)
    assert load_history(tmp_path).equals(before)


def test_a_folder_with_results_but_no_snapshot_is_refused(data, tmp_path):
    (tmp_path / "best.keras").write_text("somebody's")
    with pytest.raises(ValueError, match=r"holds best\.keras, but no snapshot to go on from"):
        run(tmp_path, data)
    assert (tmp_path / "best.keras").read_text() == "somebody's"


def test_a_folder_that_another_training_writes_to_is_refused(data, tmp_path):
    def second(epoch, logs):
        run(tmp_path, data)

    with pytest.raises(ValueError, match="`run_dir` is in use"):
        run(tmp_path, data, extra=[keras.callbacks.LambdaCallback(on_epoch_end=second)])


def test_a_full_disk_is_reported_once_and_training_goes_on(data, tmp_path, monkeypatch, whole):
    good = Snapshots.write

    def full(self, state):
        if 2 <= state["epoch"] < 4:
            raise OSError(28, "No space left on device")
        good(self, state)

    monkeypatch.setattr(Snapshots, "write", full)
    with pytest.warns(UserWarning, match=r"could not be written: .*No space left .*Training goes on") as caught:
        assert_identical(run(tmp_path, data), whole)
    assert sum("could not be written" in str(one.message) for one in caught) == 1


def test_a_disk_that_is_full_before_the_first_step_is_an_error(data, tmp_path, monkeypatch):
    def full(self, state):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Snapshots, "write", full)
    with pytest.raises(OSError, match="No space left"):
        run(tmp_path, data)


def test_an_error_says_where_the_training_stands(data, tmp_path):
    with pytest.raises(RuntimeError) as caught:
        run(tmp_path, data, extra=[Crash(1, 2)])
    assert caught.value.__notes__[-1].startswith("The training stopped behind epoch 1 and 2 steps")


def test_a_subclassed_model_goes_on_as_well(data, tmp_path):
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.layer, self.head = keras.layers.SimpleRNN(3, dropout=0.2), keras.layers.Dense(1)

        def call(self, x, training=False):
            return self.head(self.layer(x, training=training))

    def once(folder, callbacks):
        keras.utils.set_random_seed(2)
        model = Own()
        model(data[0][:1])
        model.compile("adam", keras.losses.MeanSquaredError(), metrics=["mae"])
        options = {"batch_size": 8, "snapshot_steps": 1, "callbacks": callbacks, "progress": None}
        return outcome(model, train(model, data, epochs=2, run_dir=folder, **options))

    expected = once(tmp_path / "whole", [])
    with pytest.raises(RuntimeError, match="crash"):
        once(tmp_path / "run", [Crash(1, 2)])
    assert_identical(once(tmp_path / "run", []), expected)


@on_tensorflow
def test_tf_data_go_on_from_the_beginning_of_an_epoch_and_say_so(data, tmp_path):
    import tensorflow as tf

    def once(folder, *extra):
        batches = tf.data.Dataset.from_tensor_slices(data).batch(8)
        model = as_new(5)
        with pytest.warns(UserWarning, match="cannot be put back to a step"):
            history = train(model, batches, epochs=3, run_dir=folder, callbacks=list(extra), progress=None)
        return outcome(model, history)

    expected = once(tmp_path / "whole")
    with pytest.raises(RuntimeError, match="crash"):
        once(tmp_path / "run", Crash(1, 3))
    assert_identical(once(tmp_path / "run"), expected)  # not shuffled, so exact


def test_a_monitor_that_is_not_there_is_refused_before_training(data):
    crash = [EarlyStopping("val_mea"), ReduceLROnPlateau()]
    with pytest.raises(ValueError, match=r"watches 'val_mea', .*There are: loss, mae, val_loss.*mean 'val_mae'"):
        train(noisy(), data, data, callbacks=crash, progress=None)


def test_a_monitor_of_validation_without_validation_is_refused(data):
    with pytest.raises(ValueError, match=r"EarlyStopping watches 'val_loss', but there are no validation data"):
        train(noisy(), data, callbacks=[EarlyStopping(), Crash(0)])


@pytest.mark.parametrize("monitor", ["val_f1", "gradient_norm"])
def test_what_a_callback_adds_may_be_watched(data, monitor):
    f1 = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(val_f1=1.0))
    seen = EarlyStopping(monitor)
    train(noisy(), data, epochs=1, callbacks=[f1, rt.Monitor(), seen], progress=None)
    assert seen.best > 0


@pytest.mark.slow
def test_a_scheduled_rate_goes_on(data, tmp_path):
    def once(folder, *extra):
        keras.utils.set_random_seed(4)
        model = noisy(make_optimizer(0.01, schedule="cosine", steps=20))
        plateau = ReduceLROnPlateau("loss", mode="max", patience=1)  # lowers the schedule in every epoch
        options = {"batch_size": 8, "snapshot_steps": 2, "callbacks": [plateau, *extra], "progress": None}
        return outcome(model, train(model, data, epochs=4, run_dir=folder, **options))

    expected = once(tmp_path / "whole")
    with pytest.raises(RuntimeError, match="crash"):
        once(tmp_path / "run", Crash(2, 4))
    assert_identical(once(tmp_path / "run"), expected)


class Reads(keras.utils.PyDataset):
    """A batch of one row for each of some values, in their order, which counts how often it is read."""

    def __init__(self, values):
        super().__init__()
        self.values, self.num_reads = values, 0

    def __len__(self):
        return len(self.values)

    def __getitem__(self, index):
        self.num_reads += 1
        return np.full((1, 1), self.values[index], "float32"), np.zeros((1, 1), "float32")

    def set_epoch(self, epoch):
        pass


def resumed_and_whole(build, data, tmp_path, crash, *, epochs=3, **options):
    """Return what a training gives that crashed and went on, and what one gives that did not."""
    outcomes = []
    for crashes in ([Crash(*crash)], []):
        for more in [*([crashes] if crashes else []), []]:
            keras.utils.set_random_seed(0)
            model = build()
            folder = tmp_path / f"run-{len(crashes)}"
            given = {"snapshot_steps": 1, "progress": None, "batch_size": 2, "callbacks": more, "epochs": epochs}
            with contextlib.suppress(RuntimeError):
                history = train(model, data, run_dir=folder, **given | options)
        outcomes.append((outcome(model, history), model))
    assert_identical(outcomes[0][0], outcomes[1][0])
    return [model for _, model in outcomes]


forgets = pytest.mark.filterwarnings("ignore:On JAX, Keras' `fit` forgets")


def stateful(**options) -> keras.Model:
    if keras.backend.backend() == "torch":
        pytest.skip("Keras' own `fit` fails on stateful layers there: their states change in place")
    layer = keras.layers.LSTM(2, stateful=True)
    model = keras.Sequential([keras.Input(batch_shape=(2, 3, 1)), layer, keras.layers.Dense(1)])
    model.compile("adam", "mse", run_eagerly=EAGERLY, **options)
    return model


@forgets
@pytest.mark.parametrize("validates", [False, True])
@pytest.mark.parametrize("crash", [(1, 1), (1, None)], ids=str)
def test_states_of_stateful_layers_go_on(tmp_path, crash, validates):
    x = np.random.default_rng(0).normal(size=(6, 3, 1)).astype("float32")
    validation = (x[:2], x[:2, 0]) if validates else None
    one, other = resumed_and_whole(stateful, (x, x[:, 0]), tmp_path, crash, validation=validation)
    for a, b in zip(one.layers[0].states, other.layers[0].states, strict=True):
        assert np.array_equal(a, b)
        assert np.any(a) or keras.backend.backend() == "jax"  # where Keras' `fit` keeps no states


@forgets
def test_rows_that_a_stateful_layer_goes_on_with_keep_their_order():
    x = np.random.default_rng(0).normal(size=(8, 3, 1)).astype("float32")
    keras.utils.set_random_seed(0)
    expected = stateful().fit(x, x[:, 0], batch_size=2, epochs=2, shuffle=False, verbose=0).history["loss"]
    keras.utils.set_random_seed(0)
    history = train(stateful(), (x, x[:, 0]), epochs=2, batch_size=2, callbacks=[], progress=None)
    assert history["loss"].tolist() == expected


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="elsewhere the state is kept")
def test_a_state_that_keras_forgets_is_told():
    x = np.zeros((4, 3, 1), "float32")
    with pytest.warns(UserWarning, match="forgets the state of a stateful layer after each batch, so 'lstm.*' begins"):
        train(stateful(), (x, x[:, 0]), epochs=1, batch_size=2, callbacks=[], progress=None)


@keras.saving.register_keras_serializable("test")
class Rivals(keras.Model):
    """Two weights, each with an optimizer of its own, and a count of the steps that Keras does not list."""

    def __init__(self):
        super().__init__()
        self.one, self.other = keras.layers.Dense(1), keras.layers.Dense(1)
        self.second = keras.optimizers.Adam(0.1)
        self.kept = {"rates": [keras.optimizers.SGD(0.1, momentum=0.9)]}

    def call(self, inputs):
        return self.one(inputs) + self.other(inputs)

    def train_step(self, data):
        import tensorflow as tf

        x, y = data
        with tf.GradientTape(persistent=True) as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        self.second.apply(tape.gradient(loss, self.one.trainable_variables), self.one.trainable_variables)
        momentum = self.kept["rates"][0]
        momentum.apply(tape.gradient(loss, self.other.trainable_variables), self.other.trainable_variables)
        self.steps_seen.assign_add(1)
        return {"loss": loss}


def rivals() -> keras.Model:
    import tensorflow as tf

    model = Rivals()
    model.steps_seen = tf.Variable(0, trainable=False)
    model.compile("sgd", "mse", run_eagerly=True)
    model(np.zeros((1, 1)))
    return model


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a training step of TensorFlow")
@pytest.mark.parametrize("crash", [(0, 0), (1, 1), (1, None)], ids=str)
def test_further_optimizers_and_variables_of_a_model_go_on(tmp_path, crash):
    x = np.random.default_rng(0).normal(size=(6, 1)).astype("float32")
    one, other = resumed_and_whole(rivals, (x, 2 * x), tmp_path, crash)
    assert int(one.steps_seen.numpy()) == int(other.steps_seen.numpy()) == 9
    for path in (lambda model: model.second, lambda model: model.kept["rates"][0]):
        for a, b in zip(path(one).variables, path(other).variables, strict=True):
            assert np.array_equal(a, b)


@forgets
def test_a_state_that_an_earlier_version_did_not_keep_is_named(tmp_path, monkeypatch):
    x = np.ones((4, 3, 1), "float32")
    data, options = (x, x[:, 0]), {"batch_size": 2, "callbacks": [], "progress": None, "run_dir": tmp_path}
    with monkeypatch.context() as earlier:
        earlier.setattr(runs, "unlisted", lambda model: ({}, {}))
        train(stateful(), data, epochs=1, **options)
    with pytest.warns(UserWarning, match=r"The run does not know the state of .*states\.0, .*states\.1, which begins"):
        train(stateful(), data, epochs=2, **options)


class BadGradient(keras.layers.Layer):
    """Hand x on; the gradient of its square root at 0 is not finite, though the value is."""

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(), initializer="ones")

    def call(self, inputs):
        return inputs * self.scale + 1e-9 * keras.ops.sqrt(inputs * self.scale)


def rooted() -> keras.Model:
    model = keras.Sequential([keras.Input((1,)), BadGradient(), keras.layers.Dense(1)])
    model.compile("adam", "mse", run_eagerly=EAGERLY)
    return model


@pytest.mark.parametrize("crash", [18, 25])
def test_a_bad_gradient_is_found_at_the_same_step_behind_an_interruption(tmp_path, crash):
    data = Reads([1.0, 2.0] * 20)
    data.values[20] = 0.0

    def go(folder, *more):
        keras.utils.set_random_seed(0)
        callbacks, model = [rt.callbacks.StopOnNaN(), *more], rooted()
        options = {"callbacks": callbacks, "snapshot_steps": 1, "epochs": 2, "progress": None}
        return outcome(model, train(model, data, run_dir=tmp_path / folder, **options))

    with pytest.warns(UserWarning, match="A gradient is not finite at epoch 1, steps 17 to 32"):
        whole = go("whole")
    with pytest.raises(RuntimeError):
        go("run", Crash(0, crash))
    with pytest.warns(UserWarning, match="A gradient is not finite at epoch 1, steps 17 to 32"):
        assert_identical(go("run"), whole)


def test_batches_that_are_done_are_not_loaded_again(tmp_path):
    data = Reads([1.0] * 50)
    options = {"callbacks": [], "progress": None, "run_dir": tmp_path, "epochs": 1}
    with pytest.raises(RuntimeError):
        train(line(), data, snapshot_steps=10, **options | {"callbacks": [Crash(0, 44)]})
    data.num_reads = 0
    train(line(), data, **options)
    assert data.num_reads <= 6 + 12  # those left, and a few looks


class Stranger(keras.layers.Layer):
    """A layer with an argument that no file can hold."""

    def __init__(self, what):
        super().__init__()

    def call(self, inputs):
        return inputs


class Nameless(keras.layers.Layer):
    def call(self, inputs):
        return inputs

    def get_config(self):
        raise ValueError("no config")


class Weightless(keras.layers.Layer):
    def call(self, inputs):
        return inputs

    def save_own_variables(self, store):
        raise RuntimeError("no weights")


@pytest.mark.parametrize(
    ("layer", "error"),
    [
        (lambda: Stranger(object()), "NotImplementedError: .*"),
        (Nameless, r"ValueError: no config\."),
        (Weightless, r"RuntimeError: no weights\."),
    ],
    ids=["argument", "config", "weights"],
)
def test_a_model_that_cannot_be_saved_is_trained_and_reported_once(layer, error, tmp_path):
    data = np.ones((4, 1)), np.zeros((4, 1))
    lengths = []
    for epochs in (2, 3):
        model = keras.Sequential([keras.Input((1,)), layer(), keras.layers.Dense(1)])
        model.compile("sgd", "mse", run_eagerly=EAGERLY)
        with pytest.warns(UserWarning, match=f"best.keras was not written: {error} Training goes on") as said:
            lengths.append(len(train(model, data, epochs=epochs, run_dir=tmp_path, progress=None)))
        assert sum("best.keras" in str(one.message) for one in said) == 1
    assert lengths == [2, 3]


def test_more_epochs_go_on_from_a_run_that_stopped_early(tmp_path):
    data = np.ones((4, 1)), np.zeros((4, 1))
    keras.utils.set_random_seed(0)

    def go(epochs, **options):
        stop = [EarlyStopping("loss", patience=2, min_delta=100)]  # nothing is better than the first epoch
        return train(line(), data, epochs=epochs, callbacks=stop, run_dir=tmp_path, **{"progress": None} | options)

    assert [len(go(epochs)) for epochs in (6, 6, 5, 8, 8, 9)] == [3, 3, 3, 5, 5, 7]


def test_a_finished_run_says_in_a_line_that_it_is_returned_as_it_is(tmp_path, capsys):
    data, options = (np.ones((4, 1)), np.zeros((4, 1))), {"run_dir": tmp_path, "callbacks": []}
    for progress in ("auto", None):
        train(line(), data, epochs=2, progress=progress, **options)
    assert capsys.readouterr().out == ""
    train(line(), data, epochs=2, **options)
    assert capsys.readouterr().out == (f"The run in {tmp_path} has all its 2 epochs: it is returned as it is.\n") * 1


def test_what_can_be_changed_is_no_reason_to_begin_anew(tmp_path):
    data = np.ones((4, 1)), np.zeros((4, 1))
    options = {"run_dir": tmp_path / "run", "progress": None, "epochs": 1}
    train(line(), data, **options)
    offer = re.escape(f"model.set_weights(rt.load_best({str(tmp_path / 'run')!r}).get_weights()) and pass another")
    for model, changed in (
        (line(), {"batch_size": 2}),
        (line(), {"validation": data}),
        (line("adam"), {}),
        (line(loss="mae"), {}),
        (line(), {"train": (data[0] * 2, data[1])}),
    ):
        with pytest.raises(ValueError, match=offer):
            train(**{"model": model, "train": data} | options | changed)


def test_a_metric_may_be_added_within_an_epoch_and_counts_from_there(tmp_path):
    options = {"run_dir": tmp_path, "epochs": 1, "batch_size": 1, "snapshot_steps": 1, "progress": None}
    data = np.ones((4, 1)), np.zeros((4, 1))
    with pytest.raises(RuntimeError):
        train(line(), data, callbacks=[Crash(0, 1)], **options)
    with pytest.warns(UserWarning, match="other metrics than the run; they begin at step 2 of epoch 1"):
        history = train(line(metrics=["mae"]), data, callbacks=[], **options)
    # The rate 0.01 takes the weight from 1 to 0.98 and so on; the first step is done.
    assert history["mae"].tolist() == pytest.approx([(0.98 + 0.98**2 + 0.98**3) / 3])


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    data = np.ones((4, 1)), np.zeros((4, 1))
    best = [BestModel("loss"), BestModel("loss", run_dir="~/other")]
    train(line(), data, epochs=1, run_dir="~/run", callbacks=best, progress=None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "run"]
    assert (tmp_path / "other" / "best.keras").exists() and len(rt.load_history("~/run")) == 1
    assert rt.load_best("~/run").get_weights()[0].shape == (1, 1)
