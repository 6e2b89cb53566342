"""From tokens and their tags to batches that a tagger takes, and from its tags to scores."""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence

import keras
import numpy as np
import pandas as pd
import tokenizers
from keras import ops
from tokenizers import pre_tokenizers

from rnn_toolkit._checks import has_columns, one_of
from rnn_toolkit.text import TextBatches, check_options, encode_rows
from rnn_toolkit.vocabulary import PADDING, UNKNOWN, Vocabulary, checked_texts, is_missing, listed

NO_TAG = -1  # code of what is not to be learnt


class TagBatches(TextBatches):
    """Right-padded batches of texts with a tag for each token; made by `tag_batches`.

    Attributes:
        tokens: The tokens of each text, in the order of the texts.
        classes: Tags in the order of their codes, or `None`.
        targets: The encoded tags of all texts, one text behind the other, or `None`.
        lengths, order, padding: As in `TextBatches`.
    """

    def __init__(self, tokens, codes, lengths, targets, **options):
        if targets is not None:
            targets = np.insert(targets, np.cumsum(lengths)[lengths == 0], NO_TAG)
        self.tokens = tokens
        super().__init__(codes, lengths, targets, **options)

    def __getitem__(self, index):
        x = self._padded(self._codes, index, PADDING)
        if self.targets is None:
            return (x,)
        y = self._padded(self.targets, index, NO_TAG)
        return x, np.maximum(y, 0), (y != NO_TAG).astype("float32")


def tag_batches(
    texts: Iterable[str | Sequence[str]],
    tags: Iterable[Sequence] | None = None,
    *,
    vocabulary: Vocabulary,
    classes: Sequence | None = None,
    batch_size: int = 64,
    bucket: bool | str = "auto",
    shuffle: bool = False,
    seed: int = 0,
) -> TagBatches:
    """Encode tokens, and the tag of each, into batches to train, validate and predict on.

    Widths and order are those of `text_batches`. Padding has the weight 0, and so counts neither in the loss nor in the
    accuracy. No text is cut short, as that would lose tags: cut long ones into sentences.

    Args:
        texts: Lists of tokens, each of which stays one, or texts: the vocabulary cuts these into words or characters.
            Of a token that the vocabulary would cut further ("EU-wide"), its rarest known part is looked up.
        tags: For each text as many tags as it has tokens: text, whole numbers or bools.
        vocabulary: A vocabulary of words or characters; of lists of tokens `fit_vocabulary` makes one when they are
            joined: `map(" ".join, texts)`. Names are told by their capitals: to find them, pass `lowercase=False`.
        classes: All tags in the order of their codes; `None` takes those that occur, sorted. For validation pass the
            `classes` of the training batches, in case one does not occur there.
        batch_size: Texts in a batch; the last batch holds what is left.
        bucket: Whether texts of like length share a batch, as in `text_batches`.
        shuffle: Whether each epoch has an order of its own, as in `text_batches`.
        seed: Seed of the order.

    Returns:
        A `TagBatches`, which is a `keras.utils.PyDataset` of `(x, y, sample_weight)`, or of `(x,)` without tags, all of
        shape `(batch, timesteps)`: codes, int32; places in `classes`, int32; and 1 for each token, float32.

    Raises:
        TypeError, ValueError: If texts and tags, or tokens and tags of a text, differ in number, one of them is missing
            or of the wrong kind, there is but one tag, or one is not in `classes`.

    Example:
        >>> from rnn_toolkit import fit_vocabulary
        >>> vocabulary = fit_vocabulary(["Paris sleeps", "Paris"])
        >>> batches = tag_batches([["Paris", "sleeps"], ["Paris"]], [["B", "O"], ["B"]], vocabulary=vocabulary)
        >>> x, y, weight = batches[0]
        >>> x[:, :3].tolist(), y[:, :3].tolist(), weight[:, :3].tolist()
        ([[2, 3, 0], [2, 0, 0]], [[0, 1, 0], [0, 0, 0]], [[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    """
    check_options(vocabulary, batch_size=batch_size, seed=seed)
    one_of(bucket, "bucket", ("auto", True, False))
    if vocabulary.unit == "subword":
        raise ValueError(
            "`vocabulary` cuts words into subwords, which have no tags. Make one of words or characters: "
            '`rt.fit_vocabulary(texts, unit="word")`.'
        )
    tokens = tokens_of(texts, vocabulary)
    lengths, targets = np.array([len(row) for row in tokens], "int64"), None
    if tags is not None:
        rows = _tag_rows(tags, "tags", lengths, where="the text has {} tokens")
        rows, classes = encode_rows(rows, classes, name="tags")
        targets = np.array([code for row in rows for code in row], "int32")
    different = list(dict.fromkeys(token for row in tokens for token in row))
    # The most frequent tokens come first, the unknown one before them: the largest code is that of the rarest part.
    parts = [codes.tolist() for codes in vocabulary.encode(different)]
    code_of = {token: max(codes, default=UNKNOWN) for token, codes in zip(different, parts, strict=True)}
    codes = np.array([code_of[token] for row in tokens for token in row], "int32")
    options = {"batch_size": batch_size, "bucket": bucket, "shuffle": shuffle, "seed": seed}
    return TagBatches(tokens, codes, lengths, targets, classes=classes, vocabulary=vocabulary, **options)


