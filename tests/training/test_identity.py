"""A run goes on with the same model and data only, whatever names Keras has given them."""

import dataclasses

import keras
import numpy as np
import pandas as pd
import pytest

from rnn_toolkit import ForecastTask, Windows, build_forecaster, make_optimizer, recurrent_layers
from rnn_toolkit.networks.optimization import ScaledSchedule
from rnn_toolkit.tables.layers import raw_units_of
from rnn_toolkit.training.identity import differences, identity_of, num_batches

DATA = np.zeros((6, 4, 1)), np.zeros(6)


def model(units=3, optimizer=None, loss="mse", **options) -> keras.Model:
    made = keras.Sequential([keras.Input((4, 1)), *recurrent_layers("gru", units, **options), keras.layers.Dense(1)])
    made.compile(optimizer or keras.optimizers.Adam(1e-3), loss)
    return made


def compare(one, other, *, has_trained=False, **options):
    stored = identity_of(one, DATA, batch_size=2)
    present = identity_of(other, **{"train": DATA, "batch_size": 2} | options)
    return differences(stored, present, has_trained=has_trained)


def test_the_same_model_built_twice_is_the_same():
    assert compare(model(), model()) == []


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"units": 5}, "units is 5, was 3"),
        ({"dropout": 0.5}, "dropout is 0.5, was 0.0"),
        ({"loss": "mae"}, "loss is mae, was mse"),
        (
            {"optimizer": keras.optimizers.Adam(1e-2)},
            "learning_rate is 0.009999999776482582, was 0.0010000000474974513",
        ),
        ({"optimizer": keras.optimizers.SGD(1e-3)}, "optimizer.1.class is SGD, was Adam"),
        ({"optimizer": make_optimizer(1e-3, schedule="cosine", steps=5)}, "learning_rate.class is CosineDecay"),
    ],
)
def test_a_difference_is_named_with_both_values(other, named):
    assert any(named in one for one in compare(model(), model(**other)))


def test_other_weights_of_the_losses_are_another_run_and_not_known_of_an_earlier_version():
    one, other = model(), model()
    other.compile(keras.optimizers.Adam(1e-3), "mse", loss_weights=[100.0])
    assert compare(other, one) == ["loss_weights.0 is gone, was 100.0", "loss_weights is None, was not there"]
    earlier = identity_of(one, DATA, batch_size=2)
    del earlier["loss_weights"]
    assert differences(earlier, identity_of(other, DATA, batch_size=2), has_trained=False) == []


def test_a_note_that_training_rows_were_padded_makes_no_other_run():
    rows = pd.DataFrame({"t": [*range(20), 18, 19], "id": ["a"] * 20 + ["b"] * 2, "y": np.arange(22.0)})
    windows = Windows(rows, ForecastTask("y", 2, 4, time="t", series="id"), short="pad")
    one, other = (build_forecaster(windows, [keras.layers.GlobalAveragePooling1D()]) for _ in range(2))
    assert raw_units_of(one).preparation.padded
    layer = raw_units_of(other)
    layer.preparation = dataclasses.replace(layer.preparation, padded=False)  # as in a run of an earlier version
    assert compare(one, other) == []


def test_other_data_are_named():
    more = np.zeros((8, 4, 1)), np.zeros(8)
    assert compare(model(), model(), train=more) == ["train.rows is 8, was 6"]
    assert compare(model(), model(), batch_size=3) == ["train.batch_size is 3, was 2"]
    assert compare(model(), model(), validation=more) == [
        "validation.rows is 8, was not there",
        "validation.batch_size is 2, was not there",
    ]


def test_a_rate_that_was_lowered_in_training_is_the_same_run():
    before, after = model(), model()
    after.optimizer.learning_rate = 5e-4
    assert len(compare(before, after)) == 1
    assert compare(before, after, has_trained=True) == []


def test_a_schedule_that_was_scaled_in_training_is_the_same_run():
    before = model(optimizer=make_optimizer(1e-3, schedule="cosine", steps=5))
    after = model(optimizer=make_optimizer(1e-3, schedule="cosine", steps=5))
    after.optimizer.learning_rate = ScaledSchedule(after.optimizer._learning_rate, 0.5)
    assert compare(before, after) == []


def test_a_subclassed_model_without_a_config_is_told_by_its_weights():
    class Own(keras.Model):
        def __init__(self, units):
            super().__init__()
            self.head = keras.layers.Dense(units)

        def call(self, x):
            return self.head(x)

    def built(units):
        made = Own(units)
        made(DATA[0])
        made.compile("sgd", keras.losses.MeanSquaredError())
        return made

    assert compare(built(2), built(2)) == []
    assert any("kernel (1, 3)" in one for one in compare(built(2), built(3)))


def branches(*, swapped=False, activation="tanh", width=2) -> keras.Model:
    """Return a functional model of layers that have no name of their own, one of them shared and one in another."""
    given = keras.Input((4,))
    inner_given = keras.Input((2,))
    inner = keras.Model(inner_given, keras.layers.Dense(2)(inner_given) + inner_given)
    one, other = keras.layers.Dense(2, "relu"), keras.layers.Dense(2, activation)
    first, second = (other, one) if swapped else (one, other)
    joined = keras.layers.Concatenate()([inner(first(given)), second(given)])
    made = keras.Model(given, [keras.layers.Dense(width)(joined), keras.layers.Dense(2)(joined)])
    made.compile("sgd", "mse")
    return made


def test_a_functional_model_without_names_of_ones_own_is_the_same_when_it_is_built_again():
    first = branches()
    branches(), keras.layers.Dense(1), keras.Input((3,))  # what another cell has made in between
    assert compare(first, branches()) == []


