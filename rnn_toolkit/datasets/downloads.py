"""Published files and folders: downloaded once, checked, unpacked with care, and kept in a cache folder."""

import gzip
import hashlib
import os
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple


class Source(NamedTuple):
    path: str  # within the cache folder
    url: str
    sha256: str | None  # of the content, unpacked; where a folder is wanted, of its archive
    member: str | None = None  # the file or the folder wanted from an archive
    folders: tuple[str, ...] = ()  # within the wanted folder: those that hold the files
    file_pattern: str = ""  # what the names of those files look like
    num_files: int = 0  # in each of those folders


SOURCES = {
    "etth1": Source(
        path="ett/ETTh1.csv",
        url="https://raw.githubusercontent.com/zhouhaoyi/ETDataset/main/ETT-small/ETTh1.csv",
        sha256="f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066",
    ),
    "m4_hourly_train": Source(
        path="m4/Hourly-train.csv",
        url="https://raw.githubusercontent.com/Mcompetitions/M4-methods/master/Dataset/Train/Hourly-train.csv",
        sha256="ea59b7783573c49077a835ab6465c7d66f1474783360f310988a9a737fbca62f",
    ),
    "m4_hourly_test": Source(
        path="m4/Hourly-test.csv",
        url="https://raw.githubusercontent.com/Mcompetitions/M4-methods/master/Dataset/Test/Hourly-test.csv",
        sha256="71a57fccb15e534d973626ada4fb87febf789e9317715b7cc6dd3b5f90db6f42",
    ),
    "beijing_pm25": Source(
        path="beijing_pm25/pollution.csv",
        url="https://archive.ics.uci.edu/static/public/381/beijing+pm2+5+data.zip",
        # The publisher states no checksum, and copies differ in their line ends; the zip's own checksums and the
        # checks in `load_beijing_pm25` (columns, number of hours) stand in for it.
        sha256=None,
        member="PRSA_data_2010.1.1-2014.12.31.csv",
    ),
    "imdb": Source(
        path="imdb/aclImdb",
        url="https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz",
        # Of the archive. The publisher states none; projects independent of each other check against this one.
        sha256="c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe",
        member="aclImdb",
        folders=("train/neg", "train/pos", "test/neg", "test/pos"),
        file_pattern=r"[0-9]+_[0-9]+\.txt",  # number and rating
        num_files=12_500,
    ),
    "names": Source(
        path="names",
        url="https://download.pytorch.org/tutorial/data.zip",
        # The publisher states no checksum; the zip's own checksums and the number of languages stand in for it.
        sha256=None,
        member="data/names",
        folders=(".",),
        file_pattern=r"[A-Za-z]+\.txt",
        num_files=18,
    ),
    "tiny_shakespeare": Source(
        path="tinyshakespeare/input.txt",
        url="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    ),
}


def cache_dir() -> Path:
    """Return the folder that keeps downloads: the environment's `RNN_TOOLKIT_DATA`, or `~/.cache/rnn_toolkit`.

    It holds a folder per set: `ett/ETTh1.csv`, `m4/Hourly-train.csv`, `m4/Hourly-test.csv`,
    `beijing_pm25/pollution.csv`, `tinyshakespeare/input.txt`, plain or compressed with gzip (`.csv.gz`, `.txt.gz`),
    `imdb/aclImdb` (with `train/neg`, `train/pos`, `test/neg` and `test/pos`) and `names`. It need not exist yet.
    """
    return Path(os.environ.get("RNN_TOOLKIT_DATA") or "~/.cache/rnn_toolkit").expanduser()


def fetch(name: str) -> Path:
    """Return the path of a published file, from the cache if it is there, else downloaded into it."""
    source = SOURCES[name]
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


def fetch_folder(name: str) -> tuple[Path, dict[str, list[str]]]:
    """Return the path of a published folder, downloaded if it is not in the cache, and the files it holds."""
    source = SOURCES[name]
    path = cache_dir() / source.path
    if not path.is_dir():
        _download(source, path)
    listed = _list_files(source, path)
    if wrong := _miscounted(source, listed):
        raise ValueError(
            f"{path} is not complete: it has {wrong}. Delete the folder and call again; it is then downloaded anew."
        )
    return path, listed


def _list_files(source: Source, path: Path) -> dict[str, list[str]]:
    """Return the names of the wanted files in each folder, in no order."""
    names = {folder: os.listdir(path / folder) if (path / folder).is_dir() else [] for folder in source.folders}
    return {key: [name for name in found if re.fullmatch(source.file_pattern, name)] for key, found in names.items()}


def _miscounted(source: Source, listed: dict[str, list[str]]) -> str:
    """Say which folder has too few or too many files; empty if none has."""
    wrong = [folder for folder, names in listed.items() if len(names) != source.num_files]
    return f"{len(listed[wrong[0]]):,} of {source.num_files:,} text files in {wrong[0]!r}" if wrong else ""


def read_text(path: Path, folder: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is damaged: it is not UTF-8 text ({error.reason} at byte {error.start}). "
            f"Delete the folder {folder} and call again; it is then downloaded anew."
        ) from error


def _download(source: Source, path: Path) -> None:
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
        if source.member and not source.folders:
            received = _unpack(received, source, Path(folder, "unpacked"))
        if source.sha256 not in (None, _sha256(received)):
            what = f"the member {source.member} of the archive" if source.folders else "the file"
            raise ValueError(
                f"What {source.url} sent does not have the expected SHA-256 {source.sha256}; it was not kept. "
                f"Call again; if it stays so, put {what} that has it at {path} by hand."
            )
        if source.folders:
            received = _unpack_folder(received, source, Path(folder, "unpacked"))
        try:
            os.replace(received, path)
        except OSError:
            if not (source.folders and path.is_dir()):  # unlike a file, a folder that another process put there stays
                raise


def _unpack(archive_path: Path, source: Source, target: Path) -> Path:
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


def _unpack_folder(archive_path: Path, source: Source, target: Path) -> Path:
    """Copy the wanted files to `target`, into folders of our own naming, under names that cannot lead out of them."""
    remedy = f"Nothing was kept; call again, or put {source.member} at {cache_dir() / source.path} by hand."
    wanted = {str(PurePosixPath(source.member, folder)): target / folder for folder in source.folders}
    for folder in wanted.values():
        folder.mkdir(parents=True, exist_ok=True)
    try:
        for name, packed in _plain_members(archive_path):
            folder, _, file_name = name.rpartition("/")
            if folder in wanted and re.fullmatch(source.file_pattern, file_name):
                with open(wanted[folder] / file_name, "wb") as unpacked:
                    shutil.copyfileobj(packed, unpacked)
    except (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise ValueError(f"What {source.url} sent is not a sound archive ({error}). {remedy}") from error
    if wrong := _miscounted(source, _list_files(source, target)):
        raise ValueError(f"The archive {source.url} is not the expected one: its {source.member} has {wrong}. {remedy}")
    return target


def _plain_members(archive_path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the name and the content of each file in a zip or tar.gz archive; links and devices are passed over."""
    if zipfile.is_zipfile(archive_path):
        with zipfile.ZipFile(archive_path) as archive:
            for one in archive.infolist():
                if not (one.is_dir() or stat.S_ISLNK(one.external_attr >> 16)):
                    with archive.open(one) as content:
                        yield one.filename, content
    else:
        with tarfile.open(archive_path, "r:gz") as archive:
            for one in archive:
                if one.isfile():
                    with archive.extractfile(one) as content:
                        yield one.name, content


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
