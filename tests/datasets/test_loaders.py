import gzip
import os
import re
import sys
import types
from pathlib import Path

import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from rnn_toolkit import datasets
from rnn_toolkit.datasets import loaders

DATA_DIR = Path(__file__).parents[2] / "data"
BEIJING = (
    "No,year,month,day,hour,pm2.5,DEWP,TEMP,PRES,cbwd,Iws,Is,Ir\n"
    "1,2010,1,1,0,NA,-21,-11,1021,NW,1.79,0,0\n2,2010,1,1,1,129,-16,-4,1020,SE,4.92,0,0\n"
)


# ---------------------------------------------------------------------------------------------------------------------
# bundled sets
# ---------------------------------------------------------------------------------------------------------------------


def test_co2_keeps_its_59_gaps_on_a_weekly_index():
    frame = datasets.load_co2()

    assert frame.shape == (2284, 1)
    assert frame.index.name == "week"
    assert frame.index.freqstr == "W-SAT"
    assert frame.index[0] == pd.Timestamp("1958-03-29")
    assert frame.index[-1] == pd.Timestamp("2001-12-29")
    assert frame["co2"].iloc[[0, 1, -1]].tolist() == [316.1, 317.3, 371.5]
    assert frame["co2"].isna().sum() == 59


def test_sunspots_are_monthly_without_gaps():
    frame = datasets.load_sunspots()

    assert frame.shape == (2820, 1)
    assert frame.index.name == "month"
    assert frame.index.freqstr == "MS"
    assert frame.index[-1] == pd.Timestamp("1983-12-01")
    assert frame["sunspots"].iloc[[0, 1, -1]].tolist() == [58.0, 62.6, 33.4]
    assert not frame["sunspots"].isna().any()


def test_airline_passengers_are_monthly_without_gaps():
    frame = datasets.load_airline_passengers()

    assert frame.shape == (144, 1)
    assert frame.index.name == "month"
    assert frame.index.freqstr == "MS"
    assert frame.index[-1] == pd.Timestamp("1960-12-01")
    assert frame["passengers"].iloc[[0, 1, -1]].tolist() == [112, 118, 432]


def test_weather_is_a_long_table_in_order_without_repeated_hours():
    frame = datasets.load_weather()

    assert frame.columns.tolist() == [
        "time", "airport", "temperature", "dew_point", "humidity", "wind_direction", "wind_speed", "wind_gust",
        "precipitation", "pressure", "visibility",
    ]  # fmt: skip
    assert len(frame) == 26115
    assert not frame.duplicated(["airport", "time"]).any()
    assert frame[["airport", "time"]].equals(frame[["airport", "time"]].sort_values(["airport", "time"]))
    first = frame.iloc[0]
    assert (first["time"], first["airport"]) == (pd.Timestamp("2013-01-01 06:00"), "EWR")
    assert (first["temperature"], first["wind_direction"], first["wind_speed"]) == (39.02, "W", 10.36)
    last = frame.iloc[-1]
    assert (last["time"], last["airport"], last["pressure"]) == (pd.Timestamp("2013-12-30 23:00"), "LGA", 1020.9)


def test_weather_leaves_missing_values_and_missing_hours_missing():
    frame = datasets.load_weather()

    assert frame.isna().sum().to_dict() == {
        "time": 0, "airport": 0, "temperature": 1, "dew_point": 1, "humidity": 1, "wind_direction": 460,
        "wind_speed": 5, "wind_gust": 20778, "precipitation": 0, "pressure": 2729, "visibility": 0,
    }  # fmt: skip
    hours = frame.groupby("airport")["time"].agg(["min", "max", "size"])
    absent = (hours["max"] - hours["min"]) // pd.Timedelta(hours=1) + 1 - hours["size"]
    assert absent.to_dict() == {"EWR": 27, "JFK": 24, "LGA": 24}


def test_weather_is_calm_exactly_where_there_is_no_wind():
    frame = datasets.load_weather()

    assert set(frame["wind_direction"].dropna()) == {"N", "NE", "E", "SE", "S", "SW", "W", "NW", "calm"}
    assert (frame["wind_speed"].eq(0) == frame["wind_direction"].eq("calm")).all()
    assert frame["wind_speed"].max() == 42.58  # the impossible 1,048 miles per hour are gone


def test_weather_archive_carries_no_name_and_no_time_stamp():
    header = (DATA_DIR / "weather.csv.gz").read_bytes()[:10]

    assert header[3] == 0  # no flags, hence no file name
    assert header[4:8] == b"\0\0\0\0"


