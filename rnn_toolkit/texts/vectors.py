"""Pretrained word vectors: from a file in the text format of GloVe and fastText to the start of an embedding layer.

Left out: vectors of subwords and the binary formats of word2vec and fastText. Both need the library that wrote them.
"""

import gzip
import math
import re
import unicodedata
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np

from rnn_toolkit._checks import whole_number
from rnn_toolkit.texts.vocabulary import PADDING, SPECIAL, Vocabulary, check_vocabulary

_NUMBER = re.compile(rb"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_REMEDY = "Pass vectors in the text format of GloVe or fastText (.txt, .vec, or either as .gz), out of their .zip."


def load_word_vectors(path: str | Path, vocabulary: Vocabulary, *, seed: int = 0) -> tuple[np.ndarray, float]:
    """Read the pretrained vectors of a vocabulary's words, one row a code, for the start of an embedding layer.

    Worth it where training texts are few. The file is read line by line and only what the vocabulary needs is kept.
    Fit the vocabulary with `min_count=1`: a word that occurs once is known to the vectors all the same.

    Words are compared in composed spelling (NFC). For a lower-cased vocabulary the file's own spelling counts first,
    "apple"; where the file lacks it, the first line of the word with capitals, "Apple", stands in. Of a word that is
    in the file twice, the first line counts.

    Args:
        path: A line a word: the word and its numbers, with single spaces between them, as GloVe and fastText publish
            them, plain or compressed with gzip. fastText's first line, two whole numbers, is passed over. Words may
            hold spaces, but for the first one of a file without that line, which tells the width.
        vocabulary: A `Vocabulary` of words.
        seed: Seed of the rows that the file has no vector for.

    Returns:
        The matrix, float32 of shape `(len(vocabulary), width)`, and the coverage, the share of the vocabulary's words
        that the file has, 0 to 1 (padding and unknown are no words). The row of padding is zero. The rows of unknown
        and of words not found are drawn from a normal distribution around 0, as wide as the numbers of those found.

    Raises:
        TypeError, ValueError: If `vocabulary` is none of words, or `seed` is no whole number from 0.
        FileNotFoundError: If there is no such file.
        ValueError: If the file is empty, not UTF-8 text or cut short, a line has too few or too many numbers, a number
            that is needed is none, or no word is found; the message names the line.

    Example:
        >>> import tempfile
        >>> from rnn_toolkit.texts.vocabulary import fit_vocabulary
        >>> vocabulary = fit_vocabulary(["to be or not to be"])
        >>> vocabulary.tokens[2:]
        ('be', 'to', 'not', 'or')
        >>> path = Path(tempfile.mkdtemp()) / "vectors.txt"
        >>> _ = path.write_text("the 9 9 9\\nto 1 2 3\\nBe 4 5 6\\nnot 7 8 9\\n")
        >>> matrix, coverage = load_word_vectors(path, vocabulary)
        >>> matrix.shape, coverage
        ((6, 3), 0.75)
        >>> matrix[0].tolist(), matrix[2].tolist()  # padding, "be"
        ([0.0, 0.0, 0.0], [4.0, 5.0, 6.0])

    Source:
        Y. Kim (2014), Convolutional Neural Networks for Sentence Classification, EMNLP, section 4.3: words without a
        vector do better when drawn as widely as the others.
    """
    seed = whole_number(seed, "seed", minimum=0)
    _check_words(vocabulary)
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"`path` must name a file of word vectors. Received: {path}. Correct it, or download.")
    codes = {token: code for code, token in enumerate(vocabulary.tokens) if token not in SPECIAL}
    matrix = None
    is_found, is_exact = np.zeros((2, len(vocabulary)), bool)
    for number, word, values, width in _entries(path):
        if matrix is None:
            matrix = np.zeros((len(vocabulary), width), "float32")
        word = unicodedata.normalize("NFC", word)
        code = codes.get(word)
        if code is not None:
            is_new = not is_exact[code]
            is_exact[code] = True
        elif vocabulary.lowercase:
            code = codes.get(unicodedata.normalize("NFC", word.lower()))
            is_new = code is not None and not is_found[code]
        if code is not None and is_new:
            matrix[code] = _numbers(values, path, number)
            is_found[code] = True
    if matrix is None:
        raise ValueError(f"{path} holds no word vectors: it is empty. {_REMEDY}")
    if not is_found.any():
        raise ValueError(
            f"{path} has a vector for none of the {len(codes):,} words of the vocabulary. Pass vectors of the language "
            "of its texts; where the file has words in lower case only, fit the vocabulary with lowercase=True."
        )
    spread = matrix[is_found].std()
    is_drawn = ~is_found
    is_drawn[PADDING] = False
    shape = (is_drawn.sum(), matrix.shape[1])  # (words without a vector, width)
    matrix[is_drawn] = spread * np.random.default_rng(seed).standard_normal(shape, dtype="float32")
    return matrix, float(is_found.sum() / len(codes))


