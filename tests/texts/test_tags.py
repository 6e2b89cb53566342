"""Every token has its tag, padding has none, and scores are those of a pencil."""

import re

import keras
import numpy as np
import pandas as pd
import pytest

from rnn_toolkit.networks.optimization import make_optimizer
from rnn_toolkit.networks.recurrent import recurrent_layers
from rnn_toolkit.texts.evaluation import TokenAccuracy, score_tags
from rnn_toolkit.texts.explanation import explain_text
from rnn_toolkit.texts.models import build_tagger, build_text_classifier
from rnn_toolkit.texts.recognition import classify, tag
from rnn_toolkit.texts.tags import tag_batches
from rnn_toolkit.texts.vocabulary import fit_vocabulary
from rnn_toolkit.training.train import train

NAN = float("nan")
WORDS = fit_vocabulary(["a a a a b b b c c EU-wide"])  # a 2, b 3, c 4, -, eu, wide from 5 on
LETTERS = fit_vocabulary(["abcdefghij"], unit="character")
SUBWORDS = fit_vocabulary(["low lower lowest"] * 3, unit="subword", size=265)


def small_tagger(vocabulary=WORDS, tags=("x", "y"), units=4, **options) -> keras.Model:
    layers = recurrent_layers("gru", (units,), bidirectional=True, return_sequences=True)
    return build_tagger(vocabulary, tags, layers, embedding=4, **options)


# ---------------------------------------------------------------------------------------------------------------------
# batches
# ---------------------------------------------------------------------------------------------------------------------


def test_each_token_has_its_tag_and_padding_weighs_nothing():
    batches = tag_batches([["a", "B", "c"], ["b"]], [["x", "y", "x"], ["y"]], vocabulary=WORDS)
    ((x, y, weight),) = batches
    assert x.tolist() == [[2, 3, 4, 0, 0, 0, 0, 0], [3, 0, 0, 0, 0, 0, 0, 0]]
    assert y.tolist() == [[0, 1, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]]
    assert weight.tolist() == [[1, 1, 1, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]]
    assert (x.dtype, y.dtype, weight.dtype) == ("int32", "int32", "float32")
    assert batches.classes == ["x", "y"]
    assert batches.tokens == [["a", "B", "c"], ["b"]]
    assert repr(batches) == "TagBatches(2 texts, 2 classes, 1 batches)"


def test_a_token_that_the_vocabulary_would_cut_stays_one_and_is_its_rarest_known_part():
    code = {token: code for code, token in enumerate(WORDS.tokens)}
    texts = [["a-b-c", "a,b", "EU-new", "new", "", " "]]
    ((x,),) = tag_batches(texts, vocabulary=WORDS)
    assert x[0, :6].tolist() == [code["-"], code["b"], max(code["eu"], code["-"]), 1, 1, 1]


def test_a_text_is_cut_as_the_vocabulary_does_it():
    batches = tag_batches(["A, b!", "EU-wide"], [[1, 2, 3, 4], [1, 2, 3]], vocabulary=WORDS)
    assert batches.tokens == [["A", ",", "b", "!"], ["EU", "-", "wide"]]
    assert [x[x > 0].tolist() for x in batches[0][0]] == [
        codes.tolist() for codes in WORDS.encode(["A, b!", "EU-wide"])
    ]


def test_a_vocabulary_of_characters_takes_a_tag_for_each():
    ((x, y, _),) = tag_batches(["cab"], [["B", "I", "I"]], vocabulary=LETTERS)
    assert LETTERS.decode(x[0]) == "cab"
    assert y[0, :3].tolist() == [0, 1, 1]
    ((same, _, _),) = tag_batches([["c", "a", "b"]], [["B", "I", "I"]], vocabulary=LETTERS)
    assert same.tolist() == x.tolist()


def test_a_text_without_tokens_is_one_unknown_token_without_weight():
    ((x, y, weight),) = tag_batches([[], ["a"], []], [[], ["y"], []], vocabulary=WORDS, classes=["x", "y"])
    assert x[:, :2].tolist() == [[1, 0], [2, 0], [1, 0]]
    assert y[:, 0].tolist() == [0, 1, 0]
    assert weight[:, :2].tolist() == [[0, 0], [1, 0], [0, 0]]


