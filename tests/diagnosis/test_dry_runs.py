"""Dry runs find the rate that a quadratic bears, and leave no trace."""

import keras
import numpy as np
import pytest

from rnn_toolkit.diagnosis.dry_runs import find_learning_rate, fresh_model
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


def test_a_training_goes_on_as_if_there_had_been_no_dry_run():
    x = np.random.default_rng(0).normal(size=(32, 10, 2)).astype("float32")
    y, weights = x[:, 0, :1], []
    for dry_runs in ((), (find_learning_rate, overfit_one_batch)):
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((10, 2)), keras.layers.SimpleRNN(4, dropout=0.5), keras.layers.Dense(1)])
        model.compile(make_optimizer(), "mse", metrics=["mae"])
        history = model.fit(x, y, verbose=0)
        for dry_run in dry_runs:
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


BOUNDS = r"`low` and `high` must be rates, the lower first\. Received"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"low": 0, "high": 1}, BOUNDS),
        ({"low": 0.1, "high": 0.1}, BOUNDS),
        ({"low": 1, "high": 0.1}, BOUNDS),
        ({"low": 0.1, "high": float("inf")}, BOUNDS),
        ({"low": float("nan"), "high": 1}, BOUNDS),
        ({"steps": 1}, "`steps` must be at least 2"),
    ],
)
def test_rates_that_do_not_rise_and_too_few_steps_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        find_learning_rate(line("sgd"), ONES, **options)


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
    model = line("sgd")
    model.layers[0].trainable = False
    with pytest.raises(ValueError, match="has no trainable weights: all layers are frozen"):
        dry_run(model, ONES)


def test_a_fresh_model_has_other_weights_and_the_same_kind_of_optimizer():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile(keras.optimizers.Adam(0.5, clipnorm=3.0), "mse")
    model.set_weights([np.full((3, 2), np.nan), np.zeros(2)])
    fresh = fresh_model(model)
    assert np.isfinite(fresh.get_weights()[0]).all() and len(np.unique(fresh.get_weights()[0])) == 6
    assert isinstance(fresh.optimizer, keras.optimizers.Adam) and fresh.optimizer.clipnorm == 3
    assert fresh.loss == "mse" and np.isnan(model.get_weights()[0]).all()
