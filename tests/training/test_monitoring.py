"""What is measured inside a step is what a hand would compute, and no bad step reaches the weights."""

import sys

import keras
import numpy as np
import pandas as pd
import pytest

from rnn_toolkit.networks.optimization import QuantileClippedAdam
from rnn_toolkit.networks.probing import named_layers
from rnn_toolkit.training.monitoring import Monitor
from rnn_toolkit.training.nonfinite import StopOnNaN

BACKEND = keras.backend.backend()
needs_tensorflow = pytest.mark.skipif(BACKEND != "tensorflow", reason="this one is TensorFlow's")


def line(optimizer="sgd", *, loss="mse", **compiling) -> keras.Model:
    """Return y = w x with w = 1: the loss (w x - 0)² of x = 3 has the gradient 2 · 3 · 3 w = 18."""
    dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones", name="line")
    model = keras.Sequential([keras.Input((1,)), dense], name="model")
    model.compile(optimizer, loss, **compiling)
    return model


def fit(model, x, callbacks, y=None, **options) -> pd.DataFrame:
    """Fit one row a step in the given order, and return the history."""
    x = np.array(x, "float32").reshape(len(x), -1)
    y = np.zeros((len(x), 1), "float32") if y is None else np.array(y, "float32").reshape(-1, 1)
    options = {"batch_size": 1, "shuffle": False, "verbose": 0} | options
    return pd.DataFrame(model.fit(x, y, callbacks=callbacks, **options).history)


def weight(model) -> float:
    return float(model.get_weights()[0].item())


class Batches:
    """Hand out the rows that `fit` takes, one a step."""

    def __init__(self, x, y=None, weights=None):
        self.x, self.weights = np.array(x, "float32").reshape(len(x), -1), weights
        self.y = np.zeros((len(x), 1), "float32") if y is None else np.array(y, "float32").reshape(-1, 1)

    def __getitem__(self, step):
        batch = self.x[step : step + 1], self.y[step : step + 1]
        return batch if self.weights is None else (*batch, self.weights[step : step + 1])


def stopper(*data, **named) -> StopOnNaN:
    stop = StopOnNaN()
    stop.data = Batches(*data, **named) if data else None
    return stop


# Monitor: gradients and updates


def test_the_norm_is_that_before_clipping_and_the_update_that_after_it():
    model = line(keras.optimizers.SGD(0.1, clipnorm=1.0))
    history = fit(model, [3, 0], [Monitor()])  # the second row has no gradient
    assert history.gradient_norm[0] == pytest.approx(9) and history.gradient_norm_max[0] == pytest.approx(18)
    assert history.clipped[0] == 0.5
    assert history["update_ratio/line"][0] == pytest.approx(0.05)  # 0.1 · 1 of a weight of 1, then 0
    assert weight(model) == pytest.approx(0.9)


@pytest.mark.parametrize("name", ["clipnorm", "global_clipnorm", "clipvalue"])
def test_every_way_to_clip_is_counted(name):
    history = fit(line(keras.optimizers.SGD(0.0, **{name: 4.0})), [3, 0.1, 0.1, 1], [Monitor()])
    assert history.clipped[0] == 0.25  # the gradients are 18, 0.02, 0.02 and 2


def test_steps_above_the_quantile_of_those_before_are_counted():
    model = line(
        QuantileClippedAdam(1e-6, clip_quantile=0.9)
    )  # norms of 2, 0.02, 2 and 50: in the first ten steps the limit is 1
    assert fit(model, [1, 0.1, 1, 5], [Monitor()]).clipped[0] == 0.75
    assert fit(model, [3] * 10, [Monitor()]).clipped[0] == 1  # from the eleventh step on the limit is 2, then more
    assert fit(model, [1] * 4, [Monitor()]).clipped[0] == 0  # and has come to 18 by now


