"""Batches of sequences: padded on the right, marked at their end, and the same again."""

import numpy as np
import pandas as pd
import pytest

from rnn_toolkit import sequence_batches, train, transcript_batches
from rnn_toolkit.signals.batches import END

SHORT, LONG = np.array([[1.0, 2.0]]), np.arange(18.0).reshape(9, 2) + 1


def arrays(batches):
    return [[np.asarray(part) for part in batches[place]] for place in range(len(batches))]


def test_channels_are_padded_with_zeros_on_the_right():
    x, y = sequence_batches([SHORT, LONG], ["b", "a"])[0]
    assert x.shape == (2, 16, 2) and x.dtype == "float32" and y.tolist() == [1, 0]
    assert x[0, 0].tolist() == [1, 2] and not x[0, 1:].any() and not x[1, 9:].any()


def test_a_waveform_has_no_axis_for_channels():
    assert sequence_batches([[0.5, 0.25], [1.0]])[0][0].shape == (2, 8)


def test_zeros_at_the_end_are_marked_so_that_they_are_not_taken_for_padding():
    x, _ = sequence_batches([np.zeros((3, 1)), np.ones((3, 1))], ["a", "b"])[0]
    assert x[0, :, 0].tolist() == [0, 0, END, 0, 0, 0, 0, 0] and END < 1e-15
    assert x[1, :4, 0].tolist() == [1, 1, 1, 0]


def test_of_long_sequences_the_last_steps_stay():
    x, _ = sequence_batches([LONG, SHORT], [0, 1], length=2)[0]
    assert x[0, :3].tolist() == [[15, 16], [17, 18], [0, 0]]


def test_sequences_of_like_length_share_a_batch_and_order_tells_whose():
    lengths = [3, 30, 4, 29, 2, 28]
    batches = sequence_batches([np.full((length, 1), length) for length in lengths], batch_size=3, bucket=True)
    assert [x.shape[1] for (x,) in arrays(batches)] == [8, 32]
    first = np.concatenate([x[:, 0, 0] for (x,) in arrays(batches)])
    assert [lengths[place] for place in batches.order] == first.tolist()


def test_each_epoch_has_order_speeds_and_noise_of_its_own_and_comes_again():
    sequences = [np.sin(np.arange(length))[:, None] for length in (20, 30, 40, 50)]
    options = {"batch_size": 2, "shuffle": True, "speeds": (0.8, 1.25), "noise": 0.1}
    batches = sequence_batches(sequences, [0, 1, 0, 1], **options)
    first = arrays(batches)
    batches.on_epoch_end()
    second = arrays(batches)
    assert any(
        one[0].shape != other[0].shape or (one[0] != other[0]).any() for one, other in zip(first, second, strict=True)
    )
    batches.set_epoch(0)
    for one, other in zip(first, arrays(batches), strict=True):
        assert all(np.array_equal(part, same) for part, same in zip(one, other, strict=True))


def test_twice_as_fast_is_half_as_long_and_labels_go_along():
    x, y, weight = sequence_batches([np.arange(1.0, 7)[:, None]], [list("aabbcc")], speeds=[2])[0]
    assert x[0, :4, 0].tolist() == [1, 3, 5, 0] and y[0, :3].tolist() == [0, 1, 2]
    assert weight[0].tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
    x, _ = sequence_batches([np.array([1.0, 2.0, 4.0]), np.ones(3)], [0, 1], speeds=[0.5])[0]
    assert x[0, :6].tolist() == [1, 1.5, 2, 3, 4, 4]


def test_noise_is_a_share_of_the_sound():
    x, _ = sequence_batches([np.full(1000, 10.0), np.full(1000, 10.0)], [0, 1], noise=0.1)[0]
    assert 0 < np.abs(x[:, :1000] - 10).std() < 1


def test_numbers_a_step_are_targets_as_they_are():
    frames = np.array([[1.0], [2.0], [3.0]])
    x, y, weight = sequence_batches([frames[:-1]], [frames[1:]])[0]
    assert (x[0, :3, 0].tolist(), y[0, :3, 0].tolist(), weight[0, :3].tolist()) == ([1, 2, 0], [2, 3, 0], [1, 1, 0])


def test_balanced_weights_count_rare_classes_more():
    _, _, weight = sequence_batches([SHORT] * 4, list("aaab"), class_weight="balanced")[0]
    assert weight.tolist() == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2])


