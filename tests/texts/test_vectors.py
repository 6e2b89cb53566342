"""Vectors stand at the codes of their words, and what would be a wrong one is refused."""

import gzip
import tracemalloc

import numpy as np
import pytest

from rnn_toolkit.texts.vectors import load_word_vectors
from rnn_toolkit.texts.vocabulary import PADDING, UNKNOWN, fit_vocabulary


@pytest.fixture
def write(tmp_path):
    def write(content, name="vectors.txt"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def vocabulary_of(text, **options):
    return fit_vocabulary([text], **options)


def row(path, vocabulary, word):
    return load_word_vectors(path, vocabulary)[0][vocabulary.tokens.index(word)].tolist()


GLOVE = "the 1 2\nof -0.5 .25\ncat 1e-1 3.\n"


def test_rows_stand_at_the_codes_of_their_words(write):
    vocabulary = vocabulary_of("of of the")

    matrix, coverage = load_word_vectors(write(GLOVE), vocabulary)

    assert vocabulary.tokens[2:] == ("of", "the")
    assert matrix.dtype == np.float32
    assert matrix.shape == (4, 2)
    assert matrix[2:].tolist() == [[-0.5, 0.25], [1, 2]]
    assert coverage == 1.0


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"3 2\nthe 1 2 \nof -0.5 .25 \ncat 1e-1 3. \n", "vectors.vec"),
        (gzip.compress(GLOVE.encode()), "vectors.txt.gz"),
        (GLOVE.replace("\n", "\r\n").encode(), "vectors.txt"),
        (GLOVE.rstrip().encode(), "vectors.txt"),
        (f"{GLOVE}\n".encode(), "vectors.txt"),
        (f"\ufeff{GLOVE}".encode(), "vectors.txt"),
        (f"\ufeff3 2\r\n{GLOVE}".encode(), "vectors.txt"),
        (gzip.compress(f"\ufeff3 2\n{GLOVE}".encode()), "vectors.vec.gz"),
    ],
    ids=[
        *("fastText", "compressed", "Windows", "no last new line", "blank last line"),
        *("byte-order mark", "byte-order mark and first line", "byte-order mark, compressed"),
    ],
)
def test_all_spellings_of_the_format_give_the_same_matrix(write, content, name):
    vocabulary = vocabulary_of("the cat of mine")
    expected = load_word_vectors(write(GLOVE, "plain.txt"), vocabulary)

    matrix, coverage = load_word_vectors(str(write(content, name)), vocabulary)

    assert np.array_equal(matrix, expected[0])
    assert coverage == expected[1] == 0.75


def test_padding_is_zero_and_what_is_not_found_is_drawn_as_widely_as_what_is(write):
    vocabulary = vocabulary_of(" ".join(["the", "cat", *(f"rare{number}" for number in range(50))]))
    width = 100
    ones, threes = " ".join(["1"] * width), " ".join(["-5"] * width)  # mean -2, spread 3

    matrix, coverage = load_word_vectors(write(f"the {ones}\ncat {threes}\n"), vocabulary)

    drawn = np.delete(matrix, [PADDING, vocabulary.tokens.index("the"), vocabulary.tokens.index("cat")], axis=0)
    assert coverage == 2 / 52
    assert not matrix[PADDING].any()
    assert matrix[UNKNOWN].any()
    assert drawn.shape == (51, 100)
    assert abs(drawn.mean()) < 0.2  # its standard error is 3 / sqrt(5100) = 0.04
    assert abs(drawn.std() - 3) < 0.15
    assert len(np.unique(drawn, axis=0)) == 51


def test_seed_alone_decides_what_is_drawn(write):
    vocabulary, path = vocabulary_of("the dog"), write(GLOVE)
    first, again, other = (load_word_vectors(path, vocabulary, seed=seed)[0] for seed in (1, 1, 2))

    assert np.array_equal(first, again)
    assert not np.array_equal(first[UNKNOWN], other[UNKNOWN])
    assert np.array_equal(first[vocabulary.tokens.index("the")], other[vocabulary.tokens.index("the")])


@pytest.mark.parametrize("lines", ["Apple 1 1\nAPPLE 2 2\napple 3 3\napple 4 4\n", "apple 3 3\nApple 1 1\n"])
def test_exact_spelling_counts_before_capitals_wherever_it_stands(write, lines):
    assert row(write(lines), vocabulary_of("apple"), "apple") == [3, 3]


def test_first_line_with_capitals_stands_in_for_a_lower_cased_word(write):
    assert row(write("Apple 1 1\nAPPLE 2 2\n"), vocabulary_of("apple"), "apple") == [1, 1]


def test_vocabulary_that_keeps_capitals_takes_no_other_spelling(write):
    vocabulary = vocabulary_of("Apple pie", lowercase=False)

    _, coverage = load_word_vectors(write("apple 1 1\nPIE 1 1\npie 2 2\n"), vocabulary)

    assert coverage == 0.5


def test_accents_written_apart_are_the_same_word(write):
    vocabulary = vocabulary_of("caf\u00e9")  # e with acute, one sign

    assert row(write("Cafe\u0301 1 2\n"), vocabulary, "caf\u00e9") == [1, 2]


