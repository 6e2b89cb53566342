"""From a language model and a prompt to text that goes on, and to what may come next."""

from collections.abc import Iterable, Iterator

import keras
import numpy as np
import pandas as pd
from scipy.special import softmax

from rnn_toolkit._checks import whole_number
from rnn_toolkit.networks.labels import find_layer
from rnn_toolkit.networks.recognition import check_not_nan
from rnn_toolkit.texts.inputs import checked_texts
from rnn_toolkit.texts.next_token import NextToken, reader_of
from rnn_toolkit.texts.sampling import Sampler
from rnn_toolkit.texts.vocabulary import PADDING
from rnn_toolkit.watching import counted

_CHUNK = 256  # tokens of a prompt read at once


def generate(
    model: keras.Model,
    prompt: str | Iterable[str],
    *,
    length: int = 200,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int | None = None,
    stream: bool = False,
) -> str | list[str] | Iterator[str]:
    """Let a language model write on.

    The prompt is read once, its state kept: a token costs the same whatever came before it. Padding and the unknown
    token are never written. Prompts of a list are written on side by side.

    Args:
        model: A model of `build_language_model`.
        prompt: A text, or a list of texts; not empty. What the vocabulary does not know is read as unknown.
        length: Tokens to write at most.
        temperature: What logits are divided by: below 1 likely tokens become more likely. 0 always takes the likeliest
            token ("greedy").
        top_k: Choose among that many likeliest tokens only.
        top_p: Choose among the fewest likeliest tokens that together have this probability, after the temperature.
        seed: Seed of the draws; with the same one, the same text comes out on the same machine. `None` draws anew.
        stream: Whether to yield the text piece by piece, as it is written; for one prompt.

    Returns:
        The prompt as given and what was written behind it; a list of texts for a list of prompts. With `stream` an
        iterator of pieces, the prompt left out.

    Raises:
        TypeError, ValueError: If a prompt is empty or no text, the model is no language model, or an option out of
            range.

    Example:
        >>> from rnn_toolkit import build_language_model, fit_vocabulary
        >>> model = build_language_model(fit_vocabulary(["ab"], unit="character"))
        >>> text = generate(model, "a", length=5, seed=0)
        >>> len(text), set(text) <= {"a", "b"}
        (6, True)
    """
    core = find_layer(model, NextToken)
    prompts = _checked_prompts(prompt)
    whole_number(length, "length")
    sampler = Sampler(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
    steps = range(length)
    pieces = _pieces(core, sampler, prompts, steps if stream else counted(steps, "writing", "tokens"))
    if not stream:
        texts = list(map("".join, zip(prompts, *pieces, strict=True)))
        return texts[0] if isinstance(prompt, str) else texts
    if not isinstance(prompt, str):
        raise TypeError("`stream` takes one prompt. Received: a list. Pass a str, or stream=False.")
    return (piece for (piece,) in pieces if piece)


def next_token_probabilities(model: keras.Model, prompt: str, *, top: int = 10) -> pd.DataFrame:
    """Return what a language model expects behind a prompt, the likeliest first.

    Args:
        model: A model of `build_language_model`.
        prompt: A text, not empty.
        top: Rows of the table.

    Returns:
        A table of `token` and `probability`, at most `top` rows; the unknown token among them, as "�".

    Raises:
        TypeError, ValueError: If the prompt is empty or no text, or the model no language model.

    Example:
        >>> from rnn_toolkit import build_language_model, fit_vocabulary
        >>> model = build_language_model(fit_vocabulary(["ab"], unit="character"))
        >>> sorted(next_token_probabilities(model, "a")["token"])
        ['a', 'b', '�']
    """
    core = find_layer(model, NextToken)
    whole_number(top, "top")
    logits, _ = _read_prompts(core, _checked_prompts([prompt]))
    logits[:, PADDING] = -np.inf
    probabilities = softmax(logits[0])
    codes = np.argsort(-logits[0], kind="stable")[: min(top, len(probabilities) - 1)]  # padding is the last
    tokens = [core.embedding.vocabulary.decode([code]) for code in codes.tolist()]
    return pd.DataFrame({"token": tokens, "probability": probabilities[codes]})


def _read(core, codes, states):
    """Return logits behind the last of the codes `(batch, timesteps)`, and the states there, as arrays."""
    logits, *after = reader_of(core)([codes, *states])
    check_not_nan(core.name, logits)
    return np.array(logits[:, -1], "float64"), after


def _read_prompts(core, prompts):
    """Return logits and states behind prompts of different lengths."""
    behind = []
    for prompt in prompts:
        codes, states = core.embedding.vocabulary.encode(prompt)[None], core.no_states(1)
        if not codes.size:
            raise ValueError(f"`prompt` holds nothing that the vocabulary counts as a token: {prompt!r}. Pass text.")
        while codes.size:  # in powers of two, so that few lengths are compiled
            size = min(1 << (codes.shape[1].bit_length() - 1), _CHUNK)
            logits, states = _read(core, codes[:, :size], states)
            codes = codes[:, size:]
        behind.append((logits, states))
    return keras.tree.map_structure(lambda *rows: np.concatenate(rows), *behind)


def _pieces(core, sampler, prompts, steps):
    """Yield, token after token, what is certain by then of the text behind each prompt, and in the end the rest."""
    texts = [_Writing(core.embedding.vocabulary, prompt) for prompt in prompts]
    logits, states = _read_prompts(core, prompts)
    for step in steps:
        codes = sampler(logits)
        yield [text.add(code) for text, code in zip(texts, codes.tolist(), strict=True)]
        if step < len(steps) - 1:
            logits, states = _read(core, codes[:, None].astype("int32"), states)
    yield [text.rest() for text in texts]


class _Writing:
    """A text that is being written; its last bytes, which may be no whole character yet, are kept back."""

    def __init__(self, vocabulary, prompt):
        self.vocabulary, self.codes = vocabulary, []  # what is not handed out yet
        # The code before, which decides whether a space stands between.
        self.context = [] if prompt[-1].isspace() else vocabulary.encode(prompt)[-1:].tolist()

    def add(self, code) -> str:
        """Take up one more token, and return what is certain now and was not before."""
        self.codes.append(code)
        text = self.rest()
        if text.endswith("\ufffd"):  # a character of several bytes, and not all of them
            return ""
        self.codes, self.context = [], [code]
        return text

    def rest(self) -> str:
        """Return what is not handed out."""
        decode = self.vocabulary.decode
        return decode([*self.context, *self.codes])[len(decode(self.context)) :]


def _checked_prompts(prompt) -> list[str]:
    """Return prompts as a list, or say that one of them is none."""
    prompts = checked_texts([prompt] if isinstance(prompt, str | bytes) else prompt, "prompt")
    if not prompts or not all(prompts):
        raise ValueError("`prompt` is empty. Pass at least one character, such as a new line, to write on from.")
    return prompts