def test_an_optimizer_that_does_not_clip_has_no_column_for_it():
    assert "clipped" not in fit(line(), [3], [Monitor()])


def test_gradients_that_are_accumulated_have_no_clipped_share():
    optimizer = keras.optimizers.SGD(0.1, clipnorm=1.0, gradient_accumulation_steps=2)
    history = fit(line(optimizer), [3, 3], [Monitor()])
    assert "clipped" not in history and history.gradient_norm[0] == pytest.approx(18)


@pytest.mark.parametrize("scaled", ["loss_scale_factor", "LossScaleOptimizer"])
def test_a_loss_scale_is_taken_out_of_the_norm(scaled):
    if scaled == "loss_scale_factor":
        optimizer = keras.optimizers.SGD(0.1, loss_scale_factor=8.0)
    else:
        optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), initial_scale=8.0)
    model = line(optimizer)
    assert fit(model, [3], [Monitor()]).gradient_norm[0] == pytest.approx(18)
    assert weight(model) == pytest.approx(-0.8)


def test_the_rows_of_an_embedding_that_come_twice_are_added():
    embedding = keras.layers.Embedding(3, 1, embeddings_initializer="ones", name="table")
    model = keras.Sequential([keras.Input((2,), dtype="int32"), embedding, keras.layers.GlobalAveragePooling1D()])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    monitor = Monitor()
    history = model.fit(np.array([[1, 1]]), np.zeros((1, 1)), verbose=0, callbacks=[monitor]).history
    assert history["gradient_norm"][0] == pytest.approx(2)  # 2 · 1 · (1/2 + 1/2), not 2 · √(1/4 + 1/4)
    assert history["update_ratio/table"][0] == pytest.approx(0.2 / np.sqrt(3))


def test_weights_that_leave_zero_have_changed_wholly():
    model = line(keras.optimizers.SGD(0.1))
    model.set_weights([np.zeros((1, 1))])
    history = fit(model, [1, 0], [Monitor()], y=[1, 0])
    assert history["update_ratio/line"][0] == pytest.approx(0.5)  # 1 from zero, then 0


@pytest.mark.parametrize("how", [{"run_eagerly": True}, {"steps_per_execution": 2}, {"jit_compile": True}])
def test_every_way_to_run_a_step_measures_the_same(how):
    history = fit(line(keras.optimizers.SGD(0.1, clipnorm=1.0), **how), [3, 0, 3], [Monitor()])
    assert history.gradient_norm[0] == pytest.approx((18 + 0 + 16.2) / 3)
    assert history.gradient_norm_max[0] == pytest.approx(18)


def test_a_row_of_steps_holds_their_mean_also_across_epochs():
    monitor = Monitor(every=2)
    fit(line(keras.optimizers.SGD(0.0)), [3, 0, 1], [monitor], epochs=2)  # gradients 18 0 | 2 18 | 0 2
    assert monitor.steps.index.tolist() == [2, 4, 6] and monitor.steps.index.name == "step"
    assert monitor.steps.gradient_norm.tolist() == pytest.approx([9, 10, 1])
    assert list(monitor.steps) == ["gradient_norm", "update_ratio/line"]


# Monitor: activations and gates


def test_the_spread_of_activations_is_measured_on_the_probe():
    monitor = Monitor()
    monitor.probe = np.array([[1.0], [3.0]] + [[7.0]] * 100)[:2]
    assert fit(line(keras.optimizers.SGD(0.0)), [1], [monitor])["activation_std/line"][0] == pytest.approx(1)


def test_at_most_64_rows_of_the_probe_are_used():
    monitor = Monitor()
    monitor.probe = np.array([[2.0]] * 64 + [[7.0]] * 100)
    assert fit(line(keras.optimizers.SGD(0.0)), [1], [monitor])["activation_std/line"][0] == 0


def test_without_a_probe_there_are_no_columns_of_activations():
    assert not [name for name in fit(line(), [1], [Monitor()]) if name.startswith(("activation", "saturation"))]