@pytest.mark.parametrize("bucket", [True, False])
def test_each_epoch_holds_every_token_once_with_its_tag(bucket):
    generator = np.random.default_rng(0)
    texts = [generator.choice(list("abc"), size).tolist() for size in generator.integers(0, 30, 50)]
    tags = [[f"tag {token}" for token in text] for text in texts]
    options = {"vocabulary": WORDS, "batch_size": 8, "bucket": bucket, "shuffle": True, "seed": 3}
    batches, again = tag_batches(texts, tags, **options), tag_batches(texts, tags, **options)
    orders = []
    for epoch in range(3):
        again.set_epoch(epoch)
        num_tokens = 0
        for batch, same in zip(batches, again, strict=True):
            x, y, weight = batch
            assert all(map(np.array_equal, batch, same))
            assert (x[weight > 0] == y[weight > 0] + 2).all()  # a, b, c: codes 2, 3, 4 and classes 0, 1, 2
            num_tokens += weight.sum()
        assert num_tokens == sum(map(len, texts))
        assert sorted(batches.order) == list(range(50))
        orders.append(batches.order.tolist())
        batches.on_epoch_end()
    assert orders[0] != orders[1] != orders[2]


def test_classes_may_be_given_in_an_order_of_their_own():
    batches = tag_batches([["a", "b"]], [np.array(["x", "y"])], vocabulary=WORDS, classes=["z", "y", "x"])
    assert batches[0][1][0, :2].tolist() == [2, 1]


@pytest.mark.parametrize(
    ("texts", "tags", "error", "message"),
    [
        ("a b", ["x", "y"], TypeError, "`texts` must be a list"),
        ([], [], ValueError, "`texts` is empty"),
        ([["a"], None], [["x"], ["y"]], ValueError, "`texts` has no text at position 1"),
        ([["a"], 5], [["x"], ["y"]], TypeError, "`texts` must hold str. Received at position 1: int"),
        ([["a"], ["b", 5]], [["x"], ["y", "y"]], TypeError, r"`texts\[1\]` must hold str. Received at position 1: int"),
        ([["a"], ["b"]], [["x"]], ValueError, "`tags` has tags for 1 texts, but there are 2"),
        ([["a"], ["b"]], [["x"], "y"], TypeError, "list of tags for each text. Received at position 1: 'y'"),
        ([["a"], ["b", "c"]], [["x"], ["y"]], ValueError, "holds 1 tags at position 1, where the text has 2 tokens"),
        ([["a", "b"]], [["x", None]], ValueError, "`tags` has none at position 0: None"),
        ([["a", "b"]], [["x", NAN]], ValueError, "`tags` has none at position 0: nan"),
        ([["a", "b"]], [["x", 1.5]], TypeError, "`tags` must be text, whole numbers or bools"),
        ([["a", "b"]], [["x", 1]], TypeError, "`tags` are of several types"),
        ([["a", "b"]], [["x", "x"]], ValueError, r"two at least, all different. Received: \['x'\]"),
    ],
)
def test_texts_and_tags_that_do_not_fit_are_refused(texts, tags, error, message):
    with pytest.raises(error, match=message):
        tag_batches(texts, tags, vocabulary=WORDS)


def test_an_unknown_tag_is_refused():
    message = "`tags` holds 'B-PRE' at position 1, but `classes` are 'B-PER', 'O'. Did you mean 'B-PER'?"
    with pytest.raises(ValueError, match=re.escape(message)):
        tag_batches([["a"], ["b"]], [["O"], ["B-PRE"]], vocabulary=WORDS, classes=["B-PER", "O"])


def test_vocabularies_that_cannot_tag_are_refused():
    with pytest.raises(ValueError, match="`vocabulary` cuts words into subwords"):
        tag_batches(["low"], [["x"]], vocabulary=SUBWORDS)
    with pytest.raises(ValueError, match="`vocabulary` has characters, but `texts` holds 'ab' at position 1"):
        tag_batches(["a", ["ab"]], [["x"], ["y"]], vocabulary=LETTERS)
    with pytest.raises(TypeError, match="`vocabulary` must be a Vocabulary"):
        tag_batches([["a"]], [["x"]], vocabulary=["a"])


def test_an_unknown_bucket_is_refused():
    with pytest.raises(ValueError, match="`bucket` must be one of 'auto'"):
        tag_batches([["a"]], [["x"]], vocabulary=WORDS, bucket="yes")


