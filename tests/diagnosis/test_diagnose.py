"""Findings about models and trainings: each check at its fault; the table; what a diagnosis leaves behind."""

from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

import rnn_toolkit as rt
from rnn_toolkit.diagnosis import history_checks, loss_checks, model_checks
from rnn_toolkit.diagnosis.case import Case
from rnn_toolkit.diagnosis.diagnose import CHECKS
from rnn_toolkit.diagnosis.findings import GUIDE, Finding, diagnosis_of
from rnn_toolkit.diagnosis.thresholds import THRESHOLDS, limits

RANDOM = np.random.default_rng(1)
X = RANDOM.normal(size=(64, 12, 1)).astype("float32")
Y = X[:, -3:].mean(axis=1)
LABELS = (Y[:, 0] > 0).astype("int32")


def gru(head=None, *, loss="mse", units=4, **options):
    """Return a compiled model of one recurrent layer."""
    head = head or keras.layers.Dense(1)
    model = keras.Sequential([keras.Input((12, 1)), keras.layers.GRU(units, name="memory", **options), head])
    model.compile(keras.optimizers.Adam(1e-3, global_clipnorm=1.0), loss)
    return model


def dense_case(outputs, y, *, loss, activation=None, history=None, **measured):
    """Return a case whose measurements are given: outputs and targets of one batch, and whatever else."""
    outputs, y = np.asarray(outputs, "float32"), np.asarray(y)
    head = keras.layers.Dense(outputs.shape[-1], activation=activation)
    model = keras.Sequential([keras.Input((12, 1)), keras.layers.Flatten(), head])
    model.compile("adam", loss)
    case = Case(model, (X[: len(y)], y), None, history, limits())
    vars(case).update({"outputs": {"training": [outputs]}} | measured)
    return case


def trained_case(history, *, losses=None, constants=None, overfits=True, rates=1e-3, **measured):
    """Return a case of a trained model with a history, all other measurements given."""
    model = gru()
    model.optimizer.build(model.trainable_variables)
    model.optimizer.iterations.assign(10)
    case = Case(model, (X, Y), (X, Y), pd.DataFrame(history).set_axis(range(1, len(history["loss"]) + 1)), limits())
    table, test = pd.DataFrame({"loss": [1.0, 0.0]}), pd.DataFrame({"loss": [1.0]})
    final = 0.0 if overfits else 0.95
    table.attrs |= {"overfits": overfits, "initial": 1.0, "final": final, "constant": 1.0, "out_of_time": False}
    test.attrs |= {"suggestion": rates, "lowered": True}
    given = {"losses": losses or {}, "constant_losses": constants or {"training": 1.0, "validation": 1.0}}
    vars(case).update(given | {"overfit": table, "rates": test} | measured)
    return case


def statistics(**columns):
    """Return layer statistics of one layer, `memory`, healthy but for what is given."""
    healthy = {
        "spectral_radius": 1.0,
        "saturation": 0.1,
        "dead_units": 0.0,
        "zero_weights": 0.0,
        "identical_units": 0.0,
    }
    return pd.DataFrame(healthy | columns, index=["memory"])


SPARSE = keras.losses.SparseCategoricalCrossentropy


@pytest.mark.parametrize(
    ("outputs", "y", "loss", "activation", "words"),
    [
        ([[2.0, -1.0]], [0], SPARSE(), None, "reads them as probabilities"),
        ([[0.25, 0.75]], [0], SPARSE(from_logits=True), "softmax", "applies another"),
        ([[0.9, 0.9]], [0], SPARSE(), "sigmoid", "add up to 1.80"),
        ([[1.0]], [0], SPARSE(), "softmax", "has one output"),
        ([[0.5]], [[2]], "binary_crossentropy", "sigmoid", "from 2 to 2"),
        ([[1.0]], [[1]], "binary_crossentropy", "softmax", "softmax over 1 output,"),
        ([[0.5]], [[1]], keras.losses.BinaryCrossentropy(from_logits=True), "sigmoid", "applies another"),
        ([[-3.0]], [[1]], "binary_crossentropy", None, "from -3 to -3"),
        ([[0.1, 0.2, 0.3]], [1], "mse", None, "have shape"),
        ([[0.5]], [[50.0]], "mse", "sigmoid", "100 % of the targets lie outside 0 to 1"),
        ([[0.5, 0.5]], [[0.0, 1.0]], "mse", "softmax", "Probabilities of classes"),
    ],
)
def test_a_loss_that_does_not_fit_is_an_error(outputs, y, loss, activation, words):
    finding = loss_checks.loss_and_activation(dense_case(outputs, y, loss=loss, activation=activation))
    is_seen_through = words in ("applies another", "add up to 1.80") and keras.backend.backend() == "tensorflow"
    assert finding.severity == ("warning" if is_seen_through else "error")
    assert words in finding.evidence


