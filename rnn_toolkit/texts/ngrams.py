"""A linear model of words and pairs of words, or of runs of characters: fitted to texts, and read by a network.

Where texts are few it knows more than a network does; a network that reads its evidence word by word can weigh what it
adds up.
"""

import keras
import numpy as np
import pandas as pd
from keras import ops

from rnn_toolkit.texts.batches import TextBatches

MULTIPLIER = 0x9E3779B1 - 2**32  # 2^32 over the golden ratio, as int32: no two pairs of 40,000 words have one key
LAST_KEY = 2**31 - 1
END = -1  # the code of a text's beginning and end, where they count
NUM_FOLDS = 3
# Chosen on held-out training reviews, names and messages. `RARITY_ALONE` is what a run's scale has without its ratio:
# of few texts more, as their ratios are noise.
PENALTY, RARITY_ALONE, FEW_TEXTS = 50.0, {"few": 3.0, "many": 1.0}, 1000
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
        kernels = np.pad([kernel for kernel, _ in (fitted, *held_out)], ((0, 0), (0, 1), (0, 0)))
        self.keys.assign(np.append(keys, np.int32(LAST_KEY)))
        self.kernel.assign(kernels[0].astype("float32"))
        self.bias.assign(fitted[1])
        self.held_out_kernels.assign(kernels[1:].astype("float16"))
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

        tokens = with_ends(inputs) if self.ends else inputs
        runs = self._places(tokens)
        places = ops.sort(ops.concatenate(runs, axis=1), axis=1)
        is_first = ops.concatenate([ops.ones_like(places[:, :1]) > 0, places[:, 1:] != places[:, :-1]], axis=1)
        num_tokens = ops.sum(ops.cast(tokens != 0, self.compute_dtype), axis=1, keepdims=True)
        logits = ops.sum(ops.where(is_first[..., None], weights_at(places), 0.0), axis=1)
        logits = logits / ops.sqrt(ops.maximum(num_tokens, 1.0)) + bias
        return self._for_classes(logits), self._by_token(map(weights_at, runs), tokens) * self.scale

    def _places(self, tokens) -> list:
        """Return the place in the list of each run of one token, of two and so on, `(batch, runs)`."""
        places = []
        for key, is_run in _runs(tokens, self.longest):
            place = ops.reshape(ops.searchsorted(self.keys, ops.reshape(key, (-1,))), ops.shape(key))
            is_listed = ops.logical_and(ops.take(self.keys, place) == key, is_run)
            places.append(ops.where(is_listed, ops.cast(place, "int32"), self.num_ngrams))
        return places

    def _by_token(self, weights, tokens):
        """Share the weight of each run alike among its tokens, `(batch, timesteps, weights)`.

        What the ends of a text are given goes to the tokens beside them.
        """
        evidence = 0.0
        for size, of_runs in enumerate(weights, start=1):
            for step in range(size):  # a text may be shorter than the run
                shares = ops.pad(of_runs / size, ((0, 0), (step, size - 1 - step), (0, 0)))
                evidence += shares[:, : ops.shape(tokens)[1]]
        if not self.ends:
            return evidence
        is_end, is_token = (tokens == END)[..., None], (tokens > 0)[:, 1:-1, None]
        of_ends, evidence = ops.where(is_end, evidence, 0.0), ops.where(is_end, 0.0, evidence)
        return ops.where(is_token, evidence[:, 1:-1] + of_ends[:, :-2] + of_ends[:, 2:], 0.0)

    def _for_classes(self, logits):
        """Return logits of each class."""
        return ops.pad(logits, ((0, 0), (1, 0))) if self.binary else logits

    def shares(self, codes: np.ndarray) -> np.ndarray:
        """Return what each token of a text adds to each logit, `(timesteps, num_classes)`.

        The tokens of a run share its weight alike, and so do its occurrences.
        """
        tokens = ops.convert_to_tensor(codes[None])
        tokens = with_ends(tokens) if self.ends else tokens
        runs, kernel = map(ops.convert_to_numpy, self._places(tokens)), ops.convert_to_numpy(self.kernel)
        runs = [places[0] for places in runs]
        counts = np.bincount(np.concatenate(runs)) * np.sqrt(tokens.shape[1])
        parts = [(kernel[places] / counts[places, None]).astype("float32")[None] for places in runs]
        return ops.convert_to_numpy(self._for_classes(self._by_token(parts, tokens)[0]))

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


def with_ends(tokens):
    """Put a token before each text and one behind it; `(batch, timesteps)` becomes two steps wider."""
    tokens = ops.pad(tokens, ((0, 0), (1, 1)))
    behind_text = ops.pad(tokens[:, :-1] != 0, ((0, 0), (1, 0)), constant_values=True)
    return ops.where(ops.logical_and(tokens == 0, behind_text), END, tokens)


def _runs(tokens, longest):
    """Yield the keys of all runs of one token, of two and so on, `(batch, runs)`, and whether no padding is in them."""
    key = tokens
    for size in range(1, longest + 1):
        if size > 1:
            key = key[:, :-1] * MULTIPLIER + tokens[:, size - 1 :]  # modulo 2^32
        yield key, tokens[:, size - 1 :] != 0


