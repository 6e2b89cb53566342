"""A run goes on with the same model and data only, whatever names Keras has given them."""

import keras
import numpy as np
import pytest

from rnn_toolkit import make_optimizer, recurrent_layers
from rnn_toolkit.networks.optimization import ScaledSchedule
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


def test_many_differences_are_counted():
    stored, present = {str(n): n for n in range(20)}, {str(n): -n for n in range(20)}
    assert differences(stored, present, has_trained=False)[-1] == "and 11 more"


def test_batches_are_counted_where_they_can_be():
    assert num_batches(iter([])) is None and num_batches(DATA) is None
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        data = tf.data.Dataset.range(3)
        assert num_batches(data) == 3 and num_batches(data.repeat()) is None
