"""How the next token is chosen from what a language model expects."""

import numbers

import numpy as np
from scipy.special import softmax

from rnn_toolkit._checks import whole_number
from rnn_toolkit.texts.vocabulary import PADDING, UNKNOWN


class Sampler:
    """Choose the next token of each text; neither padding nor the unknown token.

    Args:
        temperature, top_k, top_p, seed: As in `generate`.

    Example:
        >>> sampler = Sampler(temperature=0)
        >>> sampler(np.array([[9.0, 9.0, 1.0, 2.0], [9.0, 9.0, 4.0, 3.0]])).tolist()
        [3, 2]

    Source: Top-k: Fan et al., 2018, "Hierarchical neural story generation", ACL. Top-p: Holtzman et al., 2020, "The
        curious case of neural text degeneration", ICLR.
    """

    def __init__(self, *, temperature=1.0, top_k=None, top_p=None, seed=None):
        is_number = isinstance(temperature, numbers.Real) and not isinstance(temperature, bool)
        if not (is_number and 0 <= temperature < float("inf")):
            raise ValueError(
                f"`temperature` must be a finite number, not below 0. Received: {temperature}. 0 takes the likeliest "
                "token each time, 0.8 draws a little more carefully than the model."
            )
        if top_k is not None:
            whole_number(top_k, "top_k")
        if top_p is not None and not (isinstance(top_p, numbers.Real) and 0 < top_p <= 1):
            raise ValueError(f"`top_p` must lie above 0 and not above 1. Received: {top_p}. Try 0.9.")
        if seed is not None:
            whole_number(seed, "seed", minimum=0)
        self.temperature, self.top_k, self.top_p = temperature, top_k, top_p
        self.generator = np.random.default_rng(seed)

    def __call__(self, logits: np.ndarray) -> np.ndarray:
        """Return a code for each row of logits, `(batch, codes)`."""
        logits = logits.copy()
        logits[:, [PADDING, UNKNOWN]] = -np.inf
        if self.temperature == 0:
            return logits.argmax(1)
        order = np.argsort(-logits, axis=1, kind="stable")
        probabilities = softmax(np.take_along_axis(logits, order, 1) / self.temperature, axis=1)  # falling
        if self.top_k is not None:
            probabilities[:, self.top_k :] = 0
        if self.top_p is not None:
            before = np.cumsum(probabilities, axis=1) - probabilities
            probabilities[before >= self.top_p * probabilities.sum(1, keepdims=True)] = 0
        below = np.cumsum(probabilities, axis=1)
        drawn = self.generator.random((len(logits), 1)) * below[:, -1:]
        return order[np.arange(len(order)), (below <= drawn).sum(1)]
