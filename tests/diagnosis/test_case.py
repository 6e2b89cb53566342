"""What checks are given: what is measured, in which units, and once."""

import keras
import numpy as np
import pandas as pd
import pytest
from diagnosis.cases import CODES, LABELS, X, Y, case_of, classes_of, gru, outputs_case, trained_case

import rnn_toolkit as rt
from rnn_toolkit.diagnosis import case as case_module
from rnn_toolkit.diagnosis.case import Case
from rnn_toolkit.diagnosis.dry_runs import fresh_model
from rnn_toolkit.diagnosis.layer_health import layer_statistics
from rnn_toolkit.diagnosis.thresholds import limits
from rnn_toolkit.networks.probing import numpy


@pytest.fixture(scope="module")
def case():
    """Return a case of an untrained recurrent model."""
    return Case(gru(), (X, Y), (X[:20], Y[:20]), None, limits())


def test_rows_and_batches_come_by_split(case):
    assert {split: len(sample) for split, sample in case.samples.items()} == {"training": 60, "validation": 20}
    assert {x.shape for some in case.batches.values() for x, _, _ in some} == {(20, 12, 2)}  # compiled once
    assert set(case_of((X, Y)).samples) == {"training"}
    assert case_of((X, Y)).validation is None


def test_inputs_are_told_apart(case):
    text, stream = classes_of((CODES, LABELS)), classes_of((CODES[:, :-1], CODES[:, 1:]))
    assert (case.is_sequence, case.is_text, case.is_language_model) == (True, False, False)
    assert (text.is_sequence, text.is_text, text.is_language_model) == (False, True, False)
    assert stream.is_language_model


def test_the_sign_by_which_streams_go_on_is_taken_off():
    vocabulary = rt.fit_vocabulary(["abc"], unit="character")
    streams = rt.language_model_batches("abcabc" * 8, vocabulary, batch_size=2, steps=4)
    assert min(x.min() for x, *_ in streams) < 0
    model = rt.build_language_model(vocabulary, rt.recurrent_layers("gru", (2,), return_sequences=True))
    assert Case(model, streams, None, None, limits()).train.x.min() > 0


def test_batches_of_texts_are_padded_to_one_width():
    case = classes_of((CODES, LABELS), (CODES[:, :4], LABELS))
    assert {x.shape[1] for batches in case.batches.values() for x, _, _ in batches} == {6}


def test_a_measurement_is_made_once_and_is_that_of_the_public_function(case, monkeypatch):
    calls, run = [], case_module.compiled_forward
    monkeypatch.setattr(case_module, "compiled_forward", lambda model: calls.append(model) or run(model))
    pd.testing.assert_frame_equal(case.statistics, layer_statistics(case.model, X[:20]))
    assert case.statistics is case.statistics and case.outputs is case.outputs and len(calls) == 1
    assert case.received("training").shape == (20, 12, 2)
    assert case_of((X, Y)).received("training") is None


def test_layers_are_found_by_name_and_kind(case):
    assert list(case.recurrent) == ["memory"] and not case.is_simple("memory") and not case.is_simple("dense")
    assert case.layers_of(keras.layers.GRU) == [case.model.layers[0]]
    assert not (case.normalizes or case.rescales or case.has_vocabulary or case.has_trained)


def test_a_loss_of_some_rows_has_an_error():
    case = trained_case({"loss": [1.0]})
    y, out = np.repeat([[0.0], [1.0], [2.0]], 8, axis=0), np.zeros((24, 1), "float32")  # means of 0, 1 and 4
    vars(case).update(batches={"validation": [(X[:24], y, None)]}, outputs={"validation": [out]})
    assert case.standard_error("validation") == pytest.approx(np.std([0, 1, 4], ddof=1) / 3**0.5)
    vars(case).update(batches={"validation": [(X[:8], y[:8], None)]}, outputs={"validation": [out[:8]]})
    assert case.standard_error("validation") == np.inf
    vars(case).update(batches={"validation": [(X, Y, None)]}, outputs={"validation": [Y + 1]})
    assert case.standard_error("validation") == 0  # of all rows, as the history's


def test_outputs_and_losses_are_those_of_the_model(case):
    assert case.width == 1
    assert case.outputs["validation"][0] == pytest.approx(case.model.predict(X[:20], verbose=0), abs=1e-6)
    assert case.losses["validation"] == pytest.approx(float(np.mean((case.outputs["validation"][0] - Y[:20]) ** 2)))


def test_the_constant_is_fitted_to_the_training_rows():
    case = case_of((X[:4], np.array([[1.0], [3.0], [1.0], [3.0]])), (X[:2], np.array([[4.0], [2.0]])))
    vars(case)["outputs"] = {"training": [np.zeros((4, 1))]}
    assert case.constant_losses == {"training": 1, "validation": 2}  # about 2: (4 + 0) / 2


def test_the_constant_of_classes_is_their_shares():
    case = outputs_case([[0.5, 0.5]] * 4, [0, 1, 0, 1], loss=keras.losses.SparseCategoricalCrossentropy())
    assert case.constant_losses["training"] == pytest.approx(np.log(2))


