"""No bad step reaches the weights, and the first bad value is named."""

import keras
import numpy as np
import pytest
from training.one_weight import NOT_ON_TORCH, fit, line, weight

from rnn_toolkit.training.nonfinite import StopOnNaN

needs_tensorflow = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="this one is TensorFlow's")


class Batches:
    """Hand out the rows that `fit` takes, one a step."""

    def __init__(self, x, y=None, weights=None):
        self.x, self.weights = np.array(x, "float32").reshape(len(x), -1), weights
        self.y = np.zeros((len(x), 1), "float32") if y is None else np.array(y, "float32").reshape(-1, 1)

    def __getitem__(self, step):
        batch = self.x[step : step + 1], self.y[step : step + 1]
        return batch if self.weights is None else (*batch, self.weights[step : step + 1])


def stopper(*data, **named) -> StopOnNaN:
    """Return a callback that has the batches at hand."""
    stop = StopOnNaN()
    stop.on_run(data=Batches(*data, **named))
    return stop


def test_an_update_that_is_not_finite_is_not_applied():
    model, stop = line(keras.optimizers.Adam(0.1)), stopper([3, np.nan, 1])
    with pytest.warns(UserWarning, match="The loss is not finite at epoch 1, step 2; its update was not applied"):
        history = fit(model, [3, np.nan, 1], [stop], epochs=9)
    good = line(keras.optimizers.Adam(0.1))
    fit(good, [3], [])
    assert weight(model) == weight(good) and len(history) == 1 and stop.stopped
    for ours, theirs in zip(model.optimizer.variables, good.optimizer.variables, strict=True):
        assert np.array_equal(ours.numpy(), theirs.numpy())  # iterations and slots too


@pytest.mark.parametrize(
    "how", [{"run_eagerly": True}, {"run_eagerly": False}, pytest.param({"jit_compile": True}, marks=NOT_ON_TORCH)]
)
def test_every_way_to_run_a_step_withholds_the_update(how):
    model = line(keras.optimizers.SGD(0.1), **how)
    with pytest.warns(UserWarning, match="at epoch 1, step 1"):
        fit(model, [np.inf, 1], [StopOnNaN()])
    assert weight(model) == 1 and int(model.optimizer.iterations.numpy()) == 0


def test_keras_own_callback_stops_too_late():
    model = line()
    fit(model, [np.nan, 1], [keras.callbacks.TerminateOnNaN()])
    assert np.isnan(weight(model))


@NOT_ON_TORCH
def test_steps_that_run_together_are_named_together():
    model, stop = line(steps_per_execution=2), stopper([1, 1, 1, np.nan, 1])
    with pytest.warns(UserWarning, match=r"at epoch 1, steps 3 to 4; .* in the inputs: row 0, column 0 of batch 4\."):
        fit(model, [1, 1, 1, np.nan, 1], [stop])
    assert np.isfinite(weight(model))


def test_bad_inputs_are_named_by_row_and_column():
    x = np.ones((4, 3))
    x[1, 2] = x[3, 0] = np.inf
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    stop = StopOnNaN()
    stop.on_run(data=[(x, np.zeros((4, 1)))])
    with pytest.warns(UserWarning, match="value is in the inputs: row 1, 3, column 0, 2 of batch 1"):
        fit(model, x, [stop], batch_size=4)


def test_bad_targets_are_named():
    stop = stopper([1, 2], [0, np.nan])
    with pytest.warns(UserWarning, match=r"step 2; .* is in the targets: row 0, column 0 of batch 2\. Fill these"):
        fit(line(), [1, 2], [stop], y=[0, np.nan])


def test_bad_sample_weights_are_named():
    weights = np.array([1, np.inf], "float32")
    stop = stopper([1, 2], weights=weights)
    with pytest.warns(UserWarning, match=r"is in the sample weights: row 0 of batch 2\."):
        fit(line(), [1, 2], [stop], sample_weight=weights)


@keras.saving.register_keras_serializable("test_nonfinite")
class Logarithm(keras.layers.Layer):
    def call(self, inputs):
        return keras.ops.log(inputs)


def test_the_first_layer_with_a_bad_output_is_named():
    inner = keras.Sequential([keras.Input((1,)), Logarithm(name="logarithm"), keras.layers.Dense(1)], name="inner")
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones"), inner])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    with pytest.warns(UserWarning, match=r"step 2; .* is in the output of layer 'logarithm'\. Lower the learning rate"):
        fit(model, [1, 0], [stopper([1, 0])])


