"""Recordings, vowels and images by name: bundled, or from what lies in the cache."""

import gzip
import hashlib

import numpy as np
import pytest
from scipy.io import wavfile

from rnn_toolkit import datasets
from rnn_toolkit.datasets import downloads

pytestmark = pytest.mark.usefixtures("no_network")
HEAD = "@timeStamps false\n@classLabel true 1 2\n@data\n"


def put(monkeypatch, cache, name, content):
    """Put content where a file of the cache is expected, and expect it."""
    source = downloads.SOURCES[name]._replace(sha256=(hashlib.sha256(content).hexdigest(),))
    monkeypatch.setitem(downloads.SOURCES, name, source)
    path = cache / source.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def test_every_synthetic_voice_says_every_digit_at_every_speed():
    frame = datasets.load_synthetic_digits()
    assert frame.columns.tolist() == ["recording", "digit", "voice", "speed"]
    assert len(frame) == len(frame[["digit", "voice", "speed"]].drop_duplicates()) == 10 * 8 * 3
    peaks = frame["recording"].map(lambda one: np.abs(one).max())
    assert frame["recording"].map(len).between(1_700, 7_300).all() and peaks.between(0.79, 0.81).all()


def test_slow_speech_is_longer_than_fast_speech():
    frame = datasets.load_synthetic_digits()
    lengths = frame["recording"].map(len).groupby(frame["speed"]).mean()
    assert lengths[130] > lengths[165] > lengths[200]


def test_spoken_digits_are_told_by_their_names(cache, monkeypatch):
    source = downloads.SOURCES["spoken_digits"]._replace(fewest=500, hashed=r"0_.*", sha256=("0" * 64,))
    monkeypatch.setitem(downloads.SOURCES, "spoken_digits", source)
    folder = cache / "fsdd" / "recordings"
    folder.mkdir(parents=True)
    for number in range(50):
        for digit in range(10):
            wavfile.write(folder / f"{digit}_anna_{number}.wav", 8000, np.full(100 + number, 8192, "int16"))
    with pytest.warns(UserWarning, match="not byte for byte those that this package describes"):
        frame = datasets.load_spoken_digits()
    assert frame.columns.tolist() == ["recording", "digit", "speaker", "number", "split"]
    assert frame["digit"].dtype == frame["number"].dtype == "int64"
    row = frame.iloc[57]
    assert (row["digit"], row["speaker"], row["number"], row["split"]) == (1, "anna", 7, "train")
    assert row["recording"].tolist() == [0.25] * 107 and frame["split"].eq("test").sum() == 50
    (folder / "9_anna_49.wav").unlink()
    with pytest.raises(ValueError, match="it has 499 of 3,000 files"):
        datasets.load_spoken_digits()


def test_vowels_keep_their_split(cache, monkeypatch):
    put(monkeypatch, cache, "japanese_vowels_train", f"{HEAD}1,2:3,4:1\n5:6:2\n".encode())
    put(monkeypatch, cache, "japanese_vowels_test", f"{HEAD}7:8:2\n".encode())
    frame = datasets.load_japanese_vowels()
    assert frame["speaker"].tolist() == ["1", "2", "2"] and frame["split"].tolist() == ["train", "train", "test"]
    assert frame["sequence"][0].tolist() == [[1, 3], [2, 4]]


def test_mnist_is_read_behind_its_heads(cache, monkeypatch):
    for part, count in (("train", 2), ("test", 1)):
        put(monkeypatch, cache, f"mnist_{part}_images", bytes(16) + bytes(range(28)) * 28 * count)
        put(monkeypatch, cache, f"mnist_{part}_digits", bytes(8) + bytes([5] * count))
    (images, digits), (test_images, test_digits) = datasets.load_mnist()
    assert images.shape == (2, 28, 28) and test_images.shape == (1, 28, 28)
    assert images[1, 3].tolist() == list(range(28)) and digits.tolist() == [5, 5] and test_digits.tolist() == [5]


def test_without_network_the_address_is_named(cache):
    for load in (datasets.load_spoken_digits, datasets.load_japanese_vowels, datasets.load_mnist):
        with pytest.raises(ConnectionError, match=r"http://127\.0\.0\.1:9/"):
            load()