def probed(layer, *, bias) -> pd.DataFrame:
    """Train a layer with kernels of zero and the given bias at rate 0, and return what was measured."""
    model = keras.Sequential([keras.Input((5, 1)), layer])
    inner = [layer.forward_layer, layer.backward_layer] if isinstance(layer, keras.layers.Bidirectional) else [layer]
    for one in inner:
        kernel, recurrent, _ = one.get_weights()
        one.set_weights([0 * kernel, 0 * recurrent, np.array(bias, "float32")])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    monitor = Monitor()
    monitor.probe = np.ones((3, 5, 1))
    target = np.zeros((3, *model.output_shape[1:]))
    return pd.DataFrame(model.fit(np.ones((3, 5, 1)), target, verbose=0, callbacks=[monitor]).history)


def test_the_gates_of_an_lstm_are_counted_by_hand():
    bias = [9, 0, 0, -9, 9, 9, 0, 0]  # two units: input (open, half), forget (half, shut), candidate, output half
    history = probed(keras.layers.LSTM(2, name="lstm"), bias=bias)
    assert history["saturation/lstm"][0] == pytest.approx(2 / 6)


def test_the_gates_of_a_gru_are_counted_by_hand():
    bias = [[9, 0, 0, 0, 0, 0], [0, 0, 0, 0, 9, 9]]  # update (open, half), reset half, the candidate is no gate
    history = probed(keras.layers.GRU(2, name="gru", return_sequences=True), bias=bias)
    assert history["saturation/gru"][0] == pytest.approx(1 / 4)


def test_a_simple_cell_is_saturated_beyond_095_on_either_side():
    history = probed(keras.layers.SimpleRNN(4, name="rnn"), bias=[9, -9, 0, 1])  # tanh(1) = 0.76
    assert history["saturation/rnn"][0] == pytest.approx(2 / 4)
    assert history["activation_std/rnn"][0] == pytest.approx(np.std([1, -1, 0, np.tanh(1)]), rel=1e-5)


def test_both_directions_are_measured():
    layer = keras.layers.Bidirectional(keras.layers.LSTM(1, name="lstm"))
    history = probed(layer, bias=[9, 0, 0, 0])
    assert history["saturation/forward_lstm"][0] == history["saturation/backward_lstm"][0] == pytest.approx(1 / 3)


def test_outputs_without_bounds_are_not_called_saturated():
    history = probed(keras.layers.SimpleRNN(2, activation="relu", name="rnn"), bias=[9, 9])
    assert "activation_std/rnn" in history and "saturation/rnn" not in history


def test_padded_steps_do_not_count_as_gates():
    cell = keras.layers.SimpleRNN(1, kernel_initializer="ones", name="rnn")
    model = keras.Sequential([keras.Input((4, 1)), keras.layers.Masking(), cell])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    monitor = Monitor()
    monitor.probe = np.array([[[9.0], [0.1], [0.0], [0.0]]])  # saturated, and by the state of 1 next, then padding
    cell.set_weights([np.ones((1, 1)), np.zeros((1, 1)), np.zeros(1)])
    history = model.fit(monitor.probe, np.zeros((1, 1)), verbose=0, callbacks=[monitor]).history
    assert history["saturation/rnn"][0] == 0.5


def test_layers_within_layers_of_our_own_are_seen():
    from rnn_toolkit import ForecastTask, Windows, build_forecaster, recurrent_layers

    frame = pd.DataFrame({"y": np.sin(np.arange(60.0))})
    windows = Windows(frame, ForecastTask("y", horizon=2, lookback=8), batch_size=64)
    model = build_forecaster(windows, recurrent_layers("gru", (4,)))
    monitor = Monitor()
    monitor.probe = windows[0][0]
    history = model.fit(windows, verbose=0, callbacks=[monitor]).history
    gru = next(name for name in history if name.startswith("saturation/")).split("/")[1]
    assert gru.startswith("gru")
    assert {f"update_ratio/{gru}", "update_ratio/highway", f"activation_std/{gru}"} <= set(history)
    assert 0 < history[f"activation_std/{gru}"][0] < 1