@pytest.mark.parametrize(
    ("outputs", "y", "loss", "activation"),
    [
        ([[0.25, 0.75]], [0], SPARSE(), "softmax"),
        ([[2.0, -1.0]], [0], SPARSE(from_logits=True), None),
        ([[0.5]], [[1]], "binary_crossentropy", "sigmoid"),
        ([[0.1]], [50.0], "mse", None),
        ([[0.1]], [[0.4]], "mse", "tanh"),
    ],
)
def test_a_loss_that_fits_is_passed_over(outputs, y, loss, activation):
    assert loss_checks.loss_and_activation(dense_case(outputs, y, loss=loss, activation=activation)) is None


@pytest.mark.parametrize(
    ("y", "words"), [([[1, 0, 2]], "the code 0 within"), ([[1, 1, 1]], "need 5 steps, but the outputs have 4")]
)
def test_labels_that_ctc_cannot_place_are_named(y, words):
    outputs = np.zeros((1, 4, 3), "float32")
    assert words in loss_checks.loss_and_activation(dense_case(outputs, y, loss=keras.losses.CTC())).evidence


def test_a_first_loss_far_above_that_of_a_constant_is_named():
    measured = {"losses": {"training": 9.0}, "constant_losses": {"training": 1.0}}
    finding = loss_checks.initial_loss(dense_case([[0.0]], [[1.0]], loss="mse", **measured))
    assert "the loss is 9; the best constant has 1" in finding.evidence


def test_the_constant_is_the_mean_or_the_shares():
    case = dense_case([[0.0]] * 4, [[1.0], [3.0], [1.0], [3.0]], loss="mse")
    assert case.constant_losses["training"] == pytest.approx(1.0)
    case = dense_case([[0.5, 0.5]] * 4, [0, 1, 0, 1], loss=SPARSE(from_logits=True))
    assert case.constant_losses["training"] == pytest.approx(np.log(2))


def test_frozen_layers_are_named_while_they_are_as_drawn():
    model = gru(recurrent_initializer="orthogonal")
    case = Case(model, (X, Y), None, None, limits())
    assert model_checks.frozen_layers(case) is None
    model.get_layer("memory").trainable = False
    assert "Layer 'memory' is frozen" in model_checks.frozen_layers(case).evidence
    model.get_layer("memory").cell.recurrent_kernel.assign_add(0.1 * np.ones((4, 12)))  # it has learnt
    assert model_checks.frozen_layers(case) is None
    model.trainable = False
    assert model_checks.frozen_layers(case).severity == "error"


@pytest.mark.parametrize(
    ("check", "column", "value", "words"),
    [
        (model_checks.symmetric_initialisation, "identical_units", 1.0, "100 % of the units of layer 'memory'"),
        (model_checks.dead_units, "dead_units", 0.75, "75 % of the units of layer 'memory'"),
        (model_checks.saturated_gates, "saturation", 0.9, "90 % of the gates of layer 'memory'"),
    ],
)
def test_sick_layers_are_named(check, column, value, words):
    case = trained_case({"loss": [1.0]}, statistics=statistics(**{column: value}))
    assert words in check(case).evidence
    assert check(trained_case({"loss": [1.0]}, statistics=statistics())) is None


