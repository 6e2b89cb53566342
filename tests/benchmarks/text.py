"""Texts: how many a second become a vocabulary and codes, and how much padding bucketing saves.

    RNN_TOOLKIT_DATA=~/.cache/rnn_toolkit python tests/benchmarks/text.py

Reads the 25,000 labelled training reviews `imdb/aclImdb/train` and `tinyshakespeare/input.txt` from that folder.
"""

import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import tokenizers

import rnn_toolkit  # noqa: F401  (so that the import is not measured)
from rnn_toolkit.texts.batches import text_batches
from rnn_toolkit.texts.streams import language_model_batches
from rnn_toolkit.texts.vocabulary import fit_vocabulary


def seconds(action, repeats=3) -> tuple[float, object]:
    """Return the median time of an action, and what it returned."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        result = action()
        times.append(time.perf_counter() - began)
    return float(np.median(times)), result


def speed(texts) -> dict:
    """Print texts a second for fitting and encoding, and return the vocabularies."""
    rows, vocabularies = [], {}
    for unit in ("word", "subword", "character"):
        fit, vocabulary = seconds(lambda unit=unit: fit_vocabulary(texts, unit=unit))
        encode, (codes, _) = seconds(lambda vocabulary=vocabulary: vocabulary.encode_flat(texts))
        vocabularies[unit] = vocabulary
        row = {"unit": unit, "codes": len(vocabulary), "fit_s": fit, "encode_s": encode}
        row |= {"fit_texts_per_s": len(texts) / fit, "encode_texts_per_s": len(texts) / encode}
        rows.append(row | {"tokens_per_text": len(codes) / len(texts), "unknown_%": 100 * (codes == 1).mean()})
    print(pd.DataFrame(rows).round(2).to_string(index=False))
    return vocabularies


def padding(texts, vocabulary) -> None:
    """Print the share of padding, the number of widths and the batches a second, with and without bucketing."""
    rows = []
    for length in (None, 400):
        for bucket in (False, True):
            batches = text_batches(texts, vocabulary=vocabulary, length=length, shuffle=True, bucket=bucket)
            taken, shapes = seconds(lambda batches=batches: [batch[0].shape for batch in batches])
            row = {"length": length, "bucket": bucket, "padding_%": 100 * batches.padding}
            row |= {"widths": len({width for _, width in shapes}), "batches_per_s": len(batches) / taken}
            rows.append(row | {"million_cells": sum(rows * width for rows, width in shapes) / 1e6})
    print(pd.DataFrame(rows).round(1).to_string(index=False))


def streams(text) -> None:
    """Print batches a second of a language model's streams."""
    vocabulary = fit_vocabulary([text], unit="character")
    made, batches = seconds(lambda: language_model_batches(text, vocabulary))
    taken, _ = seconds(lambda: [batch[0].shape for batch in batches])
    print(f"{batches}: made in {made * 1e3:.0f} ms, {len(batches) / taken:,.0f} batches a second")


if __name__ == "__main__":
    folder = Path(os.environ.get("RNN_TOOLKIT_DATA") or "~/.cache/rnn_toolkit").expanduser()
    paths = sorted((folder / "imdb/aclImdb/train").glob("*/*.txt"))
    paths = [path for path in paths if path.parent.name in ("neg", "pos")]
    reviews = [path.read_text(encoding="utf-8") for path in paths]
    print(f"{len(reviews):,} reviews, {os.cpu_count()} cores, tokenizers {tokenizers.__version__}; medians of 3")
    padding(reviews, speed(reviews)["word"])
    streams((folder / "tinyshakespeare/input.txt").read_text(encoding="utf-8"))