def tokens_of(texts, vocabulary) -> list[list[str]]:
    """Return the tokens of each text as they stand there."""
    texts = listed(texts, "texts")
    if not texts:
        raise ValueError("`texts` is empty. Pass at least one text.")
    are_cut = [isinstance(text, list | tuple | np.ndarray) for text in texts]
    checked_texts(["" if is_cut else text for text, is_cut in zip(texts, are_cut, strict=True)])
    if vocabulary.unit == "word":
        cutter = pre_tokenizers.Split(tokenizers.Regex(vocabulary.pattern), "removed", invert=True)
    rows = []
    for place, (text, is_cut) in enumerate(zip(texts, are_cut, strict=True)):
        if is_cut:
            rows.append(checked_texts(text, f"texts[{place}]"))
            too_long = vocabulary.unit == "character" and next((token for token in text if len(token) != 1), None)
            if too_long:
                raise ValueError(
                    f"`vocabulary` has characters, but `texts` holds {too_long!r} at position {place}. Make a "
                    "vocabulary of words, or pass texts and a tag for each character."
                )
        elif vocabulary.unit == "word":
            rows.append([token for token, _ in cutter.pre_tokenize_str(text)])
        else:
            rows.append(list(text))
    return rows


def _tag_rows(tags, name, lengths=None, *, where="") -> list[list]:
    """Return the tags of each text, as many as `lengths` says, or say where they are not."""
    rows = listed(tags, name)
    if lengths is not None and len(rows) != len(lengths):
        raise ValueError(
            f"`{name}` has tags for {len(rows)} texts, but there are {len(lengths)}. Pass a list of tags for each text."
        )
    for place, row in enumerate(rows):
        if not isinstance(row, list | tuple | np.ndarray):
            raise TypeError(
                f"`{name}` must hold a list of tags for each text. Received at position {place}: {row!r}. Pass a list "
                "with a tag for each token."
            )
        if lengths is not None and len(row) != lengths[place]:
            raise ValueError(
                f"`{name}` holds {len(row)} tags at position {place}, where {where.format(lengths[place])}. Give each "
                "token one tag."
            )
    return [list(row) for row in rows]


