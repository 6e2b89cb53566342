"""From texts and their labels to numbers that a model takes: right-padded batches, texts of like length together."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from rnn_toolkit._checks import whole_number
from rnn_toolkit.networks.batches import BucketedBatches
from rnn_toolkit.networks.targets import check_order, encode_labels, sample_weights
from rnn_toolkit.texts.inputs import checked_texts
from rnn_toolkit.texts.vocabulary import PADDING, UNKNOWN, Vocabulary, check_vocabulary


class TextBatches(BucketedBatches):
    """Right-padded batches of texts; made by `text_batches`.

    Attributes:
        classes: Labels in the order of their codes, or `None`.
        targets: The encoded labels in the order of the texts, or `None`.
        weights: What each text counts in the loss, or `None`.
        lengths: Tokens of each text, in the order of the texts.
        order: Place of each row's text in `texts`, batch after batch, in the present epoch.
        padding: Share of padding in the batches of the present epoch.
    """

    def __init__(
        self, codes, lengths, targets, *, weights=None, classes, vocabulary, batch_size, bucket, shuffle, seed
    ):
        if not len(lengths):
            raise ValueError("`texts` is empty. Pass at least one text.")
        super().__init__(np.maximum(lengths, 1), batch_size=batch_size, bucket=bucket, shuffle=shuffle, seed=seed)
        self.targets, self.weights, self.classes, self.vocabulary = targets, weights, classes, vocabulary
        self._codes = np.insert(codes, np.cumsum(lengths)[lengths == 0], UNKNOWN)
        self._starts = np.cumsum(self.lengths) - self.lengths

    def __getitem__(self, index):
        x = self._padded(self._codes, index, PADDING)
        rows, _ = self._batches[index]
        return (x, *(values[rows] for values in (self.targets, self.weights) if values is not None))

    def _padded(self, values, index, padding) -> np.ndarray:
        """Return a value of each token of a batch, `(batch, timesteps)`."""
        rows, width = self._batches[index]
        steps = np.arange(width)
        is_text = steps < self.lengths[rows, None]
        return np.where(is_text, values[np.where(is_text, self._starts[rows, None] + steps, 0)], np.int32(padding))

    def __repr__(self) -> str:
        classes = "no" if self.classes is None else len(self.classes)
        return f"{type(self).__name__}({len(self.lengths):,} texts, {classes} classes, {len(self)} batches)"


def text_batches(
    texts: Iterable[str],
    labels: Iterable | None = None,
    *,
    vocabulary: Vocabulary,
    classes: Sequence | None = None,
    class_weight: Mapping | str | None = None,
    length: int | None = None,
    batch_size: int = 64,
    bucket: bool | str = "auto",
    shuffle: bool = False,
    seed: int = 0,
) -> TextBatches:
    """Encode texts, and their labels, into batches to train, validate and predict on.

    A batch is as wide as its longest text, rounded up to a multiple of 8, above 64 of an eighth of the next power of
    two: at most four widths between one power of two and the next, since each may be compiled anew. An empty text
    becomes one unknown token, as cuDNN refuses a row of padding alone.

    Args:
        texts: List, Series or array of texts.
        labels: As many labels: text, whole numbers or bools, as a list, an array or one column. Lists or sets of them
            where a text may have several, or none; rows of ones and zeros are refused.
        vocabulary: What `fit_vocabulary` made of the training texts.
        classes: All labels in the order of their codes; `None` takes those that occur, sorted. For validation pass the
            `classes` of the training batches, in case one does not occur there.
        class_weight: What a text of each label counts in the loss, for training where some labels are rare: a dict with
            all labels, or "balanced", so that all labels count alike: texts / (classes * texts of the label). `None`:
            all texts count alike.
        length: Largest number of tokens of a text. Of longer ones the last stay, as a review ends with its verdict.
        batch_size: Texts in a batch; the last batch holds what is left.
        bucket: Whether texts of like length share a batch, which saves most of the padding but changes their order
            (see `TextBatches.order`). "auto": where `shuffle` changes it anyway; otherwise the texts stay in order,
            and so do the rows that `model.predict` returns.
        shuffle: Whether each epoch has an order of its own. Keras' own `fit` shuffles the batches once more, from a
            state that cannot be had again, unless told `shuffle=False`.
        seed: Seed of the order.

    Returns:
        A `TextBatches`, which is a `keras.utils.PyDataset` of `(x, y)`, or of `(x,)` without labels, or with class
        weights of `(x, y, sample_weight)`. x is int32 `(batch, timesteps)`; y is the place in `classes`, int32
        `(batch,)`, or with lists of labels ones and zeros, float32 `(batch, classes)`; sample_weight is float32
        `(batch,)`.

    Raises:
        TypeError, ValueError: If texts and labels differ in number or, by their indexes, in order; one of them is
            missing or of the wrong kind, there is but one class, a label is not in `classes`, or `class_weight` does
            not fit the labels.

    Example:
        >>> from rnn_toolkit import fit_vocabulary
        >>> vocabulary = fit_vocabulary(["so good", "so bad", "good"])
        >>> x, y = text_batches(["so good", "bad"], ["yes", "no"], vocabulary=vocabulary)[0]
        >>> x.tolist(), y.tolist()
        ([[3, 2, 0, 0, 0, 0, 0, 0], [4, 0, 0, 0, 0, 0, 0, 0]], [1, 0])
    """
    check_options(vocabulary, batch_size=batch_size, seed=seed, length=1 if length is None else length)
    check_order(texts, labels, "texts", "labels")
    texts, targets = checked_texts(texts), None
    if labels is not None:
        targets, classes = encode_labels(labels, classes, len(texts))
    weights = None if class_weight is None else sample_weights(class_weight, targets, classes)
    codes, lengths = vocabulary.encode_flat(texts)
    if length is not None:
        codes = codes[np.repeat(np.cumsum(lengths), lengths) - np.arange(len(codes)) <= length]
        lengths = np.minimum(lengths, length)
    options = {"batch_size": batch_size, "bucket": bucket, "shuffle": shuffle, "seed": seed, "weights": weights}
    return TextBatches(codes, lengths, targets, classes=classes, vocabulary=vocabulary, **options)


def check_options(vocabulary, *, seed, **counts):
    """Raise unless there is a vocabulary, the seed is a whole number from 0 on, and the counts are some from 1 on."""
    check_vocabulary(vocabulary)
    whole_number(seed, "seed", minimum=0)
    for name, count in counts.items():
        whole_number(count, name)


def check_labelled(batches, name, *, vocabulary, classes, multi_label):
    """Raise unless these are labelled texts for a classifier of these classes."""
    if not isinstance(batches, TextBatches):
        raise TypeError(
            f"`{name}` must be labelled batches. Received: {type(batches).__name__}. Pass what `rt.text_batches` made "
            "of texts and their labels."
        )
    is_multi = batches.targets is not None and batches.targets.ndim == 2
    for is_wrong, what in (
        (batches.targets is None, "no labels"),
        (batches.vocabulary != vocabulary, "another vocabulary"),
        (batches.classes != classes, f"the classes {batches.classes}"),
        (is_multi != multi_label, "lists of labels" if is_multi else "one label a text"),
    ):
        if is_wrong:
            raise ValueError(
                f"`{name}` must fit the vocabulary, the classes {classes} and `multi_label`. Received: batches with "
                f"{what}. Make them with the vocabulary and the `classes` of the training batches."
            )
