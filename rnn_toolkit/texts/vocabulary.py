"""From texts to codes and back: a vocabulary of words, characters or subwords.

Words and subwords are the work of the `tokenizers` library: it knows all of Unicode and subwords, runs beside every
backend, and its whole state is a few lists of strings. Keras' `TextVectorization` needs TensorFlow on every backend,
lowers ASCII letters only and has no subwords. Characters need no library: a table of code points is faster.
"""

import dataclasses
import functools
import itertools
import json
import numbers
import re
import sys
import unicodedata
from collections.abc import Iterable

import keras
import numpy as np
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from rnn_toolkit._checks import one_of, whole_number
from rnn_toolkit.texts.inputs import checked_texts
from rnn_toolkit.watching import counted

PADDING, UNKNOWN = 0, 1  # codes, the same in every vocabulary
SPECIAL = ("", "\ufffd")  # what they decode to: nothing, and Unicode's own sign for what is not known
DEFAULT_SIZE = {"word": 20_000, "character": None, "subword": 8_000}
_TEXTS_AT_ONCE = 1_000  # until its codes are taken out, the library keeps about 100 bytes a token
# Scripts that put no space between words: each character, with the marks it carries, is a token.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}ー\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_IN_WORD = rf"[\p{{L}}\p{{M}}\p{{N}}_\x{{200C}}\x{{200D}}&&[^{_UNSPACED}]]"  # with the joiners that Persian needs
# Apostrophes between letters and points and commas between digits belong to the word: Unicode Standard Annex 29, rules
# 6, 7, 11, 12. All but space and control characters is a token of its own; \X keeps an emoji with its skin in one.
WORD_PATTERN = (
    rf"{_IN_WORD}+(?:['\x{{2019}}]{_IN_WORD}+|(?<=\p{{N}})[.,](?=\p{{N}}){_IN_WORD}+)*"
    rf"|[{_UNSPACED}]\p{{M}}*|(?![\s\p{{Cc}}\p{{Cf}}])\X"
)


