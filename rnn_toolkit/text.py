"""From texts to numbers that a model takes: right-padded batches, and the streams a language model reads."""

from collections.abc import Iterable, Mapping, Sequence, Set

import keras
import numpy as np

from rnn_toolkit._checks import nearest, one_of, whole_number
from rnn_toolkit.vocabulary import PADDING, UNKNOWN, Vocabulary, check_vocabulary, checked_texts, is_missing, listed


def pad(sequences: Iterable, *, length: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Put sequences of different lengths into one array, with zeros on the right, where cuDNN needs them.

    Args:
        sequences: Rows of numbers, or arrays of shape `(timesteps, features)`; some may be empty.
        length: Time steps of the result; `None` takes those of the longest. Of longer sequences the last steps stay.

    Returns:
        The array of shape `(num_sequences, timesteps)` or `(num_sequences, timesteps, features)`, at least one step
        long, int32 for whole numbers and float32 for others; and the lengths, int32 of shape `(num_sequences,)`.

    Raises:
        TypeError, ValueError: If there is no sequence, one does not hold numbers, or their features differ in number.

    Example:
        >>> array, lengths = pad([[5, 6, 7], [], [8]])
        >>> array.tolist(), lengths.tolist()
        ([[5, 6, 7], [0, 0, 0], [8, 0, 0]], [3, 0, 1])
    """
    if length is not None:
        whole_number(length, "length")
    rows, first = [], None
    for place, sequence in enumerate(sequences):
        try:
            row = np.asarray(sequence)
        except ValueError:  # ragged
            row = np.asarray(None)
        if not row.ndim or (row.size and row.dtype.kind not in "biuf"):
            raise TypeError(
                f"`sequences` must hold rows of numbers. Received at position {place}: {type(sequence).__name__} of "
                f"{row.dtype}. Pass lists of numbers or arrays of shape (timesteps, features); encode texts first."
            )
        if row.size and first is not None and row.shape[1:] != rows[first].shape[1:]:
            raise ValueError(
                f"`sequences` must have time steps of one shape. Received: {rows[first].shape[1:]} at position "
                f"{first}, {row.shape[1:]} at position {place}. Give all of them the same features."
            )
        first = place if first is None and row.size else first
        rows.append(row)
    if not rows:
        raise ValueError("`sequences` is empty. Pass at least one sequence.")
    rows = [row if length is None else row[-length:] for row in rows]
    lengths = np.array([len(row) for row in rows], "int32")
    timesteps = length or max(int(lengths.max()), 1)
    kinds = {row.dtype.kind for row in rows if row.size}
    features = rows[first or 0].shape[1:]
    array = np.zeros((len(rows), timesteps, *features), "int64" if kinds <= set("biu") else "float32")
    for row, target in zip(rows, array, strict=True):
        if row.size:
            target[: len(row)] = row
    if array.dtype == "int64":
        if np.abs(array).max() > np.iinfo("int32").max:
            raise ValueError(f"`sequences` holds {np.abs(array).max()}, which int32 cannot. Pass floats.")
        array = array.astype("int32")
    return array, lengths


class _Batches(keras.utils.PyDataset):
    """Batches that depend on their index and on the epoch alone, so that each can be had again."""

    def on_epoch_end(self):
        """Go on to the next epoch; Keras calls this."""
        self.set_epoch(self.epoch + 1)


class TextBatches(_Batches):
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
        self, codes, lengths, targets, *, classes, vocabulary, batch_size, bucket, shuffle, seed, weights=None
    ):
        super().__init__()
        self.weights = weights
        self.lengths, self.targets, self.classes = np.maximum(lengths, 1), targets, classes
        self.vocabulary, self.batch_size = vocabulary, batch_size
        self._codes = np.insert(codes, np.cumsum(lengths)[lengths == 0], UNKNOWN)
        self._starts = np.cumsum(self.lengths) - self.lengths
        self._bucket, self._shuffle, self._seed = shuffle if bucket == "auto" else bucket, shuffle, seed
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Go to an epoch, counted from 0; its order depends on the seed and the epoch alone."""
        generator = np.random.default_rng([self._seed, epoch])
        order = np.arange(len(self.lengths))
        if self._shuffle:
            generator.shuffle(order)
        if self._bucket:  # the order among texts of one width stays
            order = order[np.argsort(_width(self.lengths[order]), kind="stable")]
        batches = np.split(order, range(self.batch_size, len(order), self.batch_size))
        if self._bucket and self._shuffle:
            batches = [batches[place] for place in generator.permutation(len(batches))]
        widths = [int(_width(self.lengths[rows].max())) for rows in batches]
        # From the first two batches Keras tells TensorFlow whether widths differ (data_adapter_utils.py,
        # NUM_BATCHES_FOR_TENSOR_SPEC); if these are alike, a batch of another width ends the training with an error.
        if len(widths) > 1 and widths[0] == widths[1] and _width(self.lengths.min()) < _width(self.lengths.max()):
            widths[0] = int(_width(widths[0] + 1))
        self.epoch, self._batches = epoch, list(zip(batches, widths, strict=True))

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

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

    @property
    def order(self) -> np.ndarray:
        """Place of each row's text in `texts`, batch after batch, in the present epoch."""
        return np.concatenate([rows for rows, _ in self._batches])

    @property
    def padding(self) -> float:
        """Share of padding in the batches of the present epoch."""
        return 1 - int(self.lengths.sum()) / sum(len(rows) * width for rows, width in self._batches)


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
        labels: As many labels: text, whole numbers or bools. Lists or sets of them where a text may have several, or
            none.
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
        TypeError, ValueError: If texts and labels differ in number, one of them is missing or of the wrong kind, there
            is but one class, a label is not in `classes`, or `class_weight` does not fit the labels.

    Example:
        >>> from rnn_toolkit import fit_vocabulary
        >>> vocabulary = fit_vocabulary(["so good", "so bad", "good"])
        >>> x, y = text_batches(["so good", "bad"], ["yes", "no"], vocabulary=vocabulary)[0]
        >>> x.tolist(), y.tolist()
        ([[3, 2, 0, 0, 0, 0, 0, 0], [4, 0, 0, 0, 0, 0, 0, 0]], [1, 0])
    """
    check_options(vocabulary, batch_size=batch_size, seed=seed, length=1 if length is None else length)
    one_of(bucket, "bucket", ("auto", True, False))
    texts, targets = checked_texts(texts), None
    if not texts:
        raise ValueError("`texts` is empty. Pass at least one text.")
    if labels is not None:
        targets, classes = _encode_labels(labels, classes, len(texts))
    weights = None if class_weight is None else _weights(class_weight, targets, classes)
    codes, lengths = vocabulary.encode_flat(texts)
    if length is not None:
        codes = codes[np.repeat(np.cumsum(lengths), lengths) - np.arange(len(codes)) <= length]
        lengths = np.minimum(lengths, length)
    options = {"batch_size": batch_size, "bucket": bucket, "shuffle": shuffle, "seed": seed, "weights": weights}
    return TextBatches(codes, lengths, targets, classes=classes, vocabulary=vocabulary, **options)


def _weights(class_weight, targets, classes) -> np.ndarray:
    """Return what each text counts, or say why the weights do not fit."""
    if targets is None or targets.ndim != 1:
        raise ValueError(
            "`class_weight` needs one label for each text. Received: "
            f"{'no labels' if targets is None else 'lists of labels'}. Pass `labels`, or leave the weights out."
        )
    if class_weight == "balanced":
        counts = np.bincount(targets, minlength=len(classes))
        return (len(targets) / (len(classes) * np.maximum(counts, 1))).astype("float32")[targets]
    if not isinstance(class_weight, Mapping):
        raise TypeError(f"`class_weight` must be 'balanced', a dict or None. Received: {class_weight!r}.")
    for one in [*classes, *class_weight]:
        weight = class_weight.get(one) if one in classes else None
        if isinstance(weight, bool | None) or not 0 <= weight < float("inf"):
            raise ValueError(
                f"`class_weight` must give each of {classes} a number from 0 on, and nothing else. Received: "
                f"{class_weight!r}, which is wrong at {one!r}.{nearest(one, classes)}"
            )
    return np.array([class_weight[one] for one in classes], "float32")[targets]


def _width(lengths):
    """Round lengths up to the widths that batches have; see `text_batches`."""
    step = np.maximum(2 ** np.ceil(np.log2(lengths)) / 8, 8).astype("int64")
    return -(-lengths // step) * step


def _encode_labels(labels, classes, num_texts) -> tuple[np.ndarray, list]:
    """Return the codes of labels, one a text or as ones and zeros, and the classes in the order of the codes."""
    labels = listed(labels, "labels")
    if len(labels) != num_texts:
        raise ValueError(f"There are {num_texts} texts but {len(labels)} labels. Pass a label for each text.")
    are_many = [isinstance(label, list | tuple | Set | np.ndarray) for label in labels]
    if any(are_many) and not all(are_many):
        raise TypeError(
            f"`labels` mixes lists of labels and single ones, such as {labels[are_many.index(False)]!r} at position "
            f"{are_many.index(False)}. Put these into lists too."
        )
    is_multi = any(are_many)
    rows, classes = encode_rows(labels if is_multi else zip(labels), classes, name="labels", fewest=2 - is_multi)
    if not is_multi:
        return np.array([code for (code,) in rows], "int32"), classes
    targets = np.zeros((len(rows), len(classes)), "float32")
    for target, row in zip(targets, rows, strict=True):
        target[row] = 1
    return targets, classes


def encode_rows(rows, classes, *, name, fewest=2) -> tuple[list[list[int]], list]:
    """Return rows of labels as rows of codes, and the classes in the order of the codes."""
    rows = [[_label(one, place, name) for one in row] for place, row in enumerate(rows)]
    if classes is None:
        examples = {type(one): one for row in rows for one in row}
        if len(examples) > 1:
            raise TypeError(f"`{name}` are of several types: {list(examples.values())}. Make all of them text.")
        classes = sorted({one for row in rows for one in row})
    else:
        classes = [_label(one, place, "classes") for place, one in enumerate(listed(classes, "classes"))]
    codes = {one: code for code, one in enumerate(classes)}
    if len(codes) < len(classes) or len(codes) < fewest:
        raise ValueError(
            f"`classes` must be two at least, all different. Received: {classes}. Pass texts of another class too, or "
            "name all classes there are in `classes`."
        )
    for place, row in enumerate(rows):
        for one in row:
            if one not in codes:
                shown = ", ".join(map(repr, classes[:20])) + ", ..." * (len(classes) > 20)
                raise ValueError(
                    f"`{name}` holds {one!r} at position {place}, but `classes` are {shown}.{nearest(one, classes)} "
                    "Correct the label, or add it to `classes`."
                )
    return [[codes[one] for one in row] for row in rows], classes


def _label(label, place, name) -> str | int | bool:
    """Return a label as plain Python has it, or say why it is none."""
    label = label.item() if isinstance(label, np.generic) else label
    if isinstance(label, str | int):
        return label
    if is_missing(label):
        raise ValueError(f"`{name}` has none at position {place}: {label!r}. Drop that text, or label it.")
    raise TypeError(
        f"`{name}` must be text, whole numbers or bools. Received at position {place}: {label!r}. Convert it, by "
        "`.astype(str)`, say."
    )


class TokenStreams(_Batches):
    """Batches of a text in the order in which it is read; made by `language_model_batches`.

    The first code of a row that goes on from the batch before is negative: a model of `build_language_model` then takes
    up its state from there.

    Attributes:
        codes: The text.
        num_tokens: Tokens of the text.
        dropped: Tokens that are targets in no batch of the present epoch, but for the first of the text.
    """

    def __init__(self, codes, *, vocabulary, batch_size, steps, shift, seed):
        super().__init__()
        self.vocabulary, self.batch_size, self.steps, self.num_tokens = vocabulary, batch_size, steps, len(codes)
        self.codes, self._shift, self._seed = codes, shift, seed
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Go to an epoch, counted from 0; where its streams begin depends on the seed and the epoch alone."""
        self._first = int(np.random.default_rng([self._seed, epoch]).integers(self.steps)) if self._shift else 0
        self.epoch = epoch

    def __len__(self) -> int:
        latest = self.steps - 1 if self._shift else 0  # start, so that every epoch has as many batches
        return (self.num_tokens - 1 - latest) // (self.batch_size * self.steps)

    def __getitem__(self, index):
        streams = np.arange(self.batch_size)[:, None] * len(self) * self.steps  # (batch, 1)
        index = range(len(self))[index]
        places = self._first + streams + index * self.steps + np.arange(self.steps)  # (batch, steps)
        x = self.codes[places]
        if index:
            x[:, 0] *= -1
        return x, self.codes[places + 1]

    def __repr__(self) -> str:
        return f"TokenStreams({self.num_tokens:,} tokens, {len(self)} batches of {self.batch_size} x {self.steps})"

    @property
    def dropped(self) -> int:
        """Tokens that are targets in no batch of the present epoch, but for the first of the text."""
        return self.num_tokens - 1 - len(self) * self.batch_size * self.steps


def language_model_batches(
    text: str | Iterable[str],
    vocabulary: Vocabulary,
    *,
    batch_size: int = 64,
    steps: int = 128,
    shift: bool = False,
    seed: int = 0,
) -> TokenStreams:
    """Cut a text into parallel streams of tokens and the tokens that follow, for truncated back-propagation.

    Each row reads its own part of the text: row r of a batch goes on where row r of the batch before ended, so that a
    model can carry its state. Keras' own `fit` shuffles the batches and breaks that, unless told `shuffle=False`.

    Args:
        text: A text, or several, which are joined by new lines.
        vocabulary: What `fit_vocabulary` made of the training text.
        batch_size: Streams read side by side.
        steps: Tokens of each stream in a batch: how far back gradients reach.
        shift: Whether each epoch begins at another one of the first `steps` tokens, so that the text is cut elsewhere.
            For training; an evaluation should be the same each time.
        seed: Seed of the shift.

    Returns:
        A `TokenStreams`, which is a `keras.utils.PyDataset` of `(x, y)`, both int32 `(batch_size, steps)` and y one
        token later than x; behind the first batch, the first code of each row of x is negative, which says that the
        row goes on. Tokens that do not fill a batch are dropped at the end of the text; `dropped` counts them.

    Raises:
        TypeError, ValueError: If the text is none, or too short for one batch.

    Example:
        >>> from rnn_toolkit import fit_vocabulary
        >>> vocabulary = fit_vocabulary(["abcdefghi"], unit="character")
        >>> batches = language_model_batches("abcdefghi", vocabulary, batch_size=2, steps=2)
        >>> [[vocabulary.decode(abs(part)) for part in batch] for batch in batches]
        [[['ab', 'ef'], ['bc', 'fg']], [['cd', 'gh'], ['de', 'hi']]]

    Source: Williams and Peng, 1990, "An efficient gradient-based algorithm for on-line training of recurrent network
        trajectories", Neural Computation 2(4).
    """
    check_options(vocabulary, batch_size=batch_size, seed=seed, steps=steps)
    codes = encode_joined(text, vocabulary, name="text")
    needed = batch_size * steps + 1 + (steps - 1 if shift else 0)
    if len(codes) < needed:
        raise ValueError(
            f"`text` has {len(codes)} tokens, but a batch of {batch_size} streams of {steps} steps needs {needed}. "
            "Pass more text, or lower `batch_size` or `steps`."
        )
    return TokenStreams(codes, vocabulary=vocabulary, batch_size=batch_size, steps=steps, shift=shift, seed=seed)


def encode_joined(text: str | Iterable[str], vocabulary: Vocabulary, *, name: str) -> np.ndarray:
    """Return the codes of a text, or of several that new lines join."""
    texts = checked_texts([text] if isinstance(text, str) else text, name)
    return vocabulary.encode_flat([f"{one}\n" for one in texts[:-1]] + texts[-1:])[0]


def check_options(vocabulary, *, seed, **counts):
    check_vocabulary(vocabulary)
    whole_number(seed, "seed", minimum=0)
    for name, count in counts.items():
        whole_number(count, name)


def check_labelled(batches, name, *, vocabulary, classes, multi_label):
    """Say what batches lack to be labelled texts for a classifier."""
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
