"""Models of texts from vocabulary to file: built, trained, interrupted, loaded by a process that knows nothing else."""

import json
import os
import re
import signal
import subprocess
import sys

import keras
import numpy as np
import pandas as pd
import pytest

import rnn_toolkit as rt
from rnn_toolkit import build_language_model, build_text_classifier, classify, fit_vocabulary, generate
from rnn_toolkit.networks.dropping import ActivationRegularization, WeightDrop
from rnn_toolkit.networks.labels import Labels
from rnn_toolkit.texts.layers import TokenEmbedding
from rnn_toolkit.texts.next_token import NextToken

TEXTS = ["so good", "good good film", "so bad", "bad bad film"]
TASTES = ["good", "good", "bad", "bad"]
WORDS = fit_vocabulary(TEXTS)
LETTERS = fit_vocabulary(["abc"], unit="character")


@pytest.fixture
def half_precision():
    """Compute in float16."""
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy("float32")


def gru(units=4, **options):
    return rt.recurrent_layers("gru", (units,), return_sequences=True, **options)


def batches(texts=TEXTS, labels=TASTES, **options):
    return rt.text_batches(texts, labels, vocabulary=WORDS, **options)


# ---------------------------------------------------------------------------------------------------------------------
# classifiers
# ---------------------------------------------------------------------------------------------------------------------


def test_a_classifier_learns_which_word_matters():
    model = build_text_classifier(WORDS, ["bad", "good"], gru(), embedding=4, optimizer=rt.make_optimizer(0.05))
    history = rt.train(model, batches(), epochs=15, callbacks=[], progress=None)
    assert list(history.columns[:2]) == ["accuracy", "loss"]
    assert classify(model, ["film good", "film bad"])["label"].tolist() == ["good", "bad"]


def test_several_labels_are_learnt_each_by_itself():
    labels = [["good"], ["good", "film"], [], ["film"]]
    train = batches(labels=labels)
    model = build_text_classifier(
        WORDS, train.classes, [], embedding=4, multi_label=True, optimizer=rt.make_optimizer(0.1)
    )
    history = rt.train(model, train, epochs=15, callbacks=[], progress=None)
    assert "binary_accuracy" in history and "binary_crossentropy" in str(model.loss)
    assert [sorted(row) for row in classify(model, TEXTS)["label"]] == [sorted(row) for row in labels]


def test_what_is_not_told_has_a_good_default():
    model = build_text_classifier(WORDS, 2)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds == ["TokenEmbedding", "SpatialDropout1D", "Bidirectional", "MaskedPooling", "Dropout", "Labels"]
    assert model.layers[0].output_dim == 128 and model.layers[3].kinds == ("mean", "max")
    assert model.layers[-1].classes == [0, 1]
    model = build_language_model(WORDS)
    core = model.layers[0]
    assert core.tied and core.embedding.output_dim == 256 and core.batch_size == 64
    assert [type(layer).__name__ for layer in core.stack] == ["LSTM", "SpatialDropout1D"]
    core = build_language_model(LETTERS).layers[0]
    assert not core.tied and core.embedding.output_dim == 64


def test_pretrained_vectors_are_where_the_training_begins():
    vectors = np.arange(len(WORDS) * 3.0).reshape(-1, 3)
    model = build_text_classifier(WORDS, 2, gru(), embedding=vectors)
    assert np.array_equal(model.layers[0].get_weights()[0], vectors)
    assert model.layers[0].trainable


@pytest.mark.parametrize("classes", [np.array([3, 5]), range(2), (False, True), ["x", "y"], np.int64(2)])
def test_classes_are_plain_values_in_their_order(classes):
    found = list(build_text_classifier(WORDS, classes, [], embedding=1).layers[-1].classes)
    assert found == (list(range(2)) if np.ndim(classes) == 0 else list(classes))
    assert {type(one) for one in found} <= {int, bool, str}


@pytest.mark.slow
def test_half_precision_classifies_the_same_whatever_the_padding(half_precision):
    model = build_text_classifier(WORDS, 2, gru(), embedding=4, pooling=["mean", "max", "attention"])
    codes = WORDS.encode("so good")[None]
    padded = np.concatenate([codes, np.zeros((1, 6), "int32")], axis=1)
    alone, with_padding = np.array(model(codes)), np.array(model(padded))
    assert np.isfinite(alone).all()
    np.testing.assert_allclose(alone, with_padding, atol=2e-3)
    loss = model.train_on_batch(padded, np.array([1]))
    assert np.isfinite(np.array(loss)).all()


