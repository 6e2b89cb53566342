"""From a language model and a prompt to text that goes on, to what may come next, and to how much of it is copied."""

from collections.abc import Iterable, Iterator, Sequence

import keras
import numpy as np
import pandas as pd

from rnn_toolkit._checks import whole_number
from rnn_toolkit.texts.inputs import checked_texts
from rnn_toolkit.texts.layers import text_layer_of
from rnn_toolkit.texts.next_token import NextToken
from rnn_toolkit.texts.sampling import Sampler, softmax
from rnn_toolkit.texts.vocabulary import PADDING, UNKNOWN

_CHUNK = 256  # tokens of a prompt read at once


def generate(
    model: keras.Model,
    prompt: str | Iterable[str],
    *,
    length: int = 200,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    num_beams: int = 1,
    stop: str | Sequence[str] = (),
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
        num_beams: Texts to keep in a beam search, which returns the likeliest text it finds; nothing is drawn then, so
            that `temperature`, `top_k` and `top_p` must be left alone. 1 draws.
        stop: Texts that end it where they are written; they are not returned. Words are joined as `decode` does it.
        seed: Seed of the draws; with the same one, the same text comes out on the same machine. `None` draws anew.
        stream: Whether to yield the text piece by piece, as it is written; for one prompt, without beams.

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

    Source: Top-k: Fan et al., 2018, "Hierarchical neural story generation", ACL. Top-p: Holtzman et al., 2020, "The
        curious case of neural text degeneration", ICLR.
    """
    reader = _Reader(model)
    prompts = _checked_prompts(prompt)
    whole_number(length, "length")
    whole_number(num_beams, "num_beams")
    stops = [stop] if isinstance(stop, str) else checked_texts(stop, "stop")
    if "" in stops:
        raise ValueError("`stop` holds an empty text, which would end every text at once. Leave it out.")
    _check_written(stops, reader.vocabulary)
    choose = Sampler(len(reader.vocabulary), temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
    if num_beams > 1 and (temperature, top_k, top_p, stream) != (1.0, None, None, False):
        raise ValueError(
            "A beam search draws nothing and is not done before its end. Leave `temperature`, `top_k`, `top_p` and "
            "`stream` alone, or pass num_beams=1."
        )
    if stream:
        if not isinstance(prompt, str):
            raise TypeError("`stream` takes one prompt. Received: a list. Pass a str, or stream=False.")
        return _pieces(reader, choose, prompts[0], length, stops)
    if num_beams > 1:
        written = [_beam_search(reader, one, length, num_beams, stops) for one in prompts]
    else:
        written = _write(reader, choose, prompts, length, stops)
    texts = [one + more for one, more in zip(prompts, written, strict=True)]
    return texts[0] if isinstance(prompt, str) else texts


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
    reader = _Reader(model)
    if not isinstance(prompt, str):
        raise TypeError(f"`prompt` must be one text, a str. Received: {type(prompt).__name__}. Ask for each by itself.")
    _checked_prompts(prompt)
    whole_number(top, "top")
    logits, _ = reader.read_prompts([prompt])
    logits[:, PADDING] = -np.inf
    probabilities = softmax(logits)[0]
    codes = np.argsort(-logits[0], kind="stable")[: min(top, len(probabilities) - 1)]  # padding is the last
    tokens = [reader.vocabulary.decode([code]) for code in codes.tolist()]
    return pd.DataFrame({"token": tokens, "probability": probabilities[codes]})


class _Reader:
    """Read tokens with states in and out, by a model of the same layers that Keras compiles once."""

    def __init__(self, model):
        core = text_layer_of(model, NextToken)
        self.vocabulary, self._core = core.embedding.vocabulary, core
        if not hasattr(core, "_reader"):
            codes = keras.Input((None,), dtype="int32")
            states = [keras.Input(state.shape[1:]) for state in core.no_states(1)]
            # Not by setattr, which would make the layer hold a model that holds the layer.
            vars(core)["_reader"] = keras.Model([codes, *states], _Reading(core)([codes, *states]))
        self._model = core._reader

    def read(self, codes, states):
        """Return logits behind the last of the codes `(batch, timesteps)`, and the states there, as arrays."""
        logits, *after = self._model.predict_on_batch([codes, *states])
        return np.array(logits, "float64"), after

    def read_prompts(self, prompts):
        """Return logits and states behind prompts of different lengths."""
        read = [self._read_prompt(prompt) for prompt in prompts]
        logits = np.concatenate([one for one, _ in read])
        return logits, [np.concatenate(parts) for parts in zip(*(states for _, states in read), strict=True)]

    def _read_prompt(self, prompt):
        codes, states = self.vocabulary.encode(prompt)[None], [np.asarray(one) for one in self._core.no_states(1)]
        if not codes.size:
            raise ValueError(f"`prompt` holds nothing that the vocabulary counts as a token: {prompt!r}. Pass text.")
        while codes.size:  # in powers of two, so that few lengths are compiled
            size = min(1 << (codes.shape[1].bit_length() - 1), _CHUNK)
            logits, states = self.read(codes[:, :size], states)
            codes = codes[:, size:]
        return logits, states


class _Reading(keras.layers.Layer):
    """Read with states in and out; the last step is enough."""

    def __init__(self, core):
        super().__init__()
        self.core = core

    def call(self, inputs):
        codes, *states = inputs
        logits, states = self.core.read(codes, states)
        return [logits[:, -1], *states]


def _write(reader, choose, prompts, length, stops):
    """Return what is written behind each prompt."""
    contexts = [_context(reader.vocabulary, prompt) for prompt in prompts]
    logits, states = reader.read_prompts(prompts)
    written, done = [[] for _ in prompts], [False] * len(prompts)
    for step in range(length):
        codes = choose(logits)
        for row, code in enumerate(codes.tolist()):
            if not done[row]:
                written[row].append(code)
                tail = written[row][-_reach(stops) :] if stops else []
                done[row] = _end(reader.vocabulary.decode(tail), stops) is not None
        if all(done) or step == length - 1:
            break
        logits, states = reader.read(codes[:, None].astype("int32"), states)
    texts = [_behind(reader.vocabulary, context, codes) for context, codes in zip(contexts, written, strict=True)]
    return [text[: _end(text, stops)] for text in texts]


def _pieces(reader, choose, prompt, length, stops):
    """Yield what is written behind a prompt, as it is written; what may be a stop's beginning waits."""
    context, waiting = _context(reader.vocabulary, prompt), []
    logits, states = reader.read_prompts([prompt])
    for step in range(length):
        code = int(choose(logits)[0])
        waiting.append(code)
        text = _behind(reader.vocabulary, context, waiting)
        end = _end(text, stops)
        if end is not None:
            text = text[:end]
        # The bytes of the last character may not be all there yet.
        is_open = end is None and (text.endswith("\ufffd") or any(_may_begin(one, text) for one in stops))
        if text and (not is_open or step == length - 1):
            yield text
            context, waiting = ([code] if reader.vocabulary.unit == "word" else []), []
        if end is not None:
            return
        if step < length - 1:
            logits, states = reader.read(np.array([[code]], "int32"), states)


def _beam_search(reader, prompt, length, num_beams, stops):
    """Return the likeliest of the texts found by keeping the likeliest few at each step."""
    context = _context(reader.vocabulary, prompt)
    logits, states = reader.read_prompts([prompt])
    beams, finished = [(0.0, [])], []  # (log of the probability, codes)
    for _ in range(length):
        logits[:, [PADDING, UNKNOWN]] = -np.inf
        with np.errstate(divide="ignore"):
            totals = np.array([[total] for total, _ in beams]) + np.log(softmax(logits))
        best = np.argsort(-totals, axis=None, kind="stable")[: 2 * num_beams]  # some may end
        kept = []
        for row, code in zip(*np.unravel_index(best, totals.shape), strict=True):
            beam = (float(totals[row, code]), [*beams[row][1], int(code)])
            text = _behind(reader.vocabulary, context, beam[1])
            if np.isneginf(beam[0]) or len(kept) == num_beams:
                continue
            if _end(text, stops) is None:
                kept.append((row, beam))
            else:
                finished.append((beam[0], text[: _end(text, stops)]))
        beams = [beam for _, beam in kept]
        if not kept or (finished and max(finished)[0] >= beams[0][0]):  # more tokens only make a text less likely
            break
        codes = np.array([codes[-1:] for _, codes in beams], "int32")
        logits, states = reader.read(codes, [np.asarray(state)[[row for row, _ in kept]] for state in states])
    return max(finished + [(total, _behind(reader.vocabulary, context, codes)) for total, codes in beams])[1]


def _context(vocabulary, prompt) -> list[int]:
    """Return the codes that decide how the next token is joined to a prompt: the last word, unless a space follows."""
    return vocabulary.encode(prompt)[-1:].tolist() if vocabulary.unit == "word" and not prompt[-1].isspace() else []


def _behind(vocabulary, context, codes) -> str:
    """Return the text of codes that stand behind others."""
    return vocabulary.decode([*context, *codes])[len(vocabulary.decode(context)) :]


def _check_written(stops, vocabulary):
    """Raise where a vocabulary of words can never write a stop: it knows no line breaks, and mostly no capitals."""
    for stop in stops if vocabulary.unit == "word" else ():
        spelled = stop.lower() if vocabulary.lowercase else stop
        if spelled != stop or any(one.isspace() and one != " " for one in stop):
            advice = f"Pass {' '.join(spelled.split())!r}." if spelled.split() else "Leave it out."
            raise ValueError(
                f"`stop` holds {stop!r}, which this vocabulary of words never writes: it knows no line breaks"
                f"{' and no capitals' if vocabulary.lowercase else ''}. {advice}"
            )


def _end(text, stops) -> int | None:
    """Return where the first of the stops begins in a text, or `None`."""
    places = [place for place in (text.find(one) for one in stops) if place >= 0]
    return min(places, default=None)


def _may_begin(stop, text) -> bool:
    """Whether the end of a text may be the beginning of a stop."""
    return any(text.endswith(stop[:size]) for size in range(1, len(stop)))


def _reach(stops) -> int:
    """Return how many tokens, at most, hold a stop at the end: each has a byte at least."""
    return 2 * max((len(one.encode()) for one in stops), default=0) + 2


def _checked_prompts(prompt) -> list[str]:
    prompts = checked_texts([prompt] if isinstance(prompt, str | bytes) else prompt, "prompt")
    if not prompts or not all(prompts):
        raise ValueError("`prompt` is empty. Pass at least one character, such as a new line, to write on from.")
    return prompts
