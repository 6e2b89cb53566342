"""Training keeps the best, stops in time, and works on models that are not ours."""

import re
import sys

import keras
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from training.one_weight import EAGERLY, line

from rnn_toolkit import (
    ForecastTask,
    Windows,
    build_forecaster,
    load_best,
    load_history,
    make_optimizer,
    recurrent_layers,
    train,
)
from rnn_toolkit.training.callbacks import default_callbacks


@pytest.fixture(scope="module")
def arrays():
    """Return windows of a sine and the values that follow them."""
    series = np.sin(np.arange(100.0) / 3).astype("float32")
    x = np.lib.stride_tricks.sliding_window_view(series, 8)[:-1, :, None]
    return x, series[8:, None]


def small(optimizer="adam", *layers) -> keras.Model:
    """Return a model of the given layers, or of some that compile quickly."""
    layers = layers or (keras.layers.Flatten(), keras.layers.Dense(4, activation="tanh"))
    model = keras.Sequential([keras.Input((8, 1)), *layers, keras.layers.Dense(1)])
    model.compile(optimizer, "mse", metrics=["mae"])
    return model


class Script(keras.callbacks.Callback):
    """Pretend that the validation losses are those of a script."""

    def __init__(self, losses):
        super().__init__()
        self.losses = losses

    def on_epoch_end(self, epoch, logs=None):
        logs["val_loss"] = self.losses[epoch]


def test_the_history_has_a_row_per_epoch_with_rate_and_seconds(arrays):
    history = train(small(), arrays, arrays, epochs=3, progress=None)
    assert history.index.tolist() == [0, 1, 2, 3] and history.index.name == "epoch"
    assert list(history.columns) == ["loss", "mae", "val_loss", "val_mae", "learning_rate", "seconds"]
    assert (history.learning_rate[1:] == np.float32(1e-3)).all() and (history.seconds > 0).all()
    assert history.loc[0, ["loss", "mae", "learning_rate"]].isna().all()


def test_training_lowers_the_loss_of_a_model_written_by_hand(arrays):
    history = train(small(make_optimizer(1e-2), keras.layers.SimpleRNN(4)), arrays, epochs=20, progress=None)
    assert history.loss.iloc[-1] < history.loss.iloc[0] / 5


def test_training_works_on_windows_of_a_table(arrays):
    windows = Windows(pd.DataFrame({"y": np.sin(np.arange(80.0))}), ForecastTask("y", horizon=2, lookback=8))
    model = build_forecaster(windows, recurrent_layers("gru", (4,)))
    assert train(model, windows, windows, epochs=2, progress=None).index.tolist() == [0, 1, 2]


def test_sample_weights_may_come_with_the_arrays(arrays):
    x, y = arrays
    history = train(small(), (x, y, np.zeros(len(x))), (x, y, np.ones(len(x))), epochs=1, progress=None)
    assert history.loss[1] == 0 and history.val_loss[1] > 0


def test_the_run_folder_holds_the_best_model_and_the_history(arrays, tmp_path):
    model = small(make_optimizer(1e-2))
    history = train(model, arrays, arrays, epochs=4, run_dir=tmp_path / "runs" / "one", progress=None)
    best = keras.saving.load_model(tmp_path / "runs" / "one" / "best.keras")
    assert best.evaluate(*arrays, verbose=0)[0] == pytest.approx(history.val_loss.min(), rel=1e-4)
    found = sorted(path.name for path in (tmp_path / "runs" / "one").iterdir())
    assert found == [".lock", "best.keras", "history.csv", "snapshots"]
    pd.testing.assert_frame_equal(load_history(tmp_path / "runs" / "one"), history, check_exact=True)
    assert load_best(tmp_path / "runs" / "one").count_params() == model.count_params()


def test_the_model_ends_at_its_best_weights_not_its_last(arrays):
    model = small(make_optimizer(1e-2))
    script = Script([0.5, 0.1, 0.2, 0.3, 0.4, 0.5])
    keep = {}
    snapshot = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: keep.update({epoch: model.get_weights()})
    )
    callbacks = [script, snapshot, *default_callbacks(patience=3)]
    history = train(model, arrays, arrays, epochs=20, callbacks=callbacks, progress=None)
    assert len(history) == 1 + 5  # the start, up to the best epoch, and three without a new best
    for weights, best in zip(model.get_weights(), keep[1], strict=True):
        assert np.array_equal(weights, best)


def test_a_training_that_does_not_beat_the_start_changes_nothing(arrays, tmp_path):
    model = small(make_optimizer(1e-2))
    start = [np.array(one) for one in model.get_weights()]
    script = Script([9.0] * 9)
    callbacks = [script, *default_callbacks(patience=3)]
    history = train(model, arrays, arrays, epochs=9, callbacks=callbacks, run_dir=tmp_path, progress=None)
    assert history.index.tolist() == [0, 1, 2, 3]  # patience counts from the start
    assert history.val_loss[0] == pytest.approx(model.evaluate(*arrays, verbose=0)[0], rel=1e-5)
    for weights in model.get_weights(), load_best(tmp_path).get_weights():
        assert all(np.array_equal(one, other) for one, other in zip(start, weights, strict=True))


