"""Published files and folders: downloaded once, checked, unpacked with care, and kept in a cache folder."""

import gzip
import hashlib
import os
import re
import shutil
import stat
import tarfile
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

MEGABYTE = 2**20


class Source(NamedTuple):
    path: str  # within the cache folder
    url: str
    max_bytes: int  # of what is downloaded, and of what is unpacked from it
    sha256: tuple[str, ...] = ()  # of the content, unpacked: any one of these
    archive_sha256: str | None = None
    member: str = ""  # the file or the folder wanted from an archive
    file_pattern: str = ""  # what the paths of the wanted files within that folder look like
    num_files: int = 1
    fewest: int | None = None  # where folders in the cache with fewer files are sound, too
    hashed: str = ".*"  # the files of a folder that its checksum is of


SOURCES = {
    "etth1": Source(
        path="ett/ETTh1.csv",
        url="https://raw.githubusercontent.com/zhouhaoyi/ETDataset/main/ETT-small/ETTh1.csv",
        max_bytes=3 * MEGABYTE,
        sha256=("f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066",),
    ),
    "m4_hourly_train": Source(
        path="m4/Hourly-train.csv",
        url="https://raw.githubusercontent.com/Mcompetitions/M4-methods/master/Dataset/Train/Hourly-train.csv",
        max_bytes=3 * MEGABYTE,
        sha256=("ea59b7783573c49077a835ab6465c7d66f1474783360f310988a9a737fbca62f",),
    ),
    "m4_hourly_test": Source(
        path="m4/Hourly-test.csv",
        url="https://raw.githubusercontent.com/Mcompetitions/M4-methods/master/Dataset/Test/Hourly-test.csv",
        max_bytes=1 * MEGABYTE,
        sha256=("71a57fccb15e534d973626ada4fb87febf789e9317715b7cc6dd3b5f90db6f42",),
    ),
    "beijing_pm25": Source(
        path="beijing_pm25/pollution.csv",
        url="https://archive.ics.uci.edu/static/public/381/beijing+pm2+5+data.zip",
        max_bytes=10 * MEGABYTE,
        # The publisher states no checksum. The first is that of the file as it lies in the archive, the others those
        # of copies that differ from it in nothing but line ends: without the last one, and each a line feed alone.
        sha256=(
            "4127f868775e31b3956522adc0ec75af8937dde6a3896e8beed3a376c6d27f1c",
            "892e9559205d16d32623135c127a3951c12e46ea1e0b3093e107ce89a9fd60e2",
            "4fe4c954a563d0e746f96c258e1acf31f7880f1ad825b046052121938781c656",
        ),
        member="PRSA_data_2010.1.1-2014.12.31.csv",
    ),
    "imdb": Source(
        path="imdb/aclImdb",
        url="https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz",
        max_bytes=100 * MEGABYTE,
        # The publisher states none; projects independent of each other check against this one.
        archive_sha256="c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe",
        member="aclImdb",
        file_pattern=r"(train|test)/(neg|pos)/[0-9]+_[0-9]+\.txt",  # number and rating
        num_files=50_000,
    ),
    "names": Source(
        path="names",
        url="https://download.pytorch.org/tutorial/data.zip",
        max_bytes=10 * MEGABYTE,
        # The publisher states no checksum, and copies in use differ by a few names. This one is that of the copy which
        # `load_names` describes; another is used all the same, with a warning.
        sha256=("8cb5d785e418621c9ae2a9769a0c3360878c05c6fcb4b5457ce4d5ac059ec65d",),
        member="data/names",
        file_pattern=r"[A-Za-z]+\.txt",
        num_files=18,
    ),
    **{
        f"japanese_vowels_{part}": Source(
            path=f"japanese_vowels/JapaneseVowels_{part.upper()}.ts",
            url="https://timeseriesclassification.com/aeon-toolkit/JapaneseVowels.zip",
            max_bytes=10 * MEGABYTE,
            sha256=(sha256,),
            member=f"JapaneseVowels_{part.upper()}.ts",
        )
        for part, sha256 in (
            ("train", "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd"),
            ("test", "b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462"),
        )
    },
    **{
        f"mnist_{part}": Source(
            path=f"mnist/{name}-ubyte.gz",
            url=f"https://storage.googleapis.com/cvdf-datasets/mnist/{name}-ubyte.gz",
            max_bytes=11 * MEGABYTE,
            sha256=(sha256,),
        )
        for part, name, sha256 in (
            ("train_images", "train-images-idx3", "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
            ("train_digits", "train-labels-idx1", "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
            ("test_images", "t10k-images-idx3", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
            ("test_digits", "t10k-labels-idx1", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
        )
    },
    "spoken_digits": Source(
        path="fsdd/recordings",
        url="https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.tar.gz",
        max_bytes=50 * MEGABYTE,
        # The publisher states no checksum. This one is that of four speakers; the set once had no more.
        sha256=("f3e761b28fe6317fba40067385de3932585adaa7bfb9ad5b0c826529d0c64bb7",),
        member="free-spoken-digit-dataset-1.0.10/recordings",
        file_pattern=r"[0-9]_[a-z]+_[0-9]+\.wav",  # digit, speaker and number
        num_files=3_000,
        fewest=2_000,
        hashed=r"[0-9]_(george|jackson|lucas|nicolas)_[0-9]+\.wav",
    ),
    "tiny_shakespeare": Source(
        path="tinyshakespeare/input.txt",
        url="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        max_bytes=2 * MEGABYTE,
        sha256=("86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",),
    ),
}


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
