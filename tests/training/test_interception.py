"""Code of ours inside the step leaves no trace, changes nothing, and works with other code of ours."""

import keras
import numpy as np
import pytest
from training.one_weight import fit, line, weight

from rnn_toolkit.training.monitoring import Monitor
from rnn_toolkit.training.nonfinite import StopOnNaN


def test_nothing_is_left_in_optimizer_model_or_file(tmp_path):
    sizes = []

    def look(epoch, logs):
        model.save(tmp_path / "during.keras")
        sizes.append(len(model.optimizer.variables))

    plain, model = line("adam"), line("adam")
    fit(plain, [3], [])
    fit(model, [3], [Monitor(), StopOnNaN(), keras.callbacks.LambdaCallback(on_epoch_end=look)])
    model.save(tmp_path / "after.keras")
    assert sizes == [len(plain.optimizer.variables)] == [len(model.optimizer.variables)]
    assert "apply" not in vars(model.optimizer) and model.train_function is None
    for name in ("during", "after"):
        loaded = keras.saving.load_model(tmp_path / f"{name}.keras")
        assert len(loaded.optimizer.variables) == sizes[0] and weight(loaded) == weight(plain)


@pytest.mark.parametrize("run_eagerly", [True, False])
def test_training_is_the_same_with_and_without(run_eagerly):
    weights = []
    for callbacks in ([], [StopOnNaN(), Monitor()]):
        model = line(keras.optimizers.Adam(0.1, global_clipnorm=1.0), run_eagerly=run_eagerly)
        fit(model, [3, 1, 2], callbacks, epochs=2)
        weights.append(weight(model))
    assert len(set(weights)) == 1


def test_an_exception_in_fit_leaves_nothing_once_training_is_ended():
    def fail(batch, logs):
        raise RuntimeError("unplugged")

    model, watching = line(), [StopOnNaN(), Monitor()]
    with pytest.raises(RuntimeError, match="unplugged"):
        fit(model, [3], [*watching, keras.callbacks.LambdaCallback(on_train_batch_end=fail)])
    for callback in watching:
        callback.on_train_end()
        callback.on_train_end()  # `fit` may have come as far itself
    assert "apply" not in vars(model.optimizer)
    assert fit(model, [3], watching).gradient_norm[0] == pytest.approx(14.76)  # of a weight of 1 - 0.01 · 18


def test_a_fit_that_was_broken_off_does_not_count_twice():
    def fail(batch, logs):
        raise RuntimeError("unplugged")

    model, monitor = line(keras.optimizers.SGD(0.0)), Monitor()
    with pytest.raises(RuntimeError, match="unplugged"):
        fit(model, [3], [monitor, keras.callbacks.LambdaCallback(on_train_batch_end=fail)])
    assert fit(model, [3], [monitor]).gradient_norm[0] == pytest.approx(18)
    assert "apply" not in vars(model.optimizer)


@pytest.mark.parametrize("order", [1, -1])
def test_both_callbacks_agree_in_either_order(order):
    stop, monitor = StopOnNaN(), Monitor()
    model = line(keras.optimizers.SGD(0.1, clipnorm=1.0))
    with pytest.warns(UserWarning, match="at epoch 1, step 2"):
        history = fit(model, [3, np.nan], [stop, monitor][::order])
    assert history.gradient_norm[0] == pytest.approx(18)  # the step that was not applied does not count
    assert weight(model) == pytest.approx(0.9) and "apply" not in vars(model.optimizer)


def test_an_overflow_under_a_loss_scale_is_skipped_and_no_stop():
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.0), initial_scale=1e38)
    model, stop, monitor = line(optimizer), StopOnNaN(), Monitor()
    history = fit(model, [3, 0.001], [stop, monitor])  # 18e38 is beyond float32
    assert not stop.stopped and len(history) == 1
    assert history.gradient_norm[0] == pytest.approx(2e-6, rel=1e-4)
    assert float(optimizer.dynamic_scale.numpy()) == pytest.approx(0.5e38)


def test_a_mixed_policy_trains_and_stops():
    policy = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    try:
        model, monitor, stop = line(keras.optimizers.SGD(0.1)), Monitor(), StopOnNaN()
        monitor.on_run(probe=np.ones((2, 1)))
        stop.on_run(data=[np.full((2, 1, 1), 0.5), np.full((2, 1, 1), np.nan)])
        with pytest.warns(UserWarning, match="at epoch 1, step 2; .* is in the inputs"):
            history = fit(model, [0.5, np.nan], [stop, monitor])
    finally:
        keras.mixed_precision.set_dtype_policy(policy)
    assert history.gradient_norm[0] == pytest.approx(0.5) and weight(model) == pytest.approx(0.95)


@pytest.mark.parametrize("callback", [Monitor, StopOnNaN])
def test_a_model_without_weights_is_refused(callback):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Activation("relu")], name="empty")
    model.compile("sgd", "mse")
    with pytest.raises(
        ValueError, match=r"Model 'empty' has no trainable weights: all layers are frozen, or have none"
    ):
        fit(model, [1], [callback()])