def test_a_start_that_is_not_finite_does_not_compete(arrays):
    model = small(make_optimizer(1e-2))
    model.layers[-1].kernel.assign(np.full(model.layers[-1].kernel.shape, 1e30))
    good = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: model.set_weights(weights))
    weights = small().get_weights()
    history = train(model, arrays, arrays, epochs=2, callbacks=[good, *default_callbacks()], progress=None)
    assert np.isinf(history.val_loss[0]) and np.isfinite(history.val_loss[1:]).all()
    assert np.isfinite(model.evaluate(*arrays, verbose=0)[0])


def test_the_rate_is_halved_on_a_plateau(arrays):
    callbacks = [Script([1.0] * 6), *default_callbacks(patience=4)]
    history = train(small(), arrays, arrays, epochs=6, callbacks=callbacks, progress=None)
    assert history.learning_rate.iloc[-1] == pytest.approx(0.5e-3)


def test_a_schedule_is_followed(arrays):
    model = small(make_optimizer(0.01, schedule="cosine", steps=12))
    history = train(model, arrays, arrays, epochs=3, progress=None)
    assert history.learning_rate[1:].is_monotonic_decreasing


def test_training_stops_at_the_first_loss_that_is_not_a_number(arrays):
    x, y = arrays
    with pytest.warns(UserWarning, match="not finite at epoch 1, step 1"):
        history = train(small(), (x, np.full_like(y, np.nan)), epochs=5, progress=None)
    assert len(history) == 1


def test_nothing_is_shown_where_nobody_watches(arrays, capsys):
    train(small(), arrays, epochs=1)
    assert capsys.readouterr() == ("", "")