def test_the_best_loss_is_that_of_the_history_or_of_the_model_as_it_is():
    case = trained_case({"loss": [0.5, np.nan], "val_loss": [0.9, 0.8]}, losses={"training": 0.6, "validation": 0.7})
    assert case.best == {"training": 0.5, "validation": 0.7}
    assert not case.has_learnt
    assert trained_case({"loss": [0.5], "val_loss": [0.6]}).has_learnt


def test_several_losses_are_none():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, [keras.layers.Dense(1)(inputs), keras.layers.Dense(1)(inputs)])
    model.compile("adam", ["mse", "mse"])
    case = Case(model, (np.ones((4, 3)), [np.ones((4, 1))] * 2), None, None, limits())
    assert case.loss is None and case.kind == "numbers" and case.labels("training") is None
    with pytest.raises(NotImplementedError, match="several outputs"):
        case.outputs  # noqa: B018 - it is measured here


def test_what_a_training_has_spoilt_is_tried_again_from_a_fresh_start():
    body = [keras.layers.Flatten(), keras.layers.Dense(16, activation="tanh")]
    model = keras.Sequential([keras.Input((12, 2)), *body, keras.layers.Dense(1)])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    model.optimizer.iterations.assign(10)
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    case = Case(model, (X, Y), None, None, limits())
    assert case.overfit.attrs["overfits"] and np.isnan(model.get_weights()[0]).all()
    assert np.isfinite(case.rates.attrs["suggestion"])


def test_a_fresh_model_is_the_model_itself_before_training():
    case = case_of((X, Y))
    assert case.fresh is case.model


def test_without_a_constant_a_training_has_learnt_by_what_its_loss_fell():
    below_zero = {"constants": {"other": np.nan}, "losses": {}}
    assert trained_case({"loss": [1.0, -0.5], "val_loss": [1.0, -0.5]}, **below_zero).has_learnt
    assert not trained_case({"loss": [-1.0, -1.1], "val_loss": [-1.0, -1.1]}, **below_zero).has_learnt


def test_losses_below_zero_have_no_parts():
    case = outputs_case([[1.0, 0.0]] * 4, [[1.0, 0.0]] * 4, loss="cosine_similarity")
    assert case.losses["training"] == pytest.approx(-1) and case.constant_losses == {}


def test_outputs_tell_something_if_the_targets_of_other_rows_fit_worse():
    y = np.tile([[0.0], [1.0]], (10, 1))
    assert outputs_case(y, y, loss="mse").tells("training")
    assert outputs_case(9 + 3 * y, y, loss=lambda y, out: keras.ops.square(out - 9 - 3 * y)[:, 0]).tells("training")
    assert not outputs_case(np.full((20, 1), 0.5), y, loss="mse").tells("training")


def test_what_was_fitted_stays_in_a_model_that_starts_anew():
    scaler, words = keras.layers.Normalization(), keras.layers.Embedding(9, 2, trainable=False)
    scaler.adapt(np.full((4, 1), 7.0) + np.arange(4)[:, None])
    model = keras.Sequential([keras.Input((1,)), scaler, keras.layers.Dense(1)])
    model.compile("adam", "mse")
    fresh = fresh_model(model)
    assert float(numpy(fresh.layers[0].mean)[0, 0]) == 8.5
    assert numpy(fresh.layers[1].kernel) != numpy(model.layers[1].kernel)
    model = keras.Sequential([keras.Input((3,)), words, keras.layers.GRU(2)])
    model.compile("adam", "mse")
    words.set_weights([np.arange(18.0).reshape(9, 2)])
    assert numpy(fresh_model(model).layers[0].embeddings)[8].tolist() == [16, 17]


@pytest.fixture
def unhurried(monkeypatch):
    """Let a batch be learnt on a busy machine, too."""
    monkeypatch.setitem(case_module.overfit_one_batch.__kwdefaults__, "seconds", 60)


def test_a_model_of_a_fixed_batch_size_is_given_full_batches_of_it(unhurried):
    model = keras.Sequential([keras.Input(batch_shape=(16, 12, 2)), keras.layers.GRU(4), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    case = Case(model, (X, Y), (X, Y), None, limits())
    assert {len(x) for some in case.batches.values() for x, _, _ in some} == {16}
    assert case.overfit.attrs["overfits"] and np.isfinite(case.rates.attrs["suggestion"])


class OwnStep(keras.Model):
    """A training step as it is often written: for two parts, and nothing else."""

    def train_step(self, *given):
        x, y = given[-1]
        return super().train_step(*given[:-1], (x, y))


def test_a_training_step_of_ones_own_gets_what_fit_gives_it(unhurried):
    inputs = keras.Input((12, 2))
    model = OwnStep(inputs, keras.layers.Dense(1)(keras.layers.GRU(8)(inputs)))
    model.compile("adam", "mse")
    assert Case(model, (X, Y), None, None, limits()).overfit.attrs["overfits"]
