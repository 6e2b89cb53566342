"""Dry runs find the rate that a quadratic bears, tell sound models from broken ones, and leave no trace."""

import keras
import numpy as np
import pytest

from rnn_toolkit.diagnosis.dry_runs import find_learning_rate
from rnn_toolkit.diagnosis.one_batch import overfit_one_batch
from rnn_toolkit.networks.optimization import make_optimizer
from rnn_toolkit.training.snapshots import random_state

BACKEND = keras.backend.backend()


def line(optimizer, *, loss="mse", **options) -> keras.Model:
    """Return y = w x with w = 1, whose loss at x = 1 and y = 0 is w², with the gradient 2 w."""
    dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones", **options)
    model = keras.Sequential([keras.Input((1,)), dense])
    model.compile(optimizer, loss)
    return model


ONES = (np.ones((8, 1), "float32"), np.zeros((8, 1), "float32"))


def recurrent(units=16, outputs=1, loss="mse", activation=None, optimizer=None) -> keras.Model:
    model = keras.Sequential(
        [keras.Input((10, 2)), keras.layers.GRU(units), keras.layers.Dense(outputs, activation=activation)]
    )
    model.compile(optimizer or make_optimizer(), loss)
    return model


def sequences(rows=32):
    return np.random.default_rng(0).normal(size=(rows, 10, 2)).astype("float32")


class Batches(keras.utils.PyDataset):
    """Two batches; the look-up number `fails_at` raises."""

    def __init__(self, error=None, fails_at=5):
        super().__init__()
        self.error, self.fails_at, self.taken = error, fails_at, []

    def __len__(self):
        return 2

    def __getitem__(self, index):
        self.taken.append(index)
        if self.error is not None and len(self.taken) == self.fails_at:
            raise self.error
        return ONES


def arrays(variables):
    return [np.array(keras.ops.convert_to_numpy(one)) for one in variables]


def state_of(model):
    return arrays([*model.variables, *model.optimizer.variables])


def same(left, right):
    return len(left) == len(right) and all(np.array_equal(one, two) for one, two in zip(left, right, strict=True))


# find_learning_rate


def test_a_quadratic_bears_rates_up_to_two_over_its_curvature():
    x, y = np.ones((64, 1)), np.tile([[11.0], [9.0]], (32, 1))  # the second derivative is 2, the best weight 10
    table = find_learning_rate(line("sgd"), (x, y), low=1e-3, steps=80, batch_size=1)
    assert table.attrs["diverged"] and table.attrs["lowered"]
    assert 0.1 < table.attrs["largest_stable"] < 1 < table["learning_rate"].iloc[-1] < 3
    assert table.attrs["suggestion"] == table.attrs["largest_stable"] / 10
    assert len(table) < 80 and table["smoothed_loss"].iloc[-1] > 81  # above the first, (10 - 1)²


def test_a_loss_is_that_of_the_step_before_it_is_taken():
    table = find_learning_rate(line("sgd"), ONES, low=0.125, high=0.25, steps=2)
    assert table.index.tolist() == [1, 2] and table.index.name == "step"
    assert table["learning_rate"].tolist() == pytest.approx([0.125, 0.25])
    assert table["loss"].tolist() == pytest.approx([1, 0.5625])  # 1 - 0.125 * 2 = 0.75
    assert table["smoothed_loss"].tolist() == pytest.approx([1, (0.16 * 1 + 0.2 * 0.5625) / 0.36])


def test_rates_rise_by_the_same_factor_and_batches_come_round_again():
    data = Batches()
    table = find_learning_rate(line("sgd"), data, low=1e-6, high=1e-2, steps=5)
    assert table["learning_rate"].tolist() == pytest.approx([1e-6, 1e-5, 1e-4, 1e-3, 1e-2])
    assert sorted(data.taken[1:5]) == [0, 0, 1, 1]


def test_a_model_that_learns_nothing_at_any_rate_gets_no_suggestion():
    model = line("sgd", loss=lambda y, guess: keras.ops.mean(0 * guess, axis=-1) + 1)
    attrs = find_learning_rate(model, ONES, steps=5).attrs
    assert np.isnan(attrs["suggestion"]) and not attrs["lowered"] and not attrs["diverged"]


def test_a_model_at_its_best_gets_a_tenth_of_the_highest_rate_that_it_bears():
    data = (np.ones((64, 1)), np.tile([[1.35], [0.75]], (32, 1)))  # the best weight is 1.05, its loss 0.09
    table = find_learning_rate(line("sgd"), data, low=1e-3, steps=80)
    assert table["loss"][1] == pytest.approx(0.0925) and table.attrs["diverged"] and not table.attrs["lowered"]
    assert 1 < table.attrs["largest_stable"] < table["learning_rate"].iloc[-1] < 10  # above 1 the weight moves away


