"""The whole: what a diagnosis finds, what it skips, what it leaves behind, and what it refuses."""

import keras
import numpy as np
import pandas as pd
import pytest
from diagnosis.cases import X, Y, averaging, gru

import rnn_toolkit as rt
from rnn_toolkit.diagnosis.findings import CHECKS
from rnn_toolkit.diagnosis.thresholds import LIMITS
from rnn_toolkit.networks.probing import numpy


@pytest.fixture(scope="module")
def trained():
    """Return a model with dropout, and the history of an epoch."""
    model = gru(dropout=0.2)
    return model, rt.train(model, (X, Y), (X, Y), epochs=1, progress=None, callbacks=[rt.Monitor()])


def state_of(model):
    kept = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    attributes = {id(one): dict(vars(one)) for one in model._flatten_layers()}
    return [numpy(one).tolist() for one in kept], attributes, np.random.get_state()[1].tolist()


def test_a_diagnosis_runs_all_checks_and_changes_nothing(trained):
    model, history = trained
    before = state_of(model)
    report = rt.diagnose(model, (X, Y), (X, Y), history=history)
    assert state_of(model) == before
    assert report.attrs["skipped"] == {}
    assert report.attrs["checked"] == list(LIMITS)
    assert "duplicates" in report["check"].tolist()


def test_a_diagnosis_changes_nothing_behind_an_error(monkeypatch):
    model = gru()
    before = state_of(model)

    def broken(case):
        case.model.layers[0].cell.kernel.assign(np.zeros((2, 12)))
        case.model.layers[0].stray = 1
        raise RuntimeError("it \n\x1b[1mbroke\x1b[0m\n\nArguments received by GRU.call():")

    for name in CHECKS:
        monkeypatch.setitem(CHECKS, name, (lambda case: None, ""))
    monkeypatch.setitem(CHECKS, "input scale", (broken, ""))
    report = rt.diagnose(model, (X, Y))
    assert report.attrs["skipped"] == {"input scale": "RuntimeError: it broke"}
    assert report.attrs["failed"] == ["input scale"]
    assert "Nothing found by 31 checks; 1 more could not be run, so this is no clean bill of health." in repr(report)
    assert state_of(model) == before


def test_findings_come_gravest_first_and_what_cannot_be_checked_is_told():
    report = rt.diagnose(averaging(X.shape[1:]), (300 * X, np.full((60, 1), 3.0, "float32")))
    assert report["severity"].tolist() == sorted(report["severity"], key=["error", "warning", "note"].index)
    assert report["check"][0] == "constant target"
    assert "input scale" in report["check"].tolist()
    assert "1. ERROR: constant target\n   What: Every target of the 60 training rows" in repr(report)
    assert "<code>pd.Series(np.ravel(y)).describe()</code>" in report._repr_html_()
    reasons = {"vanishing gradients": "recurrent layers", "duplicates": "validation data", "clipping": "history"}
    assert {name: report.attrs["skipped"][name] for name in reasons} == {n: f"no {r}" for n, r in reasons.items()}


def test_states_that_are_pictures_are_passed_over():
    layers = [keras.layers.ConvLSTM1D(2, 3), keras.layers.Flatten(), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((4, 6, 1)), *layers])
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(32, 4, 6, 1)).astype("float32")
    report = rt.diagnose(model, (x, x[:, -1, :1, 0]))
    assert report.attrs["failed"] == []
    assert report.attrs["skipped"]["vanishing gradients"] == "states that are pictures"


def test_what_fit_returned_is_a_history():
    model = averaging(X.shape[1:])
    begun = pd.DataFrame({"loss": [np.nan, 1.0], "val_loss": [1.0, 1.0]}, index=pd.RangeIndex(2, name="epoch"))
    assert "divergence" not in set(rt.diagnose(model, (X, Y), history=begun).check)  # row 0 is the start
    told = keras.callbacks.History()
    told.history = {"loss": [1.0, np.nan]}
    assert "from epoch 2 on" in rt.diagnose(model, (X, Y), history=told).set_index("check").evidence["divergence"]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (
            {"history": pd.DataFrame({"loss": [1.0], "update_ratio/lstm": [0.1]})},
            ValueError,
            "tells of a layer 'lstm', which 'sequential",
        ),
        ({"history": pd.DataFrame({"accuracy": [1.0]})}, ValueError, "`history` has no losses"),
        ({"history": [1.0]}, TypeError, "`history` must be the table of"),
        ({"thresholds": {"input_scales": 3}}, ValueError, "Did you mean 'input_scale'"),
    ],
)
def test_what_does_not_belong_to_the_model_is_refused(options, error, words):
    with pytest.raises(error, match=words):
        rt.diagnose(averaging(X.shape[1:]), (X, Y), **options)