class Subclassed(keras.Model):
    """A model of one's own, with a layer used twice and a weight of the model itself."""

    def __init__(self):
        super().__init__(name="own")
        self.dense = keras.layers.Dense(1, kernel_initializer="ones", name="dense")
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

    def call(self, x):
        return self.scale * self.dense(self.dense(x))


def test_a_subclassed_model_is_measured_too():
    model = Subclassed()
    model(np.ones((1, 1)))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    monitor = Monitor()
    monitor.probe = np.array([[1.0], [3.0]])
    history = fit(model, [1], [monitor])
    assert {"update_ratio/own", "update_ratio/dense"} <= set(history)
    assert history["activation_std/dense"][0] == pytest.approx(1)


def test_the_same_model_built_twice_has_the_same_names():
    def names():
        layers = [keras.layers.Bidirectional(keras.layers.GRU(1, return_sequences=True)), keras.layers.GRU(1)]
        model = keras.Sequential([keras.Input((2, 1)), *layers, keras.layers.Dense(1), keras.layers.Dense(1)])
        return list(named_layers(model))

    first = names()
    assert first == names()
    assert {"forward_gru", "backward_gru", "bidirectional", "gru", "dense", "dense_1"} <= set(first)


def test_layers_of_one_name_are_told_apart():
    parts = [
        keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, name="dense")], name=name) for name in ("one", "two")
    ]
    model = keras.Sequential([keras.Input((1,)), *parts])
    model.compile("sgd", "mse")
    assert {"update_ratio/dense", "update_ratio/two/dense"} <= set(fit(model, [1], [Monitor()]))


@needs_tensorflow
def test_a_probe_leaves_the_states_of_a_stateful_layer():
    cell = keras.layers.SimpleRNN(1, stateful=True)
    model = keras.Sequential([keras.Input((2, 1), batch_size=1), cell])
    model.compile("sgd", "mse")
    monitor = Monitor()
    x = np.ones((1, 2, 1))
    seen = []
    look = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(np.array(cell.states[0])))
    monitor.probe = 5 * x
    history = model.fit(x, np.zeros((1, 1)), batch_size=1, verbose=0, callbacks=[look, monitor]).history
    assert np.array_equal(seen[0], np.array(cell.states[0]))
    assert any(name.startswith("activation_std") for name in history)


def test_a_probe_that_the_model_does_not_take_warns_once_and_training_goes_on():
    monitor = Monitor()
    monitor.probe = np.ones((2, 7))
    with pytest.warns(
        UserWarning, match=r"Monitor could not run the model on its probe: .*Set `monitor\.probe`"
    ) as seen:
        history = fit(line(), [1, 1], [monitor], epochs=2)
    assert sum(one.category is UserWarning for one in seen) == 1 and len(history) == 2


# Monitor: it leaves no trace


def test_nothing_is_left_in_optimizer_model_or_file(tmp_path):
    sizes = []

    def look(epoch, logs):
        model.save(tmp_path / "during.keras")
        sizes.append(len(model.optimizer.variables))

    plain, model = line("adam"), line("adam")
    fit(plain, [3], [])
    fit(model, [3], [Monitor(every=1), StopOnNaN(), keras.callbacks.LambdaCallback(on_epoch_end=look)])
    model.save(tmp_path / "after.keras")
    assert sizes == [len(plain.optimizer.variables)] == [len(model.optimizer.variables)]
    assert "apply" not in vars(model.optimizer) and model.train_function is None
    for name in ("during", "after"):
        loaded = keras.saving.load_model(tmp_path / f"{name}.keras")
        assert len(loaded.optimizer.variables) == sizes[0] and weight(loaded) == weight(plain)


