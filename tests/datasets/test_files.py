"""WAV and `.ts` files are read, and broken ones are named."""

import numpy as np
import pytest
from scipy.io import wavfile

from rnn_toolkit import read_recordings, read_ts

SAMPLES = np.array([0, 8192, -16384, 16384], "int16")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "one").mkdir()
    wavfile.write(tmp_path / "one" / "b.wav", 8000, SAMPLES)
    wavfile.write(tmp_path / "a.WAV", 8000, SAMPLES.astype("float32") / 32768)
    return tmp_path


def test_a_folder_is_read_with_those_below_it(folder):
    table = read_recordings(folder)
    assert table["file"].tolist() == ["a", "b"] and table["folder"].tolist() == [folder.name, "one"]
    for recording in table["recording"]:
        assert recording.tolist() == [0, 0.25, -0.5, 0.5] and recording.dtype == "float32"
    assert read_recordings([folder / "a.WAV"])["sampling_rate"].tolist() == [8000]


@pytest.mark.parametrize(("dtype", "samples"), [("uint8", [128, 160, 64, 192]), ("int32", [0, 2**29, -(2**30), 2**30])])
def test_other_widths_are_scaled_alike(folder, dtype, samples):
    wavfile.write(folder / "c.wav", 8000, np.array(samples, dtype))
    assert read_recordings([folder / "c.wav"])["recording"][0].tolist() == [0, 0.25, -0.5, 0.5]


def test_rates_are_brought_together_when_asked(folder):
    wavfile.write(folder / "fast.wav", 16000, np.sin(np.arange(1600) / 20).astype("float32"))
    with pytest.raises(
        ValueError, match=r"fast\.wav has 16000 samples a second, .*a\.WAV has 8000.*sampling_rate=8000"
    ):
        read_recordings([folder / "a.WAV", folder / "fast.wav"])
    table = read_recordings([folder / "a.WAV", folder / "fast.wav"], sampling_rate=8000)
    assert table["sampling_rate"].tolist() == [8000, 8000] and len(table["recording"][1]) == 800
    np.testing.assert_allclose(table["recording"][1][100:700], np.sin(np.arange(800) / 10)[100:700], atol=0.01)


def test_stereo_is_averaged_when_asked(folder):
    wavfile.write(folder / "stereo.wav", 8000, np.stack([SAMPLES, -SAMPLES], axis=1))
    with pytest.raises(ValueError, match=r"stereo\.wav has 2 channels, but one is needed\. Pass mono=True"):
        read_recordings([folder / "stereo.wav"])
    assert read_recordings([folder / "stereo.wav"], mono=True)["recording"][0].tolist() == [0, 0, 0, 0]


def test_broken_files_are_named(folder):
    (folder / "text.wav").write_text("this is no sound")
    whole = (folder / "one" / "b.wav").read_bytes()
    (folder / "cut.wav").write_bytes(whole[:-4])
    (folder / "stub.wav").write_bytes(whole[:10])
    wavfile.write(folder / "empty.wav", 8000, SAMPLES[:0])
    for name, message in (
        ("text.wav", "is no sound WAV file"),
        ("cut.wav", "is cut short|is no sound WAV file"),
        ("stub.wav", "is no sound WAV file"),
        ("empty.wav", "is empty: it holds no sample|is no sound WAV file"),
    ):
        with pytest.raises(ValueError, match=rf"{name} ({message})"):
            read_recordings([folder / name])
    with pytest.raises(FileNotFoundError, match=r"There is no file .*missing\.wav"):
        read_recordings(["missing.wav"])
    with pytest.raises(FileNotFoundError, match="There is no WAV file in"):
        read_recordings(folder / "nowhere")
    with pytest.raises(ValueError, match="`paths` is empty"):
        read_recordings([])


def test_ts_files_of_unequal_lengths_are_read(tmp_path):
    path = tmp_path / "two.ts"
    path.write_text("# about\n@problemName two\n@timeStamps false\n@data\n1,?:3,4:yes\n\n5:6:no\n")
    table = read_ts(path)
    np.testing.assert_array_equal(table["sequence"][0], [[1, 3], [np.nan, 4]])
    assert table["sequence"][1].tolist() == [[5, 6]] and table["label"].tolist() == ["yes", "no"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2:a\n", "it has no line @data"),
        ("@timeStamps true\n@data\n(0,1):a\n", "it has time stamps"),
        ("@classLabel false\n@data\n1,2:3,4\n", "it has no labels"),  # the last channel would be taken for one
        ("@data\n1,2:3:a\n", "the channels of sequence 0 cannot be read as numbers of one length"),
        ("@data\n1,x:3,4:a\n", "the channels of sequence 0 cannot be read"),
    ],
)
def test_broken_ts_files_are_named(tmp_path, text, message):
    (tmp_path / "broken.ts").write_text(text)
    with pytest.raises(ValueError, match=rf"broken\.ts .*{message}"):
        read_ts(tmp_path / "broken.ts")
