"""A run's state on disk: whole or not at all, checked when read, and held by one process at a time.

A snapshot is one `.npz` file. Its name carries its number and the checksum of its bytes, so that damage shows; the two
newest are kept, so that there is another. Nothing is pickled.
"""

import contextlib
import hashlib
import io
import json
import os
import random
import re
import shutil
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

import filelock
import keras
import numpy as np
from keras.src.random.seed_generator import global_seed_generator  # Keras has no public way to its default generator

FORMAT = 1  # of the files; raised when an older version could no longer read them
NAME = re.compile(r"snapshot-(\d{6,})\.([0-9a-f]{16})\.npz")


class Snapshots:
    """The snapshots of one run in a folder, the two newest of them kept.

    Args:
        folder: Where they lie; made when the first is written.

    Example:
        >>> import tempfile
        >>> snapshots = Snapshots(Path(tempfile.mkdtemp()))
        >>> snapshots.write({"step": 7, "weights": [np.ones(2)]})
        >>> snapshots.read()
        {'step': 7, 'weights': [array([1., 1.])]}
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def write(self, state: dict) -> None:
        """Write one more snapshot, and remove all but it and the one before.

        Args:
            state: JSON values and NumPy arrays, in lists and dicts as deep as you like.

        Raises:
            OSError: If it cannot be written (disk full, read-only). Those that lie there already are intact.
        """
        content = _pack(state)
        self.folder.mkdir(parents=True, exist_ok=True)
        older = self._numbered()
        number = older[-1][0] + 1 if older else 1
        name = f"snapshot-{number:06d}.{_checksum(content)}.npz"
        with replacing(self.folder / name) as partial:
            partial.write_bytes(content)
        for _, path in older[:-1]:
            path.unlink(missing_ok=True)

    def read(self) -> dict | None:
        """Return the newest state that is undamaged, or `None` if there has been no snapshot.

        A damaged or missing snapshot is reported by a warning, and the one before it is taken.

        Raises:
            ValueError: If none is undamaged, or the newest comes from a newer version.
        """
        numbered = self._numbered()
        if numbered and numbered[-1][0] > 1 and numbered[-1][0] - 1 not in dict(numbered):
            # Two are kept at all times, so one of the pair is gone; it may have been the newer.
            warnings.warn(f"A snapshot beside {numbered[-1][1]} is missing.", stacklevel=3)
        for _, path in reversed(numbered):
            try:
                content = path.read_bytes()
                state = _unpack(content) if _checksum(content) == NAME.fullmatch(path.name)[2] else None
            except (OSError, zipfile.BadZipFile):
                state = None
            if state is not None:
                return state
            warnings.warn(f"The snapshot {path} is damaged. The one before it is used.", stacklevel=3)
            with contextlib.suppress(OSError):  # out of the way, so that it does not pass for the one before
                path.rename(path.with_suffix(".damaged"))
        if numbered:
            raise ValueError(
                f"No snapshot in {self.folder} is undamaged. Pass another `run_dir`, or start afresh: "
                f"shutil.rmtree({str(self.folder.parent)!r})."
            )
        return None

    def _numbered(self) -> list[tuple[int, Path]]:
        """Return number and path of every snapshot, the oldest first."""
        if not self.folder.is_dir():
            return []
        matches = [(NAME.fullmatch(path.name), path) for path in self.folder.iterdir()]
        return sorted((int(match[1]), path) for match, path in matches if match)


@contextlib.contextmanager
def replacing(path: Path):
    """Give a path to write to, and let the result take the place of `path` in one step, once it is on the disk.

    Whatever goes wrong, `path` is as it was. A file that a killed process left half-written is overwritten.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "note.txt"
        >>> with replacing(path) as partial:
        ...     _ = partial.write_text("whole")
        >>> path.read_text()
        'whole'
    """
    partial = path.with_name(f".partial{path.suffix}")
    try:
        yield partial
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
    if os.name == "posix":  # the new name itself must reach the disk; Windows cannot open a folder
        folder = os.open(path.parent, os.O_RDONLY)
        with contextlib.suppress(OSError):
            os.fsync(folder)
        os.close(folder)


@contextlib.contextmanager
def held(run_dir: Path):
    """Hold a folder for this process, until it leaves the block or dies, and give the folder to work in.

    Of processes that train one model together, the first has the folder. The others compute the same, and need not
    write it again: each works in a copy, which is thrown away.

    Raises:
        ValueError: If another process holds it, or it cannot be made or written.
    """
    with contextlib.ExitStack() as stack:
        try:
            if is_first_process():
                run_dir.mkdir(parents=True, exist_ok=True)
                stack.enter_context(filelock.FileLock(run_dir / ".lock", timeout=0, is_singleton=False))
                folder = run_dir
            else:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                if run_dir.exists():
                    shutil.copytree(run_dir, folder, ignore=shutil.ignore_patterns(".lock"), dirs_exist_ok=True)
        except filelock.Timeout:
            raise ValueError(
                f"`run_dir` is in use: another training writes to {run_dir}. Wait for it, stop it, or pass another "
                "folder."
            ) from None
        except OSError as error:
            raise ValueError(
                f"`run_dir` cannot be written: {run_dir} ({error.strerror}). Pass one that can, or None to write "
                "nothing."
            ) from error
        if keras.backend.backend() == "jax" and sys.modules["jax"].process_count() > 1:
            from jax.experimental import multihost_utils

            multihost_utils.sync_global_devices("run_dir")  # nobody writes before all have read
        yield folder


def is_first_process() -> bool:
    """Return whether this is the first of the processes that train together, or the only one."""
    return keras.backend.backend() != "jax" or sys.modules["jax"].process_index() == 0


def random_state() -> dict:
    """Return the states of all global random generators: Python, NumPy, Keras, TensorFlow, PyTorch on a CPU.

    Those of layers are variables of the model. TensorFlow's old `tf.random` operations keep a state that cannot be
    read; Keras does not use them.
    """
    # Keras' generator first: if there is none yet, it is made, which draws from Python's.
    state = {"keras": keras.ops.convert_to_numpy(global_seed_generator().state)}
    version, python, gauss = random.getstate()
    state |= {"python": [version, list(python), gauss], "numpy": list(np.random.get_state())}
    if keras.backend.backend() == "tensorflow":
        state["tensorflow"] = sys.modules["tensorflow"].random.get_global_generator().state.numpy()
    if keras.backend.backend() == "torch":
        state["torch"] = sys.modules["torch"].get_rng_state().numpy()
    return state


def set_random_state(state: dict) -> None:
    """Put all global random generators where `random_state` found them."""
    global_seed_generator().state.assign(state["keras"])
    version, python, gauss = state["python"]
    random.setstate((version, tuple(python), gauss))
    np.random.set_state(tuple(state["numpy"]))
    if "tensorflow" in state and keras.backend.backend() == "tensorflow":
        sys.modules["tensorflow"].random.get_global_generator().state.assign(state["tensorflow"])
    if "torch" in state and keras.backend.backend() == "torch":
        torch = sys.modules["torch"]
        torch.set_rng_state(torch.from_numpy(state["torch"]))


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _pack(state) -> bytes:
    """Return a nested state as the bytes of an `.npz` file: its arrays, and a JSON text that says where they belong."""
    arrays = {}

    def store(value):
        if isinstance(value, np.generic):
            return value.item()
        if not isinstance(value, np.ndarray):
            raise TypeError(f"A state may hold JSON values and NumPy arrays. Received: {type(value).__name__}.")
        name = f"a{len(arrays)}"
        # NumPy's files know only NumPy's own types; bfloat16, say, goes as bytes and comes back by its name.
        arrays[name] = value if value.dtype.kind in "biufcSU" else np.frombuffer(value.tobytes(), "uint8")
        return {"array": name, "dtype": value.dtype.name, "shape": list(value.shape)}

    text = json.dumps({"format": FORMAT, "state": state}, default=store)
    file = io.BytesIO()
    np.savez(file, json=np.frombuffer(text.encode(), "uint8"), **arrays)
    return file.getvalue()


def _unpack(content: bytes):
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:

        def fetch(value):
            if value.keys() != {"array", "dtype", "shape"}:
                return value
            array = arrays[value["array"]]
            return array if array.dtype.name == value["dtype"] else _from_bytes(array, value["dtype"], value["shape"])

        stored = json.loads(arrays["json"].tobytes(), object_hook=fetch)
    if stored["format"] > FORMAT:
        raise ValueError(
            f"The snapshot comes from a newer version of rnn_toolkit (format {stored['format']}; this version reads up "
            f"to {FORMAT}). Update the package, or pass another `run_dir`."
        )
    return stored["state"]


def _from_bytes(array, dtype, shape) -> np.ndarray:
    import ml_dtypes  # Keras needs it; here, because only half-precision states do

    return np.frombuffer(array.tobytes(), getattr(ml_dtypes, dtype)).reshape(shape)