def test_words_with_spaces_are_passed_over_and_do_not_shift_numbers(write):
    path = write("the 1 2\n. . . 3 4\nat name@domain.com 5 6\n\u00a0 7 8\n\u2028 7 8\n\x85 7 8\ncat 9 10\n")

    assert row(path, vocabulary_of("at cat the"), "cat") == [9, 10]
    assert load_word_vectors(path, vocabulary_of("at cat the"))[1] == 2 / 3


@pytest.mark.parametrize("first", ["", "\ufeff"])
def test_behind_a_line_that_tells_the_width_the_first_word_may_hold_spaces_too(write, first):
    path = write(f"{first}4 2\nat name@domain.com 5 6\nthe 1 2\n1 2 3 4\n. . 5 6\n")

    assert row(path, vocabulary_of("at the"), "the") == [1, 2]
    assert load_word_vectors(path, vocabulary_of("at the 1"))[1] == 1 / 3


def test_sign_for_the_unknown_is_no_word_of_the_file(write):
    vocabulary = vocabulary_of("the")

    matrix, coverage = load_word_vectors(write("the 1 2\n\ufffd 7 8\n"), vocabulary)

    assert coverage == 1.0
    assert matrix[UNKNOWN].tolist() != [7, 8]


@pytest.mark.parametrize("is_compressed", [False, True])
def test_file_is_never_in_memory_as_a_whole(write, is_compressed):
    content = b"the 1 2\n" + b"".join(b"word%06d 0.123456 0.123456\n" % number for number in range(100_000))  # 3 MB
    path = write(gzip.compress(content), "vectors.txt.gz") if is_compressed else write(content)
    vocabulary = vocabulary_of("the")

    tracemalloc.start()
    load_word_vectors(path, vocabulary)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 500_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("of 1 2\nthe\n", r"line 2, must have 2 finite numbers behind its word\. Received: ''"),
        ("of 1 2\nthe 1\n", r"line 2, must have 2 finite numbers behind its word\. Received: '1'"),
        ("2 3\nof 1 2 3\nthe 1 2\n", r"line 3, must have 3 finite numbers behind its word\. Received: '1 2'"),
        ("of the page 1 2\nthe 1 2\n", r"line 2, must have 4 finite numbers behind its word\. Received: '1 2'"),
        ("the page of text\n", r"line 1, must have 3 finite numbers .*Received: 'page of text'"),
        ("of 1 2\nthe 1 O.5\n", r"line 2, must have 2 finite numbers .*Received: '1 O\.5'"),
        ("of 1 2\nthe 1 nan\n", r"line 2, must have 2 finite numbers .*Received: '1 nan'"),
        ("the  1 2\n", r"line 1, must have 3 finite numbers .*Received: ' 1 2'"),
    ],
)
def test_a_line_that_would_give_a_wrong_vector_is_refused_with_its_number(write, content, message):
    with pytest.raises(ValueError, match=rf"vectors\.txt, {message}.* Pass vectors in the text format"):
        load_word_vectors(write(content), vocabulary_of("the"))


@pytest.mark.parametrize(
    "line",
    ["of", "of 1 O.5", "of 1 2 3", "the 1 2 3", "na\u00efve 1 2"],
)
def test_a_damaged_line_of_a_word_that_is_not_needed_is_passed_over(write, line):
    assert row(write(f"cat 1 2\n{line}\nthe 3 4\n".encode("latin-1")), vocabulary_of("the"), "the") == [3, 4]


@pytest.mark.parametrize(
    "content",
    ["", "\n \n", "400000 50\n", "<html>\n<p>the\n", "the\t1\t2\n", GLOVE],
    ids=["empty", "blank", "first line only", "a web page", "tabs", "another language"],
)
def test_a_file_without_a_vector_of_the_vocabulary_is_refused(write, content):
    with pytest.raises(
        ValueError, match=r"has a vector for none of the 2 words of the vocabulary\. Pass vectors of the"
    ):
        load_word_vectors(write(content), vocabulary_of("der Hund"))


@pytest.mark.parametrize(
    ("content", "error"),
    [(gzip.compress(GLOVE.encode())[:-4], EOFError), (gzip.compress(GLOVE.encode())[:-8] + bytes(8), gzip.BadGzipFile)],
    ids=["cut off", "damaged"],
)
def test_a_compressed_file_that_was_cut_off_or_damaged_is_refused(write, content, error):
    with pytest.raises(error):
        load_word_vectors(write(content, "vectors.txt.gz"), vocabulary_of("the"))


def test_a_missing_file_is_refused_by_its_path(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.txt"):
        load_word_vectors(tmp_path / "nowhere.txt", vocabulary_of("the"))


@pytest.mark.parametrize(
    ("vocabulary", "options", "error", "message"),
    [
        (
            fit_vocabulary(["the"], unit="character"),
            {},
            ValueError,
            r"one of words.*Received: .*character.*unit=\"word\"",
        ),
        (fit_vocabulary(["the"], unit="subword"), {}, ValueError, "must be one of words.*Received: .*subword"),
        (["the"], {}, TypeError, r"must be a Vocabulary\. Received: list\. Make one .*fit_vocabulary"),
        (fit_vocabulary(["the"]), {"seed": 0.5}, TypeError, "`seed` must be a whole number"),
        (fit_vocabulary(["the"]), {"seed": -1}, ValueError, "`seed` must be at least 0"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(write, vocabulary, options, error, message):
    with pytest.raises(error, match=message):
        load_word_vectors(write(GLOVE), vocabulary, **options)
