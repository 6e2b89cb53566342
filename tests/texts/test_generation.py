"""Generation by models whose next token is known: a table says how likely each token is behind each other one."""

import functools
import itertools

import keras
import numpy as np
import pytest

from rnn_toolkit import (
    build_language_model,
    fit_vocabulary,
    generate,
    next_token_probabilities,
    recurrent_layers,
)
from rnn_toolkit.texts import generation
from rnn_toolkit.texts.vocabulary import PADDING, UNKNOWN

NEVER = -1e4  # the logit of what a table does not name
ABC = fit_vocabulary(["abcxy.!"], unit="character")
WORDS = fit_vocabulary(["to be , or not ( )"])
BYTES = fit_vocabulary(["\x00"], unit="subword", size=258)
CYCLE = {"a": {"b": 1}, "b": {"c": 1}, "c": {"a": 1}}
ALWAYS = {one: {"a": 0.6, "b": 0.3, "c": 0.1} for one in "abc"}
VERSE = {"to": {"be": 1}, "be": {",": 1}, ",": {"or": 1}, "or": {"not": 1}, "not": {"to": 1}}


@functools.cache
def stub(vocabulary):
    """Return a model whose logits are the row of its last token in a table: one-hot vectors, passed on as they are."""
    size = len(vocabulary)
    rnn = keras.layers.SimpleRNN(size, activation="linear", use_bias=False, return_sequences=True)
    model = build_language_model(vocabulary, [rnn], embedding=size, tied=False)
    model.layers[0].embedding.set_weights([np.eye(size)])
    rnn.set_weights([np.eye(size), np.zeros((size, size))])
    return model


def speaker(table, vocabulary=ABC):
    """Return a model that goes on by a table of probabilities, the same one for each vocabulary."""
    logits = np.full((len(vocabulary), len(vocabulary)), NEVER)
    for before, row in table.items():
        for token, probability in row.items():
            logits[code(before, vocabulary), code(token, vocabulary)] = np.log(probability)
    stub(vocabulary).layers[0].head.set_weights([logits, np.zeros(len(vocabulary))])
    return stub(vocabulary)


def code(token, vocabulary) -> int:
    return token if isinstance(token, int) else vocabulary.tokens.index(token)


@functools.cache
def reader(stack="gru"):
    """Return a model of random weights that depends on all that it has read."""
    keras.utils.set_random_seed(1)
    layers = recurrent_layers(stack, (6,), return_sequences=True)
    model = build_language_model(ABC, layers, embedding=3, tied=True)
    core = model.layers[0]
    core.set_weights([weight * 4 for weight in core.get_weights()])
    return model


def logits_of(model, text) -> np.ndarray:
    """Return the logits behind a text, all of it read anew."""
    codes = np.zeros((1, 8), "int32")  # one width, compiled once
    codes[0, : len(text)] = ABC.encode(text)
    return np.array(model.predict_on_batch(codes)[0, len(text) - 1], "float64")


# ---------------------------------------------------------------------------------------------------------------------
# one token behind the other
# ---------------------------------------------------------------------------------------------------------------------


def test_without_temperature_the_likeliest_token_is_written():
    assert generate(speaker(CYCLE), "a", length=5, temperature=0) == "abcabc"
    assert generate(speaker(ALWAYS), "b", length=3, temperature=0) == "baaa"


def test_the_prompt_is_returned_as_given_and_unknown_characters_are_read_as_unknown():
    model = speaker(CYCLE | {UNKNOWN: {"c": 1}})
    assert generate(model, "ab?", length=2, temperature=0) == "ab?ca"


@pytest.mark.parametrize("stack", ["simple", "lstm", "gru"])
def test_a_text_written_with_the_state_is_that_of_reading_all_of_it_again(stack):
    model, text = reader(stack), "ab"
    for _ in range(6):
        logits = logits_of(model, text)
        logits[[PADDING, UNKNOWN]] = -np.inf
        text += ABC.tokens[logits.argmax()]
    assert generate(model, "ab", length=6, temperature=0) == text


def test_prompts_of_different_lengths_are_written_on_as_each_alone():
    prompts = ["a", "abc", "cabba", "bcb"]
    together = generate(reader(), prompts, length=8, temperature=0)
    assert together == [generate(reader(), prompt, length=8, temperature=0) for prompt in prompts]
    assert len({text[-8:] for text in together}) > 1  # the prompts do matter
    assert generate(reader(), ("a",), length=8, temperature=0) == together[:1]