def test_a_loss_that_is_not_finite_ends_the_test():
    x = np.array([[1.0], [np.nan]], "float32")
    table = find_learning_rate(line("sgd"), (x, x), batch_size=2)
    assert len(table) == 1 and table.attrs["diverged"] and np.isnan(table.attrs["suggestion"])


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: make_optimizer(0.1, schedule="one_cycle", steps=10),
        lambda: make_optimizer(0.1, rate_factors=[0.5], weight_decay=0.1),
        lambda: make_optimizer(0.1, average=0.5),
        lambda: keras.optimizers.LossScaleOptimizer(make_optimizer(0.1), initial_scale=8.0),
        lambda: keras.optimizers.SGD(0.1, gradient_accumulation_steps=4),
    ],
)
def test_every_kind_of_optimizer_is_tested_and_left_alone(optimizer):
    model = line(optimizer())
    model.fit(*ONES, batch_size=2, verbose=0)
    before, own = state_of(model), model.optimizer
    table = find_learning_rate(model, ONES, steps=40)
    assert table.attrs["lowered"]
    assert model.optimizer is own and same(state_of(model), before)
    model.fit(*ONES, batch_size=2, verbose=0)
    assert not same(state_of(model), before)


@pytest.mark.parametrize("dry_run", [find_learning_rate, overfit_one_batch])
def test_a_training_goes_on_as_if_there_had_been_no_dry_run(dry_run):
    x, y = sequences(), sequences()[:, 0, :1]
    weights = []
    for looks in (False, True):
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((10, 2)), keras.layers.GRU(4, dropout=0.5), keras.layers.Dense(1)])
        model.compile(make_optimizer(), "mse", metrics=["mae"])
        history = model.fit(x, y, verbose=0)
        if looks:
            before = random_state()
            dry_run(model, (x, y), steps=5)
            assert model.history is history
            after = random_state()
            assert all(np.array_equal(before[name][1], after[name][1]) for name in ("python", "numpy"))
            assert np.array_equal(before["keras"], after["keras"])
        model.fit(x, y, verbose=0)
        weights.append(model.get_weights())
    assert same(*weights)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("no more")])
def test_an_interrupt_leaves_the_model_as_it_was(error):
    model = line("adam")
    model.fit(*ONES, verbose=0)
    before, own = state_of(model), model.optimizer
    with pytest.raises(type(error)):
        find_learning_rate(model, Batches(error))
    assert model.optimizer is own and same(state_of(model), before)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="this one is TensorFlow's")
def test_a_dataset_of_tensorflow_is_read_again_when_it_ends():
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices(ONES).batch(4)
    assert len(find_learning_rate(line("sgd"), data, steps=5, high=0.1)) == 5
    assert overfit_one_batch(line("sgd"), data, learning_rate=0.1).attrs["overfits"]


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.1, 0.1), (1, 0.1), (0.1, float("inf")), (float("nan"), 1)])
def test_rates_that_do_not_rise_are_refused(low, high):
    with pytest.raises(ValueError, match=r"`low` and `high` must be rates, the lower first\. Received"):
        find_learning_rate(line("sgd"), ONES, low=low, high=high)


def test_a_test_of_one_step_is_refused():
    with pytest.raises(ValueError, match="`steps` must be at least 2"):
        find_learning_rate(line("sgd"), ONES, steps=1)


def test_several_optimizers_are_refused():
    if not hasattr(keras.optimizers, "MultiOptimizer"):
        pytest.skip("this Keras has none")
    model = line("sgd")
    optimizer = keras.optimizers.MultiOptimizer(keras.optimizers.SGD())
    model.compile(optimizer, "mse")
    with pytest.raises(ValueError, match="trained by several optimizers, and so at no single rate"):
        find_learning_rate(model, ONES)


@pytest.mark.parametrize("dry_run", [find_learning_rate, overfit_one_batch])
def test_a_model_that_cannot_be_trained_is_refused(dry_run):
    with pytest.raises(ValueError, match="is not compiled"):
        dry_run(keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]), ONES)
    model = line("sgd")
    model.layers[0].trainable = False
    with pytest.raises(ValueError, match="has no trainable weights: all layers are frozen"):
        dry_run(model, ONES)


@pytest.mark.parametrize("dry_run", [find_learning_rate, overfit_one_batch])
def test_data_that_would_be_used_up_are_refused(dry_run):
    with pytest.raises(TypeError, match="must be readable more than once"):
        dry_run(line("sgd"), iter([ONES]))