@keras.saving.register_keras_serializable("rnn_toolkit")
@dataclasses.dataclass(frozen=True, repr=False)
class Vocabulary:
    """Turn texts into codes and back. Made by `fit_vocabulary`.

    Code 0 is padding and decodes to nothing, code 1 is unknown and decodes to "�"; then come the words or characters,
    the most frequent first, or the 256 bytes and the subwords in the order of their making. It cannot be changed, can
    be compared, and lies in the config of a Keras layer as one JSON string.

    Attributes:
        unit: "word", "character" or "subword".
        tokens: What each code stands for. Subwords are spelled as GPT-2 does it: a character a byte, a space as "Ġ".
        merges: Pairs of subwords, in the order in which they are put together.
        lowercase: Whether texts are lower-cased first.
        pattern: The regular expression that finds words.

    Example:
        >>> vocabulary = fit_vocabulary(["It works!", "It works, mostly."])
        >>> vocabulary.tokens[2:]
        ('it', 'works', '!', ',', '.', 'mostly')
        >>> vocabulary.encode("It never works.").tolist()
        [2, 1, 3, 6]
        >>> vocabulary.decode([2, 3, 4, 0, 0])
        'it works!'
    """

    unit: str
    tokens: tuple[str, ...]
    merges: tuple[str, ...] = ()
    lowercase: bool = False
    pattern: str = ""

    def __len__(self) -> int:
        return len(self.tokens)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self):,} codes, unit={self.unit!r})"

    @property
    def has_whole_words(self) -> bool:
        """Whether tokens are words: so many that most are rare, and what people tag and publish vectors of."""
        return self.unit == "word"

    @property
    def has_single_characters(self) -> bool:
        """Whether tokens are characters: few, and a text has many of them."""
        return self.unit == "character"

    def split(self, text: str) -> list[str]:
        """Return the tokens of a text as they stand there; those that hold parts of characters as they decode."""
        if self.has_single_characters:
            return list(text)
        if self.has_whole_words:
            return [token for token, _ in self._engine.pre_tokenizer.pre_tokenize_str(text)]
        return [self.decode([code]) for code in self.encode(text)]

    def encode(self, texts: str | Iterable[str]) -> np.ndarray | list[np.ndarray]:
        """Return the codes of a text, int32 of shape `(num_tokens,)`, or a list of them for several texts."""
        if isinstance(texts, str):
            return self.encode_flat([texts])[0]
        codes, lengths = self.encode_flat(texts)
        return np.split(codes, np.cumsum(lengths))[:-1]

    def encode_flat(self, texts: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return the codes of all texts, one text behind the other, and the number of codes of each."""
        texts = checked_texts(texts)
        if self.has_single_characters:
            return self._of_code_point[_code_points(texts)], np.array([len(text) for text in texts], "int64")
        parts = [np.zeros(0, "int32")]
        for first in range(0, len(texts), _TEXTS_AT_ONCE):
            chunk = texts[first : first + _TEXTS_AT_ONCE]
            chunk = [normalized(text, self.lowercase) for text in chunk] if self.has_whole_words else chunk
            encodings = self._engine.encode_batch_fast(chunk, add_special_tokens=False)
            parts += [np.array(encoding.ids, "int32") for encoding in encodings]
        return np.concatenate(parts), np.array([len(part) for part in parts[1:]], "int64")

    def decode(self, codes: Iterable) -> str | list[str]:
        """Return the text of a row of codes, or a list of texts of several rows; padding is left out.

        Characters and subwords give exactly the text that was encoded, unknown characters apart. Words give the text
        as it was seen, spaced as print would have it; encoded again, it has the same codes.

        Raises:
            ValueError: If there is a code that the vocabulary does not have.
        """
        codes = np.asarray(codes).tolist() if hasattr(codes, "__array__") else list(codes)
        if any(np.ndim(row) for row in codes):
            return [self.decode(row) for row in codes]
        for code in codes:
            if not (isinstance(code, numbers.Integral) and 0 <= code < len(self)):
                raise ValueError(
                    f"`codes` must be whole numbers from 0 to {len(self) - 1}. Received: {code!r}. Decode with the "
                    "vocabulary that encoded them."
                )
        tokens = [self.tokens[code] for code in codes if code != PADDING]
        if self.has_whole_words:
            spaces = ["" if _is_joined(*pair) else " " for pair in itertools.pairwise(tokens)]
            return "".join(itertools.chain.from_iterable(zip(tokens, [*spaces, ""], strict=False)))
        return "".join(tokens) if self.has_single_characters else decoders.ByteLevel().decode(tokens)

    def get_config(self) -> dict:
        """Return the whole state as one JSON string, for Keras to keep in the model file."""
        return {"state": json.dumps(dataclasses.asdict(self), ensure_ascii=False)}

    @classmethod
    def from_config(cls, config: dict) -> "Vocabulary":
        """Rebuild a vocabulary from `get_config`."""
        state = json.loads(config["state"])
        return cls(**{**state, "tokens": tuple(state["tokens"]), "merges": tuple(state["merges"])})

    @functools.cached_property
    def _engine(self) -> tokenizers.Tokenizer:
        codes = {token: code for code, token in enumerate(self.tokens)}
        if self.has_whole_words:
            return _tokenizer(models.WordLevel(codes, unk_token=SPECIAL[UNKNOWN]), self.pattern)
        return _tokenizer(models.BPE(codes, [tuple(pair.split(" ")) for pair in self.merges]))

    @functools.cached_property
    def _of_code_point(self) -> np.ndarray:
        codes = np.full(sys.maxunicode + 1, UNKNOWN, "int32")
        codes[_code_points(self.tokens)] = np.arange(UNKNOWN, len(self))  # padding, "", has no code point
        return codes


def fit_vocabulary(
    texts: Iterable[str], *, unit: str = "word", size: int | None = None, min_count: int = 1, lowercase: bool = True
) -> Vocabulary:
    """Collect the words, characters or subwords of training texts; the same texts give the same vocabulary.

    Args:
        texts: Training texts, and only those.
        unit: "word": words, numbers and single punctuation marks; in scripts without spaces (Chinese, Japanese, Thai)
            single characters. "character": every code point, new lines and capitals too. "subword": frequent words
            whole, rare ones in pieces, down to single bytes (byte-level BPE), so that nothing is unknown.
        size: Largest number of codes, padding and unknown included, and of subwords the 256 bytes; the rarest are left
            out. `None`: 20,000 words, 8,000 subwords, all characters.
        min_count: Words and characters that occur less often are unknown. 2 drops what a single example could hardly
            teach, and gives the unknown code something to learn from; 1 suits pretrained word vectors.
        lowercase: Whether words are lower-cased, by the rules of all of Unicode ("ß" stays "ß", as in published word
            vectors). Characters and subwords keep their case.

    Returns:
        A `Vocabulary`.

    Raises:
        TypeError, ValueError: If one of the texts is none, nothing is in them, or `size` is too small.

    Example:
        >>> fit_vocabulary(["to be", "or not"], unit="character", size=5).tokens
        ('', '�', 'o', ' ', 't')

    Source: Sennrich et al., 2016, "Neural machine translation of rare words with subword units", ACL; on bytes, Radford
        et al., 2019, "Language models are unsupervised multitask learners".
    """
    one_of(unit, "unit", DEFAULT_SIZE)
    whole_number(min_count, "min_count")
    smallest = len(SPECIAL) + (256 if unit == "subword" else 1)
    size = DEFAULT_SIZE[unit] if size is None else whole_number(size, "size", minimum=smallest)
    texts = checked_texts(texts)
    has_content, merges = any(texts), ()
    if unit == "character":
        points, counts = np.unique(_code_points(texts), return_counts=True)
        tokens = [chr(points[place]) for place in np.lexsort((points, -counts)) if counts[place] >= min_count]
    else:
        # Padding and unknown join later: as the library's own "special tokens" they would be found in texts. The
        # trainers break ties by the token.
        if unit == "word":
            engine = _tokenizer(models.WordLevel(), WORD_PATTERN)
            # One more than wanted, as the sign for the unknown may be among them.
            trainer = trainers.WordLevelTrainer(vocab_size=size - 1, min_frequency=min_count, show_progress=False)
            texts = [normalized(text, lowercase) for text in texts]
        else:
            engine, alphabet = _tokenizer(models.BPE()), pre_tokenizers.ByteLevel.alphabet()
            trainer = trainers.BpeTrainer(vocab_size=size - 2, initial_alphabet=alphabet, show_progress=False)
        # By lines, so that one long text is counted, too. No token goes on from a letter to a new line.
        lines = [line for text in texts for line in re.split(r"(?<=\S)(?=\n)", text)]
        engine.train_from_iterator(counted(lines, "vocabulary", "lines"), trainer)
        codes = engine.get_vocab()
        tokens = sorted(codes, key=codes.get)
        merges = tuple(map(" ".join, json.loads(engine.to_str())["model"].get("merges", ())))
    tokens = [token for token in tokens if token not in SPECIAL][: size and size - len(SPECIAL)]
    if not (tokens and has_content):  # the 256 bytes are there without any text
        raise ValueError(f"`texts` holds no {unit} {min_count} times. Pass more texts, or lower `min_count`.")
    if unit == "word":
        return Vocabulary(unit, (*SPECIAL, *tokens), lowercase=bool(lowercase), pattern=WORD_PATTERN)
    return Vocabulary(unit, (*SPECIAL, *tokens), merges)


def _tokenizer(model, pattern=None) -> tokenizers.Tokenizer:
    """Return the library's tokenizer for words that fit a pattern, or for subwords."""
    tokenizer = tokenizers.Tokenizer(model)
    if pattern is None:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Split(tokenizers.Regex(pattern), "removed", invert=True)
    return tokenizer


def normalized(text, lowercase) -> str:
    """Return a text in one spelling: composed letters (NFC), lower-cased where that is wanted."""
    return unicodedata.normalize("NFC", text.lower() if lowercase else text)


def _code_points(texts) -> np.ndarray:
    return np.frombuffer("".join(texts).encode("utf-32-le"), "<u4")


def _is_joined(before, word) -> bool:
    """Whether print has no space between two words."""
    if unicodedata.category(word[0])[0] == "M":  # a lone accent would melt into what it follows
        return False
    if unicodedata.category(before[0]) in ("Ps", "Pi") or before in "¿¡":
        return True
    if unicodedata.category(word[0]) in ("Pe", "Pf") or unicodedata.normalize("NFKC", word[0])[0] in ".,;:!?%。、":
        return True
    scripts = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
    return all(unicodedata.name(one[0], "").startswith(scripts) for one in (before, word))


def check_vocabulary(vocabulary) -> None:
    """Raise unless it is a `Vocabulary`."""
    if not isinstance(vocabulary, Vocabulary):
        raise TypeError(
            f"`vocabulary` must be a Vocabulary. Received: {type(vocabulary).__name__}. Make one from the training "
            "texts: `rt.fit_vocabulary(texts)`."
        )
