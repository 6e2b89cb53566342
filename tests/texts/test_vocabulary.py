"""Every text becomes codes, and codes become the text again."""

import os
import random
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from rnn_toolkit.texts.vocabulary import Vocabulary, fit_vocabulary

LETTERS = fit_vocabulary(["abcdefghijklmnopqrstuvwxyz \n"], unit="character")
SUBWORDS = fit_vocabulary(["low lower lowest newer newest"] * 3, unit="subword", size=270)
PERSIAN = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"  # two parts of a word, with a joiner that is no space
MANY_SCRIPTS = (
    "Don't stop: it's 3.14 (or 1,000)!\n\tStraße, İstanbul, ΣΊΣΥΦΟΣ, café, cafe\u0301 … 今天天气很好\u3002ภาษาไทย "
    "コーヒーを飲む 한국어 문장 नमस्ते “rock\u2019n\u2019roll” ¿qué? 👍🏽👨\u200d👩\u200d👧🇩🇪 \x00a\u00adb\ufeff <pad> "
    f"[UNK] � ½ ² {PERSIAN}\r\n"
)


def words(text: str) -> list[str]:
    """Return a text as a word vocabulary fitted on it takes it apart."""
    vocabulary = fit_vocabulary([text])
    return [vocabulary.tokens[code] for code in vocabulary.encode(text)]


# ---------------------------------------------------------------------------------------------------------------------
# what a token is
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("It works!", ["it", "works", "!"]),
        ("so-so (ok)...", ["so", "-", "so", "(", "ok", ")", ".", ".", "."]),
        ("don't 'quote' rock'n'roll", ["don't", "'", "quote", "'", "rock'n'roll"]),
        ("l\u2019homme", ["l\u2019homme"]),
        ("3.14 or 1,000.", ["3.14", "or", "1,000", "."]),
        ("a.b, c", ["a", ".", "b", ",", "c"]),
        ("snake_case x2", ["snake_case", "x2"]),
        ("\t two\r\nlines\x00 \ufeff", ["two", "lines"]),
        ("", []),
    ],
)
def test_punctuation_is_split_off_but_not_from_within_words_and_numbers(text, tokens):
    assert words(f"{text} x")[:-1] == tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("今天很好\u3002abc你", ["今", "天", "很", "好", "\u3002", "abc", "你"]),
        ("コーヒーを飲む", ["コ", "ー", "ヒ", "ー", "を", "飲", "む"]),
        ("ที่นี่", ["ที่", "นี่"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("Привет, Мир", ["привет", ",", "мир"]),
        ("नमस्ते", ["नमस्ते"]),
        (PERSIAN, [PERSIAN]),
        ("👍🏽👨\u200d👩\u200d👧🇩🇪!", ["👍🏽", "👨\u200d👩\u200d👧", "🇩🇪", "!"]),
    ],
)
def test_words_are_found_in_every_script(text, tokens):
    assert words(text) == tokens


def test_words_are_lower_cased_in_all_of_unicode_and_spelled_in_one_way():
    assert words("ÄRGER Σίσυφος ΣΊΣΥΦΟΣ Straße") == ["ärger", "σίσυφος", "σίσυφος", "straße"]
    assert words("cafe\u0301 caf\u00e9") == ["caf\u00e9", "caf\u00e9"]
    assert fit_vocabulary(["Ab ab"], lowercase=False).tokens[2:] == ("Ab", "ab")


def test_characters_are_code_points_with_nothing_changed():
    vocabulary = fit_vocabulary(["aB\na"], unit="character")
    assert vocabulary.tokens == ("", "�", "a", "\n", "B")
    assert vocabulary.encode("Ba b").tolist() == [4, 2, 1, 1]


def test_subwords_are_merged_from_bytes():
    assert len(SUBWORDS) == 270
    assert set(map(len, SUBWORDS.tokens[2:258])) == {1}
    assert [SUBWORDS.tokens[code] for code in SUBWORDS.encode("low lowering")] == ["low", "Ġlower", "i", "n", "g"]
    assert len(SUBWORDS.encode("é")) == 2
    assert 1 not in SUBWORDS.encode(MANY_SCRIPTS)


@pytest.mark.parametrize("unit", ["word", "character", "subword"])
def test_no_text_can_be_taken_for_padding_or_unknown(unit):
    text = "<pad> [PAD] [UNK] <unk> <s> \x00 padding"
    vocabulary = fit_vocabulary([text], unit=unit)
    assert vocabulary.tokens[:2] == ("", "�")
    assert vocabulary.encode(text).min() >= 2


