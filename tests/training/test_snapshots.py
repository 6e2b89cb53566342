"""A snapshot is whole or not there; damage is seen; a folder belongs to one training at a time."""

import os
import random

import keras
import ml_dtypes
import numpy as np
import pytest

from rnn_toolkit.training import snapshots
from rnn_toolkit.training.snapshots import Snapshots, held, random_state, replacing, set_random_state


@pytest.fixture
def store(tmp_path) -> Snapshots:
    return Snapshots(tmp_path / "snapshots")


def newest(store):
    return sorted(store.folder.glob("snapshot-*.npz"))[-1]


def test_a_folder_without_snapshots_gives_none(store):
    assert store.read() is None


def test_nested_values_and_arrays_come_back_as_they_went(store):
    state = {"a": [1, 2.5, None, True, "text"], "b": {"c": [np.arange(3), {"d": np.array(0.1)}]}}
    store.write(state)
    back = store.read()
    assert back["a"] == state["a"]
    assert back["b"]["c"][0].tolist() == [0, 1, 2] and back["b"]["c"][0].dtype == np.arange(3).dtype
    assert back["b"]["c"][1]["d"].shape == () and back["b"]["c"][1]["d"] == 0.1


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint32", "bool", "float16", ml_dtypes.bfloat16])
def test_arrays_keep_type_shape_and_bits(store, dtype):
    array = np.array([[0, 1, 3]]).astype(dtype)
    store.write({"array": array})
    back = store.read()["array"]
    assert back.dtype == array.dtype and back.shape == (1, 3) and back.tobytes() == array.tobytes()


def test_values_that_are_not_finite_come_back(store):
    store.write({"best": float("inf"), "loss": float("nan")})
    back = store.read()
    assert back["best"] == float("inf") and np.isnan(back["loss"])


def test_what_is_neither_json_nor_an_array_is_refused(store):
    with pytest.raises(TypeError, match=r"A state may hold JSON values and NumPy arrays\. Received: object"):
        store.write({"thing": object()})


def test_the_two_newest_are_kept(store):
    for step in range(4):
        store.write({"step": step})
    assert [path.name[:15] for path in sorted(store.folder.iterdir())] == ["snapshot-000003", "snapshot-000004"]
    assert store.read() == {"step": 3}


def damage_by_truncation(path):
    path.write_bytes(path.read_bytes()[:-1])


def damage_by_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def damage_by_emptying(path):
    path.write_bytes(b"")


def damage_by_zeros(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))


DAMAGES = [damage_by_truncation, damage_by_a_bit, damage_by_emptying, damage_by_zeros]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_snapshot_is_reported_and_the_one_before_it_used(store, damage):
    store.write({"step": 1})
    store.write({"step": 2})
    damage(newest(store))
    with pytest.warns(UserWarning, match=r"snapshot-000002\S+ is damaged\. The one before it is used"):
        assert store.read() == {"step": 1}


def test_a_damaged_snapshot_never_pushes_out_the_good_one(store):
    store.write({"step": 1})
    store.write({"step": 2})
    damage_by_truncation(newest(store))
    with pytest.warns(UserWarning, match="is damaged"):
        store.read()
    store.write({"step": 3})
    damage_by_truncation(newest(store))
    with pytest.warns(UserWarning, match="is damaged"):
        assert store.read() == {"step": 1}


@pytest.mark.parametrize("which", [0, 1])
def test_a_missing_snapshot_is_reported(store, which):
    for step in (1, 2):
        store.write({"step": step})
    kept = sorted(store.folder.iterdir())[1 - which]
    sorted(store.folder.iterdir())[which].unlink()
    if kept.name.startswith("snapshot-000001"):  # the very first may stand alone
        assert store.read() == {"step": 1}
        return
    with pytest.warns(UserWarning, match="A snapshot beside .* is missing"):
        assert store.read() == {"step": 2}


def test_damage_to_all_of_them_is_an_error_that_says_what_to_do(store):
    store.write({"step": 1})
    damage_by_truncation(newest(store))
    with pytest.warns(UserWarning), pytest.raises(ValueError, match=r"No snapshot in .* undamaged\. Pass another"):
        store.read()


def test_a_snapshot_of_a_newer_version_is_refused(store, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(snapshots, "FORMAT", 99)
        store.write({"step": 1})
    with pytest.raises(ValueError, match=r"newer version of rnn_toolkit \(format 99; this version reads up to 1\)"):
        store.read()


def test_nothing_is_unpickled(store):
    store.folder.mkdir(parents=True)
    np.savez(store.folder / "evil.npz", json=np.array([print], dtype=object))
    content = (store.folder / "evil.npz").read_bytes()
    (store.folder / f"snapshot-000001.{snapshots._checksum(content)}.npz").write_bytes(content)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        store.read()


def test_a_write_that_fails_leaves_the_last_snapshot(store, monkeypatch):
    store.write({"step": 1})

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.write({"step": 2})
    assert len(list(store.folder.iterdir())) == 1 and store.read() == {"step": 1}


def test_a_file_left_half_written_by_a_kill_does_no_harm(store):
    store.write({"step": 1})
    (store.folder / ".partial.npz").write_bytes(b"half a fi")
    assert store.read() == {"step": 1}
    store.write({"step": 2})
    assert store.read() == {"step": 2} and not (store.folder / ".partial.npz").exists()


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "note.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="power cut"), replacing(path) as partial:
        partial.write_text("ne")
        raise RuntimeError("power cut")
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_a_folder_in_use_is_refused_and_free_again_afterwards(tmp_path):
    with held(tmp_path):
        with pytest.raises(ValueError, match="`run_dir` is in use: another training writes to"), held(tmp_path):
            pass
    with held(tmp_path):
        pass


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(ValueError, match=r"`run_dir` cannot be written: .*taken"), held(tmp_path / "taken"):
        pass


def test_all_random_generators_repeat_what_they_gave():
    def draw():
        given = [random.random(), float(np.random.normal()), float(keras.random.normal(()))]
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            given.append(float(tf.random.get_global_generator().normal(())))
        elif keras.backend.backend() == "torch":
            import torch

            given.append(float(torch.rand(())))
        return given

    np.random.normal()  # leaves half of a pair behind, which is state, too
    state = random_state()
    first = draw()
    assert draw() != first
    set_random_state(state)
    assert draw() == first
