"""How good a language model is: the cost of each token, beside what counting words and pairs of words reaches."""

from collections.abc import Iterable

import keras
import numpy as np
import pandas as pd
from keras import ops

from rnn_toolkit.language_layers import NextToken
from rnn_toolkit.text import TokenStreams, encode_joined
from rnn_toolkit.text_layers import text_layer_of
from rnn_toolkit.vocabulary import Vocabulary

_STEPS = 256  # tokens of a plain text read at once
_DISCOUNT = 0.75  # where no pair occurs just once; Jurafsky and Martin, "Speech and language processing", chapter 3


def score_language_model(
    model: keras.Model, test: TokenStreams | str | Iterable[str], *, train: TokenStreams | str | Iterable[str]
) -> pd.DataFrame:
    """Score what a language model expects of a text, beside two baselines that count tokens.

    All rows are scored on the same tokens: each that follows another. A plain text is read as one, from its beginning
    to its last token; `TokenStreams` are read side by side, as in training, which is faster, costs a little at the
    beginning of each stream, and leaves out what they drop. The model's own state is left alone.

    An unknown token counts as any other, as one of the class "unknown": so does it in the baselines. Which of the
    unknown words it was, nobody is asked; compare vocabularies by `bits_per_character` only where little is unknown.

    Args:
        model: A model of `build_language_model`.
        test: The text to score, or several, joined by new lines, as in `language_model_batches`; or its batches.
        train: The text that the model learnt from, likewise: the baselines are fitted to it.

    Returns:
        Rows "model", "bigram" and "unigram"; lower is better. `nats`: mean of the negative logarithm of a token's
        probability. `bits_per_character`: the same of the whole text in bits, over its characters as the vocabulary
        decodes them, so that vocabularies of words and of characters compare. `perplexity`: exp(nats); a model that
        hesitates between n equally likely tokens has n. `tokens`: how many were scored.

    Raises:
        TypeError, ValueError: If the model is no language model, a text is none or has nothing to score, or batches
            were made with another vocabulary.

    Example:
        >>> from rnn_toolkit import build_language_model, fit_vocabulary
        >>> model = build_language_model(fit_vocabulary(["ab"], unit="character"))
        >>> score_language_model(model, "abab", train="abababab").loc["bigram":, ["perplexity", "tokens"]].round(2)
                   perplexity  tokens
        predictor
        bigram           1.13       3
        unigram          2.20       3

    Source: The unigram adds one to each count (Laplace); the bigram is interpolated with it by absolute discounting:
        Ney, Essen and Kneser, 1994, "On structuring probabilistic dependences in stochastic language modelling",
        Computer Speech and Language 8(1).
    """
    core = text_layer_of(model, NextToken)
    vocabulary = core.embedding.vocabulary
    learnt = _codes(train, "train", vocabulary)
    if not len(learnt):
        raise ValueError("`train` holds no token to count. Pass the text that the model learnt from.")
    if isinstance(test, TokenStreams):
        _check_vocabulary(test, "test", vocabulary)
        batches = (test[place] for place in range(len(test)))
    else:
        codes = _codes(test, "test", vocabulary)
        if len(codes) < 2:
            raise ValueError(f"`test` has {len(codes)} tokens, but it takes two for one to follow. Pass more text.")
        batches = _pieces(codes)
    costs, pairs = _read(core, batches)  # (streams, tokens) and (streams, tokens, 2)
    counted = _Counts(learnt, len(vocabulary))
    before, targets = pairs[..., 0].ravel(), pairs[..., 1].ravel()
    nats = {
        "model": costs.sum(dtype="float64") / len(targets),
        "bigram": -np.log(counted.bigram(before, targets)).mean(),
        "unigram": -np.log(counted.unigram(targets)).mean(),
    }
    characters = sum(len(vocabulary.decode(stream)) for stream in pairs[..., 1])
    scores = pd.DataFrame({"nats": nats}).rename_axis("predictor")
    scores["bits_per_character"] = scores["nats"] * len(targets) / (np.log(2) * characters)
    scores["perplexity"] = np.exp(scores["nats"])
    return scores.assign(tokens=len(targets))