def test_training_is_the_same_with_and_without():
    weights = []
    for callbacks in ([], [StopOnNaN(), Monitor(every=1)]):
        model = line(keras.optimizers.Adam(0.1, global_clipnorm=1.0))
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


def test_a_resumed_epoch_reports_the_same_numbers():
    rows = np.array([3.0, 0.3, 1.1, 0.7, 2.3])

    def trained(x, monitor, *, state=None, stop_after=None, start=None):
        model, kept = line(keras.optimizers.SGD(0.01, global_clipnorm=1.0)), {}
        if start is not None:
            model.set_weights(start)

        class Resume(keras.callbacks.Callback):
            def on_train_begin(self, logs=None):
                if state is not None:
                    monitor.set_state(state)

            def on_train_batch_end(self, batch, logs=None):
                if batch + 1 == stop_after:
                    kept.update(state=monitor.get_state(), weights=self.model.get_weights())

        return fit(model, x, [monitor, Resume()]), kept

    whole_monitor, resumed_monitor = Monitor(every=2), Monitor(every=2)
    whole, kept = trained(rows, whole_monitor, stop_after=3)
    resumed, _ = trained(rows[3:], resumed_monitor, state=kept["state"], start=kept["weights"])
    names = [name for name in whole if name != "loss"]
    assert len(names) == 4 and resumed[names].equals(whole[names])
    assert resumed_monitor.steps.equals(whole_monitor.steps) and len(whole_monitor.steps) == 2


# Monitor: TensorBoard