# ---------------------------------------------------------------------------------------------------------------------
# models
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Layer 'conv1d.* does not support masking:UserWarning")  # so it is meant
@pytest.mark.parametrize("last", [[], [keras.layers.Conv1D(4, 1)]], ids=["masked", "mask lost"])
def test_the_loss_is_the_mean_over_tokens_however_much_padding_there_is(last):
    layers = recurrent_layers("gru", (4,), bidirectional=True, return_sequences=True)
    model = build_tagger(WORDS, ["x", "y"], [*layers, *last], embedding=4)
    texts, tags = [["a"] * 30, ["b"], []], [["x"] * 30, ["y"], []]

    def scores(*places):
        some = [texts[place] for place in places], [tags[place] for place in places]
        batches = tag_batches(*some, vocabulary=WORDS, classes=["x", "y"])
        return model.evaluate(batches, verbose=0, return_dict=True)

    together, long, short = scores(0, 1, 2), scores(0), scores(1)
    assert together["loss"] == pytest.approx((30 * long["loss"] + short["loss"]) / 31, rel=1e-4)
    assert together["accuracy"] == pytest.approx((30 * long["accuracy"] + short["accuracy"]) / 31, rel=1e-5)


def test_the_accuracy_counts_each_token_alike_in_batches_of_every_width():
    model = small_tagger()
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel * 0, bias + np.array([1, 0])])  # always "x"
    batches = tag_batches([["a"], ["b"] * 20], [["x"], ["y"] * 20], vocabulary=WORDS, batch_size=1)
    assert model.evaluate(batches, verbose=0, return_dict=True)["accuracy"] == pytest.approx(1 / 21)


def test_the_accuracy_works_without_weights():
    metric = TokenAccuracy()
    metric.update_state(np.array([[1, 0]]), np.array([[[0.1, 0.9], [0.2, 0.8]]]))
    assert float(metric.result()) == 0.5


def test_padding_changes_no_tag():
    model = small_tagger()
    alone = tag(model, [["b", "c"]])
    beside = tag(model, [["a"] * 30, ["b", "c"]])
    np.testing.assert_allclose(beside["probability"][30:], alone["probability"], rtol=1e-5)


CAPITALS = {"a": str.lower, "A": str.capitalize}


def punctuated(text: str) -> tuple[list[str], list[str]]:
    """Return lower-case words without marks, and what it takes to restore them: "A," is a capital and a comma."""
    parts = [re.fullmatch(r"(.*?)([,.?!]?)", word).groups() for word in text.split()]
    return [word.lower() for word, _ in parts], ["aA"[word[0].isupper()] + mark for word, mark in parts]


def restored(table: pd.DataFrame) -> str:
    return " ".join(CAPITALS[tag[0]](token) + tag[1:] for token, tag in zip(table["token"], table["tag"], strict=True))


def test_capitals_and_marks_are_learnt_and_survive_the_file(tmp_path):
    # Which mark "do" and "we" carry shows only in what follows: a model that reads forwards alone cannot know.
    lines = ["Yes, we do.", "Do we, Anna?", "Anna, yes.", "We do, Anna.", "Yes."]
    tokens, tags = zip(*map(punctuated, lines), strict=True)
    assert (tokens[1], tags[1]) == (["do", "we", "anna"], ["A", "a,", "A?"])
    vocabulary = fit_vocabulary(map(" ".join, tokens))
    batches = tag_batches(tokens, tags, vocabulary=vocabulary)
    model = small_tagger(vocabulary, batches.classes, units=16, dropout=0.0, optimizer=make_optimizer(0.03))
    history = train(model, batches, epochs=60, progress=None)
    assert history["accuracy"].iloc[-1] == 1
    table = tag(model, [" ".join(words) for words in tokens])
    assert [restored(rows) for _, rows in table.groupby("text")] == lines
    assert score_tags(tags, table).loc[("token", "micro mean"), "F1"] == 1
    model.save(tmp_path / "tagger.keras")
    loaded = keras.saving.load_model(tmp_path / "tagger.keras")
    pd.testing.assert_frame_equal(tag(loaded, tokens), table)
    assert loaded.evaluate(batches, verbose=0, return_dict=True)["accuracy"] == 1


def test_pretrained_vectors_start_the_embedding():
    vectors = np.arange(2.0 * len(WORDS)).reshape(len(WORDS), 2).astype("float32")
    model = build_tagger(WORDS, ["x", "y"], embedding=vectors)
    np.testing.assert_array_equal(model.layers[0].get_weights()[0], vectors)
    with pytest.raises(ValueError, match="`embedding` must have a row for each of the 8 codes"):
        build_tagger(WORDS, ["x", "y"], embedding=vectors[1:])


def test_models_that_cannot_tag_are_refused():
    with pytest.raises(ValueError, match=r"`layers` must return every step.* Received: \(None, 4\)"):
        build_tagger(WORDS, ["x", "y"], recurrent_layers("gru", (4,)))
    with pytest.raises(ValueError, match=r"two at least, all different. Received: \['x'\]"):
        build_tagger(WORDS, ["x"])
    with pytest.raises(TypeError, match="`vocabulary` must be a Vocabulary"):
        build_tagger("abc", ["x", "y"])


