import gzip
import hashlib
import io
import stat
import struct
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from rnn_toolkit import datasets
from rnn_toolkit.datasets import downloads
from rnn_toolkit.datasets.downloads import fetch, fetch_folder, read_text

TABLE = b"date,OT\n2016-07-01,7\n"
MEMBER = "PRSA_data_2010.1.1-2014.12.31.csv"
REVIEWS = {f"{split}/{label}/0_{rating}.txt": f"{split} {rating}"
           for split in ("test", "train") for label, rating in [("neg", 2), ("pos", 8)]}  # fmt: skip
LANGUAGES = {"German.txt": "Bach\nLoß\n", "Greek.txt": "Egonidis\n", "Korean.txt": "Park \nBach\n"}


def checksum(content):
    return hashlib.sha256(content).hexdigest()


def zipped(files, mode=0o644):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            member = zipfile.ZipInfo(name)
            member.external_attr = mode << 16
            archive.writestr(member, text, zipfile.ZIP_DEFLATED)
    return content.getvalue()


def tarred(files, links=()):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name in links:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(member)
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return content.getvalue()


def tarred_reviews(reviews=REVIEWS, extra=(), links=()):
    return tarred({f"aclImdb/{name}": text for name, text in reviews.items()} | dict(extra), links)


def zipped_names(languages=LANGUAGES, folder="data/names/"):
    others = {"data/": "", "data/eng-fra.txt": "Go.\tVa !\n", "__MACOSX/data/names/._Greek.txt": "not text"}
    return zipped({**others, **{folder + name: text for name, text in languages.items()}})


@pytest.fixture
def small(expect):
    """Expect four reviews and three languages, so that imitations can be written by hand."""
    expect("imdb", num_files=4, archive_sha256=None)
    expect("names", num_files=3, sha256=(checksum("".join(LANGUAGES.values()).encode()),))


def test_every_source_has_a_checksum_and_a_limit_and_no_two_share_a_place():
    sources = downloads.SOURCES.values()

    for source in sources:
        checksums = [*source.sha256, *([source.archive_sha256] if source.archive_sha256 else [])]
        assert checksums and all(len(bytes.fromhex(one)) == 32 for one in checksums)
        assert 2**20 <= source.max_bytes <= 100 * 2**20
        assert source.url.startswith("https://")
    assert len({source.path for source in sources}) == len(sources)


# ---------------------------------------------------------------------------------------------------------------------
# the cache
# ---------------------------------------------------------------------------------------------------------------------


def test_cache_dir_is_the_environment_variable_or_lies_in_the_home_folder(monkeypatch):
    monkeypatch.setenv("RNN_TOOLKIT_DATA", "~/somewhere")
    assert datasets.cache_dir() == Path.home() / "somewhere"

    monkeypatch.delenv("RNN_TOOLKIT_DATA")
    assert datasets.cache_dir() == Path.home() / ".cache" / "rnn_toolkit"


def test_cached_file_is_used_without_network(cache, cached):
    cached("etth1", TABLE.decode())

    assert fetch("etth1") == cache / "ett" / "ETTh1.csv"


def test_compressed_file_does_as_well(cache, cached):
    cached("etth1", TABLE.decode())
    (cache / "ett" / "ETTh1.csv").unlink()
    (cache / "ett" / "ETTh1.csv.gz").write_bytes(gzip.compress(TABLE))

    assert fetch("etth1") == cache / "ett" / "ETTh1.csv.gz"


@pytest.mark.parametrize("name", ["etth1", "beijing_pm25"])
def test_damaged_cached_file_is_refused_with_the_advice_to_delete_it(cached, name):
    cached(name, TABLE.decode())
    path = fetch(name)
    path.write_bytes(TABLE[:-2])

    with pytest.raises(ValueError, match=f"{path.name} is damaged or changed: .*{checksum(TABLE)}.*Delete it and call"):
        fetch(name)


def test_cut_off_compressed_file_is_refused_too(cache, cached):
    cached("etth1", TABLE.decode())
    (cache / "ett" / "ETTh1.csv").unlink()
    (cache / "ett" / "ETTh1.csv.gz").write_bytes(gzip.compress(TABLE)[:-9])

    with pytest.raises(ValueError, match=r"ETTh1\.csv\.gz is damaged or changed"):
        fetch("etth1")


