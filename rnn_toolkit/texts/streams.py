"""One long text as streams of tokens for a language model."""

from collections.abc import Iterable

import numpy as np

from rnn_toolkit.networks.batches import RepeatableBatches
from rnn_toolkit.texts.batches import check_options
from rnn_toolkit.texts.inputs import checked_texts
from rnn_toolkit.texts.vocabulary import Vocabulary


class TokenStreams(RepeatableBatches):
    """Batches of a text in the order in which it is read; made by `language_model_batches`.

    The first code of a row that goes on from the batch before is negative: a model of `build_language_model` then takes
    up its state from there.

    Attributes:
        codes: The text.
    """

    def __init__(self, codes, *, vocabulary, batch_size, steps, shift, seed):
        super().__init__()
        self.codes, self.vocabulary, self.batch_size, self.steps = codes, vocabulary, batch_size, steps
        self._shift, self._seed = shift, seed
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Go to an epoch, counted from 0; where its streams begin depends on the seed and the epoch alone."""
        self._first = int(np.random.default_rng([self._seed, epoch]).integers(self.steps)) if self._shift else 0
        self.epoch = epoch

    def __len__(self) -> int:
        latest = self.steps - 1 if self._shift else 0  # start, so that every epoch has as many batches
        return (len(self.codes) - 1 - latest) // (self.batch_size * self.steps)

    def __getitem__(self, index):
        streams = np.arange(self.batch_size)[:, None] * len(self) * self.steps  # (batch, 1)
        index = range(len(self))[index]
        places = self._first + streams + index * self.steps + np.arange(self.steps)  # (batch, steps)
        x = self.codes[places]
        if index:
            x[:, 0] *= -1
        return x, self.codes[places + 1]

    def __repr__(self) -> str:
        return f"TokenStreams({len(self.codes):,} tokens, {len(self)} batches of {self.batch_size} x {self.steps})"


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
        row goes on. Tokens at the end of the text that do not fill a batch are left out.

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
