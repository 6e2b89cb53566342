"""Make data/synthetic_digits.wav and .csv anew: digits spoken by eSpeak NG, at 8,000 samples a second.

    apt-get install espeak-ng && python tests/benchmarks/synthetic_digits.py

Every recording is what `espeak-ng -v VOICE -s SPEED WORD` says, brought to 8,000 samples a second and one loudness,
with its silence cut off. All of them lie in one file, one behind the other; the table says whose each is, and how long.
"""

import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.io import wavfile

from rnn_toolkit.datasets.files import read_recording

DATA = Path(__file__).resolve().parents[2] / "data"
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
VOICES = ["en-gb", "en-us", "en-gb-scotland", "en-gb+m3", "en-us+m7", "en-gb+f2", "en-us+f4", "en-gb-x-rp+f3"]
SPEEDS = [130, 165, 200]  # words a minute
RATE = 8000


def spoken(word: str, voice: str, speed: int) -> np.ndarray:
    """Return what the synthesiser says, from its first sound to its last, with a peak of 0.8."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        subprocess.run(["espeak-ng", "-v", voice, "-s", str(speed), "-w", file.name, word], check=True)
        samples, _ = read_recording(file.name, sampling_rate=RATE)
    heard = np.flatnonzero(np.abs(samples) > 0.01 * np.abs(samples).max())
    samples = samples[heard[0] : heard[-1] + 1]
    return 0.8 * samples / np.abs(samples).max()


if __name__ == "__main__":
    rows, recordings = [], []
    for digit, word in enumerate(WORDS):
        for voice in VOICES:
            for speed in SPEEDS:
                recordings.append(spoken(word, voice, speed))
                rows.append({"digit": digit, "voice": voice, "speed": speed, "samples": len(recordings[-1])})
    pd.DataFrame(rows).to_csv(DATA / "synthetic_digits.csv", index=False)
    wavfile.write(DATA / "synthetic_digits.wav", RATE, (np.concatenate(recordings) * 32767).astype("int16"))
    size = (DATA / "synthetic_digits.wav").stat().st_size
    print(f"{len(rows)} recordings, {size / 8000 / 2:.0f} s, {size / 1e6:.2f} MB")