def test_cached_folder_is_listed_without_what_is_not_wanted(cache, cached):
    cached("imdb", REVIEWS)
    for unwanted in ("train/unsup/0_0.txt", "train/neg/notes.txt", "train/neg/0_0.md", "train/neg/deep/0_2.txt"):
        (cache / "imdb" / "aclImdb" / unwanted).parent.mkdir(parents=True, exist_ok=True)
        (cache / "imdb" / "aclImdb" / unwanted).write_text("no review")

    assert fetch_folder("imdb") == (cache / "imdb" / "aclImdb", sorted(REVIEWS))


def test_cached_folder_that_lacks_a_file_is_refused_with_the_advice_to_delete_it(cache, cached):
    cached("imdb", REVIEWS)
    (cache / "imdb" / "aclImdb" / "train" / "pos" / "0_8.txt").unlink()

    with pytest.raises(ValueError, match=r"aclImdb is not complete: it has 3 of 4 files\. Delete the folder"):
        fetch_folder("imdb")


def test_another_copy_of_the_names_is_used_with_a_warning(cache, cached):
    cached("names", LANGUAGES)
    (cache / "names" / "German.txt").write_text("Bach\n")

    with pytest.warns(UserWarning, match="names are not byte for byte those that this package describes"):
        assert len(fetch_folder("names")[1]) == 3


def test_text_that_is_not_utf8_is_refused_by_name(tmp_path):
    (tmp_path / "German.txt").write_bytes("Bach\nLoß\n".encode("latin-1"))

    with pytest.raises(ValueError, match=r"German\.txt is damaged: .*not UTF-8 .* at byte 7\)\. Delete the folder"):
        read_text(tmp_path / "German.txt", tmp_path)


def test_bundled_sets_need_neither_keras_nor_the_download_engine(monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)  # importing it now fails
    monkeypatch.setitem(sys.modules, "requests", None)

    assert len(datasets.load_weather()) == 26115
    for path in Path(downloads.__file__).parent.glob("*.py"):
        assert "import keras" not in path.read_text(encoding="utf-8")


# ---------------------------------------------------------------------------------------------------------------------
# the network
# ---------------------------------------------------------------------------------------------------------------------


def test_first_call_downloads_with_a_progress_bar_and_the_second_does_not(cache, publish, capsys):
    requested = publish("etth1", TABLE, sha256=(checksum(TABLE),))

    assert fetch("etth1").read_bytes() == TABLE
    shown = capsys.readouterr().err
    assert "100%" in shown and "received" not in shown  # the bar, not the place that is renamed in the end
    assert fetch("etth1").read_bytes() == TABLE
    assert capsys.readouterr().err == ""
    assert requested == ["/etth1"]
    assert [path.name for path in (cache / "ett").iterdir()] == ["ETTh1.csv"]  # nothing temporary is left


def test_a_compressed_download_is_known_by_what_is_in_it(cache, publish):
    publish("mnist_test_digits", gzip.compress(TABLE, compresslevel=1), sha256=(checksum(TABLE),))
    assert gzip.decompress(fetch("mnist_test_digits").read_bytes()) == TABLE


def test_download_with_other_bytes_is_refused_and_not_kept(cache, publish):
    publish("etth1", TABLE, sha256=("0" * 64,))

    expected = r"What http://127\.0\.0\.1.* sent is not what was expected.*000.*put the file at .*ETTh1\.csv by hand"
    with pytest.raises(ValueError, match=expected):
        fetch("etth1")
    assert list((cache / "ett").iterdir()) == []


def test_download_stops_at_its_limit(cache, publish):
    content = b"7" * 200_000
    publish("etth1", content, sha256=(checksum(content),), max_bytes=100_000)

    with pytest.raises(ValueError, match=r"not kept: it is larger than 100,000 bytes"):
        fetch("etth1")
    assert list((cache / "ett").iterdir()) == []


def test_download_of_just_its_limit_is_kept(cache, publish):
    publish("etth1", TABLE, sha256=(checksum(TABLE),), max_bytes=len(TABLE))

    assert fetch("etth1").read_bytes() == TABLE


def test_no_network_names_address_place_and_the_set_that_needs_none(cache, no_network):
    expected = r"127\.0\.0\.1:9/etth1 could not be downloaded.*put the file at .*ett.ETTh1\.csv by hand.*load_weather"
    with pytest.raises(ConnectionError, match=expected):
        fetch("etth1")
    assert list((cache / "ett").iterdir()) == []