def test_support_messages_are_balanced_and_almost_half_are_hard():
    frame = datasets.load_support_messages()

    assert frame.columns.tolist() == ["message", "sentiment", "hard", "split"]
    assert not frame.isna().any(axis=None)
    assert frame["sentiment"].value_counts().to_dict() == {"neutral": 331, "negative": 308, "positive": 279}
    assert frame["hard"].value_counts().to_dict() == {
        "": 478, "contrast": 136, "negation": 121, "irony": 67, "polite": 53, "mixed": 44, "question": 19,
    }  # fmt: skip


def test_support_messages_are_split_alike_in_sentiment_and_in_hard():
    frame = datasets.load_support_messages()

    assert frame["split"].value_counts().to_dict() == {"train": 642, "validation": 138, "test": 138}
    for _, group in frame.groupby(["sentiment", "hard"]):
        counts = group["split"].value_counts()
        assert counts["test"] == counts["validation"] == max(1, round(0.15 * len(group)))


def words_of(message):
    return re.findall(r"[\w']+", message.lower())


def test_support_messages_are_short_and_none_occurs_twice():
    messages = datasets.load_support_messages()["message"]

    assert messages.str.split().str.len().between(2, 60).all()
    assert (messages == messages.str.strip()).all()
    assert not messages.map(lambda message: " ".join(words_of(message))).duplicated().any()


def test_support_messages_open_differently():
    openings = datasets.load_support_messages()["message"].str.lower().str.split().str[:2].str.join(" ")

    assert openings.value_counts(normalize=True).max() < 0.02


def test_no_two_support_messages_share_six_consecutive_words():
    first_seen = {}
    for number, message in enumerate(datasets.load_support_messages()["message"]):
        words = words_of(message)
        for start in range(len(words) - 5):
            assert first_seen.setdefault(tuple(words[start : start + 6]), number) == number


# The oldest scikit-learn that we support sets options of SciPy that the newest SciPy is about to drop.
@pytest.mark.filterwarnings("ignore:scipy.optimize. The `disp` and `iprint` options:DeprecationWarning")
def test_support_messages_are_neither_solved_by_a_bag_of_words_nor_beyond_it():
    frame = datasets.load_support_messages()
    fitted, test = frame[frame["split"] != "test"], frame[frame["split"] == "test"]

    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    model = make_pipeline(vectorizer, LogisticRegression(C=10, max_iter=1000))
    accuracy = model.fit(fitted["message"], fitted["sentiment"]).score(test["message"], test["sentiment"])
    assert 0.56 < accuracy < 0.63  # 0.594 in data/README.md; always the most frequent class: 0.36


def test_support_messages_are_plain_utf8_with_line_feeds():
    content = (DATA_DIR / "support_messages.csv").read_bytes()

    assert b"\r" not in content
    assert not content.startswith(b"\xef\xbb\xbf")  # no byte order mark
    assert "😍" in content.decode("utf-8")


def test_data_readme_names_every_bundled_file_with_its_number_of_rows():
    text = (DATA_DIR / "README.md").read_text(encoding="utf-8")

    for path in DATA_DIR.glob("*.csv*"):
        assert f"| `{path.name}` |" in text
        assert f"| {len(pd.read_csv(path)):,} |" in text


def test_installed_copy_is_read_before_the_checkout(tmp_path, monkeypatch):
    (tmp_path / "airline_passengers.csv").write_text("month,passengers\n2000-01,1\n2000-02,2\n")
    monkeypatch.setattr(loaders, "_BUNDLED_DIRS", (tmp_path, DATA_DIR))

    assert datasets.load_airline_passengers()["passengers"].tolist() == [1, 2]
    assert len(datasets.load_sunspots()) == 2820


def test_missing_bundled_file_says_to_install_again(tmp_path, monkeypatch):
    monkeypatch.setattr(loaders, "_BUNDLED_DIRS", (tmp_path / "data", tmp_path))

    with pytest.raises(FileNotFoundError, match=r"co2\.csv is neither in .*data nor in .*install rnn_toolkit again"):
        datasets.load_co2()


# ---------------------------------------------------------------------------------------------------------------------
# downloaded sets; how they are downloaded is for test_downloads.py
# ---------------------------------------------------------------------------------------------------------------------

ETT = (
    "date,HUFL,HULL,MUFL,MULL,LUFL,LULL,OT\n2016-07-01 00:00:00,1,2,3,4,5,6,7\n2016-07-01 01:00:00,2,3,4,5,6,7,8\n"
    "2016-07-01 02:00:00,3,4,5,6,7,8,9\n"
)


