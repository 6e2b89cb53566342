"""Two numbers that can be done in the head: three of four texts with "good" are positive, whatever a model believes."""

import keras
import numpy as np
import pytest

from rnn_toolkit import build_tagger, build_text_classifier, calibrate, classify, fit_vocabulary, text_batches

WORDS = fit_vocabulary(["good good bad"])  # codes 2 and 3
TEXTS, TASTES = ["good"] * 4 + ["bad"] * 4, ["yes", "yes", "yes", "no", "no", "no", "no", "yes"]
ODDS = {"good": 3.0, "bad": 1 / 3}


def held_out(texts=TEXTS, labels=TASTES, **options):
    return text_batches(texts, labels, vocabulary=WORDS, batch_size=3, **options)


def classifier(slope, *, linear=None, **options) -> keras.Model:
    """Return a model whose log odds of "yes" are a slope, times -1 for "bad"."""
    model = build_text_classifier(WORDS, ["no", "yes"], [], embedding=1, pooling=["mean"], linear=linear, **options)
    vectors, head = model.layers[1 if linear else 0], model.layers[-1]
    vectors.set_weights([np.array([[0.0], [0.0], [1.0], [-1.0]])])
    evidence = [[0.0, 0.0]] if linear else []  # of the linear model, which the network does not use
    head.set_weights([np.array([[0.0, slope], *evidence]), np.zeros(2)])
    return model


def odds(model) -> dict[str, float]:
    table = classify(model, ["good", "bad"])
    return dict(zip(["good", "bad"], (table["yes"] / table["no"]).tolist(), strict=True))


@pytest.mark.parametrize("factor", [3, 1 / 3])
def test_a_model_too_sure_or_too_shy_gets_the_odds_of_the_texts(factor):
    model = classifier(factor * np.log(3))
    assert odds(calibrate(model, held_out())) == pytest.approx(ODDS, rel=0.05)  # between scales lie 9 %
    assert odds(model)["good"] == pytest.approx(3**factor, rel=1e-4)  # the given model is not changed


def test_a_network_that_knows_better_gets_the_whole_answer_and_one_that_errs_next_to_none():
    wrong = held_out(labels=["no" if taste == "yes" else "yes" for taste in TASTES], bucket=False)
    right = held_out()
    own, other = calibrate(classifier(np.log(3), linear=wrong), right).layers[-1].scales
    assert other < 0.1 * own
    own, other = calibrate(classifier(-np.log(3), linear=right), right).layers[-1].scales
    assert own < 0.1 * other


def test_weights_of_the_texts_count():
    given = held_out(["good", "good"], ["no", "yes"], class_weight={"no": 1.0, "yes": 4.0})
    assert odds(calibrate(classifier(1.0), given))["good"] == pytest.approx(4, rel=0.06)


def test_of_several_labels_each_has_a_loss_of_its_own():
    given = held_out(labels=[["yes"], ["yes"], ["yes"], ["no"], ["no"], ["no"], ["no"], ["no", "yes"]])
    model = calibrate(classifier(3.0, multi_label=True), given)
    # "no" has the log odds 0 whatever the scale; those of "yes" are right for 3 of 4 texts with either word.
    assert classify(model, ["good"])["yes"].item() == pytest.approx(0.75, abs=0.02)


def test_it_is_kept_in_the_model_file_and_training_goes_on(tmp_path):
    model = calibrate(classifier(3.0, dropout=0.0), held_out())
    model.save(tmp_path / "sure.keras")
    again = keras.saving.load_model(tmp_path / "sure.keras")
    assert odds(again) == pytest.approx(odds(model), rel=1e-6)
    codes = WORDS.encode("good")[None]
    trained, fresh = (
        keras.ops.convert_to_numpy(one(codes, training=True)) for one in (again, classifier(3.0, dropout=0.0))
    )
    assert trained.tolist() == fresh.tolist()  # the network alone, at its own scale


@pytest.mark.parametrize(
    ("validation", "error", "message"),
    [
        (TEXTS, TypeError, r"`validation` must be labelled batches\. Received: list\. Pass what `rt.text_batches`"),
        (held_out(labels=None), ValueError, r"Received: batches with no labels\. Make them with"),
        (held_out(classes=["no", "perhaps", "yes"]), ValueError, r"the classes \['no', 'perhaps', 'yes'\]"),
    ],
    ids=["texts", "no labels", "other labels"],
)
def test_what_it_cannot_be_fitted_to_is_refused(validation, error, message):
    with pytest.raises(error, match=message):
        calibrate(classifier(1.0), validation)


def test_a_model_that_labels_tokens_is_refused():
    with pytest.raises(ValueError, match=r"does not label texts.* Use `rt\.tag`"):
        calibrate(build_tagger(WORDS, ["no", "yes"]), held_out())
