import gzip
import hashlib
import http.server
import io
import os
import re
import stat
import sys
import tarfile
import threading
import types
import zipfile
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from rnn_toolkit import datasets
from rnn_toolkit.datasets import downloads, loaders

DATA_DIR = Path(__file__).parents[2] / "data"
BEIJING_HEADER = "No,year,month,day,hour,pm2.5,DEWP,TEMP,PRES,cbwd,Iws,Is,Ir\n"
BEIJING_ROWS = "1,2010,1,1,0,NA,-21,-11,1021,NW,1.79,0,0\n2,2010,1,1,1,129,-16,-4,1020,SE,4.92,0,0\n"
MEMBER = "PRSA_data_2010.1.1-2014.12.31.csv"


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


def test_bundled_sets_need_neither_keras_nor_the_download_engine(monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)  # importing it now fails
    monkeypatch.setitem(sys.modules, "requests", None)

    assert len(datasets.load_weather()) == 26115
    source = Path(loaders.__file__).read_text(encoding="utf-8")
    assert "import keras" not in source
    assert "import tensorflow" not in source


# ---------------------------------------------------------------------------------------------------------------------
# the cache
# ---------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("RNN_TOOLKIT_DATA", str(folder))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return folder


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """Serve a file from this machine in place of the publisher's, with its checksum or none."""
    folder = tmp_path / "published"
    folder.mkdir()
    requested = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            requested.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()

    def serve(name, content, *, checked=True):
        if content is not None:
            (folder / name).write_bytes(content)
        source = downloads.SOURCES[name]._replace(
            url=f"http://127.0.0.1:{server.server_port}/{name}",
            sha256=hashlib.sha256(content).hexdigest() if checked else None,
        )
        monkeypatch.setitem(downloads.SOURCES, name, source)
        return requested

    yield serve
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def no_network(monkeypatch):
    """Point every address at a port where nobody listens."""
    for name, source in downloads.SOURCES.items():
        monkeypatch.setitem(downloads.SOURCES, name, source._replace(url=f"http://127.0.0.1:9/{name}"))


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())


def expect(monkeypatch, name, text):
    source = downloads.SOURCES[name]._replace(sha256=hashlib.sha256(text.encode()).hexdigest())
    monkeypatch.setitem(downloads.SOURCES, name, source)


def zipped(path, *, name=MEMBER, text=BEIJING_HEADER + BEIJING_ROWS, mode=0o644):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../escaped.csv", "out")
        archive.writestr("/tmp/escaped.csv", "out")
        member = zipfile.ZipInfo(name)
        member.external_attr = mode << 16
        archive.writestr(member, text)
    return path.read_bytes()


ETT = (
    "date,HUFL,HULL,MUFL,MULL,LUFL,LULL,OT\n2016-07-01 00:00:00,1,2,3,4,5,6,7\n2016-07-01 01:00:00,2,3,4,5,6,7,8\n"
    "2016-07-01 02:00:00,3,4,5,6,7,8,9\n"
)


def test_cache_dir_is_the_environment_variable_or_lies_in_the_home_folder(monkeypatch):
    monkeypatch.setenv("RNN_TOOLKIT_DATA", "~/somewhere")
    assert datasets.cache_dir() == Path.home() / "somewhere"

    monkeypatch.delenv("RNN_TOOLKIT_DATA")
    assert datasets.cache_dir() == Path.home() / ".cache" / "rnn_toolkit"


def test_cached_file_is_used_without_network(cache, no_network, monkeypatch):
    expect(monkeypatch, "etth1", ETT)
    put(cache / "ett" / "ETTh1.csv", ETT)

    frame = datasets.load_etth1()

    assert frame.index.name == "date"
    assert frame.index.freqstr == "h"
    assert frame.columns.tolist() == ["HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"]
    assert frame["OT"].tolist() == [7, 8, 9]