@keras.saving.register_keras_serializable("rnn_toolkit")
class TokenAccuracy(keras.metrics.Mean):
    """Share of tokens with the right tag; padding does not count.

    Keras' own takes the mean of each text first, so that a token counts the less, the wider its batch is
    (`reduce_to_samplewise_values` in keras/src/metrics/reduction_metrics.py). Pass it as a weighted metric.

    Example:
        >>> metric = TokenAccuracy()
        >>> metric.update_state(np.array([[1, 0]]), np.array([[[0.1, 0.9], [0.2, 0.8]]]), np.array([[1.0, 0.0]]))
        >>> float(metric.result())
        1.0
    """

    def __init__(self, name="accuracy", **kwargs):
        super().__init__(name=name, **kwargs)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch: y_true and sample_weight `(batch, timesteps)`, y_pred `(batch, timesteps, tags)`."""
        is_right = ops.equal(ops.cast(y_true, "int32"), ops.cast(ops.argmax(y_pred, axis=-1), "int32"))
        weight = None if sample_weight is None else ops.reshape(sample_weight, (-1,))
        super().update_state(ops.reshape(is_right, (-1,)), weight)


def score_tags(actual: Iterable[Sequence], predicted: pd.DataFrame | Iterable[Sequence]) -> pd.DataFrame:
    """Score tags: precision, recall and F1 of each tag, and of each kind of span where tags mark spans.

    Tags mark spans if each of them is "O" or begins with "B-" or "I-", as in "B-PER", "I-PER", "O". A span is right if
    it begins, ends and is named as in the truth. One that begins with "I-" counts too, as in the script of CoNLL-2003.

    Args:
        actual: The true tags, a list for each text.
        predicted: The tags to score, likewise; or the table that `tag` returned for these texts.

    Returns:
        A row for each tag under "token", and for each kind of span under "span". Columns: `precision`, the right ones'
        share of those predicted; `recall`, their share of those that are true; `F1`, the harmonic mean of both; and
        `support`, the number of true ones. What would be 0 / 0 is 0. "micro mean" counts all alike: of tokens it is the
        accuracy, of spans CoNLL's score. "macro mean" is the mean of the rows above it.

    Raises:
        TypeError, ValueError: If texts or tags differ in number, one is missing, or there are none.

    Example:
        >>> actual = [["B-PER", "I-PER", "O", "B-LOC"]]
        >>> score_tags(actual, [["B-PER", "O", "O", "B-LOC"]]).loc["span"]
                    precision  recall   F1  support
        tag
        LOC               1.0     1.0  1.0        1
        PER               0.0     0.0  0.0        1
        micro mean        0.5     0.5  0.5        2
        macro mean        0.5     0.5  0.5        2

    Source: Tjong Kim Sang and De Meulder, 2003, "Introduction to the CoNLL-2003 shared task: language-independent named
        entity recognition", CoNLL.
    """
    actual = _tag_rows(actual, "actual")
    lengths = [len(row) for row in actual]
    if isinstance(predicted, pd.DataFrame):
        has_columns(predicted.columns, ["tag"], "`predicted`")
        if len(predicted) != sum(lengths):
            raise ValueError(
                f"`predicted` has {len(predicted)} rows, but `actual` {sum(lengths)} tags. Pass the table that "
                "`rt.tag` returns for the same texts."
            )
        ends = np.cumsum(lengths).tolist()
        column = predicted["tag"].tolist()
        predicted = [column[end - length : end] for end, length in zip(ends, lengths, strict=True)]
    predicted = _tag_rows(predicted, "predicted", lengths, where="`actual` has {}")
    if not sum(lengths):
        raise ValueError("`actual` holds no tag: there is nothing to score. Pass texts with tokens.")
    for name, rows in (("actual", actual), ("predicted", predicted)):
        for place, row in enumerate(rows):
            if any(is_missing(one) for one in row):
                raise ValueError(f"`{name}` misses a tag at position {place}. Drop that text, or tag it.")
    true, given = (list(itertools.chain.from_iterable(rows)) for rows in (actual, predicted))
    right = [one for one, other in zip(true, given, strict=True) if one == other]
    tables = {"token": _rates(right, given, true)}
    names = {str(tag) for tag in {*true, *given}}
    if names != {"O"} and all(re.fullmatch("O|[BI]-.+", name, re.DOTALL) for name in names):
        true, given = _spans(actual), _spans(predicted)
        tables["span"] = _rates(*([kind for *_, kind in spans] for spans in (true & given, given, true)))
    return pd.concat(tables, names=["unit", "tag"])


def _spans(rows) -> set[tuple]:
    """Return each span as its text, its first token, the one behind it, and its kind."""
    spans = set()
    for text, row in enumerate(rows):
        start, kind = 0, None
        for place, tag in enumerate([*map(str, row), "O"]):
            if kind is not None and (tag[:2] != "I-" or tag[2:] != kind):
                spans.add((text, start, place, kind))
                kind = None
            if kind is None and tag != "O":
                start, kind = place, tag[2:]
    return spans


def _rates(*found) -> pd.DataFrame:
    """Return precision, recall, F1 and support of each tag, from the tags that are right, predicted and true."""
    found = [Counter(tags) for tags in found]
    tags = sorted(found[1] | found[2], key=str)
    counts = np.array([[one[tag] for one in found] for tag in tags])  # (tags, 3)
    right, predicted, support = np.concatenate([counts, counts.sum(0, keepdims=True)]).T
    rates = [right / np.maximum(predicted, 1), right / np.maximum(support, 1)]
    rates = np.stack([*rates, 2 * right / np.maximum(predicted + support, 1)], axis=1)
    rates = np.concatenate([rates, rates[:-1].mean(0, keepdims=True)])
    table = pd.DataFrame(rates, [*tags, "micro mean", "macro mean"], ["precision", "recall", "F1"])
    return table.assign(support=[*support, support[-1]])