# ---------------------------------------------------------------------------------------------------------------------
# use
# ---------------------------------------------------------------------------------------------------------------------


def always(code: int, vocabulary=WORDS) -> keras.Model:
    model = small_tagger(vocabulary)
    kernel, _ = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel * 0, np.log([[0.75, 0.25], [0.25, 0.75]][code])])
    return model


def test_the_table_has_a_row_for_each_token_as_it_stands_in_the_text():
    table = tag(always(1), pd.Series(["A, new", "", "EU!"], index=["one", "two", "three"]))
    assert table.columns.tolist() == ["text", "token", "tag", "probability"]
    assert table["text"].tolist() == ["one"] * 3 + ["three"] * 2
    assert table["token"].tolist() == ["A", ",", "new", "EU", "!"]
    assert table["tag"].tolist() == ["y"] * 5
    assert table["probability"].tolist() == pytest.approx([0.75] * 5)


def test_tokens_and_characters_are_tagged_one_by_one_in_the_order_of_the_texts():
    texts = [list("ab") * size for size in (20, 1, 30, 2)]
    table = tag(always(0), texts, batch_size=1)
    assert table.groupby("text")["token"].agg(list).tolist() == texts
    assert tag(always(0, LETTERS), ["ab", "c d"])["token"].tolist() == ["a", "b", "c", " ", "d"]


def test_each_row_tells_what_its_own_text_came_to():
    model = small_tagger()
    texts = [list("abcab") * 5, list("b"), list("cb") * 6, list("ba")]
    table = tag(model, texts, batch_size=2)
    alone = [model.predict(tag_batches([text], vocabulary=WORDS), verbose=0)[0, : len(text)] for text in texts]
    np.testing.assert_allclose(table["probability"], np.concatenate(alone).max(1), rtol=1e-5)
    assert table["tag"].tolist() == [["x", "y"][code] for code in np.concatenate(alone).argmax(1)]


def test_texts_without_any_token_give_an_empty_table():
    assert tag(always(0), ["", " "]).shape == (0, 4)


def test_models_and_texts_of_another_kind_are_refused():
    classifier = build_text_classifier(WORDS, ["x", "y"], recurrent_layers("gru", (2,), return_sequences=True))
    with pytest.raises(ValueError, match=r"'text_classifier' does not label tokens: .*\(None, 2\). Use `rt.classify`"):
        tag(classifier, ["a"])
    for use in (classify, explain_text):
        with pytest.raises(ValueError, match=r"'tagger' does not label texts: .*\(None, None, 2\). Use `rt.tag`"):
            use(small_tagger(), ["a"])
    with pytest.raises(TypeError, match="`texts` must be a list"):
        tag(small_tagger(), "a b")
    with pytest.raises(ValueError, match=r"carries no `rnn_toolkit\.text_layers\.TokenEmbedding`"):
        tag(keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]), ["a"])


# ---------------------------------------------------------------------------------------------------------------------
# scores
# ---------------------------------------------------------------------------------------------------------------------


def test_tokens_are_scored_by_tag():
    scores = score_tags([["x", "x", "y"], ["z"]], [["x", "y", "y"], ["y"]])
    assert scores.index.tolist() == [("token", name) for name in ("x", "y", "z", "micro mean", "macro mean")]
    assert scores.columns.tolist() == ["precision", "recall", "F1", "support"]
    assert scores.loc[("token", "x")].tolist() == pytest.approx([1, 1 / 2, 2 / 3, 2])
    assert scores.loc[("token", "y")].tolist() == pytest.approx([1 / 3, 1, 1 / 2, 1])
    assert scores.loc[("token", "z")].tolist() == [0, 0, 0, 1]  # never predicted
    assert scores.loc[("token", "micro mean")].tolist() == pytest.approx([1 / 2, 1 / 2, 1 / 2, 4])
    assert scores.loc[("token", "macro mean")].tolist() == pytest.approx([4 / 9, 1 / 2, 7 / 18, 4])
    assert scores["support"].dtype == "int64"


def test_tokens_are_scored_as_scikit_learn_does():
    metrics = pytest.importorskip("sklearn.metrics")
    actual, predicted = np.random.default_rng(0).integers(0, 5, (2, 200))
    scores = score_tags([actual], [predicted]).loc["token"]
    for rows, average in ((slice(0, 5), None), ("micro mean", "micro"), ("macro mean", "macro")):
        expected = metrics.precision_recall_fscore_support(actual, predicted, average=average)[:3]
        ours = scores.iloc[rows] if average is None else scores.loc[rows]
        np.testing.assert_allclose(ours[["precision", "recall", "F1"]].to_numpy().T, expected)