def test_a_layer_that_was_named_is_the_same_under_another_name():
    def named(name):
        given = keras.Input((4,), name=f"{name}_given")
        made = keras.Model(given, keras.layers.Dense(1, name=name)(keras.layers.Dense(2)(given)))
        made.compile("sgd", "mse")
        return made

    assert compare(named("head"), named("a")) == []


def test_branches_that_change_places_are_another_model():
    found = compare(branches(), branches(swapped=True))
    assert found and all("layer" in one for one in found)


def test_a_difference_within_a_functional_model_is_named():
    assert compare(branches(), branches(activation="sigmoid")) == ["model.layers.3.activation is sigmoid, was tanh"]


def test_weights_that_keras_has_named_are_the_same():
    @keras.saving.register_keras_serializable("test_identity")
    class Own(keras.layers.Layer):
        def build(self, shape):
            self.one = self.add_weight(shape=(shape[-1], 3))  # which Keras names variable_7, say

        def call(self, x):
            return x @ self.one

    def built():
        made = keras.Sequential([keras.Input((4,)), Own()])
        made.compile("sgd", "mse")
        return made

    first = built()
    assert first.weights[0].name != built().weights[0].name
    assert compare(first, built()) == []


def test_an_identity_of_an_earlier_version_which_kept_names_is_understood():
    def earlier(value):
        """Return an identity as it was stored: with a name for each layer, and none that says which one it is."""
        if isinstance(value, list):
            return [earlier(one) for one in value]
        if isinstance(value, dict):
            return {name: earlier(one) for name, one in value.items()} | {"module": "rnn_toolkit.old"}
        return value.replace("layer ", "dense_1") if isinstance(value, str) else value

    stored = earlier(identity_of(branches(), DATA, batch_size=2))
    del stored["format"]
    for other, expected in ((branches(), False), (branches(width=3), True)):
        present = identity_of(other, DATA, batch_size=2)
        assert bool(differences(stored, present, has_trained=False)) == expected


def test_many_differences_are_counted():
    stored, present = {str(n): n for n in range(20)}, {str(n): -n for n in range(20)}
    assert differences(stored, present, has_trained=False)[-1] == "and 11 more"


def test_batches_are_counted_where_they_can_be():
    assert num_batches(iter([])) is None
    assert num_batches((np.zeros((5, 1)), np.zeros(5)), 2) == 3  # 2, 2 and 1 rows
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        data = tf.data.Dataset.range(3)
        assert num_batches(data) == 3 and num_batches(data.repeat()) is None


def sampled(train, other):
    stored, present = (identity_of(model(), one, batch_size=2) for one in (train, other))
    return differences(stored, present, has_trained=False)


X = np.random.default_rng(0).normal(size=(200, 4, 1))


@pytest.mark.parametrize(
    "other",
    [
        (X * 1.001, X[:, 0]),
        (X, X[:, 1]),
        (X[::-1], X[::-1, 0]),
        (X, X[:, 0] > 0),
        (np.where(X > 2, np.nan, X), X[:, 0]),
        (X + 1e-3, X[:, 0]),
    ],
    ids=["scaled", "another target", "reversed", "classes", "missing", "shifted"],
)
def test_other_values_of_the_same_size_are_other_data(other):
    assert sampled((X, X[:, 0]), other) == ["train holds other values"]


@pytest.mark.parametrize(
    "other",
    [
        (X.copy(), X[:, 0]),
        (X.astype("float32"), X[:, 0].astype("float32")),
        (keras.ops.convert_to_tensor(X), X[:, 0]),
        (X * (1 + 1e-9), X[:, 0]),
    ],
    ids=["copied", "float32", "tensor", "rounded"],
)
def test_the_same_values_under_another_type_are_the_same_data(other):
    assert sampled((X, X[:, 0]), other) == []


def test_texts_are_compared_too():
    texts = np.array([["good day"], ["bad day"]])
    assert sampled((texts, np.zeros(2)), (texts.astype(object), np.zeros(2))) == []
    assert sampled((texts, np.zeros(2)), (texts[::-1], np.zeros(2))) == ["train holds other values"]


class Drawn(keras.utils.PyDataset):
    """Batches that are another at each reading, or depend on the epoch."""

    def __init__(self, is_random):
        super().__init__()
        self.is_random, self.epoch = is_random, 7

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return (np.random.normal(size=(2, 4, 1)) if self.is_random else X[self.epoch : self.epoch + 2]), np.zeros(2)

    def set_epoch(self, epoch):
        self.epoch = epoch


def test_batches_that_are_drawn_anew_are_not_compared_and_no_number_is_drawn_for_it():
    np.random.seed(0)
    assert sampled(Drawn(True), Drawn(True)) == []
    drawn = np.random.normal()
    np.random.seed(0)
    assert drawn == np.random.normal()


def test_batches_are_compared_as_they_are_in_the_first_epoch():
    later = Drawn(False)
    later.set_epoch(30)
    assert sampled(Drawn(False), later) == []
    other = Drawn(False)
    other.set_epoch = lambda epoch: None
    assert sampled(Drawn(False), other) == ["train holds other values"]


def fitted(mean) -> keras.Model:
    made = keras.Sequential([keras.Input((1,)), keras.layers.Rescaling(mean), keras.layers.Dense(1)])
    made.compile("sgd", "mse")
    return made


@pytest.mark.parametrize(
    ("other", "is_same"),
    [(0.1, True), (0.1 * (1 + 1e-12), True), (0.1001, False), (float("nan"), False)],
)
def test_fitted_numbers_are_compared_to_six_digits(other, is_same):
    assert (compare(fitted(0.1), fitted(other)) == []) == is_same
    assert compare(fitted(float("nan")), fitted(float("nan"))) == []
