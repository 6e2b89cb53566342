"""From tokens and their tags to batches that a tagger takes."""

from collections.abc import Iterable, Sequence

import numpy as np

from rnn_toolkit.networks.targets import check_order, encode_rows, listed
from rnn_toolkit.texts.batches import TextBatches, check_options
from rnn_toolkit.texts.inputs import checked_texts
from rnn_toolkit.texts.vocabulary import PADDING, UNKNOWN, Vocabulary

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
    check_order(texts, tags, "texts", "tags")
    tokens = _tokens_of(texts, vocabulary)
    lengths, targets = np.array([len(row) for row in tokens], "int64"), None
    if tags is not None:
        rows = tag_rows(tags, "tags", lengths, where="the text has {} tokens")
        rows, classes = encode_rows(rows, classes, name="tags")
        targets = np.array([code for row in rows for code in row], "int32")
    different = list(dict.fromkeys(token for row in tokens for token in row))
    # The most frequent tokens come first, the unknown one before them: the largest code is that of the rarest part.
    parts = [codes.tolist() for codes in vocabulary.encode(different)]
    code_of = {token: max(codes, default=UNKNOWN) for token, codes in zip(different, parts, strict=True)}
    codes = np.array([code_of[token] for row in tokens for token in row], "int32")
    options = {"batch_size": batch_size, "bucket": bucket, "shuffle": shuffle, "seed": seed}
    return TagBatches(tokens, codes, lengths, targets, classes=classes, vocabulary=vocabulary, **options)


def _tokens_of(texts, vocabulary) -> list[list[str]]:
    """Return the tokens of each text as they stand there."""
    texts = listed(texts, "texts")
    are_cut = [isinstance(text, list | tuple | np.ndarray) for text in texts]
    checked_texts(["" if is_cut else text for text, is_cut in zip(texts, are_cut, strict=True)])
    rows = []
    for place, (text, is_cut) in enumerate(zip(texts, are_cut, strict=True)):
        row = checked_texts(text, f"texts[{place}]") if is_cut else vocabulary.split(text)
        are_characters = vocabulary.has_single_characters and all(len(token) == 1 for token in row)
        if not (vocabulary.has_whole_words or are_characters):
            raise ValueError(
                f"`vocabulary` cuts words into pieces, which have no tags, at position {place} of `texts`. Make one of "
                '`rt.fit_vocabulary(texts, unit="word")`, or one of characters, and pass a tag for each of them.'
            )
        rows.append(row)
    return rows


def tag_rows(tags, name, lengths=None, *, where="") -> list[list]:
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