def test_half_precision_writes_texts(half_precision):
    model = build_language_model(WORDS, gru(), embedding=4, tied=True, batch_size=1)
    text = generate(model, "so", length=4, temperature=0)
    keras.config.set_dtype_policy("float32")  # as in a process that loads the model
    vars(model.layers[0]).pop("_reader")
    assert generate(model, "so", length=4, temperature=0) == text


# ---------------------------------------------------------------------------------------------------------------------
# language models
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_language_model_learns_what_comes_next():
    vocabulary = fit_vocabulary(["abcd"], unit="character")
    train = rt.language_model_batches("abcd" * 20, vocabulary, batch_size=2, steps=6)
    model = build_language_model(vocabulary, gru(8), embedding=4, batch_size=2, optimizer=rt.make_optimizer(0.05))
    history = rt.train(model, train, train, epochs=12, callbacks=[], progress=None)
    assert history["val_loss"].iloc[-1] < 0.3  # log 4 is what a guess costs
    assert generate(model, "abcd", length=6, temperature=0) == "abcdabcdab"


def language_model() -> keras.Model:
    """Return a model with everything in it that has a state."""
    keras.utils.set_random_seed(0)
    layers = [
        WeightDrop(keras.layers.LSTM(3, return_sequences=True)),
        ActivationRegularization(),
        keras.layers.SpatialDropout1D(0.3),
    ]
    return build_language_model(LETTERS, layers, embedding=2, tied=True, word_dropout=0.2, batch_size=2)


class Interruption(keras.callbacks.Callback):
    """Press Ctrl-C behind a step of an epoch, both counted from 0."""

    def __init__(self, epoch, step):
        super().__init__()
        self.at, self.now = (epoch, step), None

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.now, batch) == self.at:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.slow
def test_a_training_interrupted_amid_its_streams_ends_as_if_it_had_not_been(tmp_path):
    def fit(run_dir, *callbacks):
        model = language_model()
        train = rt.language_model_batches("abcacb" * 9, LETTERS, batch_size=2, steps=5, shift=True)
        judge = rt.language_model_batches("abcacb" * 2, LETTERS, batch_size=1, steps=5)
        options = {"epochs": 3, "callbacks": list(callbacks), "progress": None, "snapshot_steps": 1000}
        history = rt.train(model, train, judge, run_dir=run_dir, **options)
        assert len(train) == 4
        return [keras.ops.convert_to_numpy(one) for one in model.variables], history.drop(columns="seconds")

    expected, history = fit(tmp_path / "whole")
    _, cut_short = fit(tmp_path / "cut", Interruption(1, 2))
    assert cut_short.index.tolist() == [0, 1]
    found, again = fit(tmp_path / "cut")
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one, other)
    assert again.equals(history)
    states = [one for one in expected if one.shape == (2, 3)]
    assert all(np.abs(state).max() > 0 for state in states) and len(states) == 4  # two of training, two of reading