def one_over_target(y, prediction):
    return keras.ops.mean(keras.ops.square(prediction) / y)


def test_a_bad_loss_of_good_outputs_is_called_so():
    with pytest.warns(UserWarning, match="The first non-finite value is the loss itself: the outputs for this batch"):
        fit(line(loss=one_over_target), [1, 1], [stopper([1, 1], [1, 0])], y=[1, 0])


def infinite_constant(y, prediction):
    return keras.ops.mean(prediction) + 1 / keras.ops.max(y)


def test_a_bad_loss_with_good_gradients_stops_too():
    model, stop = line(keras.optimizers.SGD(0.5), loss=infinite_constant), stopper([1, 1, 1], [1, 0, 1])
    with pytest.warns(UserWarning, match="The loss is not finite at epoch 1, step 2; training stops"):
        fit(model, [1, 1, 1], [stop], y=[1, 0, 1])
    assert weight(model) == 0  # two finite updates of 0.5


def distance(y, prediction):
    return keras.ops.sqrt(keras.ops.sum(keras.ops.square(prediction - y)))


def test_a_bad_gradient_of_a_good_loss_stops_too():
    model, stop = line(loss=distance), stopper([1, 1], [1, 1])  # a root at 0: the loss is 0, its slope is not
    with pytest.warns(UserWarning, match=r"A gradient is .* epoch 1, steps 1 to 2; .* gradients of .*line/kernel"):
        fit(model, [1, 1], [stop], y=[1, 1])
    assert weight(model) == 1


def test_without_the_data_only_the_step_is_named():
    stop = StopOnNaN()
    with pytest.warns(UserWarning, match="at epoch 2, step 1; .* Where it began is not known"):
        model = line(keras.optimizers.SGD(0.0))
        fit(model, [1, np.nan], [stop], epochs=2, initial_epoch=1, steps_per_epoch=None, batch_size=2)


def test_the_averages_of_a_batch_normalisation_stay_finite():
    model = keras.Sequential([keras.Input((1,)), keras.layers.BatchNormalization(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match="is in the inputs"):
        fit(model, [1, 2, np.nan, 1], [stopper([1, 2, np.nan, 1])])
    assert all(np.isfinite(one).all() for one in model.get_weights())


def test_a_good_run_is_silent():
    stop = StopOnNaN()
    assert len(fit(line(keras.optimizers.SGD(0.01)), [1, 2], [stop], epochs=2)) == 2  # pytest raises on a warning
    assert stop.get_state()["stopped"] is False and stop.get_state()["message"] is None


def test_a_loss_scale_that_falls_in_vain_stops():
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), initial_scale=1.0)
    stop = StopOnNaN()
    with pytest.warns(UserWarning, match=r"at epoch 1, although the loss scale has fallen below 1\..*Train in float32"):
        history = fit(line(optimizer, loss=distance), [1, 1], [stop], y=[1, 1], epochs=5)
    assert len(history) == 1 and stop.stopped


def test_the_verdict_survives_a_resume():
    stop, again = StopOnNaN(), StopOnNaN()
    with pytest.warns(UserWarning, match="not finite"):
        fit(line(), [np.nan], [stop])
    with pytest.warns(UserWarning, match="This run was stopped and does not go on: The loss is not finite"):
        again.set_state(stop.get_state())
    assert again.stopped and again.message == stop.message


@needs_tensorflow
def test_on_several_replicas_the_loss_alone_is_watched():
    import tensorflow as tf

    with tf.distribute.MirroredStrategy(["/cpu:0"]).scope():
        model = line()
    # Called as `fit` does, without it: on busy cores TensorFlow can crash where a replica's iterator is renewed.
    stop = StopOnNaN()
    stop.set_model(model)
    stop.set_params({"epochs": 1, "steps": 2})
    stop.on_train_begin()
    stop.on_epoch_begin(0)
    stop.on_train_batch_begin(0)
    with pytest.warns(UserWarning, match="The loss is not finite at epoch 1, step 1; training stops"):
        stop.on_train_batch_end(0, {"loss": np.nan})
    stop.on_train_end()
    assert stop.stopped and model.stop_training
