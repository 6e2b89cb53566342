"""One batch: sound models learn it by heart, broken ones do not, and nothing is left of it."""

import keras
import numpy as np
import pytest

from rnn_toolkit.diagnosis.one_batch import overfit_one_batch
from rnn_toolkit.networks.optimization import make_optimizer
from rnn_toolkit.networks.probing import numpy

ONES = (np.ones((8, 1), "float32"), np.zeros((8, 1), "float32"))
X = np.random.default_rng(0).normal(size=(32, 10, 2)).astype("float32")


def line(**options) -> keras.Model:
    """Return y = w x with w = 1, whose loss at x = 1 and y = 0 is w²."""
    options = {"loss": "mse"} | options
    loss = options.pop("loss")
    dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones", **options)
    model = keras.Sequential([keras.Input((1,)), dense])
    model.compile("sgd", loss)
    return model


def recurrent(units=16, outputs=1, loss="mse", activation=None) -> keras.Model:
    head = keras.layers.Dense(outputs, activation=activation)
    model = keras.Sequential([keras.Input((10, 2)), keras.layers.GRU(units), head])
    model.compile(make_optimizer(), loss)
    return model


def flat(outputs=1, loss="mse", activation=None) -> keras.Model:
    """Return a model without recurrence, for what goes wrong behind it."""
    body = [keras.layers.Flatten(), keras.layers.Dense(16, activation="tanh")]
    model = keras.Sequential([keras.Input((10, 2)), *body, keras.layers.Dense(outputs, activation=activation)])
    model.compile(make_optimizer(), loss)
    return model


def state_of(model):
    return [numpy(one).tolist() for one in (*model.variables, *model.optimizer.variables)]


def classes(x):
    return np.digitize(x[:, :, 0].mean(1), [-0.1, 0.1])


SOUND = {
    "regression": lambda x: (recurrent(), x[:, -3:, 0].mean(1)),
    "few units": lambda x: (recurrent(4), x[:, -3:, :1].mean(1)),
    "labels": lambda x: (recurrent(16, 3, "sparse_categorical_crossentropy", "softmax"), classes(x)),
    "one-hot": lambda x: (recurrent(16, 3, "categorical_crossentropy", "softmax"), np.eye(3)[classes(x)]),
    "logits": lambda x: (recurrent(16, 3, keras.losses.SparseCategoricalCrossentropy(from_logits=True)), classes(x)),
    "yes or no": lambda x: (recurrent(16, 1, "binary_crossentropy", "sigmoid"), (x[:, 0, 0] > 0).astype(int)),
}
BROKEN = {
    "sigmoid for fifty": lambda x: (flat(activation="sigmoid"), 50 + x[:, 0, :1]),
    "relu for negatives": lambda x: (flat(activation="relu"), -1 - abs(x[:, 0, :1])),
    "targets in the thousands": lambda x: (recurrent(), 1000 + 100 * x[:, 0, :1]),
    "labels as numbers": lambda x: (flat(activation="sigmoid"), 2.0 * classes(x)),
    "all zero": lambda x: (zeroed(recurrent()), 1 + x[:, 0, :1]),
    "all zero, labels": lambda x: (zeroed(flat(3, "sparse_categorical_crossentropy", "softmax")), classes(x)),
}


def zeroed(model):
    model.set_weights([np.zeros_like(one) for one in model.get_weights()])
    return model


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_model_learns_a_few_rows_by_heart(name):
    model, y = SOUND[name](X)
    before = state_of(model)
    table = overfit_one_batch(model, (X, y), seconds=60)  # a busy machine takes its time
    assert table.attrs["overfits"] and table.attrs["floor"] == pytest.approx(0, abs=1e-5)
    assert table["loss"].min() == table.attrs["final"] < 0.2 * table.attrs["constant"]
    assert len(table) <= 100 and state_of(model) == before


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_model_does_not(name):
    model, y = BROKEN[name](X)
    table = overfit_one_batch(model, (X, y), seconds=60)
    assert not table.attrs["overfits"] and not table.attrs["out_of_time"] and len(table) == 100


def test_input_that_tells_nothing_cannot_be_learnt():
    attrs = overfit_one_batch(flat(), (0 * X, X[:, 0, :1])).attrs
    assert not attrs["overfits"] and attrs["final"] == pytest.approx(attrs["constant"], rel=0.05)


