"""Recognisers whose answers can be told in the head: each step's symbol is written in its input."""

import numpy as np
import pandas as pd
import pytest
from scipy.io import wavfile

import rnn_toolkit as rt
from rnn_toolkit.signals.recognition import decode

BLANK, A, B = np.eye(3)


@pytest.fixture(scope="module")
def hears():
    """Return a model that hears at each step what the channel of its input says: nothing, a or b."""
    model = rt.build_ctc_recognizer((None, 3), "ab", [])
    model.layers[-1].set_weights([10 * np.eye(3), np.zeros(3)])
    return model


@pytest.fixture(scope="module")
def sounds():
    train = rt.sequence_batches([tone(440), tone(2000)], ["low", "high"])
    layers, options = [rt.StridedConvolution(4, 2, 2)], {"pooling": ["mean"], "sampling_rate": 8000}
    return rt.build_sequence_classifier((None,), train.classes, layers, adapt_to=train, **options)


def tone(hertz, rate=8000, seconds=0.25):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate).astype("float32")


def test_repeats_count_once_and_blanks_part_them():
    assert decode([1, 1, 0, 1, 2, 2, 0]) == [1, 1, 2]
    assert decode([1, 2], last=1) == [2] and decode([]) == []


@pytest.mark.parametrize("beam_width", [None, 4])
def test_a_recording_is_written_down(hears, beam_width):
    recording = np.stack([BLANK, A, A, BLANK, A, B, BLANK])
    assert rt.transcribe(hears, recording, beam_width=beam_width) == "aab"
    several = [recording, np.stack([B]), np.stack([BLANK, BLANK])]
    assert rt.transcribe(hears, several, beam_width=beam_width) == ["aab", "b", ""]
    assert rt.transcribe(hears, pd.Series(several), batch_size=1, beam_width=beam_width) == ["aab", "b", ""]


def test_a_beam_sums_over_the_ways_to_say_the_same(hears):
    # Of two steps, each a with 0.4 and blank with 0.6: blank blank is the likeliest way (0.36), "a" the likeliest text.
    shares = np.log(np.array([[0.6, 0.4, 1e-6], [0.6, 0.4, 1e-6]])) / 10
    assert rt.transcribe(hears, shares) == "" and rt.transcribe(hears, shares, beam_width=3) == "a"


def test_symbols_are_found_where_they_stand(hears):
    table = rt.align(hears, np.stack([BLANK, 0.5 * A, A, BLANK, B]))
    assert table["symbol"].tolist() == ["a", "b"] and table["step"].tolist() == [3, 5]
    assert table["probability"].tolist() == pytest.approx([1 / (1 + 2 * np.exp(-10))] * 2, rel=1e-4)


def test_a_file_at_another_rate_is_brought_to_that_of_the_model(sounds, tmp_path):
    wavfile.write(tmp_path / "tone.wav", 16000, tone(440, 16000))
    table = rt.classify(sounds, [tone(440), tmp_path / "tone.wav", str(tmp_path / "tone.wav")])
    assert table.columns.tolist() == ["label", "high", "low"]
    np.testing.assert_allclose(table["high"], table["high"][0], atol=0.02)


def test_the_index_of_a_series_is_kept(sounds):
    assert rt.classify(sounds, pd.Series([tone(300)], index=["x"])).index.tolist() == ["x"]


def test_silence_at_the_ends_is_part_of_a_recording(sounds):
    quiet = np.concatenate([tone(440), np.zeros(4000, "float32")])
    alone, ended = rt.classify(sounds, [tone(440)]), rt.classify(sounds, [quiet])
    assert abs(alone["high"][0] - ended["high"][0]) > 1e-6  # it is heard, not taken for padding
    np.testing.assert_allclose(
        rt.classify(sounds, [quiet, np.tile(tone(440), 8)])["high"][0], ended["high"][0], atol=1e-5
    )


@pytest.mark.parametrize(
    ("recordings", "error", "message"),
    [
        (
            [np.zeros((400, 2))],
            ValueError,
            r"reads sequences of the shape \(samples,\)\. Received: \(400, 2\).* stereo",
        ),
        ([np.zeros(400)], ValueError, "1 of 1 recordings are silent, all zeros, the first at position 0"),
        ([np.zeros(0)], ValueError, "empty sequence at position 0"),
        ([np.array([0.1, np.nan])], ValueError, "holds nan at step 1 of position 0"),
        (["missing.wav"], FileNotFoundError, "There is no file missing.wav"),
        ("missing.wav", TypeError, "`recordings` must be a list, a Series or an array. Received: str"),
        ([], ValueError, "`sequences` is empty"),
    ],
)
def test_recordings_that_cannot_be_heard_are_refused(sounds, recordings, error, message):
    with pytest.raises(error, match=message):
        rt.classify(sounds, recordings)


def test_a_model_that_became_nan_hears_nothing():
    model = rt.build_ctc_recognizer((None, 1), "ab", [])
    model.layers[-1].set_weights([np.full((1, 3), np.nan), np.zeros(3)])
    for use in (rt.transcribe, rt.align, lambda model, x: rt.stream(model).push(np.repeat(x, 9, axis=0))):
        with pytest.raises(ValueError, match=r"Model 'ctc_recognizer' answers with NaN.*`rt\.load_best\(run_dir\)`"):
            use(model, np.ones((4, 1)))


def test_models_that_do_something_else_are_refused(hears, sounds):
    with pytest.raises(ValueError, match=r"carries no .*Symbols`\. Build it with rt\.build_ctc_recognizer"):
        rt.transcribe(sounds, tone(440))
    with pytest.raises(ValueError, match="`beam_width` must be at least 1"):
        rt.transcribe(hears, np.stack([A]), beam_width=0)
    with pytest.raises(ValueError, match=r"does not label steps: .* Use `rt\.classify`"):
        rt.label_steps(sounds, [tone(440)])
    steps = rt.build_sequence_classifier((None, 1), 2, [], each_step=True)
    with pytest.raises(ValueError, match=r"does not label sequences: .* Use `rt\.label_steps`"):
        rt.classify(steps, [np.ones((3, 1))])