def fold_of(codes):
    """Return the third to which each text belongs, int32 `(batch,)`, from its codes alone, whatever its padding.

    A text that is read to another length is another text.
    """
    total = ops.sum(ops.cast(codes, "int32") * MULTIPLIER, axis=1)  # modulo 2^32; the upper bits are well mixed
    return ops.mod(ops.floor_divide(total, 2**16), NUM_FOLDS)


def fit_ngrams(train: TextBatches, *, longest: int, ends: bool = False) -> NgramEvidence:
    """Fit a logistic regression on which runs of tokens occur in a text, to all texts and without each third of them.

    Args:
        train: Labelled training texts, as `text_batches` returns them; their weights count.
        longest: Tokens of the longest run.
        ends: Whether the beginning and the end of a text count as tokens.

    Returns:
        The layer.
    """
    inputs = [train[place][0] for place in range(len(train))]
    order, targets, num_classes = train.order, train.targets, len(train.classes)
    weights = np.ones(len(order)) if train.weights is None else train.weights[order]
    is_multi, num_kinds = targets.ndim == 2, 2 if targets.ndim == 2 else num_classes
    problems = (targets.T if is_multi else targets[None]).astype("int32")[:, order]  # (problems, texts)
    keys, runs = _runs_by_text([ops.convert_to_numpy(with_ends(one)) for one in inputs] if ends else inputs, longest)

    def fitted(rows):
        parts = [_regression(runs[rows], kinds[rows], weights[rows], num_kinds, alone) for kinds in problems]
        return [np.concatenate(part, axis=-1) for part in zip(*parts, strict=True)]

    alone = RARITY_ALONE["few" if len(order) < FEW_TEXTS else "many"]
    folds = np.concatenate([ops.convert_to_numpy(fold_of(one)) for one in inputs])
    is_binary = not is_multi and num_classes == 2  # the odds of the second class tell all
    layer = NgramEvidence(num_classes, len(keys), longest=longest, ends=ends, binary=is_binary)
    layer.build((None, None))
    layer.start_from(keys, fitted(folds >= 0), [fitted(folds != fold) for fold in range(NUM_FOLDS)])
    some = inputs[:: -(-len(inputs) // BATCHES_TO_MEASURE)]
    squares = sum(float(ops.sum(ops.square(layer(one, training=True)[1]))) for one in some)
    if squares:
        layer.scale.assign(np.sqrt(sum(np.count_nonzero(one) for one in some) * layer.num_weights / squares))
    return layer


def _runs_by_text(batches, longest):
    """Return the keys of all runs, in order, and a sparse `(texts, keys)`: 1 / sqrt(tokens) where a run occurs."""
    from scipy import sparse

    keys, texts, num_texts = [], [], 0
    for tokens in batches:
        for key, is_run in _runs(tokens, longest):
            keys.append(key[is_run])
            texts.append(num_texts + np.nonzero(is_run)[0])
        num_texts += len(tokens)
    places, keys = pd.factorize(np.concatenate(keys), sort=True)
    runs = sparse.csr_matrix((np.ones(len(places)), (np.concatenate(texts), places)))  # adds up what occurs twice
    num_tokens = np.concatenate([np.count_nonzero(tokens, axis=1) for tokens in batches])
    runs.data = np.repeat(num_tokens**-0.5, np.diff(runs.indptr))
    return keys, runs


def _regression(runs, kinds, weights, num_kinds, rarity_alone):
    """Return kernel, `(runs, kinds)`, or of two kinds `(runs, 1)`, and bias of a logistic regression.

    How far a run's weight may go depends on how rare it is, and on how unlike the kinds of text are in it. A text
    without a token for each kind leaves something to a kind that has no other.

    Source: Scales by log-count ratios: Wang and Manning, 2012, "Baselines and bigrams: simple, good sentiment and topic
        classification", ACL.
    """
    from scipy import sparse
    from sklearn.linear_model import LogisticRegression

    runs = sparse.vstack([runs, sparse.csr_matrix((num_kinds, runs.shape[1]))]).tocsr()
    kinds, weights = np.append(kinds, np.arange(num_kinds)), np.append(weights, np.ones(num_kinds))
    # The penalty is for factors of about 1.
    unit = 1 / np.sqrt(np.mean(runs.data**2)) if runs.nnz else 1.0
    is_kind = weights[:, None] * np.eye(num_kinds)[kinds]
    inside, outside = (1 + unit * (runs.T @ one) for one in (is_kind, weights[:, None] - is_kind))
    ratios = np.abs(np.log(inside / inside.sum(0)) - np.log(outside / outside.sum(0)))
    rarity = 1 + np.log((1 + len(kinds)) / (1 + runs.getnnz(axis=0)))
    scales = unit * rarity * (rarity_alone + ratios @ is_kind.sum(0) / is_kind.sum())
    regression = LogisticRegression(C=1 / PENALTY, max_iter=1000)
    regression.fit(runs @ sparse.diags(scales), kinds, sample_weight=weights)
    return regression.coef_.T * scales[:, None], regression.intercept_