def test_the_constant_of_a_squared_error_is_the_variance():
    x, y = np.array([[1.0], [1.0]]), np.array([[5.0], [1.0]])  # the mean is 3, the deviations are 2
    attrs = overfit_one_batch(line(), (x, y), steps=2).attrs
    assert attrs["initial"] == pytest.approx(8) and attrs["constant"] == pytest.approx(4) and attrs["floor"] == 0


@pytest.mark.parametrize("from_logits", [False, True])
def test_the_floor_of_soft_labels_is_their_entropy_and_the_constant_that_of_their_mean(from_logits):
    loss = keras.losses.CategoricalCrossentropy(from_logits=from_logits)
    model = flat(2, loss, None if from_logits else "softmax")
    y = np.array([[0.75, 0.25], [0.25, 0.75]])
    attrs = overfit_one_batch(model, (X[:2], y), steps=2).attrs
    assert attrs["floor"] == pytest.approx(0.5623, abs=1e-4)  # -(3 ln 3 - 4 ln 4) / 4
    assert attrs["constant"] == pytest.approx(np.log(2), abs=1e-4)


def test_regularizers_and_dropout_are_off_and_come_back():
    penalty = keras.regularizers.L2(100.0)
    inner = keras.layers.Dense(
        1, use_bias=False, kernel_initializer="ones", kernel_regularizer=penalty, activity_regularizer=penalty
    )
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dropout(0.9), inner])
    model.compile("sgd", "mse")
    before = float(model.test_on_batch(*ONES))
    table = overfit_one_batch(model, ONES, steps=2, learning_rate=1e-6)
    assert table["loss"].tolist() == pytest.approx([1, 1], abs=1e-3)
    assert float(model.test_on_batch(*ONES)) == before > 100
    assert inner.kernel.regularizer is penalty and inner.activity_regularizer is penalty


def test_an_error_leaves_regularizers_and_layers_as_they_were():
    def broken(y, guess):
        raise KeyboardInterrupt

    model = line(loss=broken, kernel_regularizer=keras.regularizers.L2(1.0))
    before = dict(vars(model.layers[0]))
    with pytest.raises(KeyboardInterrupt):
        overfit_one_batch(model, ONES)
    assert model.layers[0].kernel.regularizer is not None and vars(model.layers[0]) == before


def test_a_batch_of_a_single_target_is_learnt_where_the_loss_falls_to_a_fifth():
    attrs = overfit_one_batch(line(), ONES, learning_rate=0.1).attrs
    assert attrs["overfits"] and attrs["constant"] == 0 and attrs["final"] <= 0.2 * attrs["initial"]


def test_one_row_of_each_target_comes_first():
    x = np.arange(100.0)[:, None]
    y = (x[:, 0] >= 90).astype(int)
    taken = []

    def noted(targets, guess):
        taken.append(targets.shape)
        return keras.ops.mean(keras.ops.square(guess - targets), axis=-1)

    model = line(loss=noted)
    attrs = overfit_one_batch(model, (x, y), batch_size=2, steps=2).attrs
    assert attrs["constant"] == 0.25 and taken[0] == (2, 1)  # of a target of each kind


def test_the_seconds_end_it():
    model, y = BROKEN["all zero"](X)
    table = overfit_one_batch(model, (X, y), seconds=1e-9)
    assert len(table) == 1 and table.attrs["out_of_time"] and not table.attrs["overfits"]


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="Keras 3.15 trains no stateful layer there")
def test_a_model_of_a_fixed_batch_size_learns_the_whole_batch_each_time_from_the_same_state():
    model = keras.Sequential(
        [keras.Input(batch_shape=(32, 10, 2)), keras.layers.GRU(16, stateful=True), keras.layers.Dense(1)]
    )
    model.compile("adam", "mse")
    model.predict(X, verbose=0, batch_size=32)
    before = state_of(model)
    assert overfit_one_batch(model, (X, X[:, -3:, :1].mean(1))).attrs["overfits"]
    assert state_of(model) == before


def test_half_precision_is_learnt_too(half_precision):
    model, y = SOUND["regression"](X)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert overfit_one_batch(model, (X, y), seconds=60).attrs["overfits"]


def test_seconds_that_are_not_positive_are_refused():
    with pytest.raises(ValueError, match=r"`seconds` must be positive\. Received: 0"):
        overfit_one_batch(line(), ONES, seconds=0)