def test_writing_changes_neither_weights_nor_the_states_that_the_model_keeps():
    model = reader()
    before = model.get_weights()
    generate(model, "abc", length=3, seed=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        assert np.array_equal(old, new)


def test_a_model_that_became_nan_writes_nothing():
    model = build_language_model(ABC, recurrent_layers("gru", (2,), return_sequences=True), embedding=2)
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    with pytest.raises(ValueError, match=r"'next_token' answers with NaN: its training went wrong"):
        generate(model, "a", length=3)
    with pytest.raises(ValueError, match="answers with NaN"):
        next_token_probabilities(model, "a")


def test_each_token_is_read_once_and_the_prompt_in_powers_of_two(monkeypatch):
    shapes, read = [], generation._read

    def reading(core, codes, states):
        shapes.append(codes.shape)
        return read(core, codes, states)

    monkeypatch.setattr(generation, "_read", reading)
    generate(speaker(CYCLE), "abcabca", length=4, temperature=0)
    assert shapes == [(1, 4), (1, 2), (1, 1)] + [(1, 1)] * 3  # nobody asks what follows the last
    shapes.clear()
    generate(speaker(CYCLE), "a" * 514, length=1, temperature=0)
    assert shapes == [(1, 256), (1, 256), (1, 2)]
    shapes.clear()
    generate(speaker(CYCLE), ["a", "b", "c"], length=3, temperature=0)
    assert shapes == [(1, 1)] * 3 + [(3, 1)] * 2


# ---------------------------------------------------------------------------------------------------------------------
# draws
# ---------------------------------------------------------------------------------------------------------------------


def test_the_same_seed_writes_the_same_text():
    model = speaker(ALWAYS)
    first, second, other, *free = [generate(model, "a", length=60, seed=seed) for seed in (3, 3, 4, None, None)]
    assert first == second
    assert len({first, other, *free}) == 4
    assert len(set(generate(model, ["a"] * 5, length=60, seed=3))) == 5


@pytest.mark.parametrize("options", [{"top_k": 1}, {"top_p": 0.5}, {"temperature": 0.01}])
def test_what_is_drawn_from_can_be_narrowed_down(options):
    model = speaker(ALWAYS)
    assert set(generate(model, "a", length=40, seed=0)) == {"a", "b", "c"}
    assert generate(model, "a", length=40, seed=0, **options) == "a" * 41


@pytest.mark.parametrize("options", [{"temperature": 0}, {"seed": 0}])
def test_neither_padding_nor_the_unknown_token_is_written(options):
    row = {PADDING: 1e6, UNKNOWN: 1e5, "a": 0.5, "b": 0.5}
    text = generate(speaker({"a": row, "b": row}), "a", length=20, **options)
    assert len(text) == 21 and set(text) <= {"a", "b"}


# ---------------------------------------------------------------------------------------------------------------------
# piece by piece
# ---------------------------------------------------------------------------------------------------------------------


def in_bytes(*texts) -> dict:
    """Return a table that writes each text behind its first byte, over and over."""
    rows = [[BYTES.tokens[one] for one in BYTES.encode(text)] for text in texts]
    return {before: {after: 1} for row in rows for before, after in itertools.pairwise([*row, row[0]])}


def test_pieces_are_whole_characters():
    assert list(generate(speaker(CYCLE), "a", length=4, temperature=0, stream=True)) == ["b", "c", "a", "b"]
    assert list(generate(speaker(in_bytes("aé€"), BYTES), "a", length=6, temperature=0, stream=True)) == ["é", "€", "a"]
    assert list(generate(speaker(VERSE, WORDS), "to", length=3, temperature=0, stream=True)) == [" be", ",", " or"]


@pytest.mark.parametrize(
    ("vocabulary", "table"),
    [
        (ABC, ALWAYS),
        (WORDS, dict.fromkeys(WORDS.tokens[2:], dict.fromkeys(WORDS.tokens[2:], 1 / 7))),
        (BYTES, dict.fromkeys(range(2, 258), dict.fromkeys(in_bytes("aé€"), 1 / 6))),  # most of it no UTF-8
    ],
)
def test_the_pieces_joined_are_the_text(vocabulary, table):
    model, prompt = speaker(table, vocabulary), "to" if vocabulary is WORDS else "a"
    for seed in range(4):
        options = {"length": 12, "seed": seed}
        assert prompt + "".join(generate(model, prompt, stream=True, **options)) == generate(model, prompt, **options)


def test_what_is_left_unfinished_comes_in_the_end():
    assert list(generate(speaker(in_bytes("aé"), BYTES), "a", length=1, temperature=0, stream=True)) == ["\ufffd"]


# ---------------------------------------------------------------------------------------------------------------------
# words, and what stands between them
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("to be", "to be, or not"),
        ("To BE,", "To BE, or not to"),
        ("not ", "not to be,"),
        ("to\n", "to\nbe, or"),
        ("(", "(to be,"),
    ],
)
def test_words_are_joined_to_the_prompt_as_print_has_it(prompt, expected):
    model = speaker(VERSE | {"(": {"to": 1}}, WORDS)
    assert generate(model, prompt, length=3, temperature=0) == expected


# ---------------------------------------------------------------------------------------------------------------------
# what may come next
# ---------------------------------------------------------------------------------------------------------------------