def test_a_model_can_be_saved_once_it_has_written(tmp_path):
    model = language_model()
    text = generate(model, "ab", length=8, seed=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    assert generate(loaded, "ab", length=8, seed=0) == text
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    assert generate(copy, "ab", length=8, seed=0) == text


@pytest.mark.slow
def test_a_process_that_has_the_files_alone_classifies_explains_and_writes(tmp_path):
    layers = [WeightDrop(keras.layers.GRU(3, return_sequences=True)), *gru(2, bidirectional=True)]
    classifier = build_text_classifier(
        WORDS, [False, True], layers, embedding=3, pooling=["attention", "last"], word_dropout=0.1
    )
    writer = language_model()
    classifier.save(tmp_path / "classifier.keras")
    writer.save(tmp_path / "writer.keras")
    program = f"""
import json, keras, rnn_toolkit as rt
classifier = keras.saving.load_model({str(tmp_path / "classifier.keras")!r}, safe_mode=True)
writer = keras.saving.load_model({str(tmp_path / "writer.keras")!r}, safe_mode=True)
table, scores = rt.classify(classifier, {TEXTS!r}), rt.explain_text(classifier, "So good!", label=True)
text = rt.generate(writer, "ab", length=8, seed=0)
print(json.dumps([table.label.tolist(), table[True].tolist(), scores.token.tolist(), scores.score.tolist(), text]))
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)}
    found = subprocess.run([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, check=True)
    labels, probabilities, tokens, scores, text = json.loads(found.stdout)
    table = classify(classifier, TEXTS)
    assert labels == table["label"].tolist()
    assert probabilities == pytest.approx(table[True].tolist(), rel=1e-5)
    assert tokens == ["So", "good", "!"]
    assert scores == pytest.approx(rt.explain_text(classifier, "So good!", label=True)["score"].tolist(), rel=1e-4)
    assert text == generate(writer, "ab", length=8, seed=0)


# ---------------------------------------------------------------------------------------------------------------------
# what is refused
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("build", [lambda given: build_text_classifier(given, 2), build_language_model])
def test_what_is_no_vocabulary_is_refused(build):
    with pytest.raises(TypeError, match=r"`vocabulary` must be a Vocabulary\. Received: list\. Make one from"):
        build(["a"])


@pytest.mark.parametrize(
    ("classes", "error", "message"),
    [
        ("yes", TypeError, "`classes` must be a list of labels, or their number. Received: 'yes'. Pass"),
        (None, TypeError, "`classes` must be a list of labels.*Received: None"),
        (2.0, TypeError, "`classes` must be a list of labels.*Received: 2.0"),
        (True, TypeError, "`classes` must be a list of labels.*Received: True"),
        (["x", None], ValueError, "`classes` has none at position 1"),
        (1, ValueError, r"`classes` must be two at least, all different. Received: \[0\]. Pass `train.classes`, or"),
        (["x", "x"], ValueError, "`classes` must be two at least, all different"),
        ([], ValueError, r"`classes` must be two at least, all different. Received: \[\]"),
    ],
)
def test_classes_that_are_none_are_refused(classes, error, message):
    with pytest.raises(error, match=message):
        build_text_classifier(WORDS, classes)


def test_a_text_that_may_have_several_labels_may_have_but_one_to_choose_from():
    assert build_text_classifier(WORDS, ["x"], [], embedding=1, multi_label=True).output_shape == (None, 1)


@pytest.mark.parametrize("shape", [(len(WORDS) + 1, 3), (len(WORDS),)])
def test_vectors_of_another_vocabulary_are_refused(shape):
    with pytest.raises(
        ValueError, match=rf"a row for each of the {len(WORDS)} codes\. Received: shape \(.*\)\. Load the vectors with"
    ):
        build_text_classifier(WORDS, 2, embedding=np.zeros(shape))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"embedding": 0}, ValueError, "`embedding` must be at least 1. Received: 0"),
        ({"embedding": 0.5}, TypeError, "`embedding` must be a whole number"),
        ({"pooling": "lats"}, ValueError, "`pooling` must be one of .* Did you mean 'last'"),
        ({"word_dropout": 1.0}, ValueError, "`word_dropout` must be a share from 0"),
        ({"layers": rt.recurrent_layers("gru", (2,))}, ValueError, "needs all steps.*return_sequences=True"),
    ],
)
def test_options_of_a_classifier_out_of_range_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        build_text_classifier(WORDS, 2, **options)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"embedding": 0}, ValueError, "`embedding` must be at least 1. Received: 0"),
        ({"batch_size": 0}, ValueError, "`batch_size` must be at least 1"),
        ({"word_dropout": -1}, ValueError, "`word_dropout` must be a share from 0"),
        ({"layers": gru(2, bidirectional=True)}, ValueError, "`layers` reads backwards at position 0"),
        ({"layers": rt.recurrent_layers("gru", (2,))}, ValueError, "`layers` returns only the last step at position 0"),
        ({"layers": [keras.layers.Dense(2)]}, ValueError, "`layers` holds no recurrent layer"),
    ],
)
def test_options_of_a_language_model_out_of_range_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        build_language_model(WORDS, **options)


def test_layers_are_found_by_their_kind():
    kinds = [type(layer) for layer in build_text_classifier(WORDS, 2, [], embedding=1).layers]
    assert kinds.count(TokenEmbedding) == kinds.count(Labels) == 1
    assert isinstance(build_language_model(WORDS, gru(), embedding=1).layers[0], NextToken)


# ---------------------------------------------------------------------------------------------------------------------
# taggers
# ---------------------------------------------------------------------------------------------------------------------

TAGGED = fit_vocabulary(["a a a a b b b c c EU-wide"])  # a 2, b 3, c 4, -, eu, wide from 5 on


def small_tagger(vocabulary=TAGGED, tags=("x", "y"), units=4, **options) -> keras.Model:
    layers = rt.recurrent_layers("gru", (units,), bidirectional=True, return_sequences=True)
    return rt.build_tagger(vocabulary, tags, layers, embedding=4, **options)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Layer 'conv1d.* does not support masking:UserWarning")  # so it is meant
@pytest.mark.parametrize("last", [[], [keras.layers.Conv1D(4, 1)]], ids=["masked", "mask lost"])
def test_the_loss_is_the_mean_over_tokens_however_much_padding_there_is(last):
    layers = rt.recurrent_layers("gru", (4,), bidirectional=True, return_sequences=True)
    model = rt.build_tagger(TAGGED, ["x", "y"], [*layers, *last], embedding=4)
    texts, tags = [["a"] * 30, ["b"], []], [["x"] * 30, ["y"], []]

    def scores(*places):
        some = [texts[place] for place in places], [tags[place] for place in places]
        batches = rt.tag_batches(*some, vocabulary=TAGGED, classes=["x", "y"])
        return model.evaluate(batches, verbose=0, return_dict=True)

    together, long, short = scores(0, 1, 2), scores(0), scores(1)
    assert together["loss"] == pytest.approx((30 * long["loss"] + short["loss"]) / 31, rel=1e-4)
    assert together["accuracy"] == pytest.approx((30 * long["accuracy"] + short["accuracy"]) / 31, rel=1e-5)


def test_the_accuracy_counts_each_token_alike_in_batches_of_every_width():
    model = small_tagger()
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel * 0, bias + np.array([1, 0])])  # always "x"
    batches = rt.tag_batches([["a"], ["b"] * 20], [["x"], ["y"] * 20], vocabulary=TAGGED, batch_size=1)
    assert model.evaluate(batches, verbose=0, return_dict=True)["accuracy"] == pytest.approx(1 / 21)


CAPITALS = {"a": str.lower, "A": str.capitalize}


def punctuated(text: str) -> tuple[list[str], list[str]]:
    """Return lower-case words without marks, and what it takes to restore them: "A," is a capital and a comma."""
    parts = [re.fullmatch(r"(.*?)([,.?!]?)", word).groups() for word in text.split()]
    return [word.lower() for word, _ in parts], ["aA"[word[0].isupper()] + mark for word, mark in parts]


def restored(table: pd.DataFrame) -> str:
    return " ".join(CAPITALS[tag[0]](token) + tag[1:] for token, tag in zip(table["token"], table["tag"], strict=True))


@pytest.mark.slow
def test_capitals_and_marks_are_learnt_and_survive_the_file(tmp_path):
    # Which mark "do" and "we" carry shows only in what follows: a model that reads forwards alone cannot know.
    lines = ["Yes, we do.", "Do we, Anna?", "Anna, yes.", "We do, Anna.", "Yes."]
    tokens, tags = zip(*map(punctuated, lines), strict=True)
    assert (tokens[1], tags[1]) == (["do", "we", "anna"], ["A", "a,", "A?"])
    vocabulary = fit_vocabulary(map(" ".join, tokens))
    batches = rt.tag_batches(tokens, tags, vocabulary=vocabulary)
    model = small_tagger(vocabulary, batches.classes, units=16, dropout=0.0, optimizer=rt.make_optimizer(0.03))
    for _ in range(60):
        model.train_on_batch(*batches[0])
    table = rt.tag(model, [" ".join(words) for words in tokens])
    assert [restored(rows) for _, rows in table.groupby("text")] == lines
    assert rt.score_tags(tags, table).loc[("token", "micro mean"), "F1"] == 1
    model.save(tmp_path / "tagger.keras")
    loaded = keras.saving.load_model(tmp_path / "tagger.keras")
    pd.testing.assert_frame_equal(rt.tag(loaded, tokens), table)
    assert loaded.evaluate(batches, verbose=0, return_dict=True)["accuracy"] == 1


def test_pretrained_vectors_start_a_tagger():
    vectors = np.arange(2.0 * len(TAGGED)).reshape(len(TAGGED), 2).astype("float32")
    model = rt.build_tagger(TAGGED, ["x", "y"], embedding=vectors)
    np.testing.assert_array_equal(model.layers[0].get_weights()[0], vectors)
    with pytest.raises(ValueError, match="`embedding` must have a row for each of the 8 codes"):
        rt.build_tagger(TAGGED, ["x", "y"], embedding=vectors[1:])


def test_models_that_cannot_tag_are_refused():
    with pytest.raises(ValueError, match=r"`layers` must return every step.* Received: \(None, 4\)"):
        rt.build_tagger(TAGGED, ["x", "y"], rt.recurrent_layers("gru", (4,)))
    with pytest.raises(ValueError, match=r"two at least, all different. Received: \['x'\]"):
        rt.build_tagger(TAGGED, ["x"])
    with pytest.raises(TypeError, match="`vocabulary` must be a Vocabulary"):
        rt.build_tagger("abc", ["x", "y"])