def test_the_line_is_shown_in_a_terminal(arrays, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    train(small(), arrays, epochs=1)
    assert "1/1" in capsys.readouterr().out


class Empty(keras.utils.PyDataset):
    """A data set without batches."""

    def __len__(self):
        return 0

    def __getitem__(self, index):
        raise IndexError


def bare(*, compiled) -> keras.Model:
    """Return a model that is not compiled, or not built."""
    layers = [keras.layers.Dense(1)] if compiled else [keras.Input((8, 1)), keras.layers.SimpleRNN(1)]
    model = keras.Sequential(layers, name="bare")
    if compiled:
        model.compile("sgd", "mse")
    return model


DATA = np.zeros((4, 8, 1)), np.zeros((4, 1))
REFUSED = {
    "no epochs": ({"epochs": 0}, "`epochs` must be at least 1. Received: 0"),
    "an unknown progress": ({"progress": "bar"}, "`progress` must be one of 'auto', 'live', None"),
    "no steps": ({"snapshot_steps": 0}, "`snapshot_steps` must be at least 1. Received: 0"),
    "not compiled": (
        {"model": bare(compiled=False)},
        "Model 'bare' is not compiled: it has no loss. A training needs one. Call `model.compile",
    ),
    "not built": (
        {"model": bare(compiled=True)},
        "Model 'bare' is not built: it has no weights yet. A training needs them. Start it",
    ),
    "no rows": ({"train": (DATA[0][:0], DATA[1][:0])}, "`train` holds no rows: x has shape (0, 8, 1)"),
    "a tuple of one": ({"train": DATA[:1]}, "`train` must be (x, y) or (x, y, sample_weight). Received: 1 items"),
    "a target short": (
        {"train": (DATA[0], DATA[1][:3])},
        "`train` must have as many rows in all arrays, one an example. Received: x has 4, y has 3 rows.",
    ),
    "a weight short": ({"train": (*DATA, np.ones(3))}, "x has 4, y has 4, sample_weight has 3 rows"),
    "a leaf short": (
        {"validation": ({"a": DATA[0], "b": [DATA[0], DATA[0][:2]]}, DATA[1])},
        "Received: x['a'] has 4, x['b'][0] has 4, x['b'][1] has 2, y has 4 rows",
    ),
    "an output short": ({"train": (DATA[0], (DATA[1], DATA[1][:1]))}, "y[0] has 4, y[1] has 1 rows"),
    "rows of different length": ({"train": ([[1, 2], [3]], [0, 1])}, "x holds rows of different length"),
    "no arrays": ({"train": (3, 4)}, "x has no, y has no rows"),
    "no batches": ({"validation": Empty()}, "`validation` holds no batch"),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_trained_is_refused(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        train(**{"model": small(), "train": DATA, "progress": None} | options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": None}, r"`train` must be \(x, y\), .* Received: None"),
        ({"train": "data.csv"}, r"`train` must be \(x, y\), .* Received: 'data\.csv'"),
        ({"validation": 0.2}, r"`validation` must be \(x, y\), .* Received: 0\.2"),
        ({"train": DATA[0], "validation": DATA[1]}, r"`train` is one ndarray, .* train\(model, \(x, y\), "),
        ({"train": pd.DataFrame({"load": [1.0]})}, "`train` is one DataFrame, and the loss needs targets"),
    ],
)
def test_what_holds_no_examples_or_no_targets_is_refused(options, message):
    with pytest.raises(TypeError, match=message):
        train(**{"model": small(), "train": DATA, "progress": None} | options)


def test_data_that_can_be_read_only_once_are_refused():
    with pytest.raises(TypeError, match=r"`train` can be read only once.*Received: generator"):
        train(small(), (DATA for _ in range(3)))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="reads tf.data")
def test_data_that_never_end_are_refused():
    import tensorflow as tf

    endless = tf.data.Dataset.from_tensor_slices(DATA).batch(2).repeat()
    with pytest.raises(ValueError, match=r"`train` never ends, so no epoch would.*\.take\(100\)"):
        train(small(), endless)


@keras.saving.register_keras_serializable("only here")
class Doubled(keras.layers.Layer):
    def call(self, inputs):
        return inputs * 2


def test_the_best_model_opens_with_classes_of_ones_own_and_code_inside(tmp_path):
    model = small("sgd", keras.layers.Flatten(), keras.layers.Lambda(lambda x: x), Doubled())
    train(model, DATA, epochs=1, run_dir=tmp_path, progress=None)
    with pytest.raises(ValueError, match="safe_mode"):
        load_best(tmp_path)
    found = load_best(tmp_path, safe_mode=False, custom_objects={"Doubled": Doubled})
    assert isinstance(found.layers[-2], Doubled)


def lines(outputs) -> keras.Model:
    """Return a model of two inputs, which are added, with a line for each output."""
    inputs = [keras.Input((1,), name="a"), keras.Input((1,), name="b")]
    together = keras.layers.Add()(inputs)
    made = keras.Model(inputs, [keras.layers.Dense(1, kernel_initializer="ones")(together) for _ in range(outputs)])
    made.compile("sgd", ["mse"] * outputs, run_eagerly=EAGERLY)
    return made


ONES = np.ones((4, 1))


@pytest.mark.parametrize(
    ("data", "loss"),
    [
        (([ONES, ONES], [ONES * 3, ONES * 4]), 1 + 4),  # 1 + 1 instead of 3, and of 4
        (((ONES, ONES), (ONES * 3, ONES * 4)), 5),
        (({"a": ONES, "b": ONES}, [ONES * 3, ONES * 4], [ONES[:, 0] * 2, ONES[:, 0]]), 2 * 1 + 4),
    ],
    ids=["lists", "tuples", "dict and weights"],
)
def test_several_inputs_and_outputs_may_be_lists(data, loss):
    history = train(lines(2), data, data, epochs=1, callbacks=[], progress=None)
    assert history.loss[1] == history.val_loss[0] == loss


@pytest.mark.parametrize("y", [[0, 0, 0, 0], [[0.0]] * 4, list(np.zeros(4)), pd.Series([0.0] * 4)], ids=str)
def test_lists_of_numbers_are_arrays(y):
    x = [[1], [1], [1], [1]]
    history = train(line(), (x, y, [1, 1, 1, 1]), (x, y), epochs=1, callbacks=[], progress=None)
    assert history.loss[1] == history.val_loss[0] == 1.0  # 1 instead of 0


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="reads tf.data")
def test_an_empty_tf_data_set_is_refused():
    import tensorflow as tf

    nothing = tf.data.Dataset.from_tensor_slices((np.zeros((0, 8, 1)), np.zeros((0, 1)))).batch(2)
    with pytest.raises(ValueError, match="`train` holds no batch"):
        train(small(), nothing)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="Keras does not read sparse matrices there")
def test_a_sparse_matrix_is_trained_on_and_its_steps_counted(tmp_path):
    counted = []
    note = keras.callbacks.LambdaCallback(on_train_begin=lambda logs=None: counted.append(note.params["steps"]))
    x = scipy.sparse.csr_matrix(np.ones((5, 1)))
    with pytest.warns(UserWarning, match="Training data of type tuple cannot be put back to a step"):
        options = {"batch_size": 2, "epochs": 1, "run_dir": tmp_path, "callbacks": [note], "progress": None}
        history = train(line(keras.optimizers.SGD(0.0)), (x, np.zeros((5, 1))), **options)
    assert history.loss[1] == 1.0 and counted == [3]  # of 2, 2 and 1 rows


def test_a_run_folder_that_cannot_be_written_is_refused_before_training(arrays, tmp_path):
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(ValueError, match=r"`run_dir` cannot be written: .*taken"):
        train(small(), arrays, run_dir=tmp_path / "taken" / "run")
