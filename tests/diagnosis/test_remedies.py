"""Each remedy that is code runs, as it stands."""

import ast
import inspect
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from diagnosis.cases import X, Y, gru

import rnn_toolkit as rt
from rnn_toolkit.diagnosis import thresholds

FOLDER = Path(thresholds.__file__).parent
KINDS = ("error", "warning", "note", "Finding")


def texts_of(node) -> list[str]:
    """Return what an expression of texts may come to, with 1 for each number."""
    if isinstance(node, ast.IfExp):
        return texts_of(node.body) + texts_of(node.orelse)
    if isinstance(node, ast.JoinedStr):
        names = {"wanted": "sigmoid"}
        values = [
            getattr(part.value, "id", "") if isinstance(part, ast.FormattedValue) else None for part in node.values
        ]
        parts = zip(node.values, values, strict=True)
        return ["".join(str(part.value) if name is None else names.get(name, "1") for part, name in parts)]
    return [node.value]


def remedies() -> list[tuple[str, str]]:
    """Return each line of code that a remedy holds, with the module it stands in."""
    found = []
    for path in sorted(FOLDER.glob("*_checks.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in KINDS and len(node.args) >= 3:
                found += [(path.stem, code) for text in texts_of(node.args[-1]) for code in text.split("`")[1::2]]
    return found


@pytest.fixture
def names(monkeypatch):
    """Return what a user has at hand."""
    model = gru()
    model.layers[0].name = "1"
    frame = pd.DataFrame({"target": np.sin(np.arange(90.0))})
    texts, text = ["a b c", "c a", "b b a"], "a b c b " * 2_100
    labels = np.tile([0, 1], 30)
    monkeypatch.setattr(
        rt, "train", lambda *args, **options: inspect.signature(rt.training.train.train).bind(*args, **options)
    )
    return {
        "rt": rt,
        "keras": keras,
        "np": np,
        "pd": pd,
        "model": model,
        "frame": frame,
        "task": rt.ForecastTask("target", 2, 8),
        "train": (X, Y),
        "validation": (X, Y),
        "x": X,
        "y": labels,
        "x_train": X,
        "y_train": Y,
        "labels": ["yes", "no", "yes"],
        "texts": texts,
        "vocabulary": rt.fit_vocabulary(texts),
        "sequences": [np.array([1, 2]), np.array([3])],
        "text": text,
    }


@pytest.mark.parametrize(("module", "code"), remedies())
def test_a_remedy_that_is_code_runs(module, code, names):
    tree = ast.parse(code)
    assert not isinstance(tree.body[0], ast.Expr) or not isinstance(tree.body[0].value, ast.Constant | ast.Name), code
    exec(compile(tree, module, "exec"), names)