def test_m4_steps_go_on_from_training_to_test_part(cache, no_network, monkeypatch):
    train = '"V1","V2","V3","V4"\n"H1","10","11",\n"H2","20","21","22"\n'
    test = '"V1","V2","V3"\n"H1","12","13"\n"H2","23","24"\n'
    expect(monkeypatch, "m4_hourly_train", train)
    expect(monkeypatch, "m4_hourly_test", test)
    put(cache / "m4" / "Hourly-test.csv", test)
    (cache / "m4" / "Hourly-train.csv.gz").write_bytes(gzip.compress(train.encode()))  # compressed does as well

    frame = datasets.load_m4_hourly()

    assert frame.columns.tolist() == ["series", "step", "value", "split"]
    assert frame["series"].tolist() == ["H1"] * 4 + ["H2"] * 5
    assert frame["step"].tolist() == [1, 2, 3, 4, 1, 2, 3, 4, 5]
    assert frame["value"].tolist() == [10, 11, 12, 13, 20, 21, 22, 23, 24]
    assert frame["split"].tolist() == ["train", "train", "test", "test", "train", "train", "train", "test", "test"]


def test_damaged_cached_file_is_refused_with_the_advice_to_delete_it(cache, no_network):
    put(cache / "ett" / "ETTh1.csv", ETT[:-5])

    with pytest.raises(ValueError, match=r"ETTh1\.csv is damaged or changed: .*f18de3ad.*Delete it and call again"):
        datasets.load_etth1()


def test_cut_off_compressed_file_is_refused_too(cache, no_network):
    put(cache / "m4" / "Hourly-train.csv.gz", "")
    (cache / "m4" / "Hourly-train.csv.gz").write_bytes(gzip.compress(b"H1,1,2\n" * 100)[:-9])

    with pytest.raises(ValueError, match=r"Hourly-train\.csv\.gz is damaged or changed"):
        datasets.load_m4_hourly()


# ---------------------------------------------------------------------------------------------------------------------
# downloads
# ---------------------------------------------------------------------------------------------------------------------


def test_first_call_downloads_with_a_progress_bar_and_the_second_does_not(cache, publish, capsys):
    requested = publish("etth1", ETT.encode())

    assert len(datasets.load_etth1()) == 3
    assert "100%" in capsys.readouterr().err
    assert len(datasets.load_etth1()) == 3
    assert capsys.readouterr().err == ""
    assert requested == ["/etth1"]
    assert [path.name for path in (cache / "ett").iterdir()] == ["ETTh1.csv"]  # nothing temporary is left


def test_download_with_other_bytes_is_refused_and_not_kept(cache, publish):
    publish("etth1", ETT.encode())
    downloads.SOURCES["etth1"] = downloads.SOURCES["etth1"]._replace(sha256="0" * 64)

    with pytest.raises(
        ValueError, match=r"127\.0\.0\.1.*does not have the expected SHA-256 000.*put the file .* by hand"
    ):
        datasets.load_etth1()
    assert list((cache / "ett").iterdir()) == []


def test_no_network_names_address_place_and_the_set_that_needs_none(cache, no_network):
    expected = r"127\.0\.0\.1:9/etth1 could not be downloaded.*put the file at .*ett.ETTh1\.csv by hand.*load_weather"
    with pytest.raises(ConnectionError, match=expected):
        datasets.load_etth1()
    assert list((cache / "ett").iterdir()) == []


def test_no_network_names_the_member_of_an_archive(cache, no_network):
    expected = r"put its member PRSA_data_2010\.1\.1-2014\.12\.31\.csv at .*pollution\.csv by hand"
    with pytest.raises(ConnectionError, match=expected):
        datasets.load_beijing_pm25()


def test_address_that_no_longer_exists_is_reported_like_a_missing_network(cache, publish):
    publish("etth1", None, checked=False)

    with pytest.raises(ConnectionError, match=r"/etth1 could not be downloaded \(HTTPError\)"):
        datasets.load_etth1()