def test_no_network_names_what_is_wanted_from_an_archive(cache, no_network):
    with pytest.raises(ConnectionError, match=r"put PRSA_data_2010.*csv from it at .*pollution\.csv by hand"):
        fetch("beijing_pm25")
    with pytest.raises(ConnectionError, match=r"put data/names from it at .*names by hand"):
        fetch_folder("names")


def test_address_that_no_longer_exists_is_reported_like_a_missing_network(cache, publish):
    publish("etth1", None)

    with pytest.raises(ConnectionError, match=r"/etth1 could not be downloaded \(HTTPError\)"):
        fetch("etth1")


# ---------------------------------------------------------------------------------------------------------------------
# one file from an archive
# ---------------------------------------------------------------------------------------------------------------------


def test_archive_can_write_nothing_but_the_one_wanted_file(cache, publish, tmp_path):
    outside = {"../escaped.csv": "out", "/tmp/escaped.csv": "out"}
    publish("beijing_pm25", zipped({**outside, MEMBER: TABLE}), sha256=("0" * 64, checksum(TABLE)))

    assert fetch("beijing_pm25").read_bytes() == TABLE
    assert [path.relative_to(cache).as_posix() for path in cache.rglob("*")] == [
        "beijing_pm25",
        "beijing_pm25/pollution.csv",
    ]
    assert not list(tmp_path.rglob("escaped.csv"))
    assert not Path("/tmp/escaped.csv").exists()


@pytest.mark.parametrize(
    "content",
    [zipped({f"../{MEMBER}": TABLE}), zipped({MEMBER: "/etc/passwd"}, mode=stat.S_IFLNK | 0o777)],
    ids=["outside the folder", "symbolic link"],
)
def test_archive_without_the_plain_file_is_refused(cache, publish, content):
    publish("beijing_pm25", content)

    with pytest.raises(ValueError, match=r"not kept: its PRSA_data.*csv has 0 of 1 plain files"):
        fetch("beijing_pm25")
    assert list((cache / "beijing_pm25").iterdir()) == []


def test_archive_with_another_table_is_refused(cache, publish):
    publish("beijing_pm25", zipped({MEMBER: TABLE}))

    with pytest.raises(ValueError, match=r"its PRSA_data.* does not have the SHA-256 4127f868.*from it at .* by hand"):
        fetch("beijing_pm25")
    assert list((cache / "beijing_pm25").iterdir()) == []


def test_archive_that_unpacks_beyond_the_limit_is_refused(cache, publish):
    publish("beijing_pm25", zipped({MEMBER: bytes(1_000_000)}), max_bytes=100_000)

    with pytest.raises(ValueError, match=r"not kept: unpacked it is larger than 100,000 bytes"):
        fetch("beijing_pm25")
    assert list((cache / "beijing_pm25").iterdir()) == []


def test_archive_that_lies_about_a_size_is_refused(cache, publish):
    content = zipped({MEMBER: bytes(1_000_000)})
    assert content.count(struct.pack("<I", 1_000_000)) == 2  # in the member's own header, and in the table at the end
    publish("beijing_pm25", content.replace(struct.pack("<I", 1_000_000), struct.pack("<I", 10)), max_bytes=100_000)

    with pytest.raises(ValueError, match="not what was expected, and was not kept: Bad CRC-32"):
        fetch("beijing_pm25")


def test_page_in_place_of_the_archive_is_refused(cache, publish):
    publish("beijing_pm25", b"<html>moved</html>")

    with pytest.raises(ValueError, match=r"not what was expected.*put PRSA_data.* at .*pollution\.csv by hand"):
        fetch("beijing_pm25")
    assert list((cache / "beijing_pm25").iterdir()) == []


def test_archive_with_a_damaged_member_is_refused(cache, publish):
    content = zipped({MEMBER: TABLE})
    inside = content.index(MEMBER.encode()) + len(MEMBER)
    publish("beijing_pm25", content[:inside] + b"\xff" * 8 + content[inside + 8 :])

    with pytest.raises(ValueError, match="not what was expected"):
        fetch("beijing_pm25")
    assert list((cache / "beijing_pm25").iterdir()) == []


# ---------------------------------------------------------------------------------------------------------------------
# a folder from an archive
# ---------------------------------------------------------------------------------------------------------------------


