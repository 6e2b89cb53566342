"""How the next token is chosen from its probabilities."""

import numpy as np

from rnn_toolkit._checks import whole_number
from rnn_toolkit.texts.vocabulary import PADDING, UNKNOWN


class Sampler:
    """Choose the next token of each row from its logits."""

    def __init__(self, num_codes, *, temperature, top_k, top_p, seed):
        if isinstance(temperature, bool) or not 0 <= temperature < float("inf"):
            raise ValueError(
                f"`temperature` must be a finite number, not below 0. Received: {temperature}. 0 takes the likeliest "
                "token each time, 0.8 draws a little more carefully than the model."
            )
        if top_k is not None and whole_number(top_k, "top_k") > num_codes:
            raise ValueError(
                f"`top_k` must be at most the {num_codes} codes of the vocabulary. Received: {top_k}. Leave it out to "
                "choose among all."
            )
        if top_p is not None and not 0 < top_p <= 1:
            raise ValueError(f"`top_p` must lie above 0 and not above 1. Received: {top_p}. Try 0.9.")
        if seed is not None:
            whole_number(seed, "seed", minimum=0)
        self.temperature, self.top_k, self.top_p = temperature, top_k, top_p
        self.generator = np.random.default_rng(seed)

    def __call__(self, logits):
        """Return a code a row, from logits `(batch, codes)`."""
        logits = logits.copy()
        logits[:, [PADDING, UNKNOWN]] = -np.inf
        if self.temperature == 0:
            return logits.argmax(1)
        logits /= self.temperature
        order = np.argsort(-logits, axis=1, kind="stable")
        probabilities = softmax(np.take_along_axis(logits, order, 1))  # falling
        if self.top_k is not None:
            probabilities[:, self.top_k :] = 0
        if self.top_p is not None:
            before = np.cumsum(probabilities, axis=1) - probabilities
            probabilities[before >= self.top_p * probabilities.sum(1, keepdims=True)] = 0
        below = np.cumsum(probabilities, axis=1)
        drawn = self.generator.random((len(logits), 1)) * below[:, -1:]
        return order[np.arange(len(order)), (below <= drawn).sum(1)]


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)