@pytest.mark.parametrize(
    ("unit", "tokens"),
    [
        ("word", ["Don't", "stop", "é", "!"]),
        ("character", list("Don't  stop é!")),
        ("subword", [*list("Don't  stop "), "\ufffd", "\ufffd", "!"]),  # each byte by itself
    ],
)
def test_a_text_is_split_into_tokens_as_they_stand_there(unit, tokens):
    vocabulary = fit_vocabulary(["x"], unit=unit, size=258)
    assert vocabulary.split("Don't  stop é!") == tokens
    assert len(vocabulary.encode("Don't  stop é!")) == len(tokens)
    assert vocabulary.split("") == []
    assert (vocabulary.has_whole_words, vocabulary.has_single_characters) == (unit == "word", unit == "character")


# ---------------------------------------------------------------------------------------------------------------------
# the vocabulary
# ---------------------------------------------------------------------------------------------------------------------


def test_codes_go_by_frequency_and_ties_by_the_word():
    assert fit_vocabulary(["b a c", "c d d c"]).tokens == ("", "�", "c", "d", "a", "b")


def test_size_counts_all_codes_and_drops_the_rarest():
    vocabulary = fit_vocabulary(["b a c", "c d d c"], size=4)
    assert vocabulary.tokens == ("", "�", "c", "d")
    assert len(vocabulary) == 4
    assert vocabulary.encode("a c").tolist() == [1, 2]
    assert fit_vocabulary(["� � a"], size=3).tokens == ("", "�", "a")


def test_min_count_drops_what_occurs_less_often():
    assert fit_vocabulary(["b a c", "c d d c"], min_count=2).tokens[2:] == ("c", "d")
    assert fit_vocabulary(["abca"], unit="character", min_count=2).tokens[2:] == ("a",)


