"""What is measured inside a step is what a hand would compute."""

import sys

import keras
import numpy as np
import pandas as pd
import pytest
from training.one_weight import EAGERLY, NOT_ON_TORCH, fit, line, weight

from rnn_toolkit.networks.optimization import QuantileClippedAdam
from rnn_toolkit.networks.probing import named_layers
from rnn_toolkit.training.monitoring import Monitor

needs_tensorflow = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="this one is TensorFlow's")


# Gradients and updates


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
    model.compile(keras.optimizers.SGD(0.1), "mse")  # compiled, where TensorFlow gives rows instead of a gradient
    monitor = Monitor()
    history = model.fit(np.array([[1, 1]]), np.zeros((1, 1)), verbose=0, callbacks=[monitor]).history
    assert history["gradient_norm"][0] == pytest.approx(2)  # 2 · 1 · (1/2 + 1/2), not 2 · √(1/4 + 1/4)
    assert history["update_ratio/table"][0] == pytest.approx(0.2 / np.sqrt(3))


def test_weights_that_leave_zero_have_changed_wholly():
    model = line(keras.optimizers.SGD(0.1))
    model.set_weights([np.zeros((1, 1))])
    history = fit(model, [1, 0], [Monitor()], y=[1, 0])
    assert history["update_ratio/line"][0] == pytest.approx(0.5)  # 1 from zero, then 0


@pytest.mark.parametrize(
    "how",
    [
        {"run_eagerly": True},
        {"run_eagerly": False},
        pytest.param({"steps_per_execution": 2}, marks=NOT_ON_TORCH),
        pytest.param({"jit_compile": True}, marks=NOT_ON_TORCH),
    ],
)
def test_every_way_to_run_a_step_measures_the_same(how):
    history = fit(line(keras.optimizers.SGD(0.1, clipnorm=1.0), **how), [3, 0, 3], [Monitor()])
    assert history.gradient_norm[0] == pytest.approx((18 + 0 + 16.2) / 3)
    assert history.gradient_norm_max[0] == pytest.approx(18)


# Activations and gates


def test_the_spread_of_activations_is_measured_on_the_probe():
    monitor = Monitor()
    monitor.on_run(probe=np.array([[1.0], [3.0]] + [[7.0]] * 100)[:2])
    assert fit(line(keras.optimizers.SGD(0.0)), [1], [monitor])["activation_std/line"][0] == pytest.approx(1)


def test_at_most_64_rows_of_the_probe_are_used():
    monitor = Monitor()
    monitor.on_run(probe=np.array([[2.0]] * 64 + [[7.0]] * 100))
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
    model.compile(keras.optimizers.SGD(0.0), "mse", run_eagerly=EAGERLY)
    monitor = Monitor()
    monitor.on_run(probe=np.ones((3, 5, 1)))
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
    x = np.array([[[9.0], [0.1], [0.0], [0.0]]])  # saturated, and by the state of 1 next, then padding
    monitor.on_run(probe=x)
    cell.set_weights([np.ones((1, 1)), np.zeros((1, 1)), np.zeros(1)])
    history = model.fit(x, np.zeros((1, 1)), verbose=0, callbacks=[monitor]).history
    assert history["saturation/rnn"][0] == 0.5


def test_layers_within_layers_of_our_own_are_seen():
    from rnn_toolkit import ForecastTask, Windows, build_forecaster, recurrent_layers

    frame = pd.DataFrame({"y": np.sin(np.arange(60.0))})
    windows = Windows(frame, ForecastTask("y", horizon=2, lookback=8), batch_size=64)
    model = build_forecaster(windows, recurrent_layers("gru", (4,)))
    model.run_eagerly = EAGERLY
    monitor = Monitor()
    monitor.on_run(probe=windows[0][0])
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
    model.compile(keras.optimizers.SGD(0.0), "mse", run_eagerly=EAGERLY)
    monitor = Monitor()
    monitor.on_run(probe=np.array([[1.0], [3.0]]))
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
    model.compile("sgd", "mse", run_eagerly=EAGERLY)
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
    monitor.on_run(probe=5 * x)
    history = model.fit(x, np.zeros((1, 1)), batch_size=1, verbose=0, callbacks=[look, monitor]).history
    assert np.array_equal(seen[0], np.array(cell.states[0]))
    assert any(name.startswith("activation_std") for name in history)