def test_the_next_tokens_stand_with_their_probabilities_the_likeliest_first():
    model = speaker({"a": {PADDING: 1, "c": 0.25, "b": 0.5, UNKNOWN: 0.125, "x": 0.125}})
    table = next_token_probabilities(model, "ca", top=4)
    assert table.columns.tolist() == ["token", "probability"]
    assert table["token"].tolist() == ["b", "c", "�", "x"]
    assert table["probability"].tolist() == pytest.approx([0.5, 0.25, 0.125, 0.125])
    whole = next_token_probabilities(model, "ca", top=100)
    assert sorted(whole["token"]) == sorted(ABC.tokens[1:])  # without padding, though others are as unlikely
    assert whole["probability"].sum() == pytest.approx(1)
    assert len(next_token_probabilities(model, "a")) == 8


# ---------------------------------------------------------------------------------------------------------------------
# what is refused
# ---------------------------------------------------------------------------------------------------------------------

PROMPTS = [
    ("", ValueError, "`prompt` is empty. Pass at least one character"),
    (["a", ""], ValueError, "`prompt` is empty"),
    ([], ValueError, "`prompt` is empty"),
    (None, TypeError, "`prompt` must be a list.*Received: NoneType"),
    (b"a", TypeError, r"`prompt` must hold str. Received at position 0: bytes. Decode bytes by `text\.decode"),
    (["a", None], ValueError, "`prompt` has no text at position 1: None. Drop it"),
    (["a", float("nan")], ValueError, "`prompt` has no text at position 1: nan. Drop it"),
    (["a", 5], TypeError, "`prompt` must hold str. Received at position 1: int"),
]


@pytest.mark.parametrize(("prompt", "error", "message"), PROMPTS)
def test_a_prompt_that_is_no_text_is_refused(prompt, error, message):
    with pytest.raises(error, match=message):
        generate(stub(ABC), prompt)


@pytest.mark.parametrize(
    ("prompt", "error", "message"),
    [
        ("", ValueError, "`prompt` is empty. Pass at least one character"),
        (b"a", TypeError, "`prompt` must hold str. Received at position 0: bytes"),
        (["a", "b"], TypeError, "`prompt` must hold str. Received at position 0: list"),
        ("\ud800", ValueError, "`prompt` holds half a character"),
    ],
)
def test_so_it_is_where_one_asks_what_comes_next(prompt, error, message):
    with pytest.raises(error, match=message):
        next_token_probabilities(stub(ABC), prompt)


def test_a_prompt_without_a_word_is_refused():
    with pytest.raises(ValueError, match=r"`prompt` holds nothing that .* a token: ' \\n'\. Pass text"):
        generate(speaker(VERSE, WORDS), [" \n"])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"length": 0}, ValueError, "`length` must be at least 1. Received: 0. Pass a larger"),
        ({"length": 2.5}, TypeError, "`length` must be a whole number. Received: 2.5"),
        ({"temperature": -0.1}, ValueError, "`temperature` must be a finite .* Received: -0.1. 0 takes the likeliest"),
        ({"temperature": float("nan")}, ValueError, "`temperature` must be a finite number.*Received: nan"),
        ({"temperature": "hot"}, ValueError, "`temperature` must be a finite number.*Received: hot"),
        ({"top_p": "0.9"}, ValueError, "`top_p` must lie above 0 and not above 1"),
        ({"temperature": float("inf")}, ValueError, "`temperature` must be a finite number.*Received: inf"),
        ({"temperature": True}, ValueError, "`temperature` must be a finite number.*Received: True"),
        ({"top_k": 0}, ValueError, "`top_k` must be at least 1"),
        ({"top_p": 0}, ValueError, "`top_p` must lie above 0 and not above 1. Received: 0. Try 0.9"),
        ({"top_p": 1.1}, ValueError, "`top_p` must lie above 0 and not above 1. Received: 1.1"),
        ({"seed": -1}, ValueError, "`seed` must be at least 0"),
        ({"seed": 0.5}, TypeError, "`seed` must be a whole number"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_options_out_of_range_are_refused_before_a_word_is_written(options, error, message, stream):
    with pytest.raises(error, match=message):
        generate(stub(ABC), "a", **{"stream": stream} | options)


def test_several_prompts_cannot_be_written_piece_by_piece():
    with pytest.raises(TypeError, match=r"`stream` takes one prompt\. Received: a list\. Pass a str, or stream=False"):
        generate(stub(ABC), ["a"], stream=True)


@pytest.mark.parametrize("function", [generate, next_token_probabilities])
def test_other_models_are_refused(function):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)], name="plain")
    with pytest.raises(ValueError, match=r"'plain' carries no .*NextToken`\. Build it with rt\.build_language_model"):
        function(model, "a")
    with pytest.raises(TypeError, match=r"`model` must be a Keras model\. Received: str\. Load one"):
        function("model.keras", "a")
