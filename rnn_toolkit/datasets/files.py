"""Files that hold sequences: recordings as WAV, and the `.ts` format of the time-series classification archive."""

import math
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from rnn_toolkit._checks import whole_number


def read_recordings(
    paths: str | Path | Iterable[str | Path], *, sampling_rate: int | None = None, mono: bool = False
) -> pd.DataFrame:
    """Read WAV files.

    SciPy reads them: PCM of 8 to 32 bits, and floats. Convert other formats first, `ffmpeg -i a.mp3 a.wav`, say.

    Args:
        paths: A folder, in which all WAV files are read, those in folders below it too; or paths.
        sampling_rate: Samples a second that all recordings are brought to; `None` takes them as they are, and then all
            must have one.
        mono: Whether to average the channels of a recording that has several.

    Returns:
        A row a file, in the order of the paths: `recording`, float32 `(samples,)`, between -1 and 1 where the file
        holds whole numbers; `sampling_rate`; `folder`, the name of the folder it lies in, and `file`, its own name
        without the ending, as labels and speakers often stand there; and `path`.

    Raises:
        FileNotFoundError: If a file is not there, or the folder holds none.
        ValueError: If a file is broken, empty, of several channels without `mono`, or of another rate.

    Example:
        >>> import pathlib, scipy.io, tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp(), "seven")
        >>> folder.mkdir()
        >>> scipy.io.wavfile.write(folder / "anna_0.wav", 8000, np.array([0, 16384, -32768], "int16"))
        >>> row = read_recordings(folder).iloc[0]
        >>> row["recording"].tolist(), row["folder"], row["file"]
        ([0.0, 0.5, -1.0], 'seven', 'anna_0')
    """
    if isinstance(paths, str | Path):
        folder = Path(paths)
        paths = [folder] if folder.is_file() else sorted(folder.rglob("*.[wW][aA][vV]"))
        if not paths:
            raise FileNotFoundError(
                f"There is no WAV file in {folder}. Pass the folder that holds them, or their paths."
            )
    rows = []
    for path in map(Path, paths):
        recording, rate = read_recording(path, sampling_rate=sampling_rate, mono=mono)
        if rows and rate != rows[0]["sampling_rate"]:
            raise ValueError(
                f"{path} has {rate} samples a second, {rows[0]['path']} has {rows[0]['sampling_rate']}. Bring all to "
                f"one rate: `sampling_rate={min(rate, rows[0]['sampling_rate'])}`."
            )
        named = {"folder": path.parent.name, "file": path.stem, "path": str(path)}
        rows.append({"recording": recording, "sampling_rate": rate, **named})
    if not rows:
        raise ValueError("`paths` is empty. Pass the path of at least one WAV file.")
    return pd.DataFrame(rows)


def read_recording(path, *, sampling_rate=None, mono=False) -> tuple[np.ndarray, int]:
    """Return one recording and its sampling rate; see `read_recordings`."""
    from scipy.io import wavfile

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}. Correct the path.")
    remedy = "Record or convert it anew, or leave it out."
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            rate, samples = wavfile.read(path)
        except Exception as error:  # a broken header may mislead SciPy in many ways
            raise ValueError(f"{path} is no sound WAV file: {' '.join(str(error).split())[:200]}. {remedy}") from error
    if any("prematurely" in str(one.message) for one in caught):
        raise ValueError(f"{path} is cut short: it holds fewer samples than its header says. {remedy}")
    if not samples.size:
        raise ValueError(f"{path} is empty: it holds no sample. {remedy}")
    if samples.ndim > 1 and not mono:
        raise ValueError(f"{path} has {samples.shape[1]} channels, but one is needed. Pass mono=True to average them.")
    if samples.dtype.kind in "iu":
        half = 2.0 ** (np.iinfo(samples.dtype).bits - 1)
        samples = (samples - (half if samples.dtype.kind == "u" else 0.0)) / half
    samples = samples.reshape(len(samples), -1).mean(axis=1)
    if sampling_rate is not None and rate != whole_number(sampling_rate, "sampling_rate"):
        from scipy.signal import resample_poly

        common = math.gcd(rate, sampling_rate)
        samples, rate = resample_poly(samples, sampling_rate // common, rate // common), sampling_rate
    return samples.astype("float32"), int(rate)


def read_ts(path: str | Path) -> pd.DataFrame:
    """Read sequences in the `.ts` format of the time-series classification archive.

    Args:
        path: A file whose sequences have a label each, and no time stamps; channels are separated by colons.

    Returns:
        A row a sequence: `sequence`, float32 `(timesteps, channels)`, with NaN where the file has a question mark; and
        `label`, text.

    Raises:
        ValueError: If the file is not in that format or has no labels, or the channels of a sequence differ in length.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "two.ts")
        >>> _ = path.write_text("@classLabel true a b\\n@data\\n1,2,3:4,5,6:a\\n7:8:b\\n")
        >>> [(row.sequence.tolist(), row.label) for row in read_ts(path).itertuples()]
        [([[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]], 'a'), ([[7.0, 8.0]], 'b')]

    Source: Archive and format: Bagnall et al., 2018, "The UEA multivariate time series classification archive",
        arXiv:1811.00075.
    """
    head, marker, body = Path(path).read_text(encoding="utf-8").replace("@DATA", "@data").partition("@data")
    strange = {"@timestamps true": "time stamps", "@classlabel false": "no labels"}
    has = [what for setting, what in strange.items() if setting in head.lower()] + ["no line @data"] * (not marker)
    if has:
        raise ValueError(
            f"{path} is no `.ts` file of plain values with labels: it has {has[0]}. Pass a file of the time-series "
            "classification archive."
        )
    rows = []
    for place, line in enumerate(filter(None, map(str.strip, body.splitlines()))):
        *channels, label = line.split(":")
        try:
            values = [np.array(channel.replace("?", "nan").split(","), "float32") for channel in channels]
            rows.append({"sequence": np.stack(values, axis=1), "label": label})
        except ValueError as error:
            raise ValueError(
                f"{path} is damaged: the channels of sequence {place} cannot be read as numbers of one length "
                f"({error}). Fetch it anew."
            ) from error
    return pd.DataFrame(rows, columns=["sequence", "label"])