def flow_of(norms):
    """Return a gradient flow of one layer."""
    flow = pd.DataFrame({"memory": norms})
    flow.attrs["first_to_last"] = {"memory": norms[0] / norms[-1]}
    return flow


def test_gradients_that_fade_or_grow_are_measured():
    fading, growing = (flow_of(0.5 ** np.arange(20.0)[::step]) for step in (-1, 1))
    history = {"loss": [1.0]}
    vanishing = model_checks.vanishing_gradients(trained_case(history, flow=fading, statistics=statistics()))
    assert "Of the gradient at the last of 20 time steps, 2e-06 arrives at the first" in vanishing.evidence
    case = trained_case(history, flow=growing, statistics=statistics(spectral_radius=2.0))
    finding = model_checks.exploding_gradients(case)
    assert "a spectral radius of 2; the gradient at the first step is 5.2e+05 times" in finding.evidence
    assert model_checks.vanishing_gradients(case) is None


def test_fading_gradients_are_but_a_note_where_training_came_to_something():
    fading = flow_of(0.5 ** np.arange(20.0)[::-1])
    case = trained_case({"loss": [0.1], "val_loss": [0.1]}, flow=fading, statistics=statistics())
    assert model_checks.vanishing_gradients(case).severity == "note"


def test_equal_outputs_for_different_rows_are_an_error():
    assert model_checks.input_not_used(dense_case([[0.3]] * 4, [[0.0]] * 4, loss="mse")).severity == "error"
    assert model_checks.input_not_used(dense_case([[0.3], [0.4]], [[0.0]] * 2, loss="mse")) is None