def test_beijing_is_unpacked_renamed_and_keeps_missing_dust_missing(cache, publish, tmp_path, monkeypatch):
    monkeypatch.setattr(loaders, "_BEIJING_HOURS", 2)
    publish("beijing_pm25", zipped(tmp_path / "a.zip"), checked=False)

    frame = datasets.load_beijing_pm25()

    assert frame.index.name == "time"
    assert frame.index.tolist() == [pd.Timestamp("2010-01-01 00:00"), pd.Timestamp("2010-01-01 01:00")]
    assert frame["pm25"].isna().tolist() == [True, False]
    assert frame.iloc[1].to_dict() == {
        "pm25": 129, "dew_point": -16, "temperature": -4, "pressure": 1020, "wind_direction": "SE",
        "wind_speed": 4.92, "snow_hours": 0, "rain_hours": 0,
    }  # fmt: skip


def test_archive_can_write_nothing_but_the_one_wanted_file(cache, publish, tmp_path, monkeypatch):
    monkeypatch.setattr(loaders, "_BEIJING_HOURS", 2)
    publish("beijing_pm25", zipped(tmp_path / "a.zip"), checked=False)

    datasets.load_beijing_pm25()

    assert [path.relative_to(cache).as_posix() for path in cache.rglob("*")] == [
        "beijing_pm25",
        "beijing_pm25/pollution.csv",
    ]
    assert not list(tmp_path.rglob("escaped.csv"))
    assert not Path("/tmp/escaped.csv").exists()


@pytest.mark.parametrize(
    "changes",
    [{"name": f"../{MEMBER}"}, {"text": "/etc/passwd", "mode": stat.S_IFLNK | 0o777}],
    ids=["outside the folder", "symbolic link"],
)
def test_archive_without_the_plain_file_is_refused(cache, publish, tmp_path, changes):
    publish("beijing_pm25", zipped(tmp_path / "a.zip", **changes), checked=False)

    with pytest.raises(ValueError, match=r"holds no plain file PRSA_data.*Nothing was kept"):
        datasets.load_beijing_pm25()
    assert list((cache / "beijing_pm25").iterdir()) == []


def test_page_in_place_of_the_archive_is_refused(cache, publish):
    publish("beijing_pm25", b"<html>moved</html>", checked=False)

    with pytest.raises(ValueError, match=r"is not a sound zip archive.*put PRSA_data.* at .*pollution\.csv by hand"):
        datasets.load_beijing_pm25()
    assert list((cache / "beijing_pm25").iterdir()) == []


def test_archive_with_a_damaged_member_is_refused(cache, publish, tmp_path):
    content = zipped(tmp_path / "a.zip", text=BEIJING_HEADER)
    inside = content.index(MEMBER.encode()) + len(MEMBER)
    publish("beijing_pm25", content[:inside] + b"\xff" * 8 + content[inside + 8 :], checked=False)

    with pytest.raises(ValueError, match="is not a sound zip archive"):
        datasets.load_beijing_pm25()
    assert list((cache / "beijing_pm25").iterdir()) == []


def test_beijing_table_without_a_column_is_refused(cache, no_network):
    put(cache / "beijing_pm25" / "pollution.csv", (BEIJING_HEADER + BEIJING_ROWS).replace("PRES", "PRESS"))

    with pytest.raises(ValueError, match=r"pollution\.csv has no column 'PRES'; .*Did you mean 'PRESS'"):
        datasets.load_beijing_pm25()


def test_beijing_table_that_was_cut_off_is_refused(cache, no_network):
    put(cache / "beijing_pm25" / "pollution.csv", BEIJING_HEADER + BEIJING_ROWS)

    with pytest.raises(ValueError, match=r"holds 2 hours, but 2010 to 2014 have 43,824\. Delete it"):
        datasets.load_beijing_pm25()


# ---------------------------------------------------------------------------------------------------------------------
# texts, most of them folders of files
# ---------------------------------------------------------------------------------------------------------------------

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


@pytest.fixture
def small(monkeypatch):
    """Expect three reviews in each folder and three languages, so that imitations can be written by hand."""
    for name in ("imdb", "names"):
        monkeypatch.setitem(downloads.SOURCES, name, downloads.SOURCES[name]._replace(num_files=3))


def put_all(folder, texts):
    for name, text in texts.items():
        put(folder / name, text)