def events(folder) -> dict:
    """Return the summaries of all event files: (tag, step) -> what is written there, each time."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    found = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                found.setdefault((value.tag, event.step), []).append(value)
    return found


def test_tensorboard_gets_scalars_and_histograms_of_each_epoch(tmp_path):
    make_ndarray = pytest.importorskip("tensorboard.util.tensor_util").make_ndarray
    model = keras.Sequential([keras.Input((5, 1)), keras.layers.LSTM(2, name="lstm"), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.25, clipnorm=1.0), "mse")
    monitor = Monitor(tensorboard=True, run_dir=tmp_path)
    monitor.probe = x = np.ones((4, 5, 1))
    model.fit(x, x[:, 0], epochs=2, verbose=0, callbacks=[monitor])
    found = events(tmp_path / "tensorboard")
    tags = {tag for tag, _ in found}
    assert {"loss", "learning_rate", "gradient_norm", "clipped", "update_ratio/lstm", "saturation/lstm"} <= tags
    for kind in ("weights", "gradients"):
        assert {f"{kind}/{name}" for name in ("lstm/kernel", "lstm/recurrent_kernel", "dense/bias")} <= tags
    assert "activations/lstm" in tags
    assert {step for _, step in found} == {1, 2} and all(len(values) == 1 for values in found.values())
    assert make_ndarray(found["learning_rate", 1][0].tensor).item() == 0.25
    kernel = make_ndarray(found["gradients/lstm/kernel", 1][0].tensor)
    assert kernel[:, 2].sum() == 8  # values of the kernel: one input, two units, three gates and a candidate


def test_an_epoch_done_again_replaces_what_was_written_for_it(tmp_path):
    pytest.importorskip("tensorboard")
    fit(line(), [3], [Monitor(tensorboard=True, run_dir=tmp_path)], epochs=3)
    fit(line(), [3], [Monitor(tensorboard=True, run_dir=tmp_path)], epochs=2, initial_epoch=1)  # resumed there
    found = events(tmp_path / "tensorboard")
    assert {step for _, step in found} == {1, 2} and all(len(values) == 1 for values in found.values())
    names = sorted(path.name for path in (tmp_path / "tensorboard").iterdir())
    assert names == ["events.out.tfevents.000000001", "events.out.tfevents.000000002"]
    assert [path.name for path in tmp_path.iterdir()] == ["tensorboard"]


def test_tensorboard_without_a_folder_is_refused():
    pytest.importorskip("tensorboard")
    with pytest.raises(ValueError, match=r"Monitor\(tensorboard=True\) has no `run_dir` to write to"):
        fit(line(), [1], [Monitor(tensorboard=True)])


def test_a_missing_tensorboard_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(
        ImportError, match=r"needs the package `tensorboard`.*pip install \"rnn_toolkit\[tensorboard\]\""
    ):
        Monitor(tensorboard=True)


# Monitor: bad input


def test_rows_of_no_steps_are_refused():
    with pytest.raises(ValueError, match=r"`every` must be at least 1\. Received: 0"):
        Monitor(every=0)
    with pytest.raises(TypeError, match=r"`every` must be a whole number\. Received: 0\.5"):
        Monitor(every=0.5)


@pytest.mark.parametrize("callback", [Monitor, StopOnNaN])
def test_a_model_without_weights_is_refused(callback):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Activation("relu")], name="empty")
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"Model 'empty' has no trainable weights yet.*Start it with `keras\.Input"):
        fit(model, [1], [callback()])


@needs_tensorflow
def test_several_replicas_are_refused_by_monitor_and_watched_by_the_loss_alone():
    import tensorflow as tf

    with tf.distribute.MirroredStrategy(["/cpu:0"]).scope():
        model = line()
    with pytest.raises(ValueError, match=r"Monitor cannot see the gradients of a model .* several replicas"):
        fit(model, [1], [Monitor()])
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


# StopOnNaN


def test_an_update_that_is_not_finite_is_not_applied():
    model, stop = line(keras.optimizers.Adam(0.1)), stopper([3, np.nan, 1])
    with pytest.warns(UserWarning, match="The loss is not finite at epoch 1, step 2; its update was not applied"):
        history = fit(model, [3, np.nan, 1], [stop], epochs=9)
    good = line(keras.optimizers.Adam(0.1))
    fit(good, [3], [])
    assert weight(model) == weight(good) and len(history) == 1 and stop.stopped
    for ours, theirs in zip(model.optimizer.variables, good.optimizer.variables, strict=True):
        assert np.array_equal(ours.numpy(), theirs.numpy())  # iterations and slots too


@pytest.mark.parametrize("how", [{"run_eagerly": True}, {"jit_compile": True}])
def test_every_way_to_run_a_step_withholds_the_update(how):
    model = line(keras.optimizers.SGD(0.1), **how)
    with pytest.warns(UserWarning, match="at epoch 1, step 1"):
        fit(model, [np.inf, 1], [StopOnNaN()])
    assert weight(model) == 1 and int(model.optimizer.iterations.numpy()) == 0


def test_keras_own_callback_stops_too_late():
    model = line()
    fit(model, [np.nan, 1], [keras.callbacks.TerminateOnNaN()])
    assert np.isnan(weight(model))


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
    stop.data = [(x, np.zeros((4, 1)))]
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


@keras.saving.register_keras_serializable("test_monitoring")
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
    assert stop.get_state() == {"stopped": False, "message": None}


@pytest.mark.parametrize("order", [1, -1])
def test_both_callbacks_agree_in_either_order(order):
    stop, monitor = stopper([3, np.nan]), Monitor()
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
        model, monitor, stop = line(keras.optimizers.SGD(0.1)), Monitor(), stopper([0.5, np.nan])
        monitor.probe = np.ones((2, 1))
        with pytest.warns(UserWarning, match="at epoch 1, step 2; .* is in the inputs"):
            history = fit(model, [0.5, np.nan], [stop, monitor])
    finally:
        keras.mixed_precision.set_dtype_policy(policy)
    assert history.gradient_norm[0] == pytest.approx(0.5) and weight(model) == pytest.approx(0.95)


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