def test_folder_is_unpacked_once_without_what_is_not_wanted(cache, publish, small):
    extra = {"aclImdb/train/unsup/0_0.txt": "no label", "aclImdb/README": "read me"}
    requested = publish("imdb", tarred_reviews(extra=extra))

    for _ in range(2):
        folder, files = fetch_folder("imdb")
        assert {file: (folder / file).read_text() for file in files} == REVIEWS
    assert requested == ["/imdb"]
    unpacked = [path.relative_to(folder).as_posix() for path in cache.rglob("*") if path.is_file()]
    assert sorted(unpacked) == sorted(REVIEWS)
    assert [path.name for path in (cache / "imdb").iterdir()] == ["aclImdb"]  # nothing temporary is left


def test_folder_of_a_zip_archive_is_unpacked_alike(cache, publish, small):
    publish("names", zipped_names())

    folder, files = fetch_folder("names")

    assert {file: (folder / file).read_text(encoding="utf-8") for file in files} == LANGUAGES
    assert sorted(path.name for path in cache.rglob("*")) == ["German.txt", "Greek.txt", "Korean.txt", "names"]


def test_folder_archive_can_write_nothing_outside_its_folders(cache, publish, small, tmp_path):
    outside = ["aclImdb/train/neg/../../../escaped_1.txt", "/tmp/escaped_1.txt", "../aclImdb/train/neg/5_1.txt"]
    content = tarred_reviews(extra=dict.fromkeys(outside, "out"), links=["aclImdb/train/neg/7_1.txt"])
    publish("imdb", content)

    assert len(fetch_folder("imdb")[1]) == 4
    assert not list(tmp_path.rglob("escaped*"))
    assert not Path("/tmp/escaped_1.txt").exists()
    assert not list(cache.rglob("7_1.txt")) + list(cache.rglob("5_1.txt"))


def test_folder_archive_whose_files_together_exceed_the_limit_is_refused(cache, publish, small):
    content = tarred_reviews({name: "7" * 40_000 for name in REVIEWS})
    publish("imdb", content, max_bytes=100_000)  # of four times 40,000

    with pytest.raises(ValueError, match=r"not kept: unpacked it is larger than 100,000 bytes"):
        fetch_folder("imdb")
    assert list((cache / "imdb").iterdir()) == []


def test_folder_archive_with_other_bytes_is_refused_before_it_is_unpacked(cache, publish, small, monkeypatch):
    publish("imdb", tarred_reviews(), archive_sha256="0" * 64)
    monkeypatch.setattr(downloads, "_unpack", lambda *_: pytest.fail("it was unpacked"))

    with pytest.raises(ValueError, match=r"not what was expected.*000.*put aclImdb from it at .*aclImdb by hand"):
        fetch_folder("imdb")
    assert list((cache / "imdb").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("imdb", tarred_reviews(dict(list(REVIEWS.items())[1:])), "its aclImdb has 3 of 4 plain files"),
        ("names", zipped_names(folder="names/"), "its data/names has 0 of 3 plain files"),
        ("imdb", b"<html>moved</html>", "not a gzip file"),
        ("imdb", tarred_reviews()[:-40], "end-of-stream"),
    ],
    ids=["file missing", "folder missing", "page", "cut off"],
)
def test_unsound_folder_archive_is_refused_and_not_kept(cache, publish, small, name, content, expected):
    publish(name, content)

    with pytest.raises(ValueError, match=f"What .* was not kept: .*{expected}.* by hand"):
        fetch_folder(name)
    assert [path for path in cache.rglob("*") if path.name != "imdb"] == []


def test_folder_that_another_process_unpacked_meanwhile_is_used(cache, publish, small, monkeypatch):
    publish("imdb", tarred_reviews())

    def be_late(received, path):
        for name, text in REVIEWS.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_text(text)
        raise OSError("Directory not empty")

    monkeypatch.setattr(downloads.os, "replace", be_late)

    assert len(fetch_folder("imdb")[1]) == 4


def test_folder_that_cannot_be_put_into_the_cache_is_an_error(cache, publish, small, monkeypatch):
    publish("imdb", tarred_reviews())

    def refuse(received, path):
        raise PermissionError("read-only")

    monkeypatch.setattr(downloads.os, "replace", refuse)

    with pytest.raises(PermissionError, match="read-only"):
        fetch_folder("imdb")
