"""What a linear model of words and pairs of words, or of runs of characters, holds against a text: fitted, and a layer.

Where texts are few it knows more than a network does; a network that reads its evidence word by word can weigh what it
adds up.
"""

import keras
import numpy as np
from keras import ops

from rnn_toolkit.texts.batches import TextBatches

MULTIPLIER = 0x9E3779B1 - 2**32  # 2^32 over the golden ratio, as int32: no two pairs of 40,000 words have one key
LAST_KEY = 2**31 - 1
END = -1  # the code of a text's beginning and end, where they count
NUM_FOLDS = 3
# Chosen on held-out training reviews and messages. `RARITY_ALONE` is what a run's scale has without its ratio: few
# texts need more of it, as their ratios are noise; many tell by themselves which is better.
PENALTY, RARITY_ALONE, ENOUGH_TO_CHOOSE = 50.0, {"few": (3.0,), "many": (1.0, 0.1)}, 1000
MAX_STEPS = 100
TOLERANCE = 1e-3  # of the first gradient's norm
BATCHES_TO_MEASURE = 16  # the size of the evidence by, at most


@keras.saving.register_keras_serializable("rnn_toolkit")
class NgramEvidence(keras.layers.Layer):
    """Look up what each run of tokens in a text speaks for; frozen.

    The runs are listed by 32-bit keys in increasing order; one that is not listed counts nothing, and one in which
    there is padding neither. A text that the weights were fitted to would look much easier than a new one. In training
    each text is therefore judged by weights that were fitted to others, without a third of the texts to which it
    belongs by a hash of its codes: what learns from the outputs sees what it will see of new texts.

    Args:
        num_classes: Labels there are.
        num_ngrams: Runs that are listed.
        longest: Tokens of the longest run.
        ends: Whether the beginning and the end of a text count as tokens, as a name's first letter tells more than
            the same one within it.
        binary: Whether each run has one weight, for the second of two classes, instead of one for each class.

    Call arguments:
        inputs: Codes, int32 `(batch, timesteps)`, padded by 0.

    Returns:
        Logits, `(batch, num_classes)`: the weights of a text's different runs, each taken once however often it
        occurs, over the square root of the number of tokens. And the evidence, `(batch, timesteps, num_weights)`: the
        weights of the runs in which each token stands, which share them alike, on a scale of about 1; num_weights is
        num_classes, or with `binary` 1.

    Source: Keys: Knuth, 1998, "The art of computer programming", volume 3, section 6.4, Fibonacci hashing. Judged by
        others' weights: Wolpert, 1992, "Stacked generalization", Neural Networks 5(2).
    """

    def __init__(
        self, num_classes: int, num_ngrams: int, *, longest: int = 2, ends: bool = False, binary: bool = False, **kwargs
    ):
        # In half precision a sum of many weights would lose its last digits.
        super().__init__(**({"trainable": False, "dtype": "float32"} | kwargs))
        self.num_classes, self.num_ngrams, self.longest, self.ends = num_classes, num_ngrams, longest, ends
        self.binary, self.num_weights = binary, 1 if binary else num_classes
        # TensorFlow's XLA searches by comparing with every key (tf2xla/kernels/lower_upper_bound_ops.cc).
        self.supports_jit = keras.backend.backend() != "tensorflow"

    def build(self, input_shape):
        """Make room for keys and weights; the last of each is for what is not listed."""
        rows, last = self.num_ngrams + 1, keras.initializers.Constant(LAST_KEY)
        options = {"trainable": False, "initializer": "zeros"}
        self.keys = self.add_weight(shape=(rows,), dtype="int32", name="keys", **options | {"initializer": last})
        self.kernel = self.add_weight(shape=(rows, self.num_weights), name="kernel", **options)
        self.bias = self.add_weight(shape=(self.num_weights,), name="bias", **options)
        self.scale = self.add_weight(shape=(), name="scale", **options | {"initializer": "ones"})
        # Half the digits halve the file; without `autocast` no step turns all of them into whole ones.
        halves = {"shape": (NUM_FOLDS, rows, self.num_weights), "dtype": "float16", "autocast": False}
        self.held_out_kernels = self.add_weight(name="held_out_kernels", **halves, **options)
        self.held_out_biases = self.add_weight(shape=(NUM_FOLDS, self.num_weights), name="held_out_biases", **options)

    def start_from(self, keys: np.ndarray, fitted: tuple, held_out: list[tuple]) -> None:
        """Set increasing keys, int32 `(num_ngrams,)`, and what was fitted to all texts and without each third.

        Args:
            keys: The runs.
            fitted: Kernel, `(num_ngrams, num_weights)`, and bias, `(num_weights,)`.
            held_out: The same for each of the thirds.
        """
        self.keys.assign(np.append(keys, np.int32(LAST_KEY)))
        with_last = [np.pad(kernel, ((0, 1), (0, 0))) for kernel, _ in (fitted, *held_out)]
        self.kernel.assign(with_last[0].astype("float32"))
        self.bias.assign(fitted[1])
        self.held_out_kernels.assign(np.stack(with_last[1:]).astype("float16"))
        self.held_out_biases.assign(np.stack([bias for _, bias in held_out]))

    def call(self, inputs, training=None):
        """Return logits and evidence."""
        inputs = ops.cast(inputs, "int32")
        kernel, bias, first = self.kernel, self.bias, 0
        if training:
            fold = fold_of(inputs)
            kernel = ops.reshape(self.held_out_kernels, (-1, self.num_weights))
            bias, first = ops.take(self.held_out_biases, fold, axis=0), fold[:, None] * (self.num_ngrams + 1)

        def weights_at(places):  # (batch, runs, weights)
            return ops.cast(ops.take(kernel, first + places, axis=0), self.compute_dtype)

        inputs = self._with_ends(inputs) if self.ends else inputs
        runs = self._places(inputs)
        places = ops.sort(ops.concatenate(runs, axis=1), axis=1)
        is_first = ops.concatenate([ops.ones_like(places[:, :1]) > 0, places[:, 1:] != places[:, :-1]], axis=1)
        num_tokens = ops.sum(ops.cast(inputs != 0, self.compute_dtype), axis=1, keepdims=True)
        logits = ops.sum(ops.where(is_first[..., None], weights_at(places), 0.0), axis=1)
        logits = logits / ops.sqrt(ops.maximum(num_tokens, 1.0)) + bias
        evidence = 0.0
        for size, run in enumerate(runs, start=1):
            shares = weights_at(run) / size
            for step in range(size):  # a text may be shorter than the run
                evidence += ops.pad(shares, ((0, 0), (step, size - 1 - step), (0, 0)))[:, : ops.shape(inputs)[1]]
        evidence = self._without_ends(evidence, inputs) if self.ends else evidence
        return self._for_classes(logits), evidence * self.scale

    def _places(self, inputs) -> list:
        """Return the place in the list of each run of one token, of two and so on, `(batch, runs)`."""
        key, places = inputs, []
        for size in range(1, self.longest + 1):
            if size > 1:
                key = key[:, :-1] * MULTIPLIER + inputs[:, size - 1 :]  # modulo 2^32, as NumPy does it below
            place = ops.reshape(ops.searchsorted(self.keys, ops.reshape(key, (-1,))), ops.shape(key))
            is_listed = ops.logical_and(ops.take(self.keys, place) == key, inputs[:, size - 1 :] != 0)
            places.append(ops.where(is_listed, ops.cast(place, "int32"), self.num_ngrams))
        return places

    def _with_ends(self, inputs):
        """Put a token before each text and one behind it."""
        inputs = ops.pad(inputs, ((0, 0), (1, 1)))
        behind_text = ops.pad(inputs[:, :-1] != 0, ((0, 0), (1, 0)), constant_values=True)
        return ops.where(ops.logical_and(inputs == 0, behind_text), END, inputs)

    def _without_ends(self, evidence, inputs):
        """Give the evidence of a text's ends to the tokens beside them."""
        is_end, is_token = (inputs == END)[..., None], (inputs > 0)[:, 1:-1, None]
        of_ends, evidence = ops.where(is_end, evidence, 0.0), ops.where(is_end, 0.0, evidence)
        return ops.where(is_token, evidence[:, 1:-1] + of_ends[:, :-2] + of_ends[:, 2:], 0.0)

    def _for_classes(self, logits):
        """Return logits of each class."""
        return ops.pad(logits, ((0, 0), (1, 0))) if self.binary else logits

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
        parts = kernel[places] / (counts[kinds] * sizes * np.sqrt(len(codes)))[:, None]
        shares = np.zeros((len(codes), self.num_weights), "float32")
        for step in range(self.longest):
            np.add.at(shares, begins[sizes > step] + step, parts[sizes > step])
        if self.ends:
            shares[1] += shares[0]
            shares[-2] += shares[-1]
            shares = shares[1:-1]
        return ops.convert_to_numpy(self._for_classes(shares))

    def compute_output_shape(self, input_shape):
        """Return the shapes of logits and evidence."""
        return (input_shape[0], self.num_classes), (*input_shape, self.num_weights)

    def get_config(self):
        """Return the arguments of the constructor."""
        names = ("num_classes", "num_ngrams", "longest", "ends", "binary")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable("rnn_toolkit")