def tarred(texts, *, links=(), extra=()):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name in links:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(member)
        for name, text in [*((f"aclImdb/{name}", text) for name, text in texts.items()), *extra]:
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return content.getvalue()


def zipped_names(path, texts=LANGUAGES, *, folder="data/names/"):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data/", "")
        archive.writestr("data/eng-fra.txt", "Go.\tVa !\n")
        archive.writestr("__MACOSX/data/names/._Greek.txt", "not text")
        archive.writestr("data/names/../../escaped.txt", "out")
        for name, text in texts.items():
            archive.writestr(f"{folder}{name}", text)
    return path.read_bytes()


def test_imdb_alternates_negative_and_positive_by_number_training_part_first(cache, no_network, small):
    put_all(cache / "imdb" / "aclImdb", REVIEWS)
    put(cache / "imdb" / "aclImdb" / "train" / "unsup" / "0_0.txt", "no label")
    put(cache / "imdb" / "aclImdb" / "train" / "neg" / "notes.txt", "no review")

    frame = datasets.load_imdb()

    assert frame.columns.tolist() == ["review", "sentiment", "rating", "split"]
    assert frame["review"].tolist() == [
        "Dull.\n\nVery dull.", "Good!", "Meh, naïve.", "Fine.", "No.", "Great!",
        "neg 0", "pos 0", "neg 1", "pos 1", "neg 2", "pos 2",
    ]  # fmt: skip
    assert frame["sentiment"].tolist() == ["negative", "positive"] * 6
    assert frame["rating"].tolist() == [3, 9, 4, 7, 1, 10, 2, 8, 2, 8, 2, 8]
    assert frame["split"].tolist() == ["train"] * 6 + ["test"] * 6


def test_imdb_is_unpacked_once_without_the_reviews_that_have_no_label(cache, publish, small):
    extra = [("aclImdb/train/unsup/0_0.txt", "no label"), ("aclImdb/README", "read me")]
    requested = publish("imdb", tarred(REVIEWS, extra=extra))

    assert len(datasets.load_imdb()) == 12
    assert len(datasets.load_imdb()) == 12
    assert requested == ["/imdb"]
    files = [path.relative_to(cache / "imdb" / "aclImdb") for path in cache.rglob("*") if path.is_file()]
    assert sorted(path.as_posix() for path in files) == sorted(REVIEWS)
    assert [path.name for path in (cache / "imdb").iterdir()] == ["aclImdb"]  # nothing temporary is left


def test_folder_archive_can_write_nothing_outside_its_folders(cache, publish, small, tmp_path):
    outside = ["aclImdb/train/neg/../../../escaped_1.txt", "/tmp/escaped_1.txt", "../aclImdb/train/neg/5_1.txt"]
    publish("imdb", tarred(REVIEWS, links=["aclImdb/train/neg/7_1.txt"], extra=[(name, "out") for name in outside]))

    assert len(datasets.load_imdb()) == 12
    assert not list(tmp_path.rglob("escaped*"))
    assert not Path("/tmp/escaped_1.txt").exists()
    assert not list(cache.rglob("7_1.txt")) + list(cache.rglob("5_1.txt"))


def test_folder_archive_with_other_bytes_is_refused_before_it_is_unpacked(cache, publish, small):
    publish("imdb", tarred(REVIEWS))
    downloads.SOURCES["imdb"] = downloads.SOURCES["imdb"]._replace(sha256="0" * 64)

    expected = (
        r"does not have the expected SHA-256 000.*put the member aclImdb of the archive that has it at .*aclImdb by"
    )
    with pytest.raises(ValueError, match=expected):
        datasets.load_imdb()
    assert list((cache / "imdb").iterdir()) == []


def test_folder_archive_that_lacks_files_is_refused_and_not_kept(cache, publish, small):
    publish("imdb", tarred({name: text for name, text in REVIEWS.items() if name != "test/pos/2_8.txt"}))

    expected = r"is not the expected one: its aclImdb has 2 of 3 text files in 'test/pos'\. Nothing was kept"
    with pytest.raises(ValueError, match=expected):
        datasets.load_imdb()
    assert list((cache / "imdb").iterdir()) == []


