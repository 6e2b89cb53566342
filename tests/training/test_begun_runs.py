"""Runs that an earlier version began, and left in the middle, go on here and end as if this version had begun them.

`begun_runs` was written at commit 8fc0f2d, when every file of the package lay in one folder: a forecaster killed behind
one epoch and no further step, a text classifier killed behind one epoch and one step. A change that makes these tests
fail would cost users the runs and models that they have on disk.
"""

import itertools
import shutil
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from training.one_weight import EAGERLY

import rnn_toolkit as rt
from rnn_toolkit.networks.labels import find_layer
from rnn_toolkit.networks.optimization import clip_as_begun
from rnn_toolkit.tables.baselines import fit_on_windows
from rnn_toolkit.tables.layers import raw_units_of
from rnn_toolkit.texts.ngrams import NgramEvidence

BEGUN = Path(__file__).parent / "begun_runs"
# Keras opens no file of a newer Keras whose layers have got more arguments.
needs_keras = pytest.mark.skipif(
    tuple(map(int, keras.version().split(".")[:2])) < (3, 15), reason="the model files were written by Keras 3.15"
)


def forecaster():
    """Return what the killed call of `train` was given: a model, training data, validation data."""
    keras.utils.set_random_seed(0)
    steps = np.arange(120)
    frame = pd.DataFrame({"day": pd.date_range("2024", periods=120), "y": np.sin(steps / 5) + steps / 50, "shop": "a"})
    task = rt.ForecastTask("y", horizon=4, lookback=12, time="day", static=("shop",), season_length=6)
    train, validation, _ = rt.split_by_time(frame, task)
    model = rt.build_forecaster(train, rt.recurrent_layers("gru", (4,), dropout=0.1), patch_length=3)
    # That version started from the linear model that is a baseline now, and its start stays in the run.
    raw_units_of(model).core.start_from(fit_on_windows(train.table, train.all_starts))
    return model, train, validation


def classifier():
    """Likewise; there was no validation data."""
    keras.utils.set_random_seed(0)
    words = ("good", "fine", "bad", "poor"), ("day", "book", "film", "car", "tea", "sea", "cat", "dog")
    texts = [" ".join(pair) for pair in itertools.product(*words)]
    labels = ["glad" if text.startswith(("good", "fine")) else "sad" for text in texts]
    vocabulary = rt.fit_vocabulary(texts)
    batches = rt.text_batches(texts, labels, vocabulary=vocabulary, batch_size=8, shuffle=True)
    layers = rt.recurrent_layers("lstm", (4,), bidirectional=True, return_sequences=True)
    model = rt.build_text_classifier(vocabulary, batches.classes, layers, linear=batches)
    # That version fitted the linear model in another way, and so to somewhat other weights, which stay in the run.
    theirs = find_layer(rt.load_best(BEGUN / "classifier"), NgramEvidence)
    find_layer(model, NgramEvidence).set_weights(theirs.get_weights())
    return model, batches, None


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="begun on TensorFlow; others draw other numbers")
@pytest.mark.parametrize("build", [forecaster, classifier])
def test_a_run_of_an_earlier_version_goes_on(build, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(BEGUN / build.__name__, folder)
    model, train, validation = build()
    model.run_eagerly = EAGERLY
    history = rt.train(model, train, validation, epochs=4, run_dir=folder, progress=None)
    assert model.optimizer.clip_quantile == 0.9  # as it began, though it is no longer the default
    assert history["loss"].iloc[0] == rt.load_history(BEGUN / build.__name__)["loss"].iloc[0]  # that epoch was theirs
    assert len(history) == 4
    if keras.backend.backend() != "tensorflow":  # on which the run was begun, with its random numbers
        return

    whole, train, validation = build()
    whole.run_eagerly = EAGERLY
    clip_as_begun(whole, {"clip_quantile": 0.9})
    expected = rt.train(whole, train, validation, epochs=4, progress=None)
    # Not to the last bit: the first epoch was trained on another machine.
    np.testing.assert_allclose(history["loss"], expected["loss"].dropna(), rtol=1e-4)
    for weight, other in zip(model.weights, whole.weights, strict=True):
        np.testing.assert_allclose(weight, other, rtol=1e-3, atol=1e-5)


@needs_keras
def test_a_forecaster_of_an_earlier_version_opens_and_forecasts():
    frame = pd.DataFrame({"day": pd.date_range("2024", periods=12), "y": np.arange(12.0), "shop": "a"})
    forecast = rt.forecast(rt.load_best(BEGUN / "forecaster"), frame)
    assert forecast["day"].tolist() == list(pd.date_range("2024-01-13", periods=4))
    assert forecast["y"].between(0, 30).all()


@needs_keras
def test_a_classifier_of_an_earlier_version_opens_and_classifies():
    answer = rt.classify(rt.load_best(BEGUN / "classifier"), ["good book", "bad book"])
    assert answer["label"].tolist() == ["glad", "sad"]