class WithEvidence(keras.layers.Concatenate):
    """Put evidence beside the vectors of a text's tokens; the vectors say which steps are valid.

    Keras' layer takes a step for valid if one of its inputs does, and one without a mask says so of all.
    """

    def compute_mask(self, inputs, mask=None):
        """Return the mask of the vectors."""
        return None if mask is None else mask[0]


def fold_of(codes):
    """Return the third to which each text belongs, int32 `(batch,)`, from its codes alone, whatever its padding.

    A text that is read to another length is another text.
    """
    total = ops.sum(ops.cast(codes, "int32") * MULTIPLIER, axis=1)  # modulo 2^32; the upper bits are well mixed
    return ops.mod(ops.floor_divide(total, 2**16), NUM_FOLDS)


def fit_ngrams(train: TextBatches, *, longest: int, ends: bool = False) -> NgramEvidence:
    """Fit a logistic regression on which runs of tokens occur in a text, to all texts and without each third of them.

    How far a run's weight may go depends on how rare it is, and on how unlike the labels are in it; which of the two
    counts for more is chosen by the thirds, each held out in turn, where texts are many.

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
    folds = np.concatenate([ops.convert_to_numpy(fold_of(batch[0])) for batch in batches])
    targets = np.concatenate([batch[1] for batch in batches])
    weights = np.concatenate([batch[2] for batch in batches]) if len(batches[0]) > 2 else np.ones(len(codes))
    num_classes, each_alone = len(train.classes), targets.ndim == 2
    targets = targets if each_alone else np.eye(num_classes)[targets]  # (texts, classes)
    if is_binary := not each_alone and num_classes == 2:  # the odds of the second tell all
        targets, each_alone = targets[:, 1:], True
    keys, texts, ngrams = _listed(codes, longest)
    lengths = np.array([len(row) for row in codes])
    regression = _Regression(texts, ngrams, targets, each_alone, lengths)
    held_out = {
        choice: [regression.fit(weights * (folds != fold), choice) for fold in range(NUM_FOLDS)]
        for choice in RARITY_ALONE["many" if len(codes) >= ENOUGH_TO_CHOOSE else "few"]
    }
    chosen = min(held_out, key=lambda choice: regression.errors(held_out[choice], folds, weights))
    layer = NgramEvidence(num_classes, len(keys), longest=longest, ends=ends, binary=is_binary)
    layer.build((None, None))
    layer.start_from(keys, regression.fit(weights, chosen), held_out[chosen])
    some = [batch[0] for batch in batches[:: -(-len(batches) // BATCHES_TO_MEASURE)]]
    squares = sum(float(ops.sum(ops.square(layer(inputs, training=True)[1]))) for inputs in some)
    if squares:
        layer.scale.assign(np.sqrt(sum(np.count_nonzero(inputs) for inputs in some) * layer.num_weights / squares))
    return layer


class _Regression:
    """A logistic regression on which runs occur in which text, each over the square root of the text's length.

    Args:
        texts, ngrams: Pairs of a text and a run that occurs in it, by their numbers.
        targets: `(texts, classes)`.
        each_alone: Whether each class has its own odds, or all share one.
        lengths: Tokens of each text.
    """

    def __init__(self, texts, ngrams, targets, each_alone, lengths):
        self.texts, self.ngrams, self.targets, self.each_alone = texts, ngrams, targets, each_alone
        self.counts = np.bincount(ngrams)
        self._factors = 1 / np.sqrt(lengths)[:, None]
        self._unit = np.sqrt(lengths.mean())  # what the factors are measured by: the penalty is for factors about 1

    def fit(self, weights, rarity_alone):
        """Return kernel and bias, for texts of these weights."""
        weights, targets, num_texts = weights[:, None], self.targets, len(self.targets)
        inside, outside = (1 + self._unit * self._sums_back(weights * one) for one in (targets, 1 - targets))
        ratios = np.log(inside / inside.sum(0)) - np.log(outside / outside.sum(0))
        rarity = 1 + np.log((1 + num_texts) / (1 + self.counts))
        scales = self._unit * (rarity_alone + np.abs(ratios)) * rarity[:, None]
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

    def errors(self, held_out, folds, weights):
        """Return how many labels of each third are wrong by what the others teach."""
        errors = 0.0
        for fold, (kernel, bias) in enumerate(held_out):
            outputs = self._outputs(kernel, bias)
            predicted = outputs > 0.5 if self.each_alone else outputs == outputs.max(1, keepdims=True)
            errors += ((weights * (folds == fold))[:, None] * (predicted != self.targets)).sum()
        return errors

    def _outputs(self, kernel, bias):
        columns = [np.bincount(self.texts, column[self.ngrams], len(self.targets)) for column in kernel.T]
        logits = np.stack(columns, axis=1) * self._factors + bias
        if self.each_alone:
            return 0.5 + 0.5 * np.tanh(logits / 2)  # a sigmoid that does not overflow
        outputs = np.exp(logits - logits.max(1, keepdims=True))
        return outputs / outputs.sum(1, keepdims=True)

    def _sums_back(self, values):  # (texts, columns) -> (ngrams, columns)
        columns = [np.bincount(self.ngrams, one[self.texts], len(self.counts)) for one in (values * self._factors).T]
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
