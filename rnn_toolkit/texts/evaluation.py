"""Scores: of tags, by token and by span; of a language model, beside counts; and how much of a text is copied.

What a classifier of texts is worth, `sklearn.metrics` says.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence

import keras
import numpy as np
import pandas as pd
from scipy.special import log_softmax

from rnn_toolkit._checks import has_columns, whole_number
from rnn_toolkit.networks.labels import find_layer
from rnn_toolkit.networks.targets import plain_rows
from rnn_toolkit.texts.inputs import checked_texts
from rnn_toolkit.texts.next_token import NextToken, reader_of
from rnn_toolkit.texts.streams import encode_joined
from rnn_toolkit.texts.tags import tag_rows

_STEPS = 256  # tokens of a text that a language model reads at once
_DISCOUNT = 0.75  # where no pair occurs just once; Jurafsky and Martin, "Speech and language processing", chapter 3


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
    actual = tag_rows(actual, "actual")
    lengths = [len(row) for row in actual]
    if not sum(lengths):
        raise ValueError("`actual` holds no tag: there is nothing to score. Pass texts with tokens.")
    if isinstance(predicted, pd.DataFrame):
        has_columns(predicted.columns, ["tag"], "`predicted`")
        if len(predicted) != sum(lengths):
            raise ValueError(
                f"`predicted` has {len(predicted)} rows, but `actual` {sum(lengths)} tags. Pass the table that "
                "`rt.tag` returns for the same texts."
            )
        predicted = np.split(predicted["tag"].to_numpy(), np.cumsum(lengths)[:-1])
    predicted = tag_rows(predicted, "predicted", lengths, where="`actual` has {}")
    actual, predicted = plain_rows(actual, "actual"), plain_rows(predicted, "predicted")
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


def score_language_model(model: keras.Model, test: str | Iterable[str], *, train: str | Iterable[str]) -> pd.DataFrame:
    """Score what a language model expects of a text, beside two baselines that count tokens.

    All rows are scored on the same tokens: each that follows another. The text is read from its beginning to its last
    token, each with the state of all before it; the state that the model keeps is left alone.

    An unknown token counts as any other, as one of the class "unknown": so does it in the baselines. Which of the
    unknown words it was, nobody is asked; compare vocabularies by `bits_per_character` only where little is unknown.

    Args:
        model: A model of `build_language_model`.
        test: The text to score, or several, joined by new lines, as in `language_model_batches`.
        train: The text that the model learnt from, likewise: the baselines are fitted to it.

    Returns:
        Rows "model", "bigram" and "unigram"; lower is better. `nats`: mean of the negative logarithm of a token's
        probability. `bits_per_character`: the same of the whole text in bits, over its characters as the vocabulary
        decodes them, so that vocabularies of words and of characters compare. `perplexity`: exp(nats); a model that
        hesitates between n equally likely tokens has n. `tokens`: how many were scored.

    Raises:
        TypeError, ValueError: If the model is no language model, or a text is none or has nothing to score.

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
    core = find_layer(model, NextToken)
    vocabulary = core.embedding.vocabulary
    learnt, codes = encode_joined(train, vocabulary, name="train"), encode_joined(test, vocabulary, name="test")
    if len(codes) < 2:
        raise ValueError(f"`test` has {len(codes)} tokens, but it takes two for one to follow. Pass more text.")
    before, targets = codes[:-1], codes[1:]
    counts = _Counts(learnt, len(vocabulary))
    nats = {
        "model": _costs(core, before, targets).mean(),
        "bigram": -np.log(counts.bigram(before, targets)).mean(),
        "unigram": -np.log(counts.unigram[targets]).mean(),
    }
    characters = len(vocabulary.decode(targets))
    scores = pd.DataFrame({"nats": nats}).rename_axis("predictor")
    scores["bits_per_character"] = scores["nats"] * len(targets) / (np.log(2) * characters)
    scores["perplexity"] = np.exp(scores["nats"])
    return scores.assign(tokens=len(targets))


class _Counts:
    """What counting the tokens of a text, and its pairs of tokens, says of the next token.

    Args:
        codes: The text.
        size: Codes of the vocabulary. All but padding may come next.

    Attributes:
        unigram: The probability of each code, wherever it stands.
    """

    def __init__(self, codes, size):
        codes, self.size = codes.astype("int64"), size  # a pair is one number, too large for int32
        self.unigram = (np.bincount(codes, minlength=size) + 1) / (len(codes) + size - 1)
        self._pairs = pd.Series(codes[:-1] * size + codes[1:]).value_counts()
        self._before = np.bincount(codes[:-1], minlength=size)
        self._kinds = np.bincount(self._pairs.index // size, minlength=size)  # different tokens behind each token
        once, twice = ((self._pairs == number).sum() for number in (1, 2))
        self.discount = once / (once + 2 * twice) if once else _DISCOUNT

    def bigram(self, before, targets):
        """Return the probability of each target behind the token before it."""
        pairs = before.astype("int64") * self.size + targets
        total, unigram = self._before[before], self.unigram[targets]
        seen = np.maximum(self._pairs.reindex(pairs, fill_value=0).to_numpy() - self.discount, 0)
        smoothed = (seen + self.discount * self._kinds[before] * unigram) / np.maximum(total, 1)
        return np.where(total, smoothed, unigram)


def _costs(core, before, targets) -> np.ndarray:
    """Return the cost of each target in nats, from a text that is read in pieces of one length, compiled once."""
    steps, read, states, costs = min(_STEPS, len(targets)), reader_of(core), core.no_states(1), []
    for first in range(0, len(targets), steps):
        piece, wanted = before[first : first + steps], targets[first : first + steps]
        logits, *states = read([np.pad(piece, (0, steps - len(piece)))[None], *states])
        costs.append(-log_softmax(logits[0, : len(wanted)], axis=-1)[np.arange(len(wanted)), wanted])
    return np.concatenate(costs, dtype="float64")


def copied_share(text: str, source: str | Iterable[str], *, length: int = 40) -> float:
    """Return which share of a text stands, in runs of some length, word for word in the text that a model learnt from.

    Args:
        text: What a model wrote, without its prompt.
        source: The training text or texts.
        length: Characters of the shortest run that counts as copied. 40 are about seven words: as long a run seldom
            stands in two texts by chance.

    Returns:
        Share of the characters of `text` that lie in such a run, from 0 to 1.

    Raises:
        TypeError, ValueError: If there is no text, or it is shorter than `length`.

    Example:
        >>> copied_share("abcdXX", "...abcd...", length=3)
        0.6666666666666666
    """
    (text,) = checked_texts([text], "text")
    sources = checked_texts([source] if isinstance(source, str) else source, "source")
    whole_number(length, "length")
    if len(text) < length:
        raise ValueError(
            f"`text` has {len(text)} characters, but a run has {length}. Let the model write more, or lower `length`."
        )
    first_of = pd.Series([text[first : first + length] for first in range(len(text) - length + 1)])
    runs = (one[first : first + length] for one in sources for first in range(len(one) - length + 1))
    begins = first_of.isin(set(first_of).intersection(runs))
    return float((np.convolve(begins, np.ones(length)) > 0).mean())