def test_transcripts_are_padded_with_the_blank():
    batches = transcript_batches([[0.1], [0.2], [0.3]], ["ba", "", ["a"]], alphabet="ab")
    _, y = batches[0]
    assert y.tolist() == [[2, 1], [0, 0], [1, 0]] and y.dtype == "int32"
    assert repr(batches) == "SequenceBatches(3 sequences, 2 symbols, 1 batches)"


@pytest.mark.parametrize(
    ("labels", "options", "error", "message"),
    [
        (["a"], {}, ValueError, "There are 2 sequences but 1 labels. Pass a label for each sequence"),
        ("ab", {}, TypeError, "one entry a sequence. Received: str"),
        ([["a"], ["a"] * 8], {}, ValueError, "holds 8 labels at position 1, where the sequence has 9 steps"),
        ([["a"], "b"], {}, ValueError, "a label for each step. Then each sequence needs such a list"),
        ([["a"]], {}, ValueError, "There are 2 sequences but 1 lists of labels"),
        (["a", "b"], {"classes": ["a", "c"]}, ValueError, "holds 'b' at position 1, but `classes` are 'a', 'c'"),
        (["a", "a"], {}, ValueError, "`classes` must be two at least"),
        (["a", None], {}, ValueError, "`labels` has none at position 1"),
        (None, {"class_weight": "balanced"}, ValueError, "needs one label for each row"),
        (None, {"bucket": "yes"}, ValueError, "`bucket` must be one of"),
        (None, {"batch_size": 0}, ValueError, "`batch_size` must be at least 1"),
        (None, {"length": 0}, ValueError, "`length` must be at least 1"),
        (None, {"seed": -1}, ValueError, "`seed` must be at least 0"),
        (None, {"speeds": []}, ValueError, "`speeds` must be numbers"),
        (None, {"speeds": [0]}, ValueError, "`speeds` must be numbers"),
        (None, {"noise": -1}, ValueError, "and `noise` one from 0 on"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, options, error, message):
    with pytest.raises(error, match=message):
        sequence_batches([SHORT, LONG], labels, **options)


@pytest.mark.parametrize(
    ("transcripts", "alphabet", "error", "message"),
    [
        (["12", "x"], "123", ValueError, "holds 'x' at position 1, which is not in the alphabet"),
        (["1"], "123", ValueError, "There are 2 sequences but 1 transcripts"),
        (["1", None], "123", TypeError, "Received at position 1: None"),
        (["1", "2"], "122", ValueError, "`alphabet` must hold symbols in an order, each once"),
        (["1", "2"], "", ValueError, "`alphabet` must hold symbols in an order, each once"),
        (["1", "2"], {"1", "2"}, ValueError, "`alphabet` must hold symbols in an order, each once"),
    ],
)
def test_transcripts_that_do_not_fit_are_refused(transcripts, alphabet, error, message):
    with pytest.raises(error, match=message):
        transcript_batches([SHORT, LONG], transcripts, alphabet=alphabet)


def test_labels_in_another_order_than_their_sequences_are_refused():
    sequences, labels = pd.Series([SHORT, LONG], ["x", "y"]), pd.Series(["1", "2"], ["y", "x"])
    for make in (sequence_batches, lambda *columns: transcript_batches(*columns, alphabet="12")):
        with pytest.raises(ValueError, match=r"holds the rows of `sequences` in another order.*loc\[sequences"):
            make(sequences, labels)
        assert len(make(sequences, labels.loc[sequences.index])) == len(make(sequences, labels.to_numpy())) == 1


def test_a_training_stopped_in_the_middle_goes_on_to_the_same_weights(tmp_path):
    import keras

    from rnn_toolkit import SpecAugment, build_sequence_classifier, recurrent_layers

    generator = np.random.default_rng(0)
    sequences = [generator.normal(size=(length, 2)) for length in range(5, 21)]

    def trained(epochs, run_dir):
        keras.utils.set_random_seed(1)
        batches = sequence_batches(sequences, [0, 1] * 8, batch_size=4, shuffle=True, speeds=(0.8, 1, 1.25), noise=0.1)
        layers = [SpecAugment(), *recurrent_layers("gru", (4,), return_sequences=True)]
        model = build_sequence_classifier((None, 2), batches.classes, layers, adapt_to=batches)
        train(model, batches, epochs=epochs, run_dir=run_dir, progress=None)
        return model.get_weights()

    whole = trained(3, tmp_path / "whole")
    trained(1, tmp_path / "parts")
    for one, other in zip(whole, trained(3, tmp_path / "parts"), strict=True):
        np.testing.assert_array_equal(one, other)
