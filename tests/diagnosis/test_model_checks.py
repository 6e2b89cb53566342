"""What can be wrong with a model: each check at its fault, and silent without."""

import keras
import numpy as np
import pandas as pd
import pytest
from diagnosis.cases import X, Y, gru, outputs_case, trained_case

from rnn_toolkit.diagnosis import model_checks
from rnn_toolkit.diagnosis.case import Case
from rnn_toolkit.diagnosis.thresholds import limits

HEALTHY = {"spectral_radius": 1.0, "saturation": 0.1, "dead_units": 0.0, "zero_weights": 0.0, "identical_units": 0.0}


def statistics(**columns):
    """Return layer statistics of one layer, `memory`, healthy but for what is given."""
    return pd.DataFrame(HEALTHY | columns, index=["memory"])


def flow_of(norms):
    """Return a gradient flow of one layer."""
    flow = pd.DataFrame({"memory": norms})
    flow.attrs["first_to_last"] = {"memory": norms[0] / norms[-1]}
    return flow


FADING, GROWING = flow_of(0.3 ** np.arange(20.0)[::-1]), flow_of(0.5 ** np.arange(20.0))


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


def test_the_remedy_for_a_frozen_layer_names_what_the_model_knows_by_name():
    both = keras.layers.Bidirectional(keras.layers.GRU(4), name="both")
    model = keras.Sequential([keras.Input((12, 2)), both, keras.layers.Dense(1)])
    both.trainable = False
    model.compile("adam", "mse")
    remedy = model_checks.frozen_layers(Case(model, (X, Y), None, None, limits())).remedy
    exec(remedy.split("`")[1], {"model": model})
    assert len(model.trainable_variables) == 8


@pytest.mark.parametrize(
    ("check", "column", "value", "words"),
    [
        (model_checks.dead_units, "dead_units", 0.75, "75 % of the units of layer 'memory'"),
        (model_checks.saturated_gates, "saturation", 0.9, "90 % of the gates of layer 'memory'"),
    ],
)
def test_sick_layers_are_named(check, column, value, words):
    case = trained_case({"loss": [1.0]}, statistics=statistics(**{column: value}))
    assert words in check(case).evidence
    assert check(trained_case({"loss": [1.0]}, statistics=statistics())) is None


def test_units_that_stay_equal_are_named_and_those_of_an_output_are_not():
    zeros = {"kernel_initializer": "zeros", "recurrent_initializer": "zeros"}
    case = Case(gru(**zeros), (X, Y), None, None, limits())
    case.model.layers[-1].kernel.assign(np.zeros((4, 1)))
    assert "100 % of the units of layer 'memory'" in model_checks.symmetric_initialisation(case).evidence
    assert model_checks.symmetric_initialisation(Case(gru(), (X, Y), None, None, limits())) is None
    two = keras.Sequential(
        [keras.Input((12, 2)), keras.layers.Flatten(), keras.layers.Dense(2, "linear", True, "ones")]
    )
    two.compile("adam", "mse")
    assert model_checks.symmetric_initialisation(Case(two, (X, X[:, -1]), None, None, limits())) is None


def test_a_gru_that_keeps_half_of_each_step_is_as_keras_makes_it():
    halves = flow_of(0.5 ** np.arange(24.0)[::-1])
    assert model_checks.vanishing_gradients(trained_case({"loss": [1.0]}, flow=halves)) is None


def test_gradients_that_fade_or_grow_are_measured():
    history = {"loss": [1.0]}
    vanishing = model_checks.vanishing_gradients(trained_case(history, flow=FADING, statistics=statistics()))
    assert "Of the gradient at the last of 20 time steps, 1e-10 arrives at the first" in vanishing.evidence
    case = trained_case(history, flow=GROWING, statistics=statistics(spectral_radius=2.0))
    finding = model_checks.exploding_gradients(case)
    assert "a spectral radius of 2; the gradient at the first step is 5.2e+05 times" in finding.evidence
    assert model_checks.vanishing_gradients(case) is None


def test_fading_gradients_are_but_a_note_where_training_came_to_something():
    case = trained_case({"loss": [0.1], "val_loss": [0.1]}, flow=FADING, statistics=statistics())
    assert model_checks.vanishing_gradients(case).severity == "note"


def test_a_burst_of_the_gradients_is_an_explosion():
    columns = {"gradient_norm": [9e5, 2e3, 5e2, 3e2, 3e2], "gradient_norm_max": [2e7, 5e3, 1e3, 8e2, 5e2]}
    measured = {"flow": flow_of(np.ones(20)), "statistics": statistics()}
    finding = model_checks.exploding_gradients(trained_case({"loss": [1.0] * 5} | columns, **measured))
    assert finding.severity == "warning" and "the gradients' norm went up to 2e+07" in finding.evidence
    columns["gradient_norm_max"][0] = 4e5
    assert model_checks.exploding_gradients(trained_case({"loss": [1.0] * 5} | columns, **measured)) is None
    learnt = {"gradient_norm": [2, 0.1, 3e-3, 3e-3, 3e-3], "gradient_norm_max": [5, 0.5, 0.01, 0.01, 0.01]}
    assert model_checks.exploding_gradients(trained_case({"loss": [1.0] * 5} | learnt, **measured)) is None


def test_equal_outputs_for_different_rows_are_an_error():
    assert model_checks.input_not_used(outputs_case([[0.3]] * 4, [[0.0]] * 4, loss="mse")).severity == "error"
    assert model_checks.input_not_used(outputs_case([[0.3], [0.4]], [[0.0]] * 2, loss="mse")) is None


def test_a_batch_that_is_not_learnt_is_named():
    finding = model_checks.one_batch(trained_case({"loss": [1.0]}, overfits=False))
    assert "on one batch alone, the loss went from 1 to 0.95" in finding.evidence
    assert model_checks.one_batch(trained_case({"loss": [1.0]}, overfits=True)) is None


def test_a_small_forecaster_of_ours_that_learns_half_a_batch_is_not_warned_of(monkeypatch):
    case = trained_case({"loss": [1.0]}, overfits=False)
    case.overfit.attrs["final"] = 0.45
    assert model_checks.one_batch(case).severity == "warning"
    monkeypatch.setattr(type(case), "rescales", True)
    assert model_checks.one_batch(case).severity == "note"
    case.overfit.attrs["final"] = 0.55
    assert model_checks.one_batch(case).severity == "warning"