def spans(actual: str, predicted: str) -> pd.DataFrame:
    """Score tags written as "B-P I-P O | B-L", a bar between texts."""
    rows = [[text.split() for text in tags.split("|")] for tags in (actual, predicted)]
    return score_tags(*rows).loc["span"]


@pytest.mark.parametrize(
    ("predicted", "num_right", "num_predicted"),
    [
        ("B-P I-P O B-L | B-P", 3, 3),
        ("B-P O O B-L | B-P", 2, 3),  # too short
        ("B-P I-P I-P B-L | B-P", 2, 3),  # too long
        ("B-P B-P O B-L | B-P", 2, 4),  # cut in two
        ("B-L I-L O B-L | B-P", 2, 3),  # another kind
        ("B-P I-L O B-L | B-P", 2, 4),  # an "I-" of another kind begins a span
        ("I-P I-P O I-L | I-P", 3, 3),  # as does one behind "O" or at the beginning of a text
        ("O O O O | O", 0, 0),
    ],
)
def test_a_span_is_right_if_it_begins_ends_and_is_named_as_in_the_truth(predicted, num_right, num_predicted):
    micro = spans("B-P I-P O B-L | B-P", predicted).loc["micro mean"]
    assert micro["precision"] == pytest.approx(num_right / max(num_predicted, 1))
    assert micro["recall"] == pytest.approx(num_right / 3)
    assert micro["F1"] == pytest.approx(2 * num_right / (num_predicted + 3))
    assert micro["support"] == 3


def test_a_span_ends_with_its_text():
    assert spans("O B-P | I-P", "O B-P | I-P").loc["P", "support"] == 2


def test_kinds_of_spans_are_scored_one_by_one():
    scores = spans("B-P I-P B-P O B-L", "B-P I-P O B-L B-L")
    assert scores.index.tolist() == ["L", "P", "micro mean", "macro mean"]
    assert scores.loc["L"].tolist() == pytest.approx([1 / 2, 1, 2 / 3, 1])
    assert scores.loc["P"].tolist() == pytest.approx([1, 1 / 2, 2 / 3, 2])
    assert scores.loc["micro mean"].tolist() == pytest.approx([2 / 3, 2 / 3, 2 / 3, 3])
    assert scores.loc["macro mean"].tolist() == pytest.approx([3 / 4, 3 / 4, 2 / 3, 3])


@pytest.mark.parametrize("tags", [["noun", "verb"], ["O", "O"], ["B", "O"], [0, 1], ["B-P", "E-P"], ["B-", "O"]])
def test_other_tags_have_no_spans(tags):
    assert score_tags([tags], [tags]).index.get_level_values("unit").unique().tolist() == ["token"]


def test_the_table_of_tag_is_scored_with_the_texts_of_the_truth():
    table = pd.DataFrame({"text": [0, 0, 2], "tag": ["B-P", "I-P", "I-P"]})
    actual = [["B-P", "I-P"], [], ["B-P"]]
    pd.testing.assert_frame_equal(score_tags(actual, table), score_tags(actual, [["B-P", "I-P"], [], ["I-P"]]))
    assert score_tags(actual, table).loc[("span", "P"), "F1"] == 1


@pytest.mark.parametrize(
    ("actual", "predicted", "error", "message"),
    [
        ("xy", [["x"]], TypeError, "`actual` must be a list"),
        (["xy"], [["x", "y"]], TypeError, "`actual` must hold a list of tags for each text. Received at position 0"),
        ([["x"]], [["x"], ["y"]], ValueError, "`predicted` has tags for 2 texts, but there are 1"),
        (
            [["x"], ["y"]],
            [["x"], ["y", "y"]],
            ValueError,
            "`predicted` holds 2 tags at position 1, where `actual` has 1",
        ),
        ([["x"]], pd.DataFrame({"tag": ["x", "y"]}), ValueError, "`predicted` has 2 rows, but `actual` 1 tags"),
        ([["x"]], pd.DataFrame({"Tag": ["x"]}), ValueError, "`predicted` has no column 'tag'"),
        ([[]], [[]], ValueError, "`actual` holds no tag"),
        ([["x"], ["x", None]], [["x"], ["x", "y"]], ValueError, "`actual` misses a tag at position 1"),
        ([["x"], ["x"]], [["x"], [NAN]], ValueError, "`predicted` misses a tag at position 1"),
    ],
)
def test_what_cannot_be_scored_is_refused(actual, predicted, error, message):
    with pytest.raises(error, match=message):
        score_tags(actual, predicted)
