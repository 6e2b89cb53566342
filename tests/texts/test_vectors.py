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
    "content",
    [
        b"3 2\nthe 1 2 \nof -0.5 .25 \ncat 1e-1 3. \n",
        gzip.compress(GLOVE.encode()),
        GLOVE.replace("\n", "\r\n").encode(),
        GLOVE.rstrip().encode(),
        f"{GLOVE}\n".encode(),
    ],
    ids=["fastText", "compressed", "Windows", "no last new line", "blank last line"],
)
def test_all_spellings_of_the_format_give_the_same_matrix(write, content):
    vocabulary = vocabulary_of("the cat of mine")
    expected = load_word_vectors(write(GLOVE, "plain.txt"), vocabulary)

    matrix, coverage = load_word_vectors(str(write(content)), vocabulary)

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


def test_sign_for_the_unknown_is_no_word_of_the_file(write):
    vocabulary = vocabulary_of("the")

    matrix, coverage = load_word_vectors(write("the 1 2\n\ufffd 7 8\n"), vocabulary)

    assert coverage == 1.0
    assert matrix[UNKNOWN].tolist() != [7, 8]


@pytest.mark.parametrize("is_compressed", [False, True])
def test_file_is_never_in_memory_as_a_whole(write, is_compressed):
    content = b"the 1 2\n" + b"".join(b"word%06d 0.123456 0.123456\n" % number for number in range(100_000))  # 3 MB
    path, vocabulary = write(gzip.compress(content) if is_compressed else content), vocabulary_of("the")

    tracemalloc.start()
    load_word_vectors(path, vocabulary)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 500_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("the 1 2\nof\n", r"line 2, has 0 numbers, but the first line says 2\."),
        ("the 1 2\nof 1\n", r"line 2, has 1 numbers, but the first line says 2\."),
        ("2 3\nthe 1 2 3\nof 1 2\n", r"line 3, has 2 numbers, but the first line says 3\."),
        ("the 1 2\nof 1 2 -3e-2\n", r"line 2, has more than the 2 numbers of the first line, or two spaces in a row\."),
        ("<html>\n", r"line 1, has no numbers, but every line must have a word and its vector\."),
        ("2 0\nthe 1\n", r"line 1, announces vectors of 0 numbers, but one is the least\."),
        ("a page of text\nthe 1 2 3\n", r"line 1, has 'page' where a finite number must be\."),
        ("of 1 2\nthe 1 O.5\n", r"line 2, has 'O\.5' where a finite number must be\."),
        ("of 1 2\nthe 1 nan\n", r"line 2, has 'nan' where a finite number must be\."),
        ("of 1 2\nthe 1  2\n", r"line 2, has more than the 2 numbers of the first line, or two spaces in a row\."),
        ("the 1 2\nna\u00efve 1 2\n".encode("latin-1"), r"line 2, has a word that is not UTF-8 text\."),
    ],
)
def test_broken_line_is_refused_with_its_number_and_what_is_needed(write, content, message):
    with pytest.raises(ValueError, match=rf"vectors\.txt, {message} Pass vectors in the text format"):
        load_word_vectors(write(content), vocabulary_of("the"))


@pytest.mark.parametrize("content", ["", "\n \n", "400000 50\n"], ids=["empty", "blank", "first line only"])
def test_file_without_vectors_is_refused(write, content):
    with pytest.raises(ValueError, match=r"vectors\.txt holds no word vectors: it is empty\. Pass vectors"):
        load_word_vectors(write(content), vocabulary_of("the"))


@pytest.mark.parametrize(
    "content",
    [gzip.compress(GLOVE.encode())[:-4], gzip.compress(GLOVE.encode())[:-8] + bytes(8)],
    ids=["cut off", "damaged"],
)
def test_compressed_file_that_was_cut_off_or_damaged_is_refused(write, content):
    with pytest.raises(ValueError, match=r"vectors\.txt\.gz is damaged or cut short .*Download it again"):
        load_word_vectors(write(content, "vectors.txt.gz"), vocabulary_of("the"))


def test_vectors_of_another_language_are_refused(write):
    with pytest.raises(
        ValueError, match=r"has a vector for none of the 2 words of the vocabulary\. Pass vectors of the"
    ):
        load_word_vectors(write(GLOVE), vocabulary_of("der Hund"))


@pytest.mark.parametrize("name", ["nowhere.txt", "."])
def test_missing_file_is_refused_by_its_path(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=r"`path` must name a file of word vectors\. Received: "):
        load_word_vectors(tmp_path / name, vocabulary_of("the"))


@pytest.mark.parametrize("unit", ["character", "subword"])
def test_vocabulary_of_anything_but_words_is_refused(write, unit):
    with pytest.raises(ValueError, match=rf"must be one of words.*Received: Vocabulary\(.*{unit}.*unit=\"word\""):
        load_word_vectors(write(GLOVE), vocabulary_of("the", unit=unit))


def test_anything_but_a_vocabulary_is_refused(write):
    with pytest.raises(TypeError, match=r"must be a Vocabulary\. Received: list\. Make one .*fit_vocabulary"):
        load_word_vectors(write(GLOVE), ["the"])


def test_seed_that_is_no_whole_number_is_refused(write):
    with pytest.raises(TypeError, match="`seed` must be a whole number"):
        load_word_vectors(write(GLOVE), vocabulary_of("the"), seed=0.5)
    with pytest.raises(ValueError, match="`seed` must be at least 0"):
        load_word_vectors(write(GLOVE), vocabulary_of("the"), seed=-1)
