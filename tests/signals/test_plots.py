"""Pictures hold what they were given."""

import numpy as np
import pandas as pd
import pytest

from rnn_toolkit import plot_confusion, plot_spectrogram


def test_confusions_are_counted_row_by_row():
    axes = plot_confusion(["a", "a", "b", "c"], ["a", "b", "b", "b"])
    texts = {(text.get_position()[::-1]): text.get_text() for text in axes.texts}
    assert texts == {(0, 0): "1", (0, 1): "1", (1, 1): "1", (2, 1): "1"}
    assert axes.get_title(loc="left") == "50.0% of 4 right"
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["a", "b", "c"]


def test_a_tone_lies_at_its_frequency_and_symbols_above_it():
    tone = np.sin(2 * np.pi * 1000 * np.arange(8000) / 8000)
    heard = pd.DataFrame({"symbol": ["7", "1"], "seconds": [0.25, 0.75]})
    axes = plot_spectrogram(tone, 8000, alignment=heard)
    energy = axes.images[0].get_array()
    loudest = energy[:, 50].argmax() + 0.5
    hertz = {tick.get_text(): place for tick, place in zip(axes.get_yticklabels(), axes.get_yticks(), strict=True)}
    assert abs(loudest - hertz["1,000"]) <= 1
    assert [(text.get_text(), text.xy[0]) for text in axes.texts] == [("7", 0.25), ("1", 0.75)]


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="`actual` has 1 labels, `predicted` 0"):
        plot_confusion(["a"], [])
    with pytest.raises(ValueError, match=r"`recording` must be a waveform, \(samples,\)"):
        plot_spectrogram(np.ones((10, 2)), 8000)
    with pytest.raises(ValueError, match="`alignment` has no column 'seconds'"):
        plot_spectrogram(np.ones(1000), 8000, alignment=pd.DataFrame({"symbol": ["a"]}))