# overfit_one_batch


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
    "sigmoid for fifty": lambda x: (recurrent(16, 1, "mse", "sigmoid"), 50 + x[:, 0, :1]),
    "relu for negatives": lambda x: (recurrent(16, 1, "mse", "relu"), -1 - abs(x[:, 0, :1])),
    "targets in the thousands": lambda x: (recurrent(), 1000 + 100 * x[:, 0, :1]),
    "labels as numbers": lambda x: (recurrent(16, 1, "mse", "sigmoid"), 2.0 * classes(x)),
    "all zero": lambda x: (zeroed(recurrent()), 1 + x[:, 0, :1]),
    "all zero, labels": lambda x: (zeroed(recurrent(16, 3, "sparse_categorical_crossentropy", "softmax")), classes(x)),
}


def zeroed(model):
    model.set_weights([np.zeros_like(one) for one in model.get_weights()])
    return model


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_model_learns_a_few_rows_by_heart(name):
    model, y = SOUND[name](sequences())
    before = state_of(model)
    table = overfit_one_batch(model, (sequences(), y))
    assert table.attrs["overfits"] and table.attrs["floor"] == pytest.approx(0, abs=1e-5)
    assert table["loss"].min() == table.attrs["final"] < 0.2 * table.attrs["constant"]
    assert len(table) <= 100 and same(state_of(model), before)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_model_does_not(name):
    model, y = BROKEN[name](sequences())
    table = overfit_one_batch(model, (sequences(), y))
    assert not table.attrs["overfits"] and not table.attrs["out_of_time"] and len(table) == 100


def test_input_that_tells_nothing_cannot_be_learnt():
    attrs = overfit_one_batch(recurrent(), (0 * sequences(), sequences()[:, 0, :1])).attrs
    assert not attrs["overfits"] and attrs["final"] == pytest.approx(attrs["constant"], rel=0.05)


def test_the_constant_of_a_squared_error_is_the_variance():
    x, y = np.array([[1.0], [1.0]]), np.array([[5.0], [1.0]])  # the mean is 3, the deviations are 2
    attrs = overfit_one_batch(line("sgd"), (x, y), steps=2).attrs
    assert attrs["initial"] == pytest.approx(8) and attrs["constant"] == pytest.approx(4) and attrs["floor"] == 0


@pytest.mark.parametrize("from_logits", [False, True])
def test_the_floor_of_soft_labels_is_their_entropy_and_the_constant_that_of_their_mean(from_logits):
    loss = keras.losses.CategoricalCrossentropy(from_logits=from_logits)
    model = recurrent(4, 2, loss, None if from_logits else "softmax")
    y = np.array([[0.75, 0.25], [0.25, 0.75]])
    attrs = overfit_one_batch(model, (sequences(2), y), steps=2).attrs
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

    model = line("sgd", loss=broken, kernel_regularizer=keras.regularizers.L2(1.0))
    before = dict(vars(model.layers[0]))
    with pytest.raises(KeyboardInterrupt):
        overfit_one_batch(model, ONES)
    assert model.layers[0].kernel.regularizer is not None and vars(model.layers[0]) == before


def test_a_batch_of_a_single_target_is_learnt_where_the_loss_falls_to_a_fifth():
    attrs = overfit_one_batch(line("sgd"), ONES, learning_rate=0.1).attrs
    assert attrs["overfits"] and attrs["constant"] == 0 and attrs["final"] <= 0.2 * attrs["initial"]


def test_one_row_of_each_target_comes_first():
    x = np.arange(100.0)[:, None]
    y = (x[:, 0] >= 90).astype(int)
    taken = []

    def noted(targets, guess):
        taken.append(targets.shape)
        return keras.ops.mean(keras.ops.square(guess - targets), axis=-1)

    model = line("sgd", loss=noted)
    attrs = overfit_one_batch(model, (x, y), batch_size=2, steps=2).attrs
    assert attrs["constant"] == 0.25 and taken[0] == (2, 1)  # of a target of each kind


def test_the_seconds_end_it():
    model, y = BROKEN["all zero"](sequences())
    table = overfit_one_batch(model, (sequences(), y), seconds=1e-9)
    assert len(table) == 1 and table.attrs["out_of_time"] and not table.attrs["overfits"]


def test_a_model_of_a_fixed_batch_size_learns_the_whole_batch_each_time_from_the_same_state():
    model = keras.Sequential(
        [keras.Input(batch_shape=(32, 10, 2)), keras.layers.GRU(16, stateful=True), keras.layers.Dense(1)]
    )
    model.compile("adam", "mse")
    model.predict(sequences(), verbose=0, batch_size=32)
    before = state_of(model)
    assert overfit_one_batch(model, (sequences(), sequences()[:, -3:, :1].mean(1))).attrs["overfits"]
    assert same(state_of(model), before)


def test_half_precision_is_learnt_too(half_precision):
    model, y = SOUND["regression"](sequences())
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert overfit_one_batch(model, (sequences(), y)).attrs["overfits"]


def test_seconds_that_are_not_positive_are_refused():
    with pytest.raises(ValueError, match=r"`seconds` must be positive\. Received: 0"):
        overfit_one_batch(line("sgd"), ONES, seconds=0)
