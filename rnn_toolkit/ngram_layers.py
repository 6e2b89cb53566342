"""A linear model of words and pairs of words, or of runs of characters: fitted in NumPy, kept in a layer.

Where texts are few it knows more than a network does; where they are many, the two err on different texts.
"""

import keras
import numpy as np
from keras import ops

from rnn_toolkit.text import TextBatches

MULTIPLIER = 0x9E3779B1 - 2**32  # 2^32 over the golden ratio, as int32: no two pairs of 40,000 words have one key
LAST_KEY = 2**31 - 1
END = -1  # the code of a text's beginning and end, where they count
# Chosen on held-out training reviews and messages. `RARITY_ALONE` is what a run's scale has without its ratio: few
# texts need more of it, as their ratios are noise; many tell by themselves which is better.
PENALTY, RARITY_ALONE, ENOUGH_TO_CHOOSE = 50.0, (1.0, 0.1), 1000
MAX_STEPS = 100
TOLERANCE = 1e-3  # of the first gradient's norm


@keras.saving.register_keras_serializable("rnn_toolkit")
class NgramLogits(keras.layers.Layer):
    """Add up a weight for each different run of tokens in a text, however often it occurs; frozen.

    The runs are listed by 32-bit keys in increasing order; one that is not listed counts nothing, and one in which
    there is padding neither.

    Args:
        num_classes: Labels there are.
        num_ngrams: Runs that are listed.
        longest: Tokens of the longest run.
        ends: Whether the beginning and the end of a text count as tokens, as a name's first letter tells more than
            the same one within it.

    Call arguments:
        inputs: Codes, int32 `(batch, timesteps)`, padded by 0.

    Returns:
        Logits, `(batch, num_classes)`.

    Source: Keys: Knuth, 1998, "The art of computer programming", volume 3, section 6.4, Fibonacci hashing.
    """

    def __init__(self, num_classes: int, num_ngrams: int, *, longest: int = 2, ends: bool = False, **kwargs):
        # In half precision a sum of many weights would lose its last digits.
        super().__init__(**({"trainable": False, "dtype": "float32"} | kwargs))
        self.num_classes, self.num_ngrams, self.longest, self.ends = num_classes, num_ngrams, longest, ends
        # TensorFlow's XLA searches by comparing with every key (tf2xla/kernels/lower_upper_bound_ops.cc).
        self.supports_jit = keras.backend.backend() != "tensorflow"

    def build(self, input_shape):
        """Make room for keys and weights; the last of each is for what is not listed."""
        rows, last = self.num_ngrams + 1, keras.initializers.Constant(LAST_KEY)
        options = {"trainable": False, "initializer": "zeros"}
        self.keys = self.add_weight(shape=(rows,), dtype="int32", name="keys", **options | {"initializer": last})
        self.kernel = self.add_weight(shape=(rows, self.num_classes), name="kernel", **options)
        self.bias = self.add_weight(shape=(self.num_classes,), name="bias", **options)

    def start_from(self, keys: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> None:
        """Set increasing keys, int32 `(num_ngrams,)`, their weights `(num_ngrams, num_classes)`, and the constants."""
        self.keys.assign(np.append(keys, np.int32(LAST_KEY)))
        self.kernel.assign(np.concatenate([kernel, np.zeros((1, self.num_classes))]).astype("float32"))
        self.bias.assign(bias)

    def call(self, inputs):
        """Return the sums."""
        inputs = ops.cast(inputs, "int32")
        if self.ends:
            inputs = ops.pad(inputs, ((0, 0), (1, 1)))
            behind_text = ops.pad(inputs[:, :-1] != 0, ((0, 0), (1, 0)), constant_values=True)
            inputs = ops.where(ops.logical_and(inputs == 0, behind_text), END, inputs)
        key = inputs
        keys, whole = [key], [inputs != 0]
        for before in range(1, self.longest):
            key = key[:, :-1] * MULTIPLIER + inputs[:, before:]  # modulo 2^32, as NumPy does it below
            keys.append(key)
            whole.append(inputs[:, before:] != 0)
        keys = ops.concatenate(keys, axis=1)  # (batch, runs)
        places = ops.reshape(ops.searchsorted(self.keys, ops.reshape(keys, (-1,))), ops.shape(keys))
        is_listed = ops.logical_and(ops.take(self.keys, places) == keys, ops.concatenate(whole, axis=1))
        places = ops.sort(ops.where(is_listed, ops.cast(places, "int32"), self.num_ngrams), axis=1)
        is_first = ops.concatenate([ops.ones_like(places[:, :1]) > 0, places[:, 1:] != places[:, :-1]], axis=1)
        weights = ops.take(self.kernel, places, axis=0)  # (batch, runs, classes)
        return ops.sum(ops.where(is_first[..., None], weights, 0.0), axis=1) + self.bias

    def shares(self, codes: np.ndarray) -> np.ndarray:
        """Return what each token of a text adds to each logit, `(timesteps, num_classes)`.

        The tokens of a run share its weight alike, and so do its occurrences.
        """
        listed, kernel = ops.convert_to_numpy(self.keys), ops.convert_to_numpy(self.kernel)
        codes = _with_ends(codes) if self.ends else codes
        runs = [
            (begins, key, np.full(len(key), size)) for size, begins, key in _runs(codes, [len(codes)], self.longest)
        ]
        begins, keys, sizes = map(np.concatenate, zip(*runs, strict=True))
        places = np.searchsorted(listed, keys)
        places = np.where(listed[places] == keys, places, self.num_ngrams)
        _, kinds, counts = np.unique(places, return_inverse=True, return_counts=True)
        parts = kernel[places] / (counts[kinds] * sizes)[:, None]
        shares = np.zeros((len(codes), self.num_classes), "float32")
        for step in range(self.longest):
            np.add.at(shares, begins[sizes > step] + step, parts[sizes > step])
        if self.ends:  # they belong to the tokens beside them
            shares[1] += shares[0]
            shares[-2] += shares[-1]
            shares = shares[1:-1]
        return shares

    def compute_output_shape(self, input_shape):
        """Return `(batch, num_classes)`."""
        return input_shape[0], self.num_classes

    def get_config(self):
        """Return the arguments of the constructor."""
        names = ("num_classes", "num_ngrams", "longest", "ends")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def fit_ngrams(train: TextBatches, *, longest: int, ends: bool = False) -> NgramLogits:
    """Fit a logistic regression on which runs of tokens occur in a text.

    How far a run's weight may go depends on how rare it is, and on how unlike the labels are in it; which of the two
    counts for more is chosen on each third of the texts in turn, held out for that, where there are many.

    Args:
        train: Labelled training texts, as `text_batches` returns them; their weights count.
        longest: Tokens of the longest run.
        ends: Whether the beginning and the end of a text count as tokens.

    Returns:
        The layer.

    Source: Scales by log-count ratios: Wang and Manning, 2012, "Baselines and bigrams: simple, good sentiment and topic
        classification", ACL. Steps: Barzilai and Borwein, 1988, "Two-point step size gradient methods", IMA Journal
        of Numerical Analysis 8(1).
    """
    batches = [train[place] for place in range(len(train))]
    codes = [row[row != 0] for batch in batches for row in batch[0]]
    codes = [_with_ends(row) for row in codes] if ends else codes
    targets = np.concatenate([batch[1] for batch in batches])
    weights = np.concatenate([batch[2] for batch in batches]) if len(batches[0]) > 2 else np.ones(len(codes))
    num_texts, num_classes, each_alone = len(codes), len(train.classes), targets.ndim == 2
    targets = targets if each_alone else np.eye(num_classes)[targets]  # (texts, classes)
    if is_binary := not each_alone and num_classes == 2:  # the odds of the second tell all
        targets, each_alone = targets[:, 1:], True
    keys, texts, ngrams = _listed(codes, longest)
    regression = _Regression(texts, ngrams, targets, each_alone)
    rarity_alone = RARITY_ALONE[0]
    if num_texts >= ENOUGH_TO_CHOOSE:
        rarity_alone = min(RARITY_ALONE, key=lambda choice: regression.held_out_errors(weights, choice))
    kernel, bias = regression.fit(weights, rarity_alone)
    if is_binary:
        kernel, bias = np.pad(kernel, ((0, 0), (1, 0))), np.pad(bias, (1, 0))
    layer = NgramLogits(num_classes, len(keys), longest=longest, ends=ends)
    layer.build((None, None))
    layer.start_from(keys, kernel, bias)
    return layer


class _Regression:
    """A logistic regression on which runs occur in which text.

    Args:
        texts, ngrams: Pairs of a text and a run that occurs in it, by their numbers.
        targets: `(texts, classes)`.
        each_alone: Whether each class has its own odds, or all share one.
    """

    def __init__(self, texts, ngrams, targets, each_alone):
        self.texts, self.ngrams, self.targets, self.each_alone = texts, ngrams, targets, each_alone
        self.counts = np.bincount(ngrams)

    def fit(self, weights, rarity_alone):
        """Return kernel and bias, for texts of these weights."""
        weights, targets, num_texts = weights[:, None], self.targets, len(self.targets)
        inside, outside = (1 + self._sums_back(weights * values) for values in (targets, 1 - targets))
        ratios = np.log(inside / inside.sum(0)) - np.log(outside / outside.sum(0))
        rarity = 1 + np.log((1 + num_texts) / (1 + self.counts))
        scales = (rarity_alone + np.abs(ratios)) * rarity[:, None]
        shares = (1 + (weights * targets).sum(0)) / (2 + weights.sum())
        bias = np.log(shares / (1 - shares)) if self.each_alone else np.log(shares)
        found, before, first = np.concatenate([np.zeros_like(scales), bias[None]]), None, None
        for _ in range(MAX_STEPS):
            errors = weights * (self._outputs(scales * found[:-1], found[-1]) - targets)
            slope = np.concatenate([scales * self._sums_back(errors) + PENALTY * found[:-1], errors.sum(0)[None]])
            size = np.linalg.norm(slope)
            first = size if first is None else first
            if size <= TOLERANCE * first:
                break
            if before is None:
                step = 0.1 / np.abs(slope).max()
            else:
                moved, bent = found - before[0], slope - before[1]
                step = (moved * bent).sum() / (bent * bent).sum()
            before, found = (found, slope), found - step * slope
        return scales * found[:-1], found[-1]

    def held_out_errors(self, weights, rarity_alone):
        """Return how many labels are wrong in each third of the texts, by what the other two teach."""
        third, errors = np.arange(len(weights)) % 3, 0.0
        for held_out in range(3):
            outputs = self._outputs(*self.fit(weights * (third != held_out), rarity_alone))
            predicted = outputs > 0.5 if self.each_alone else outputs == outputs.max(1, keepdims=True)
            errors += ((weights * (third == held_out))[:, None] * (predicted != self.targets)).sum()
        return errors

    def _outputs(self, kernel, bias):
        columns = [np.bincount(self.texts, column[self.ngrams], len(self.targets)) for column in kernel.T]
        logits = np.stack(columns, axis=1) + bias
        if self.each_alone:
            return 0.5 + 0.5 * np.tanh(logits / 2)  # a sigmoid that does not overflow
        outputs = np.exp(logits - logits.max(1, keepdims=True))
        return outputs / outputs.sum(1, keepdims=True)

    def _sums_back(self, values):  # (texts, columns) -> (ngrams, columns)
        columns = [np.bincount(self.ngrams, column[self.texts], len(self.counts)) for column in values.T]
        return np.stack(columns, axis=1)


def _with_ends(codes):
    return np.concatenate([[END], codes, [END]]).astype("int32")


def _listed(codes, longest):
    """Return the keys of all runs, in order, and pairs of a text and the place of a run that occurs in it."""
    lengths = [len(row) for row in codes]
    text = np.repeat(np.arange(len(codes)), lengths)
    # Both in one number, the key in its upper half; sorting is faster than `np.unique`.
    pairs = [
        (key.astype("int64") << 32) + text[begins] for _, begins, key in _runs(np.concatenate(codes), lengths, longest)
    ]
    pairs = np.sort(np.concatenate(pairs))
    pairs = pairs[np.append(True, pairs[1:] != pairs[:-1])]
    keys, texts = (pairs >> 32).astype("int32"), pairs & (2**32 - 1)
    is_new = np.append(True, keys[1:] != keys[:-1])
    return keys[is_new], texts, np.cumsum(is_new) - 1


def _runs(codes, lengths, longest):
    """Yield the size of runs of tokens, where in the joined texts they begin, and their keys, as the layer does."""
    codes = key = np.asarray(codes, "int32")
    left = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(codes))
    for size in range(1, longest + 1):
        if size > 1:
            key = key[:-1] * np.int32(MULTIPLIER) + codes[size - 1 :]
        begins = np.flatnonzero(left[: len(key)] >= size)
        yield size, begins, key[begins]