def test_etth1_is_hourly(cached):
    cached("etth1", ETT)

    frame = datasets.load_etth1()

    assert frame.index.name == "date"
    assert frame.index.freqstr == "h"
    assert frame.columns.tolist() == ["HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"]
    assert frame["OT"].tolist() == [7, 8, 9]


def test_m4_steps_go_on_from_training_to_test_part(cached):
    train = '"V1","V2","V3","V4"\n"H1","10","11",\n"H2","20","21","22"\n'
    test = '"V1","V2","V3"\n"H1","12","13"\n"H2","23","24"\n'
    cached("m4_hourly_train", train)
    cached("m4_hourly_test", test)

    frame = datasets.load_m4_hourly()

    assert frame.columns.tolist() == ["series", "step", "value", "split"]
    assert frame["series"].tolist() == ["H1"] * 4 + ["H2"] * 5
    assert frame["step"].tolist() == [1, 2, 3, 4, 1, 2, 3, 4, 5]
    assert frame["value"].tolist() == [10, 11, 12, 13, 20, 21, 22, 23, 24]
    assert frame["split"].tolist() == ["train", "train", "test", "test", "train", "train", "train", "test", "test"]


def test_beijing_is_renamed_and_keeps_missing_dust_missing(cached):
    cached("beijing_pm25", BEIJING)

    frame = datasets.load_beijing_pm25()

    assert frame.index.name == "time"
    assert frame.index.tolist() == [pd.Timestamp("2010-01-01 00:00"), pd.Timestamp("2010-01-01 01:00")]
    assert frame["pm25"].isna().tolist() == [True, False]
    assert frame.iloc[1].to_dict() == {
        "pm25": 129, "dew_point": -16, "temperature": -4, "pressure": 1020, "wind_direction": "SE",
        "wind_speed": 4.92, "snow_hours": 0, "rain_hours": 0,
    }  # fmt: skip


REVIEWS = {
    "train/neg/0_3.txt": "Dull.<br /><br />Very dull.",
    "train/neg/10_1.txt": "No.",
    "train/neg/9_4.txt": "Meh, naïve.",
    "train/pos/0_9.txt": "Good!",
    "train/pos/10_10.txt": "Great!",
    "train/pos/9_7.txt": "Fine.",
    **{f"test/{label}/{number}_{rating}.txt": f"{label} {number}" for label, rating in [("neg", 2), ("pos", 8)]
       for number in range(3)},
}  # fmt: skip
LANGUAGES = {"German.txt": "Bach\nBach\nLoß\n", "Greek.txt": "Egonidis\n", "Korean.txt": "Park \nBach\n"}


def test_imdb_alternates_negative_and_positive_by_number_training_part_first(cached):
    cached("imdb", REVIEWS)

    frame = datasets.load_imdb()

    assert frame.columns.tolist() == ["review", "sentiment", "rating", "split"]
    assert frame["review"].tolist() == [
        "Dull.\n\nVery dull.", "Good!", "Meh, naïve.", "Fine.", "No.", "Great!",
        "neg 0", "pos 0", "neg 1", "pos 1", "neg 2", "pos 2",
    ]  # fmt: skip
    assert frame["sentiment"].tolist() == ["negative", "positive"] * 6
    assert frame["rating"].tolist() == [3, 9, 4, 7, 1, 10, 2, 8, 2, 8, 2, 8]
    assert frame["split"].tolist() == ["train"] * 6 + ["test"] * 6


def test_names_are_stripped_kept_twice_and_not_in_blocks_of_one_language(cached):
    cached("names", LANGUAGES)

    frame = datasets.load_names()

    assert frame.columns.tolist() == ["name", "language"]
    assert frame.index.tolist() == [0, 1, 2, 3, 4, 5]
    assert sorted(frame.itertuples(index=False, name=None)) == [
        ("Bach", "German"), ("Bach", "German"), ("Bach", "Korean"), ("Egonidis", "Greek"), ("Loß", "German"),
        ("Park", "Korean"),
    ]  # fmt: skip
    assert not frame["language"].is_monotonic_increasing
    assert frame.equals(datasets.load_names())


@pytest.mark.parametrize("is_compressed", [False, True])
def test_tiny_shakespeare_keeps_every_character(cache, cached, is_compressed):
    text = "First Citizen:\nBefore we proceed any further,\n\n"
    cached("tiny_shakespeare", text)
    if is_compressed:
        (cache / "tinyshakespeare" / "input.txt").rename(cache / "tinyshakespeare" / "input.txt.gz")
        (cache / "tinyshakespeare" / "input.txt.gz").write_bytes(gzip.compress(text.encode()))

    assert datasets.load_tiny_shakespeare() == text


