"""Scores of labels, and of transcripts."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from rnn_toolkit.networks.targets import check_order, listed


def score_labels(actual: Iterable, predicted: Iterable) -> pd.DataFrame:
    """Score predicted labels, class by class.

    Args:
        actual: The true labels; of steps, all steps in a row.
        predicted: As many predicted ones, such as the column `label` of `classify`.

    Returns:
        A row a class, then "accuracy" and the plain mean of the classes, "macro mean": `precision`, the share of
        answers with this label that are right; `recall`, the share of its rows that got it; `F1`, their harmonic mean;
        and `support`, its rows. Of a class with one row, recall is 0 or 1: look at the support.

    Raises:
        TypeError, ValueError: If they are no lists, are empty or differ in number.

    Example:
        >>> score_labels(["a", "a", "b"], ["a", "b", "b"]).loc["a"].round(2).tolist()
        [1.0, 0.5, 0.67, 2.0]
    """
    from sklearn.metrics import precision_recall_fscore_support

    actual, predicted = paired(actual, predicted, "label")
    classes = sorted({*actual, *predicted}, key=str)
    codes = {one: code for code, one in enumerate(classes)}
    actual, predicted = ([codes[one] for one in ones] for ones in (actual, predicted))
    rates = precision_recall_fscore_support(actual, predicted, labels=range(len(classes)), zero_division=0)
    table = pd.DataFrame(np.transpose(rates), classes, ["precision", "recall", "F1", "support"])
    accuracy, mean = np.mean(np.equal(actual, predicted)), table.mean()
    table.loc["accuracy"] = [accuracy, accuracy, accuracy, len(actual)]
    table.loc["macro mean"] = [*mean.iloc[:3], len(actual)]
    return table.astype({"support": "int64"})


def score_transcripts(actual: Iterable, predicted: Iterable) -> pd.DataFrame:
    """Score transcripts by the fewest symbols, or words, that would have to be changed, put in or taken out.

    Args:
        actual: The true transcripts: texts, or lists of symbols.
        predicted: As many predicted ones, such as `transcribe` returns.

    Returns:
        Rows "symbol", "word" (what spaces part; a transcript without spaces is one word) and "transcript" (as a whole):
        `error_rate`, errors for each true one; `substituted`, `inserted`, `deleted`, how many; and `support`, true
        ones. More than 1 is possible: where much is heard that nobody said.

    Raises:
        TypeError, ValueError: If they are no lists, are empty or differ in number.

    Example:
        >>> score_transcripts(["1234", "56"], ["124", "56"]).loc["symbol"].round(3).tolist()
        [0.167, 0.0, 0.0, 1.0, 6.0]

    Source: Levenshtein, 1966, "Binary codes capable of correcting deletions, insertions and reversals".
    """
    actual, predicted = paired(actual, predicted, "transcript")
    kinds = {
        "symbol": list,
        "word": lambda one: one.split() if isinstance(one, str) else list(one),
        "transcript": lambda one: [one if isinstance(one, str) else tuple(one)],
    }
    rows = {}
    for kind, parts in kinds.items():
        pairs = [(parts(true), parts(given)) for true, given in zip(actual, predicted, strict=True)]
        errors = np.sum([_edits(true, given) for true, given in pairs], axis=0)
        support = sum(len(true) for true, _ in pairs)
        rows[kind] = [errors.sum() / max(support, 1), *errors, support]
    columns = ["error_rate", "substituted", "inserted", "deleted", "support"]
    return pd.DataFrame.from_dict(rows, "index", columns=columns).astype(dict.fromkeys(columns[1:], "int64"))


def _edits(true, given) -> tuple[int, int, int]:
    """Return the substitutions, insertions and deletions of a shortest way from one list to the other."""
    best = [(place, 0, place, 0) for place in range(len(given) + 1)]  # (errors, substituted, inserted, deleted)
    for symbol in true:
        row = [(best[0][0] + 1, *best[0][1:3], best[0][3] + 1)]
        for place, other in enumerate(given):
            errors, substituted, inserted, deleted = best[place]
            ways = [(errors + (symbol != other), substituted + (symbol != other), inserted, deleted)]
            errors, substituted, inserted, deleted = row[place]
            ways.append((errors + 1, substituted, inserted + 1, deleted))
            errors, substituted, inserted, deleted = best[place + 1]
            ways.append((errors + 1, substituted, inserted, deleted + 1))
            row.append(min(ways, key=lambda way: way[0]))
        best = row
    return best[-1][1:]


def paired(actual, predicted, what) -> tuple[list, list]:
    """Return what is true and what was said of it as lists of one length, or say that they are none."""
    if not isinstance(getattr(predicted, "index", None), pd.RangeIndex):  # else made of a list, in its order
        check_order(actual, predicted, "actual", "predicted")
    actual, predicted = listed(actual, "actual", of=what), listed(predicted, "predicted", of=what)
    if not actual or len(actual) != len(predicted):
        raise ValueError(
            f"`actual` has {len(actual)} {what}s, `predicted` {len(predicted)}. Pass as many of each, at least one."
        )
    return actual, predicted