def _check_words(vocabulary):
    check_vocabulary(vocabulary)
    if vocabulary.unit != "word":
        raise ValueError(
            f"`vocabulary` must be one of words, as the vectors are. Received: {vocabulary!r}. Make one with "
            '`fit_vocabulary(texts, unit="word")`.'
        )


def _entries(path) -> Iterator[tuple[int, str, bytes, int]]:
    """Yield the line number, the word, its numbers as they are written, and the width, line by line."""
    width = None
    for number, line in enumerate(_lines(path), 1):
        # Only spaces and new lines part anything here: a word may be one of Unicode's other spaces, and some files have
        # such words, over which `str.split` would stumble. fastText ends lines with a space.
        line = line.rstrip(b" \r\n")
        if not line:
            continue
        if number == 1 and re.fullmatch(rb"\d+ \d+", line):
            width = int(line.split(b" ")[1])
            if width < 1:
                _refuse(path, number, f"announces vectors of {width} numbers, but one is the least")
            continue
        is_first, num_spaces = width is None, line.count(b" ")
        width = width or num_spaces
        if width == 0:
            _refuse(path, number, "has no numbers, but every line must have a word and its vector")
        if num_spaces < width:
            _refuse(path, number, f"has {num_spaces} numbers, but the first line says {width}")
        word, _, values = line.partition(b" ")  # many times faster than to take all the numbers apart
        if num_spaces > width:
            word, *numbers = line.rsplit(b" ", width)
            values = b" ".join(numbers)
            if _NUMBER.fullmatch(word.rpartition(b" ")[2]):
                _refuse(path, number, f"has more than the {width} numbers of the first line, or two spaces in a row")
        if is_first:
            _numbers(values, path, number)
        try:
            word = word.decode()
        except UnicodeDecodeError:
            _refuse(path, number, "has a word that is not UTF-8 text")
        yield number, word, values, width


def _lines(path) -> Iterator[bytes]:
    with path.open("rb") as file:
        is_compressed = file.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if is_compressed else path.open("rb") as file:
            yield from file
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is damaged or cut short ({error}). Download it again.") from error


def _numbers(values, path, number) -> np.ndarray:
    values = values.split(b" ")
    try:
        numbers = np.array(values, "float64")
    except ValueError:
        numbers = np.array([np.nan])
    if not np.isfinite(numbers).all():
        wrong = next(value for value in values if not _is_finite(value))[:40].decode(errors="replace")
        _refuse(path, number, f"has {wrong!r} where a finite number must be")
    return numbers.astype("float32")


def _is_finite(value) -> bool:
    try:
        return math.isfinite(float(value))
    except ValueError:
        return False


def _refuse(path, number, what) -> NoReturn:
    raise ValueError(
        f"{path}, line {number:,}, {what}. {_REMEDY} If it is one of those, it is damaged: download it again."
    )