def test_a_probe_that_the_model_does_not_take_warns_once_and_training_goes_on():
    monitor = Monitor()
    monitor.on_run(probe=np.ones((2, 7)))
    with pytest.warns(
        UserWarning, match=r"Monitor could not run the model on its probe: .*`monitor\.on_run\(probe="
    ) as seen:
        history = fit(line(), [1, 1], [monitor], epochs=2)
    assert sum(one.category is UserWarning for one in seen) == 1 and len(history) == 2


# TensorBoard


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
    model.compile(keras.optimizers.SGD(0.25, clipnorm=1.0), "mse", run_eagerly=EAGERLY)
    monitor = Monitor(tensorboard=True, run_dir=tmp_path)
    x = np.ones((4, 5, 1))
    monitor.on_run(probe=x)
    model.fit(x, x[:, 0], epochs=2, verbose=0, callbacks=[monitor])
    found = events(tmp_path / "tensorboard")
    tags = {tag for tag, _ in found}
    assert {"loss", "learning_rate", "gradient_norm", "clipped", "update_ratio/lstm", "saturation/lstm"} <= tags
    assert {f"weights/{name}" for name in ("lstm/kernel", "lstm/recurrent_kernel", "dense/bias")} <= tags
    assert "activations/lstm" in tags
    assert {step for _, step in found} == {1, 2} and all(len(values) == 1 for values in found.values())
    assert make_ndarray(found["learning_rate", 1][0].tensor).item() == 0.25
    kernel = make_ndarray(found["weights/lstm/kernel", 1][0].tensor)
    assert kernel[:, 2].sum() == 8  # values of the kernel: one input, two units, three gates and a candidate


def test_an_epoch_done_again_replaces_what_was_written_for_it(tmp_path):
    pytest.importorskip("tensorboard")
    fit(line(), [3], [Monitor(tensorboard=True, run_dir=tmp_path)], epochs=2)
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


# Going on


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

    whole_monitor, resumed_monitor = Monitor(), Monitor()
    whole, kept = trained(rows, whole_monitor, stop_after=3)
    resumed, _ = trained(rows[3:], resumed_monitor, state=kept["state"], start=kept["weights"])
    names = [name for name in whole if name != "loss"]
    assert len(names) == 4 and resumed[names].equals(whole[names])
    assert resumed_monitor.steps == whole_monitor.steps == 5


def test_the_sums_of_a_run_that_an_earlier_version_began_are_read():
    """It moved them out of the step now and then, and kept rows of them."""
    earlier = {"epoch": np.array([1.0, 18.0, 0.1]), "epoch_max": 18.0, "window": np.zeros(3), "since": 0, "step": 1}
    earlier |= {"inside": {"sum": np.array([1.0, 2.0, 0.3]), "max": np.array([2.0])}, "rows": [], "row_steps": []}

    class Resume(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            monitor.set_state(earlier)

    monitor = Monitor()
    history = fit(line(keras.optimizers.SGD(0.0)), [0], [monitor, Resume()])
    assert history.gradient_norm[0] == pytest.approx(20 / 3) and history.gradient_norm_max[0] == 18


def test_steps_are_counted_over_all_epochs_and_are_none_before_training():
    monitor = Monitor()
    assert monitor.steps == 0
    fit(line(keras.optimizers.SGD(0.0)), [3, 0, 1], [monitor], epochs=2)
    assert monitor.steps == 6


@needs_tensorflow
def test_several_replicas_are_refused():
    import tensorflow as tf

    with tf.distribute.MirroredStrategy(["/cpu:0"]).scope():
        model = line()
    with pytest.raises(ValueError, match=r"Monitor cannot see the gradients of a model .* several replicas"):
        fit(model, [1], [Monitor()])