class _Counts:
    """What counting the tokens of a text, and its pairs of tokens, says of the next token.

    Args:
        codes: The text.
        size: Codes of the vocabulary. All but padding may come next.
    """

    def __init__(self, codes, size):
        self.size = size
        self._unigram = (np.bincount(codes, minlength=size) + 1) / (len(codes) + size - 1)
        codes = codes.astype("int64")
        self._pairs, self._counts = np.unique(codes[:-1] * size + codes[1:], return_counts=True)
        self._before = np.bincount(codes[:-1], minlength=size)
        self._kinds = np.bincount(self._pairs // size, minlength=size)  # different tokens behind each token
        once, twice = ((self._counts == number).sum() for number in (1, 2))
        self.discount = once / (once + 2 * twice) if once else _DISCOUNT

    def unigram(self, targets):
        """Return the probability of each target, wherever it stands."""
        return self._unigram[targets]

    def bigram(self, before, targets):
        """Return the probability of each target behind the token before it."""
        wanted = before.astype("int64") * self.size + targets
        places = np.searchsorted(self._pairs, wanted)
        places[places == len(self._pairs)] = 0
        if len(self._pairs):
            counts = np.where(self._pairs[places] == wanted, self._counts[places], 0)
        else:
            counts = np.zeros(len(wanted))
        total = self._before[before]
        with np.errstate(divide="ignore", invalid="ignore"):
            seen = np.maximum(counts - self.discount, 0) / total
            rest = self.discount * self._kinds[before] / total
        return np.where(total, seen + rest * self.unigram(targets), self.unigram(targets))


class _Costs(keras.layers.Layer):
    """Read on from given states: the cost of each target in nats, and the states behind the last."""

    def __init__(self, core):
        super().__init__()
        self.core = core

    def call(self, inputs):
        codes, targets, *states = inputs
        logits, states = self.core.read(codes, states, training=False)
        logits = ops.cast(logits, "float32")  # (batch, timesteps, codes)
        chosen = ops.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
        return [ops.logsumexp(logits, axis=-1) - chosen, *states]


def _read(core, batches):
    """Return the cost of each target, and each pair of a token and its target, stream by stream."""
    inputs = [keras.Input((None,), dtype="int32"), keras.Input((None,), dtype="int32")]
    inputs += [keras.Input(state.shape[1:], dtype=state.dtype) for state in core.no_states(1)]
    reader = keras.Model(inputs, _Costs(core)(inputs))
    costs, pairs, states = [], [], None
    for x, y in batches:
        if states is None:
            states = [ops.convert_to_numpy(state) for state in core.no_states(len(x))]
        x, num_targets = np.abs(x), y.shape[1]
        if costs and num_targets < costs[0].shape[1]:  # the end of a plain text, filled up to the width of the others
            filling = ((0, 0), (0, costs[0].shape[1] - num_targets))
            cost, *states = reader.predict_on_batch([np.pad(x, filling), np.pad(y, filling), *states])
        else:
            cost, *states = reader.predict_on_batch([x, y, *states])
        costs.append(cost[:, :num_targets])
        pairs.append(np.stack([x, y], axis=-1))
    return np.concatenate(costs, axis=1), np.concatenate(pairs, axis=1)


def _pieces(codes):
    """Yield a text in pieces of one row, and the tokens that follow."""
    for first in range(0, len(codes) - 1, _STEPS):
        piece = codes[None, first : first + _STEPS + 1]
        yield piece[:, :-1], piece[:, 1:]


def _codes(text, name, vocabulary: Vocabulary) -> np.ndarray:
    """Return the codes of a text, of several or of batches."""
    if isinstance(text, TokenStreams):
        _check_vocabulary(text, name, vocabulary)
        return text.codes
    return encode_joined(text, vocabulary, name=name)


def _check_vocabulary(streams, name, vocabulary):
    if streams.vocabulary != vocabulary:
        raise ValueError(
            f"`{name}` was made with another vocabulary ({streams.vocabulary}) than the model ({vocabulary}). Make it "
            "with the model's, or pass the text itself."
        )
