"""Pretrained word vectors: from a file in the text format of GloVe and fastText to the start of an embedding layer.

Left out: vectors of subwords and the binary formats of word2vec and fastText. Both need the library that wrote them.
"""

import codecs
import gzip
import re
import unicodedata
from pathlib import Path

import numpy as np

from rnn_toolkit._checks import whole_number
from rnn_toolkit.texts.vocabulary import PADDING, SPECIAL, Vocabulary, check_vocabulary, normalized


def load_word_vectors(path: str | Path, vocabulary: Vocabulary, *, seed: int = 0) -> tuple[np.ndarray, float]:
    """Read the pretrained vectors of a vocabulary's words, one row a code, for the start of an embedding layer.

    Worth it where training texts are few. The file is read line by line and only what the vocabulary needs is kept.
    Fit the vocabulary with `min_count=1`: a word that occurs once is known to the vectors all the same.

    Words are compared in composed spelling (NFC). For a lower-cased vocabulary the file's own spelling counts first,
    "apple"; where the file lacks it, the first line of the word with capitals, "Apple", stands in. Of a word that is
    in the file twice, the first line counts. Only lines of words that are needed are checked.

    Args:
        path: A line a word: the word and its numbers, with single spaces between them, as GloVe and fastText publish
            them, plain or compressed with gzip (.gz). fastText's first line, two whole numbers, tells the width;
            without it the first word's line does, and that word holds no space, as others may.
        vocabulary: A `Vocabulary` of words.
        seed: Seed of the rows that the file has no vector for.

    Returns:
        The matrix, float32 of shape `(len(vocabulary), width)`, and the coverage, the share of the vocabulary's words
        that the file has, 0 to 1 (padding and unknown are no words). The row of padding is zero. The rows of unknown
        and of words not found are drawn from a normal distribution around 0, as wide as the numbers of those found.

    Raises:
        TypeError, ValueError: If `vocabulary` is none of words, `seed` is no whole number from 0, a line that is needed
            has too few numbers or something else among them, or no word is found.
        OSError, EOFError: If there is no such file, or it is compressed and damaged.

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
    whole_number(seed, "seed", minimum=0)
    check_vocabulary(vocabulary)
    if not vocabulary.has_whole_words:
        raise ValueError(
            f"`vocabulary` must be one of words, as the vectors are. Received: {vocabulary!r}. Make one with "
            '`fit_vocabulary(texts, unit="word")`.'
        )
    path, width = Path(path), 0
    codes = {token: code for code, token in enumerate(vocabulary.tokens) if token not in SPECIAL}
    vectors = {}  # of a code: whether the file has the very word, and its numbers
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        for number, line in enumerate(file, 1):
            # Only spaces and new lines part anything here: a word may be one of Unicode's other spaces, over which
            # `str.split` would stumble. fastText ends lines with a space.
            line = line.rstrip(b" \r\n").removeprefix(codecs.BOM_UTF8 if number == 1 else b"")
            num_spaces = line.count(b" ")
            if number == 1 and re.fullmatch(rb"\d+ \d+", line):
                width = int(line.split(b" ")[1])
                continue
            width = width or num_spaces
            # To take the numbers apart costs much more than to find the word, and is seldom needed.
            word = line.rsplit(b" ", width)[0] if num_spaces > width else line.partition(b" ")[0]
            word = unicodedata.normalize("NFC", word.decode(errors="replace"))
            is_exact = word in codes
            code = codes.get(word if is_exact else normalized(word, vocabulary.lowercase))
            if code is None or (code in vectors and vectors[code][0] >= is_exact):
                continue
            vectors[code] = is_exact, _numbers(line.rsplit(b" ", width)[1:], width, f"{path}, line {number:,}")
    if not vectors:
        raise ValueError(
            f"{path} has a vector for none of the {len(codes):,} words of the vocabulary. Pass vectors of the language "
            "of its texts, in the text format of GloVe or fastText (.txt, .vec, or either as .gz); where the file has "
            "words in lower case only, fit the vocabulary with lowercase=True."
        )
    found = np.array([numbers for _, numbers in vectors.values()])  # (words found, width)
    matrix = found.std() * np.random.default_rng(seed).standard_normal((len(vocabulary), width), dtype="float32")
    matrix[list(vectors)] = found
    matrix[PADDING] = 0
    return matrix, len(vectors) / len(codes)


def _numbers(values, width, where) -> np.ndarray:
    """Return the numbers of a line, or say that there are not as many as the first line has."""
    try:
        numbers = np.array(values, "float32")
    except ValueError:
        numbers = np.full(width, np.nan)
    if len(numbers) != width or not np.isfinite(numbers).all():
        shown = b" ".join(values)[:60].decode(errors="replace")
        raise ValueError(
            f"{where}, must have {width} finite numbers behind its word. Received: {shown!r}. Pass vectors in the text "
            "format of GloVe or fastText; if it is such a file, it is damaged: download it again."
        )
    return numbers