def test_a_model_that_is_random_in_use_is_noted():
    @keras.saving.register_keras_serializable("tests")
    class Noise(keras.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.seeds = keras.random.SeedGenerator(1)

        def call(self, inputs):
            return inputs + keras.random.normal(keras.ops.shape(inputs), seed=self.seeds)

    model = keras.Sequential([keras.Input((12, 1)), keras.layers.Flatten(), Noise(), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    case = Case(model, (X, Y), None, None, limits())
    case.outputs = {"training": [model.predict_on_batch(X)]}  # which leaves the seeds elsewhere
    assert model_checks.random_outputs(case).severity == "note"
    assert model_checks.random_outputs(Case(gru(), (X, Y), None, None, limits())) is None


def test_a_batch_that_is_not_learnt_is_named():
    assert model_checks.one_batch(trained_case({"loss": [1.0]}, overfits=False)) is not None
    assert model_checks.one_batch(trained_case({"loss": [1.0]}, overfits=True)) is None


def test_what_switches_off_the_fast_kernel_is_noted():
    finding = model_checks.slow_kernel(Case(gru(recurrent_dropout=0.2), (X, Y), None, None, limits()))
    assert finding.evidence == "Layer 'memory' has recurrent_dropout=0.2."
    assert model_checks.slow_kernel(Case(gru(), (X, Y), None, None, limits())) is None


def test_more_weights_than_examples_are_noted():
    case = Case(gru(units=64), (X, Y), None, None, limits())
    assert "12,929 weights for 64 training examples" in model_checks.parameters(case).evidence


def test_a_loss_that_is_not_finite_is_dated():
    assert "from epoch 2 on" in history_checks.divergence(trained_case({"loss": [1.0, np.nan, np.nan]})).evidence


def test_the_step_that_a_callback_saw_is_named():
    model = keras.Sequential([keras.Input((3, 1)), keras.layers.GRU(2), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    data = np.ones((4, 3, 1), "float32"), np.array([1, 1, np.nan, 1], "float32")
    with pytest.warns(UserWarning, match="not finite at epoch 1"):
        callbacks = [rt.callbacks.StopOnNaN()]
        history = rt.train(model, data, epochs=3, batch_size=1, callbacks=callbacks, progress=None)
    step = int(history["not_finite_at_step"].iloc[0])
    assert f"from epoch 1, step {step} on" in history_checks.divergence(trained_case(history)).evidence


def test_a_loss_that_never_fell_although_a_batch_is_learnt_by_heart_says_that_labels_are_unrelated():
    lucky = {"loss": [1.0, 0.99, 0.98], "val_loss": [0.7, 1.0, 1.0]}  # the first epoch came close to them by chance
    finding = history_checks.labels_unrelated(trained_case(lucky))
    assert finding.evidence.startswith("The best training loss, 0.98, is no better than that of a constant, 1,")
    halfway = trained_case(lucky, overfits=False)
    assert history_checks.labels_unrelated(halfway) is None
    halfway.overfit.attrs["final"] = 0.5
    assert history_checks.labels_unrelated(halfway) is not None
    assert history_checks.labels_unrelated(trained_case(history(1, 0.5))) is None


def test_what_a_training_has_spoilt_is_tried_again_from_a_fresh_start():
    model = gru()
    model.optimizer.build(model.trainable_variables)
    model.optimizer.iterations.assign(10)
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    case = Case(model, (X, Y), None, None, limits())
    assert case.overfit.attrs["overfits"] and np.isnan(model.get_weights()[0]).all()
    assert np.isfinite(case.rates.attrs["suggestion"])


def test_nothing_is_said_of_a_network_after_too_few_epochs():
    finding = history_checks.stopped_too_early(trained_case({"loss": [0.98, 0.95, 0.96]}))
    assert finding.evidence == "After 3 epochs the training loss was 0.96."
    assert history_checks.stopped_too_early(trained_case({"loss": [0.98, 0.95, 0.96, 0.95, 0.96]})) is None
    assert history_checks.stopped_too_early(trained_case({"loss": [0.2, 0.1, 0.11]})) is None


def test_a_burst_of_the_gradients_is_an_explosion():
    columns = {"gradient_norm": [9e5, 2e3, 5e2, 3e2, 3e2], "gradient_norm_max": [2e7, 5e3, 1e3, 8e2, 5e2]}
    finding = model_checks.exploding_gradients(trained_case({"loss": [1.0] * 5} | columns))
    assert finding.severity == "warning" and "the gradients' norm went up to 2e+07" in finding.evidence
    columns["gradient_norm_max"][0] = 4e5
    assert model_checks.exploding_gradients(trained_case({"loss": [1.0] * 5} | columns)) is None


def history(first, last, epochs=10, **columns):
    """Return a history whose losses fall evenly."""
    losses = np.linspace(first, last, epochs)
    return {"loss": losses, "val_loss": losses} | {name: np.full(epochs, value) for name, value in columns.items()}


def test_a_rate_far_above_the_range_test_is_named():
    columns = {"learning_rate": 0.5, "update_ratio/memory": 0.2}
    finding = history_checks.learning_rate_too_high(trained_case(history(1, 1, **columns)))
    assert "The learning rate was 0.5, and a step changed the weights by 20 % on average" in finding.evidence
    assert history_checks.learning_rate_too_high(trained_case(history(1, 1, **columns), rates=0.1)) is None


def test_a_rate_far_below_the_range_test_is_named():
    columns = {"learning_rate": 1e-5, "update_ratio/memory": 1e-5}
    finding = history_checks.learning_rate_too_low(trained_case(history(1, 0.95, **columns)))
    assert "a range test suggests 0.001" in finding.evidence


def test_a_clip_far_below_the_norms_is_named():
    columns = {"clipped": 1.0, "gradient_norm": 50.0}
    finding = history_checks.clipping(trained_case(history(1, 1, **columns)))
    assert "100 % of the steps were clipped, to 1, while gradients had a norm of 50" in finding.evidence
    assert history_checks.clipping(trained_case(history(1, 1, clipped=0.3, gradient_norm=50.0))) is None


def test_rows_learnt_by_heart_without_use_for_others_are_named():
    kept = {"loss": [1.0, 0.2], "val_loss": [1.0, 1.4]}
    assert "no better than that of a constant, 1," in history_checks.labels_unrelated(trained_case(kept)).evidence
    assert history_checks.labels_unrelated(trained_case(history(1, 0.2))) is None


def test_a_training_that_came_to_nothing_is_named():
    assert history_checks.no_better_than_a_constant(trained_case(history(1.1, 1.0))) is not None
    assert history_checks.no_better_than_a_constant(trained_case(history(1.1, 0.5))) is None


def test_overfitting_tells_where_it_began():
    kept = {"loss": [0.9, 0.5, 0.1], "val_loss": [0.9, 0.6, 0.9]}
    finding = history_checks.overfitting(trained_case(kept, losses={"training": 0.1, "validation": 0.9}))
    assert (
        "0.1 on training rows and 0.9 on validation rows. On validation rows it was lowest at epoch 2"
        in finding.evidence
    )
    assert finding.severity == "warning"
    even = trained_case(kept, losses={"training": 0.58, "validation": 0.6})
    assert history_checks.overfitting(even) is None


def test_a_narrow_network_that_learns_all_rows_badly_underfits():
    losses = {"training": 0.6, "validation": 0.62}
    case = trained_case(history(1, 0.6), losses=losses)
    assert "the narrowest layer has 4 units" in history_checks.underfitting(case).evidence
    assert history_checks.underfitting(trained_case(history(1, 0.1), losses={"training": 0.1})) is None


def test_a_loss_that_still_falls_was_stopped_too_early():
    assert "After 10 epochs" in history_checks.stopped_too_early(trained_case(history(1, 0.5))).evidence
    settled = {"loss": [1.0, 0.3, 0.2, 0.2, 0.2, 0.2], "val_loss": [1.0, 0.3, 0.2, 0.2, 0.2, 0.2]}
    assert history_checks.stopped_too_early(trained_case(settled)) is None


def test_a_loss_that_goes_up_and_down_is_noted():
    assert history_checks.oscillation(trained_case({"loss": [1.0, 0.5] * 5})) is not None
    assert history_checks.oscillation(trained_case(history(1, 0.1))) is None


def test_a_forecast_that_the_last_value_beats_is_named():
    frame = pd.DataFrame({"load": np.arange(200.0)})
    train, validation, _ = rt.split_by_time(frame, rt.ForecastTask("load", 2, 12))
    model = rt.build_forecaster(train, rt.recurrent_layers("gru", (2,)))
    for outputs, is_named in (
        (lambda y: np.full(y.shape, 1e6, "float32"), True),
        (lambda y: y.astype("float32"), False),
    ):
        case = Case(model, train, validation, pd.DataFrame({"loss": [1.0]}), limits())
        batches = case.batches.items()
        vars(case)["outputs"] = {split: [outputs(y) for _, y, _ in some] for split, some in batches}
        finding = history_checks.worse_than_the_baseline(case)
        assert (finding is not None) == is_named
        assert not is_named or "repeating the last value has" in finding.evidence


# The whole.


def snapshot(model):
    kept = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    state = [np.array(keras.ops.convert_to_numpy(one)) for one in kept]
    return state, {id(one): dict(vars(one)) for one in model._flatten_layers()}, np.random.get_state()[1].copy()


def test_a_diagnosis_changes_nothing():
    model = gru(dropout=0.2)
    history = rt.train(model, (X, Y), (X, Y), epochs=1, progress=None, callbacks=[rt.Monitor()])
    state, attributes, random = snapshot(model)
    rt.diagnose(model, (X, Y), (X, Y), history=history)
    after, later, random_after = snapshot(model)
    assert all(np.array_equal(a, b) for a, b in zip(state, after, strict=True))
    assert attributes == later
    assert np.array_equal(random, random_after)


def test_a_diagnosis_changes_nothing_behind_an_error(monkeypatch):
    model = gru()
    state, attributes, _ = snapshot(model)

    def broken(case):
        case.model.layers[0].cell.kernel.assign(np.zeros((1, 12)))
        case.model.layers[0].stray = 1
        raise RuntimeError("it broke")

    monkeypatch.setitem(CHECKS, "input scale", (broken, ""))
    report = rt.diagnose(model, (X, Y))
    assert report.attrs["skipped"]["input scale"] == "RuntimeError: it broke"
    after, later, _ = snapshot(model)
    assert all(np.array_equal(a, b) for a, b in zip(state, after, strict=True))
    assert attributes == later


def test_findings_come_gravest_first_and_read_as_sentences():
    y = np.full((64, 1), 3.0, "float32")
    x = 300 * X
    report = rt.diagnose(gru(), (x, y))
    assert report["severity"].tolist() == sorted(report["severity"], key=["error", "warning", "note"].index)
    assert report["check"][0] == "constant target"
    assert {"constant target", "input scale"} <= set(report["check"])
    text, page = repr(report), report._repr_html_()
    assert "1. ERROR: constant target\n   What: Every target of the 64 training rows" in text
    assert "<code>pd.Series(y).describe()</code>" in page
    assert f'href="{GUIDE}#constant-target"' in page


def test_without_findings_it_says_what_was_checked():
    skipped = {"duplicates": "no validation data", "clipping": "no history", "overfitting": "no history"}
    report = diagnosis_of([], checked=["input scale", "leakage"], skipped=skipped)
    assert len(report) == 0
    assert repr(report).splitlines() == [
        "Nothing found by 2 checks.",
        "Checked: input scale, leakage.",
        "Not checked (no validation data): duplicates.",
        "Not checked (no history): clipping, overfitting.",
    ]


def test_a_part_of_the_table_is_a_plain_table():
    report = diagnosis_of([("a", Finding("note", "b", "c", "d"))], checked=["a"], skipped={})
    assert type(report[["check", "severity"]]) is pd.DataFrame


def test_a_model_without_recurrent_layers_gets_the_general_checks():
    model = keras.Sequential([keras.Input((12, 1)), keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    report = rt.diagnose(model, (X, np.zeros((64, 1))))
    assert report["check"][0] == "constant target"
    assert report.attrs["skipped"]["vanishing gradients"] == "no recurrent layers"


def test_every_threshold_is_used_and_has_a_source():
    folder = Path(history_checks.__file__).parent
    texts = [path.read_text(encoding="utf-8") for path in (*folder.glob("*_checks.py"), folder / "case.py")]
    assert [name for name in THRESHOLDS if not any(f'limits["{name}"]' in text for text in texts)] == []
    assert all(one.source and one.meaning for one in THRESHOLDS.values())


def test_a_model_that_is_not_compiled_is_refused():
    model = keras.Sequential([keras.Input((12, 1)), keras.layers.GRU(2)])
    with pytest.raises(ValueError, match="is not compiled: it has no loss"):
        rt.diagnose(model, (X, Y))


def test_a_model_that_is_not_built_is_refused():
    with pytest.raises(ValueError, match="is not built: it has no weights yet"):
        rt.diagnose(keras.Sequential([keras.layers.GRU(2)]), (X, Y))


def test_what_is_no_model_is_refused():
    with pytest.raises(TypeError, match=r"`model` must be a Keras model. Received: str"):
        rt.diagnose("model", (X, Y))


def test_data_that_can_be_read_once_are_refused():
    with pytest.raises(TypeError, match="must be readable more than once"):
        rt.diagnose(gru(), iter([(X, Y)]))


def test_a_history_of_another_model_is_refused():
    other = pd.DataFrame({"loss": [1.0], "update_ratio/lstm": [0.1]})
    with pytest.raises(ValueError, match="tells of a layer 'lstm', which 'sequential"):
        rt.diagnose(gru(), (X, Y), history=other)


def test_a_history_without_losses_is_refused():
    with pytest.raises(ValueError, match="`history` has no losses"):
        rt.diagnose(gru(), (X, Y), history=pd.DataFrame({"accuracy": [1.0]}))


def test_a_history_that_is_no_table_is_refused():
    with pytest.raises(TypeError, match="`history` must be the table of"):
        rt.diagnose(gru(), (X, Y), history=[1.0])


def test_an_unknown_threshold_is_refused():
    with pytest.raises(ValueError, match="Did you mean 'input_scale'"):
        rt.diagnose(gru(), (X, Y), thresholds={"input_scales": 3})
