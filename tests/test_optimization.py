"""Optimizers: what is clipped, decayed and scheduled, and what is refused."""

import keras
import numpy as np
import pytest

from rnn_toolkit import make_optimizer


def rates(optimizer, steps):
    """Return the learning rate at each of the first steps."""
    variable = keras.Variable([0.0])
    optimizer.build([variable])
    values = []
    for _ in range(steps):
        values.append(float(optimizer.learning_rate))
        optimizer.apply([keras.ops.zeros((1,))], [variable])
    return np.array(values)


def test_the_default_is_adam_at_a_constant_rate_clipped_at_a_norm_of_one():
    optimizer = make_optimizer()
    assert type(optimizer) is keras.optimizers.Adam
    assert optimizer.global_clipnorm == 1.0
    assert rates(optimizer, 3) == pytest.approx([1e-3] * 3)


def test_clip_can_be_set_and_turned_off():
    assert make_optimizer(clip=0.5).global_clipnorm == 0.5
    assert make_optimizer(clip=None).global_clipnorm is None


def test_cosine_falls_from_the_rate_to_zero():
    values = rates(make_optimizer(0.1, schedule="cosine", steps=10), 11)
    assert values[0] == pytest.approx(0.1)
    assert values[5] == pytest.approx(0.05)
    assert values[10] == pytest.approx(0.0, abs=1e-8)


def test_one_cycle_rises_for_three_tenths_of_the_steps_and_falls_to_zero():
    values = rates(make_optimizer(0.1, schedule="one_cycle", steps=100), 101)
    assert values[0] == pytest.approx(0.004)
    assert values.argmax() == 30 and values.max() == pytest.approx(0.1)
    assert values[100] == pytest.approx(0.0, abs=1e-8)


def test_weight_decay_shrinks_kernels_and_leaves_biases_alone():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, bias_initializer="ones")])
    model.compile(make_optimizer(0.1, weight_decay=0.5), "mse")
    kernel, bias = (
        float(weight.numpy().ravel()[0]) if hasattr(weight, "numpy") else float(weight) for weight in model.weights
    )
    gradients = [keras.ops.zeros(weight.shape) for weight in model.trainable_variables]
    model.optimizer.apply(gradients, model.trainable_variables)
    assert float(model.weights[0][0, 0]) == pytest.approx(kernel * (1 - 0.1 * 0.5), rel=1e-5)
    assert float(model.weights[1][0]) == pytest.approx(bias)


def test_an_unknown_schedule_is_refused_and_the_nearest_offered():
    with pytest.raises(ValueError, match=r"`schedule` must be one of .* Did you mean 'cosine'\?"):
        make_optimizer(schedule="cosinus", steps=1)


def test_a_schedule_without_its_steps_is_refused():
    with pytest.raises(ValueError, match=r"needs the number of training steps\. Pass steps="):
        make_optimizer(schedule="cosine")


@pytest.mark.parametrize("clip", [0, -1.0, "always"])
def test_a_clip_that_is_not_positive_is_refused(clip):
    with pytest.raises(ValueError, match="`clip` must be a positive number"):
        make_optimizer(clip=clip)


def test_a_learning_rate_of_zero_is_refused():
    with pytest.raises(ValueError, match=r"`learning_rate` must be positive\. Received: 0"):
        make_optimizer(0)