@pytest.mark.parametrize("content", [b"<html>moved</html>", tarred(REVIEWS)[:-40]], ids=["page", "cut off"])
def test_unsound_folder_archive_is_refused(cache, publish, small, content):
    publish("imdb", content)

    with pytest.raises(ValueError, match=r"is not a sound archive .*put aclImdb at .*aclImdb by hand"):
        datasets.load_imdb()
    assert list((cache / "imdb").iterdir()) == []


def test_folder_that_another_process_unpacked_meanwhile_is_used(cache, publish, small, monkeypatch):
    publish("imdb", tarred(REVIEWS))

    def be_late(received, path):
        put_all(path, REVIEWS)
        raise OSError("Directory not empty")

    monkeypatch.setattr(downloads.os, "replace", be_late)

    assert len(datasets.load_imdb()) == 12


def test_folder_that_cannot_be_put_into_the_cache_is_an_error(cache, publish, small, monkeypatch):
    publish("imdb", tarred(REVIEWS))

    def refuse(received, path):
        raise PermissionError("read-only")

    monkeypatch.setattr(downloads.os, "replace", refuse)

    with pytest.raises(PermissionError, match="read-only"):
        datasets.load_imdb()


@pytest.mark.parametrize("lost", ["train/pos/9_7.txt", "train/pos"], ids=["file", "folder"])
def test_cached_folder_that_lacks_files_is_refused_with_the_advice_to_delete_it(cache, no_network, small, lost):
    put_all(cache / "imdb" / "aclImdb", {name: text for name, text in REVIEWS.items() if not name.startswith(lost)})

    with pytest.raises(
        ValueError, match=r"aclImdb is not complete: .* of 3 text files in 'train/pos'\. Delete the folder"
    ):
        datasets.load_imdb()


def test_cached_text_that_is_not_utf8_is_refused_by_name(cache, no_network, small):
    put_all(cache / "names", LANGUAGES)
    (cache / "names" / "German.txt").write_bytes("Bach\nLoß\n".encode("latin-1"))

    expected = (
        r"German\.txt is damaged: it is not UTF-8 text \(.* at byte 7\)\. Delete the folder .*names and call again"
    )
    with pytest.raises(ValueError, match=expected):
        datasets.load_names()


def test_no_network_names_the_folder_of_an_archive(cache, no_network):
    with pytest.raises(ConnectionError, match=r"put its member data/names at .*names by hand"):
        datasets.load_names()


def test_names_are_stripped_kept_twice_and_not_in_blocks_of_one_language(cache, publish, small, tmp_path):
    publish("names", zipped_names(tmp_path / "a.zip"), checked=False)

    frame = datasets.load_names()

    assert frame.columns.tolist() == ["name", "language"]
    assert frame.index.tolist() == [0, 1, 2, 3, 4, 5]
    assert sorted(frame.itertuples(index=False, name=None)) == [
        ("Bach", "German"), ("Bach", "German"), ("Bach", "Korean"), ("Egonidis", "Greek"), ("Loß", "German"),
        ("Park", "Korean"),
    ]  # fmt: skip
    assert not frame["language"].is_monotonic_increasing
    assert frame.equals(datasets.load_names())
    assert sorted(path.name for path in cache.rglob("*")) == ["German.txt", "Greek.txt", "Korean.txt", "names"]
    assert not list(tmp_path.rglob("escaped.txt"))


def test_names_archive_with_another_folder_is_refused(cache, publish, small, tmp_path):
    publish("names", zipped_names(tmp_path / "a.zip", folder="names/"), checked=False)

    with pytest.raises(ValueError, match=r"its data/names has 0 of 3 text files"):
        datasets.load_names()
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("is_compressed", [False, True])
def test_tiny_shakespeare_keeps_every_character(cache, no_network, monkeypatch, is_compressed):
    text = "First Citizen:\nBefore we proceed any further,\n\n"
    expect(monkeypatch, "tiny_shakespeare", text)
    put(cache / "tinyshakespeare" / "input.txt", text)
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
