"""Published files and folders: downloaded once, checked, unpacked with care, and kept in a cache folder."""

import gzip
import hashlib
import os
import re
import shutil
import stat
import tarfile
import tempfile
import tomllib
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple


class Source(NamedTuple):
    path: str  # within the cache folder
    url: str
    max_bytes: int  # of what is downloaded, and of what is unpacked from it
    sha256: Sequence[str] = ()  # of the content, unpacked: any one of these
    archive_sha256: str | None = None
    member: str = ""  # the file or the folder wanted from an archive
    file_pattern: str = ""  # what the paths of the wanted files within that folder look like
    num_files: int = 1
    fewest: int | None = None  # where folders in the cache with fewer files are sound, too
    hashed: str = ".*"  # the files of a folder that its checksum is of


with Path(__file__).with_name("sources.toml").open("rb") as file:
    SOURCES = {name: Source(**entry) for name, entry in tomllib.load(file).items()}


def cache_dir() -> Path:
    """Return the folder that keeps downloads: the environment's `RNN_TOOLKIT_DATA`, or `~/.cache/rnn_toolkit`.

    It holds a folder per set: `ett/ETTh1.csv`, `m4/Hourly-train.csv`, `m4/Hourly-test.csv`,
    `beijing_pm25/pollution.csv`, `tinyshakespeare/input.txt`, plain or compressed with gzip (`.csv.gz`, `.txt.gz`),
    `japanese_vowels/JapaneseVowels_TRAIN.ts` and `..._TEST.ts`, `mnist/train-images-idx3-ubyte.gz` and its three
    siblings, `fsdd/recordings`,
    `imdb/aclImdb` (with `train/neg`, `train/pos`, `test/neg` and `test/pos`) and `names`. It need not exist yet.
    """
    return Path(os.environ.get("RNN_TOOLKIT_DATA") or "~/.cache/rnn_toolkit").expanduser()


def fetch(name: str) -> Path:
    """Return the path of a published file, from the cache if it is there, else downloaded into it."""
    source = SOURCES[name]
    path = cache_dir() / source.path
    for candidate in (path, path.with_name(f"{path.name}.gz")):
        if candidate.is_file():
            if _sha256([candidate]) not in source.sha256:
                raise ValueError(
                    f"{candidate} is damaged or changed: its content does not have the published SHA-256 "
                    f"{source.sha256[0]}. Delete it and call again; it is then downloaded anew."
                )
            return candidate
    _download(source, path)
    return path


def fetch_folder(name: str) -> tuple[Path, list[str]]:
    """Return the path of a published folder, downloaded if it is not in the cache, and the files wanted from it."""
    source = SOURCES[name]
    path = cache_dir() / source.path
    if not path.is_dir():
        _download(source, path)
    files = [one.relative_to(path).as_posix() for one in sorted(path.rglob("*"))]
    files = [one for one in files if re.fullmatch(source.file_pattern, one)]
    if not (source.fewest or source.num_files) <= len(files) <= source.num_files:
        raise ValueError(
            f"{path} is not complete: it has {len(files):,} of {source.num_files:,} files. "
            "Delete the folder and call again; it is then downloaded anew."
        )
    if (
        source.sha256
        and _sha256([path / one for one in files if re.fullmatch(source.hashed, one)]) not in source.sha256
    ):
        warnings.warn(
            f"The files in {path} are not byte for byte those that this package describes: counts and scores may "
            "differ from those written down.",
            stacklevel=3,
        )
    return path, files


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

    what = f"{source.member} from it" if source.member else "the file"
    log = pooch.get_logger()
    log_level = log.level
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside its goal, so that the last step is a rename: a download cut short never looks like a file.
    with tempfile.TemporaryDirectory(prefix=".download-", dir=path.parent) as folder:
        try:
            log.setLevel("WARNING")  # it would name the temporary folder
            name, downloader = f"received{path.suffix}", _Capped(source.max_bytes)
            received = Path(pooch.retrieve(source.url, source.archive_sha256, name, folder, downloader=downloader))
            if source.member:
                received = _unpack(received, source, Path(folder, "unpacked"))
            if received.is_file() and _sha256([received]) not in source.sha256:
                raise ValueError(f"its {source.member or 'content'} does not have the SHA-256 {source.sha256[0]}")
        except requests.RequestException as error:
            raise ConnectionError(
                f"{source.url} could not be downloaded ({type(error).__name__}). Connect to the network and call "
                f"again, or put {what} at {path} by hand. `load_weather()` ships with the package and needs no network."
            ) from error
        except (ValueError, zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise ValueError(
                f"What {source.url} sent is not what was expected, and was not kept: {error}. Call again; if it stays "
                f"so, put {what} at {path} by hand."
            ) from error
        finally:
            log.setLevel(log_level)
        try:
            os.replace(received, path)
        except OSError:
            if not (
                source.file_pattern and path.is_dir()
            ):  # unlike a file, a folder that another process put there stays
                raise


class _Capped:
    """Download into a file that takes only so many bytes, so that no server can fill the disk."""

    def __init__(self, max_bytes: int):
        self._max_bytes = max_bytes

    def __call__(self, url, path, _):
        import pooch

        with open(path, "wb") as self._file:
            pooch.HTTPDownloader(progressbar=True, chunk_size=2**16, timeout=60)(url, self, None)

    def write(self, chunk: bytes):
        if self._file.tell() + len(chunk) > self._max_bytes:
            raise ValueError(f"it is larger than {self._max_bytes:,} bytes")
        self._file.write(chunk)

    def flush(self):
        self._file.flush()


def _unpack(archive_path: Path, source: Source, target: Path) -> Path:
    """Copy what is wanted to `target`, and nothing under a name that could lead out of it.

    pooch's unpackers take whatever lies under the wanted name, links and devices too, of any size.
    """
    num_files = num_bytes = 0
    for name, size, content in _plain_members(archive_path):
        file_name = name.removeprefix(f"{source.member}/")
        if name != source.member and (file_name == name or not re.fullmatch(source.file_pattern, file_name)):
            continue
        goal = target if name == source.member else target / file_name
        num_files, num_bytes = num_files + 1, num_bytes + size
        if num_bytes > source.max_bytes:
            raise ValueError(f"unpacked it is larger than {source.max_bytes:,} bytes")
        goal.parent.mkdir(parents=True, exist_ok=True)
        with goal.open("wb") as file:
            shutil.copyfileobj(content, file)
    if num_files != source.num_files:
        raise ValueError(f"its {source.member} has {num_files:,} of {source.num_files:,} plain files")
    return target


def _plain_members(archive_path: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Yield name, size and content of each file in a zip or tar.gz archive; links and devices are passed over.

    Of each content no more can be read than the size says.
    """
    if zipfile.is_zipfile(archive_path):
        with zipfile.ZipFile(archive_path) as archive:
            for one in archive.infolist():
                if not (one.is_dir() or stat.S_ISLNK(one.external_attr >> 16)):
                    with archive.open(one) as content:
                        yield one.filename, one.file_size, content
    else:
        with tarfile.open(archive_path, "r:gz") as archive:
            for one in archive:
                if one.isfile():
                    with archive.extractfile(one) as content:
                        yield one.name, one.size, content


def _sha256(paths: list[Path]) -> str:
    """Return the checksum of files one after another, unpacked if compressed; empty if one cannot be unpacked."""
    digest = hashlib.sha256()
    try:
        for path in paths:
            with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as content:
                while chunk := content.read(2**20):
                    digest.update(chunk)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return ""
    return digest.hexdigest()
