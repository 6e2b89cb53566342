"""From sequences to right-padded batches, with a label, a label a step, numbers a step, or a transcript each."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from rnn_toolkit._checks import nearest, one_of, whole_number
from rnn_toolkit.networks.batches import BucketedBatches
from rnn_toolkit.networks.padding import pad
from rnn_toolkit.networks.targets import check_order, encode_labels, encode_rows, listed, sample_weights
from rnn_toolkit.signals.sequences import checked_sequences

# Padding is zero, and a model takes the zeros behind the last other value for padding. A sequence that itself ends in
# zeros (silence, the black rows below a digit) therefore gets this in its last step: no layer can tell it from zero.
END = np.float32(1e-20)


class SequenceBatches(BucketedBatches):
    """Right-padded batches of sequences; made by `sequence_batches` and `transcript_batches`.

    Attributes:
        classes: Labels in the order of their codes, or the alphabet of transcripts, or `None`.
        targets: Encoded labels, one a sequence or an array of them; or `None`.
        weights: What each sequence counts in the loss, or `None`.
        lengths: Steps of each sequence in the present epoch.
        order, padding: As in `BucketedBatches`.
    """

    def __init__(self, sequences, targets, *, kind, classes, weights, speeds, noise, seed, **options):
        self.sequences, self.targets, self.kind = sequences, targets, kind
        self.classes, self.weights = classes, weights
        self._speeds, self._noise = np.asarray(speeds, "float64"), noise
        super().__init__(np.array([len(one) for one in sequences]), seed=seed, **options)

    def set_epoch(self, epoch: int) -> None:
        """Go to an epoch, counted from 0; its order, speeds and noise depend on the seed and the epoch alone."""
        generator = np.random.default_rng([self._seed, epoch, 1])
        self._pace = generator.choice(self._speeds, len(self.sequences))
        self.lengths = np.maximum([len(one) for one in self.sequences] / self._pace, 1).round().astype("int64")
        super().set_epoch(epoch)

    def __getitem__(self, index):
        rows, width = self._batches[index]
        generator = np.random.default_rng([self._seed, self.epoch, 2, int(rows[0])])
        x = np.zeros((len(rows), width, *self.sequences[0].shape[1:]), "float32")
        for target, row in zip(x, rows, strict=True):
            sequence = self._at_pace(self.sequences[row], self._pace[row])
            if self._noise:
                scale = self._noise * generator.random() * np.sqrt(np.mean(sequence**2))
                sequence = sequence + scale * generator.standard_normal(sequence.shape, "float32")
            if not np.any(sequence[-1]):
                sequence = np.concatenate([sequence[:-1], np.full_like(sequence[-1:], END)])
            target[: len(sequence)] = sequence
        if self.targets is None:
            return (x,)
        if self.kind == "steps":
            steps = [self._at_pace(self.targets[row], self._pace[row], nearest=True) for row in rows]
            y = np.zeros((len(rows), width, *steps[0].shape[1:]), steps[0].dtype)
            weight = np.zeros((len(rows), width), "float32")
            for row, one in enumerate(steps):
                y[row, : len(one)], weight[row, : len(one)] = one, 1
            return x, y, weight
        return (x, *(values[rows] for values in (self.targets, self.weights) if values is not None))

    def _at_pace(self, values, pace, *, nearest=False):
        """Return a sequence read faster or slower: between two steps, a mixture of both, or the nearer one."""
        if pace == 1:
            return values
        places = np.minimum(np.arange(max(round(len(values) / pace), 1)) * pace, len(values) - 1)
        if nearest:
            return values[places.round().astype("int64")]
        below = places.astype("int64")
        share = (places - below).astype("float32").reshape(-1, *(1,) * (values.ndim - 1))
        return values[below] * (1 - share) + values[np.minimum(below + 1, len(values) - 1)] * share

    def __repr__(self) -> str:
        classes = "no" if self.classes is None else len(self.classes)
        what = "symbols" if self.kind == "transcripts" else "classes"
        return f"{type(self).__name__}({len(self.sequences):,} sequences, {classes} {what}, {len(self)} batches)"


def sequence_batches(
    sequences: Iterable,
    labels: Iterable | None = None,
    *,
    classes: Sequence | None = None,
    class_weight: Mapping | str | None = None,
    length: int | None = None,
    batch_size: int = 64,
    bucket: bool | str = "auto",
    shuffle: bool = False,
    seed: int = 0,
    speeds: Sequence[float] = (1.0,),
    noise: float = 0.0,
) -> SequenceBatches:
    """Put sequences of different length, and their labels, into batches to train, validate and predict on.

    Widths and order are those of `text_batches`. Padding is zero and stands on the right.

    Args:
        sequences: Arrays `(timesteps, channels)`, or waveforms `(samples,)`; in a list, a Series or an array.
        labels: One a sequence: text, whole numbers or bools. Or an array or list for each sequence with one a step. Or,
            to predict numbers, a float array `(timesteps, outputs)` for each: for the next frame, pass
            `[one[:-1] for one in sequences]` and `[one[1:] for one in sequences]`.
        classes: All labels in the order of their codes; `None` takes those that occur, sorted. For validation pass the
            `classes` of the training batches.
        class_weight: What a sequence of each label counts, as in `text_batches`: a dict, or "balanced".
        length: Largest number of steps of a sequence with a label of its own. Of longer ones the last stay.
        batch_size: Sequences in a batch; the last batch holds what is left.
        bucket: Whether sequences of like length share a batch; "auto": where `shuffle` changes their order anyway.
        shuffle: Whether each epoch has an order of its own.
        seed: Seed of the order, the speeds and the noise.
        speeds: For training: each sequence is read at one of these speeds, drawn anew in each epoch. Of sound it
            changes pitch and pace, as another speaker would.
        noise: For training: white noise of up to this share of a sequence's root mean square, drawn likewise.

    Returns:
        A `SequenceBatches`, which is a `keras.utils.PyDataset` of `(x, y)`, or of `(x,)` without labels. x is float32
        `(batch, timesteps, channels)` or `(batch, samples)`, y int32 `(batch,)`. With class weights it is of
        `(x, y, sample_weight)`; so it is with a label or numbers a step, where y has a value a step and the weight,
        float32 `(batch, timesteps)`, is 0 at padding.

    Raises:
        TypeError, ValueError: If a sequence is empty, holds NaN, or differs from the others in its channels; if labels
            and sequences, or labels and steps, differ in number; or as in `text_batches`.

    Example:
        >>> batches = sequence_batches([[[1.0], [2.0]], [[3.0]]], ["up", "down"])
        >>> x, y = batches[0]
        >>> x[:, :3, 0].tolist(), y.tolist(), batches.classes
        ([[1.0, 2.0, 0.0], [3.0, 0.0, 0.0]], [1, 0], ['down', 'up'])
    """
    check_order(sequences, labels, "sequences", "labels")
    sequences, options = _checked(sequences, batch_size=batch_size, bucket=bucket, seed=seed, shuffle=shuffle)
    options |= _checked_changes(speeds, noise)
    targets, weights, kind = None, None, "labels"
    if labels is not None:
        labels = listed(labels, "labels", of="sequence")
        are_many = [isinstance(one, list | tuple | np.ndarray) and np.ndim(one) > 0 for one in labels]
        if any(are_many):
            kind = "steps"
            if class_weight is not None or length is not None or not all(are_many):
                raise ValueError(
                    "`labels` holds a label for each step. Then each sequence needs such a list, and neither "
                    "`class_weight` nor `length` can be given: leave them out."
                )
            targets, classes = _encode_steps(labels, classes, [len(one) for one in sequences])
        else:
            targets, classes = encode_labels(labels, classes, len(sequences), of="sequence")
    if class_weight is not None:
        weights = sample_weights(class_weight, targets if kind == "labels" else None, classes)
    if length is not None:
        whole_number(length, "length")
        sequences = [one[-length:] for one in sequences]
    return SequenceBatches(sequences, targets, kind=kind, classes=classes, weights=weights, **options)


def transcript_batches(
    sequences: Iterable,
    transcripts: Iterable[str | Sequence],
    *,
    alphabet: Sequence,
    batch_size: int = 64,
    bucket: bool | str = "auto",
    shuffle: bool = False,
    seed: int = 0,
    speeds: Sequence[float] = (1.0,),
    noise: float = 0.0,
) -> SequenceBatches:
    """Put sequences, and the symbols that stand in each, in order, into batches for `build_ctc_recognizer`.

    Where in a sequence a symbol stands need not be known.

    Args:
        sequences: As in `sequence_batches`.
        transcripts: For each sequence a text, whose characters are the symbols, or a list of symbols, of words, say. It
            may be empty.
        alphabet: All symbols, in the order of their codes, which count from 1: 0 is the blank.
        batch_size, bucket, shuffle, seed, speeds, noise: As in `sequence_batches`.

    Returns:
        A `SequenceBatches` of `(x, y)`: y, int32 `(batch, symbols)`, is padded with 0.

    Raises:
        TypeError, ValueError: As in `sequence_batches`; if a symbol is not in the alphabet, or occurs twice in it.

    Example:
        >>> x, y = transcript_batches([[0.5, 0.1], [0.2]], ["ba", "b"], alphabet="ab")[0]
        >>> y.tolist()
        [[2, 1], [2, 0]]
    """
    check_order(sequences, transcripts, "sequences", "transcripts")
    sequences, options = _checked(sequences, batch_size=batch_size, bucket=bucket, seed=seed, shuffle=shuffle)
    options |= _checked_changes(speeds, noise)
    alphabet = checked_alphabet(alphabet)
    transcripts = listed(transcripts, "transcripts", of="sequence")
    if len(transcripts) != len(sequences):
        raise ValueError(
            f"There are {len(sequences)} sequences but {len(transcripts)} transcripts. Pass a transcript for each."
        )
    codes = {symbol: code for code, symbol in enumerate(alphabet, start=1)}
    rows = []
    for place, transcript in enumerate(transcripts):
        if not isinstance(transcript, str | list | tuple | np.ndarray):
            raise TypeError(
                f"`transcripts` must hold texts or lists of symbols. Received at position {place}: {transcript!r}."
            )
        strange = [one for one in transcript if one not in codes]
        if strange:
            raise ValueError(
                f"`transcripts` holds {strange[0]!r} at position {place}, which is not in the alphabet {alphabet[:40]}."
                f"{nearest(strange[0], alphabet)} Correct the transcript, or add the symbol."
            )
        rows.append([codes[one] for one in transcript])
    targets, _ = pad(rows)
    return SequenceBatches(sequences, targets, kind="transcripts", classes=alphabet, weights=None, **options)


def checked_alphabet(alphabet) -> list:
    """Return the symbols of an alphabet as a list, or say why it is none."""
    has_order = hasattr(alphabet, "__iter__") and not isinstance(alphabet, set | frozenset)
    symbols = list(alphabet) if has_order else []
    if not symbols or len(set(symbols)) < len(symbols):
        raise ValueError(
            f"`alphabet` must hold symbols in an order, each once. Received: {alphabet!r}. Pass '0123456789', say."
        )
    return symbols


def _checked(sequences, *, batch_size, bucket, seed, shuffle) -> tuple[list, dict]:
    one_of(bucket, "bucket", ("auto", True, False))
    whole_number(batch_size, "batch_size")
    whole_number(seed, "seed", minimum=0)
    options = {"batch_size": batch_size, "bucket": bucket, "shuffle": shuffle, "seed": seed}
    return checked_sequences(sequences), options


def _checked_changes(speeds, noise) -> dict:
    if not len(speeds) or not all(0.1 <= speed <= 10 for speed in speeds) or not 0 <= noise < float("inf"):
        raise ValueError(
            f"`speeds` must be numbers from 0.1 to 10, and `noise` one from 0 on. Received: {speeds}, {noise}. Try "
            "(0.9, 1, 1.1) and 0.1."
        )
    return {"speeds": speeds, "noise": noise}


def _encode_steps(labels, classes, lengths) -> tuple[list[np.ndarray], list | None]:
    """Return what each step of each sequence is labelled with: codes, or the numbers as they are."""
    if len(labels) != len(lengths):
        raise ValueError(f"There are {len(lengths)} sequences but {len(labels)} lists of labels. Pass one for each.")
    for place, (row, length) in enumerate(zip(labels, lengths, strict=True)):
        if len(row) != length:
            raise ValueError(
                f"`labels` holds {len(row)} labels at position {place}, where the sequence has {length} steps. Give "
                "each step one."
            )
    if all(np.ndim(row) == 2 and np.asarray(row).dtype.kind == "f" for row in labels):
        return checked_sequences(labels, "labels"), None
    rows, classes = encode_rows([list(row) for row in labels], classes, name="labels")
    return [np.array(row, "int32") for row in rows], classes