@pytest.mark.slow
def test_the_same_texts_give_the_same_vocabulary_in_any_process_and_order():
    units, texts = ("word", "character", "subword"), [MANY_SCRIPTS, "b a c d"] * 2
    code = (
        "from rnn_toolkit.texts.vocabulary import fit_vocabulary\n"
        f"for unit in {units}:\n"
        f"    print(ascii(fit_vocabulary({texts!a}, unit=unit, size=300).get_config()['state']))"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    here = [fit_vocabulary(texts[::-1], unit=unit, size=300) for unit in units]
    assert result.stdout.splitlines() == [ascii(vocabulary.get_config()["state"]) for vocabulary in here]


@pytest.mark.parametrize("unit", ["character", "subword"])
def test_decoding_characters_and_subwords_gives_exactly_the_text(unit):
    vocabulary = fit_vocabulary([MANY_SCRIPTS], unit=unit)
    assert vocabulary.decode(vocabulary.encode(MANY_SCRIPTS)) == MANY_SCRIPTS
    shuffled = "".join(random.Random(0).sample(MANY_SCRIPTS, len(MANY_SCRIPTS)))
    assert vocabulary.decode(vocabulary.encode(shuffled)) == shuffled


def test_tensors_of_a_backend_are_decoded_too():
    codes = np.stack([LETTERS.encode("ab")] * 2)
    assert LETTERS.decode(keras.ops.convert_to_tensor(codes)) == ["ab", "ab"]


def test_decoded_words_have_the_same_codes_again():
    pieces = [*MANY_SCRIPTS.split(), "\u0301", "\u2018", "5", "%", ",", ".", "..."]
    generator = random.Random(0)
    texts = ["".join(generator.choice(pieces) + generator.choice(["", " "]) for _ in range(8)) for _ in range(500)]
    vocabulary = fit_vocabulary(texts)
    for codes in vocabulary.encode(texts):
        assert vocabulary.encode(vocabulary.decode(codes)).tolist() == codes.tolist()


def test_decoded_words_are_spaced_as_in_print():
    text = "“So, it (really) works!” 好的\u3002 ¿qué?"
    vocabulary = fit_vocabulary([text])
    assert vocabulary.decode(vocabulary.encode(text)) == "“so, it (really) works!” 好的\u3002 ¿qué?"


def test_unknown_is_marked_and_padding_is_left_out():
    vocabulary = fit_vocabulary(["a b"])
    assert vocabulary.encode("a x b").tolist() == [2, 1, 3]
    assert vocabulary.decode([2, 1, 3, 0, 0]) == "a � b"
    assert vocabulary.encode("a � b").tolist() == [2, 1, 3]


def test_one_text_gives_one_array_and_several_give_a_list():
    one, several = LETTERS.encode("ab"), LETTERS.encode(pd.Series(["ab", "", "c"], index=[7, 8, 9]))
    assert one.dtype == np.int32 and one.shape == (2,)
    assert [row.tolist() for row in several] == [one.tolist(), [], LETTERS.encode("c").tolist()]
    assert LETTERS.encode([]) == []
    assert LETTERS.decode(several) == LETTERS.decode(np.array([[*one], [0, 0], [*several[2], 0]])) == ["ab", "", "c"]
    assert LETTERS.decode([]) == ""


@pytest.mark.parametrize("vocabulary", [fit_vocabulary(["a b"]), LETTERS, SUBWORDS])
def test_a_vocabulary_comes_back_from_its_state(vocabulary):
    again = Vocabulary.from_config(vocabulary.get_config())
    assert again == vocabulary
    assert hash(again) == hash(vocabulary)
    assert again.encode("a low b").tolist() == vocabulary.encode("a low b").tolist()
    assert again != fit_vocabulary(["a b c"])


def test_a_vocabulary_lives_in_the_model_file(tmp_path):
    @keras.saving.register_keras_serializable("test_text")
    class Holder(keras.layers.Layer):
        def __init__(self, vocabulary, **kwargs):
            super().__init__(**kwargs)
            self.vocabulary = vocabulary

        def call(self, inputs):
            return inputs

        def get_config(self):
            return {**super().get_config(), "vocabulary": keras.saving.serialize_keras_object(self.vocabulary)}

        @classmethod
        def from_config(cls, config):
            return cls(**{**config, "vocabulary": keras.saving.deserialize_keras_object(config["vocabulary"])})

    vocabulary = fit_vocabulary([MANY_SCRIPTS], unit="subword")
    keras.Sequential([keras.Input((1,)), Holder(vocabulary)]).save(tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras").layers[0].vocabulary == vocabulary
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert sorted(archive.namelist()) == ["config.json", "metadata.json", "model.weights.h5"]


def test_a_vocabulary_cannot_be_changed():
    with pytest.raises(AttributeError):
        LETTERS.unit = "word"


def test_fitting_takes_lists_series_and_arrays():
    texts = ["b a", "a"]
    for given in (tuple(texts), pd.Series(texts, index=[5, 6]), np.array(texts), np.array(texts, object), iter(texts)):
        assert fit_vocabulary(given).tokens[2:] == ("a", "b")


# ---------------------------------------------------------------------------------------------------------------------
# what is refused
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "options", "error", "message"),
    [
        ([], {}, ValueError, r"`texts` holds no word 1 times\. Pass more texts, or lower `min_count`"),
        ([" \n"], {}, ValueError, "`texts` holds no word 1 times"),
        (["", ""], {"unit": "character"}, ValueError, "`texts` holds no character 1 times"),
        (["", ""], {"unit": "subword"}, ValueError, "`texts` holds no subword 1 times"),
        (["aab"], {"unit": "character", "min_count": 3}, ValueError, "`texts` holds no character 3 times"),
        (["a"], {"unit": "words"}, ValueError, "`unit` must be one of 'word', 'character', .*Did you mean 'word'"),
        (None, {"min_count": 0}, ValueError, "`min_count` must be at least 1"),  # before any work
        (None, {"size": 1e4}, TypeError, "`size` must be a whole number"),
    ],
)
def test_texts_and_options_that_make_no_vocabulary_are_refused(texts, options, error, message):
    with pytest.raises(error, match=message):
        fit_vocabulary(texts, **options)


@pytest.mark.parametrize(("unit", "smallest"), [("word", 3), ("character", 3), ("subword", 258)])
def test_a_size_that_holds_nothing_is_refused(unit, smallest):
    assert len(fit_vocabulary(["a b c"], unit=unit, size=smallest)) == smallest
    with pytest.raises(ValueError, match=rf"`size` must be at least {smallest}\. Received: {smallest - 1}\."):
        fit_vocabulary(["a b c"], unit=unit, size=smallest - 1)


@pytest.mark.parametrize("codes", [[5, 99], [-1], [1.5], ["a"], np.array([30])])
def test_codes_that_are_none_are_refused(codes):
    with pytest.raises(ValueError, match=r"`codes` must be whole numbers from 0 to 29\. Received: "):
        LETTERS.decode(codes)