def test_python_topics_stand_in_the_order_of_their_names(monkeypatch):
    module = types.ModuleType("pydoc_data.topics")
    module.topics = {"yield": "The yield\n", "assert": "The assert\n", "if": "The if\n"}
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", module)

    assert datasets.load_python_topics() == "The assert\n\nThe if\n\nThe yield\n"


def test_python_without_its_topics_is_told_what_to_use(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)

    with pytest.raises(ImportError, match=r"no module `pydoc_data\.topics`.*full build.*load_tiny_shakespeare"):
        datasets.load_python_topics()


# ---------------------------------------------------------------------------------------------------------------------
# the published files themselves, where the cache has them
# ---------------------------------------------------------------------------------------------------------------------


def needs_cached(*paths):
    named = "RNN_TOOLKIT_DATA" in os.environ
    present = named and all(any(datasets.cache_dir().glob(f"{path}*")) for path in paths)
    return pytest.mark.skipif(not present, reason=f"RNN_TOOLKIT_DATA names no folder with {' and '.join(paths)}")


@needs_cached("ett/ETTh1.csv")
def test_published_etth1_is_complete(no_network):
    frame = datasets.load_etth1()

    assert frame.shape == (17420, 7)
    assert frame.index[-1] == pd.Timestamp("2018-06-26 19:00")
    assert frame.iloc[0].round(3).tolist() == [5.827, 2.009, 1.599, 0.462, 4.203, 1.340, 30.531]
    assert not frame.isna().any(axis=None)


@needs_cached("m4/Hourly-train.csv", "m4/Hourly-test.csv")
def test_published_m4_has_414_series_with_48_test_steps_each(no_network):
    frame = datasets.load_m4_hourly()

    assert frame["series"].unique().tolist() == [f"H{number}" for number in range(1, 415)]
    assert frame["split"].value_counts().to_dict() == {"train": 353_500, "test": 414 * 48}
    first = frame[frame["series"] == "H1"]
    assert first["step"].tolist() == list(range(1, 749))
    assert first["value"].iloc[[0, 1, 699, 700, 747]].tolist() == [605, 586, 684, 619, 659]


@needs_cached("beijing_pm25/pollution.csv")
def test_published_beijing_table_has_every_hour_and_2067_gaps(no_network):
    frame = datasets.load_beijing_pm25()

    assert frame.shape == (43824, 8)
    assert frame.index.freqstr == "h"
    assert frame["pm25"].isna().sum() == 2067
    assert frame["wind_direction"].value_counts().to_dict() == {"SE": 15290, "NW": 14150, "cv": 9387, "NE": 4997}
    assert frame.iloc[-1][["pm25", "dew_point", "pressure"]].tolist() == [12, -21, 1034]


@needs_cached("imdb/aclImdb")
def test_published_imdb_is_balanced_and_keeps_its_repeated_reviews(no_network):
    frame = datasets.load_imdb()

    assert frame.shape == (50000, 4)
    assert frame.groupby(["split", "sentiment"]).size().tolist() == [12_500] * 4
    assert (frame["sentiment"] == ["negative", "positive"] * 25_000).all()
    assert frame.groupby("sentiment")["rating"].agg(["min", "max"]).to_numpy().tolist() == [[1, 4], [7, 10]]
    assert frame["review"].duplicated().sum() == 418
    train, test = (set(part["review"]) for _, part in frame.groupby("split"))
    assert len(train & test) == 123
    assert not frame["review"].str.contains("<br").any()
    num_words = frame["review"].str.split().str.len()
    assert (num_words.min(), num_words.max()) == (4, 2459)
    assert frame["review"].iloc[1].startswith("Bromwell High is a cartoon comedy.")


@needs_cached("names")
def test_published_names_have_18_languages_and_469_names_in_several(no_network):
    frame = datasets.load_names()

    assert frame.shape == (20050, 2)
    assert frame["language"].nunique() == 18
    counts = frame["language"].value_counts()
    assert (counts["Russian"], counts["Arabic"], counts["Vietnamese"]) == (9384, 2000, 73)
    assert frame.duplicated().sum() == 2038
    assert frame.loc[frame["language"] == "Arabic", "name"].nunique() == 108
    assert (frame.groupby("name")["language"].nunique() > 1).sum() == 469


@needs_cached("tinyshakespeare/input.txt")
def test_published_tiny_shakespeare_has_1115394_characters(no_network):
    text = datasets.load_tiny_shakespeare()

    assert (len(text), len(set(text)), text.count("\n")) == (1_115_394, 65, 40_000)
    assert text.startswith("First Citizen:\nBefore we proceed any further, hear me speak.\n")
    assert text.isascii()
