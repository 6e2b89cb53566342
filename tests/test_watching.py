"""Long calls say how far they are, to those who watch, and leave nothing behind; errors take few lines of a page."""

import io
import re
import traceback
import types

import numpy as np
import pandas as pd
import pytest

import rnn_toolkit as rt
from rnn_toolkit import watching


class Terminal(io.StringIO):
    """A terminal that keeps what was written."""

    def isatty(self):
        return True


class Notebook(io.StringIO):
    __module__ = "ipykernel.iostream"


@pytest.fixture
def watched(monkeypatch):
    """Let somebody watch from the first moment, and return what is shown."""
    stub = Terminal()
    monkeypatch.setattr(watching, "sys", types.SimpleNamespace(stdout=stub))
    monkeypatch.setattr(watching, "QUIET_SECONDS", 0)
    return stub


def test_a_terminal_and_a_notebook_are_watched_and_a_file_is_not(monkeypatch):
    for stdout, is_watched in ((Terminal(), True), (Notebook(), True), (io.StringIO(), False)):
        monkeypatch.setattr(watching, "sys", types.SimpleNamespace(stdout=stdout))
        assert watching.is_interactive() == is_watched


def test_the_line_counts_and_is_wiped(watched):
    assert list(watching.counted([1, 2, 3], "reading", "letters")) == [1, 2, 3]
    first, *_, last = watched.getvalue().strip("\r").split("\r")
    assert first.strip() == "reading: 0 of 3 letters, 00:00" and last.strip() == ""


@pytest.mark.parametrize("seconds", [2, None])
def test_nothing_is_shown_where_it_is_quick_or_nobody_watches(watched, seconds, monkeypatch):
    monkeypatch.setattr(watching, "QUIET_SECONDS", seconds or 0)
    if seconds is None:
        watched.isatty = lambda: False
    assert list(watching.counted("ab", "reading", "letters")) == ["a", "b"]
    assert watched.getvalue() == ""


def test_what_may_last_shows_how_far_it_is(watched):
    vocabulary = rt.fit_vocabulary(["to be\nor not"])
    letters = rt.fit_vocabulary(["to be"], unit="character")
    writer = rt.build_language_model(letters, rt.recurrent_layers("gru", (2,), return_sequences=True))
    text = rt.generate(writer, "to", length=3, seed=0)
    assert vocabulary.tokens and len(text) == 5
    rows = pd.DataFrame({"load": np.arange(40.0)})
    train, _, test = rt.split_by_time(rows, rt.ForecastTask("load", horizon=1, lookback=2))
    forecaster = rt.build_forecaster(train, rt.recurrent_layers("gru", (2,)))
    assert len(rt.backtest(forecaster, test, baselines=()))
    rt.diagnose(forecaster, train)
    for words in ("vocabulary: 0 of 2 lines", "writing: 0 of 3 tokens", "backtest: 0 of 1 batches", "diagnosis: 0 of"):
        assert words in watched.getvalue()
    assert watched.getvalue().strip("\r").split("\r")[-1].strip() == ""


def test_a_text_that_is_read_as_it_is_written_has_no_line_between_its_pieces(watched):
    letters = rt.fit_vocabulary(["to be"], unit="character")
    writer = rt.build_language_model(letters, rt.recurrent_layers("gru", (2,), return_sequences=True))
    assert len("".join(rt.generate(writer, "to", length=3, seed=0, stream=True))) == 3
    assert "writing" not in watched.getvalue()


# errors on a page


@pytest.fixture
def page(tmp_path, monkeypatch, capsys):
    """Return a function that runs a cell in IPython, and gives what the page shows and the error."""
    shells = pytest.importorskip("IPython.core.interactiveshell")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    shell = shells.InteractiveShell.instance()
    shell.history_manager.enabled = False
    watching.shorten_errors()
    shell.run_cell("import rnn_toolkit as rt")

    def page(code):
        error = shell.run_cell(code).error_in_exec
        return re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out), error

    yield page
    shells.InteractiveShell.clear_instance()


def test_an_error_of_ours_stands_below_the_line_that_caused_it_and_keeps_its_frames(page):
    shown, error = page("names = 'load'\nrt.ForecastTask(names, horizon=0, lookback=3)")
    assert "----> 2 rt.ForecastTask(names, horizon=0, lookback=3)" in shown
    assert shown.strip().endswith(f"ValueError: {error}") and "rnn_toolkit/" not in shown
    assert len(shown.strip().splitlines()) == 7
    assert traceback.extract_tb(error.__traceback__)[-1].filename.endswith("_checks.py")


def test_an_error_of_ours_is_shown_without_the_one_it_was_made_from_and_keeps_it(page, tmp_path):
    (tmp_path / "broken.wav").write_bytes(b"RIFF, or so it says")
    shown, error = page(f"rt.read_recordings({str(tmp_path)!r}, sampling_rate=8000)")
    assert "broken.wav" in shown.splitlines()[-1]
    assert shown.count("Traceback") == 1 and len(shown.strip().splitlines()) < 10, shown
    assert error.__cause__ is not None


def test_what_went_through_code_of_the_notebook_is_shown(page):
    shown, _ = page(
        "import keras\nclass Mine(keras.layers.Layer):\n    def call(self, x):\n        raise ValueError('mine')\n"
        "body = keras.Sequential([keras.Input((2, 1)), keras.layers.GRU(2), keras.layers.Dense(1)])\n"
        "rt.replace_head(body, [Mine()])"
    )
    assert "raise ValueError('mine')" in shown and "does not fit on layer" in shown


def test_an_error_from_elsewhere_shows_all_frames(page):
    shown, _ = page("rt.compare(lambda: 1 // 0, {'a': {}}, None, None, seeds=1, epochs=1)")
    assert "comparison.py" in shown and "ZeroDivisionError" in shown
