"""Padding changes nothing, strides keep count, and what is heard is told from padding."""

import keras
import numpy as np
import pytest
from keras import ops

from rnn_toolkit import SpecAugment, StridedConvolution, build_sequence_classifier, sequence_batches
from rnn_toolkit.networks.padding import pad
from rnn_toolkit.signals.layers import FLOOR, LogMelSpectrogram, SequenceReader, Symbols, mel_weights

RATE = 8000


def masks(layer, x, **options):
    return ops.convert_to_numpy(layer.compute_mask(x, **options)).tolist()


def test_what_stands_behind_the_last_value_is_padding_and_zeros_before_it_are_not():
    reader = SequenceReader()
    x = np.array([[[0, 0], [1, 0], [0, 0], [0, 0]], [[0, 0], [0, 0], [0, 0], [0, 2]], [[0, 0]] * 4], "float32")
    assert masks(reader, x) == [[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]]
    assert masks(reader, np.array([[1.0, 0.0, 2.0, 0.0]])) == [[1, 1, 1, 0]]
    assert reader(np.ones((2, 3), "float32")).shape == (2, 3, 1)


def test_the_mark_of_an_end_is_seen_in_half_precision_too(half_precision):
    (x,) = sequence_batches([np.zeros((3, 1)), np.ones((8, 1))])[0]
    assert masks(SequenceReader(), x)[0] == [1, 1, 1, 0, 0, 0, 0, 0]


def test_bands_are_those_of_keras():
    layer = keras.layers.MelSpectrogram(sampling_rate=RATE, num_mel_bins=40)
    theirs = ops.convert_to_numpy(layer.linear_to_mel_weight_matrix(40, 129, RATE, 20.0, 4000.0))
    np.testing.assert_allclose(mel_weights(129, 40, RATE), theirs, atol=2e-5)


def test_a_tone_is_loudest_in_its_band_and_silence_has_a_floor():
    layer = LogMelSpectrogram(RATE)
    tone = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE).astype("float32")
    frames = ops.convert_to_numpy(layer(tone[None]))[0]
    centres = 700 * np.expm1(np.linspace(*1127 * np.log1p(np.array([20, 4000]) / 700), 42)[1:-1] / 1127)
    assert abs(centres[frames[50].argmax()] - 1000) < 60
    assert np.allclose(ops.convert_to_numpy(layer(np.zeros((1, 800), "float32"))), np.log(FLOOR))


def test_of_the_coefficients_of_an_even_spectrum_only_the_first_is_not_zero():
    frame = ops.convert_to_numpy(LogMelSpectrogram(RATE, coefficients=13)(np.zeros((1, 80), "float32")))[0, 0]
    np.testing.assert_allclose(frame, [40**0.5 * np.log(FLOOR)] + 12 * [0], atol=1e-4)  # of 40 equal bands


def test_frames_are_counted_by_the_hop_whatever_the_padding():
    layer = LogMelSpectrogram(RATE)  # 80 samples a hop, 200 a frame
    rows = [np.ones(length, "float32") for length in (1, 80, 81, 800)]
    x, _ = pad(rows, length=900)
    assert layer(x).shape == (4, 12, 40) and layer.compute_output_shape((None, 900)) == (None, 12, 40)
    assert [sum(row) for row in masks(layer, x)] == [1, 1, 2, 10]


def test_padding_and_neighbours_change_no_frame():
    generator = np.random.default_rng(0)
    layer, row = LogMelSpectrogram(RATE), generator.normal(size=1000).astype("float32") * 0.01
    alone = ops.convert_to_numpy(layer(row[None]))[0]
    x, _ = pad([row, generator.normal(size=3000).astype("float32")])
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x))[0, :13], alone, atol=1e-5)
    # Keras' own layer does not promise that, which is why there is another.
    theirs = keras.layers.MelSpectrogram(fft_length=256, sequence_stride=80, sampling_rate=RATE)
    alone, beside = ops.convert_to_numpy(theirs(row[None]))[0], ops.convert_to_numpy(theirs(x))[0]
    assert np.abs(beside[:, :12] - alone[:, :12]).max() > 1


def test_strides_see_the_past_only_and_leave_a_step_for_each():
    layer = StridedConvolution(1, 3, strides=2, activation=None, use_bias=False)
    x = np.array([[[1.0], [10.0], [100.0], [1000.0], [7.0]]], "float32")
    mask = np.array([[True, True, True, True, False]])
    layer.build(x.shape)
    layer.set_weights([np.ones((3, 1, 1))])
    assert ops.convert_to_numpy(layer(x, mask=mask))[0, :, 0].tolist() == [11, 1110, 1000]  # padding counts as zero
    assert masks(layer, x, mask=mask) == [[True, True, False]]
    assert layer.compute_output_shape((None, 5, 1)) == (None, 3, 1)
    assert masks(layer, x, mask=np.array([[True] * 5])) == [[True, True, True]]


def test_stretches_are_blanked_in_training_only():
    x = np.ones((8, 40, 20), "float32")
    layer = SpecAugment(seed=0)
    assert np.array_equal(ops.convert_to_numpy(layer(x)), x)
    blanked = ops.convert_to_numpy(layer(x, training=True)) == 0
    assert 0.05 < blanked.mean() < 0.6
    assert len({row.tobytes() for row in blanked}) > 1  # drawn for each sequence
    times = (blanked.all(axis=2)).sum(axis=1)
    assert times.max() <= 2 * 0.2 * 40 + 2


def test_symbols_hear_a_blank_in_padding_so_that_a_padded_sequence_costs_what_it_costs_alone():
    layer, loss = Symbols("ab"), keras.losses.CTC(reduction=None)
    x = np.random.default_rng(0).normal(size=(2, 6, 4)).astype("float32")
    mask = np.arange(6) < np.array([[6], [3]])
    logits = layer(x, mask=mask)
    assert getattr(logits, "_keras_mask", None) is None  # Keras would multiply it onto the losses of the rows
    alone = loss(np.array([[1, 2]]), layer(x[1:, :3]))
    both = ops.convert_to_numpy(loss(np.array([[1, 0], [1, 2]]), logits))
    np.testing.assert_allclose(both[1], ops.convert_to_numpy(alone)[0], rtol=1e-5)
    assert not np.isclose(both[1], ops.convert_to_numpy(loss(np.array([[1, 2]]), layer(x[1:])))[0])


def test_symbols_of_several_letters_are_joined_by_spaces():
    assert Symbols("ab").text_of([2, 1]) == "ba" and Symbols(["one", "two"]).text_of([2, 1]) == "two one"


@pytest.mark.parametrize(
    "layer", [LogMelSpectrogram(RATE, bands=20, hop=5, coefficients=7), SpecAugment(time=0.1), Symbols(["a", "b"])]
)
def test_a_layer_is_rebuilt_from_its_config(layer):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.get_config() == layer.get_config()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: LogMelSpectrogram(8000.5), TypeError, "`sampling_rate` must be a whole number"),
        (lambda: LogMelSpectrogram(8000, trim=True), ValueError, "`trim` needs a `dynamic_range` above 6 dB"),
        (lambda: LogMelSpectrogram(RATE, coefficients=41), ValueError, "`coefficients` must be 1 to `bands`, 40"),
        (lambda: LogMelSpectrogram(RATE, frame=5), ValueError, "`frame` must be at least as long as `hop`"),
        (
            lambda: LogMelSpectrogram(RATE)(np.zeros((1, 5, 2))),
            ValueError,
            r"Waveforms have the shape \(batch, samples\)",
        ),
        (lambda: StridedConvolution(4, 2, strides=3), ValueError, "`kernel_size` must be at least `strides`"),
        (lambda: SpecAugment(time=1), ValueError, "`time` must be a share"),
        (lambda: Symbols("aa"), ValueError, "`alphabet` must hold symbols in an order, each once"),
    ],
)
def test_what_cannot_be_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_energy_is_measured_against_the_loudest_moment_and_silence_cut_off():
    generator = np.random.default_rng(0)
    sound = generator.normal(size=1600).astype("float32")
    quiet = np.concatenate([1e-6 * generator.normal(size=800), 0.01 * sound, 1e-6 * generator.normal(size=400)])
    layer = LogMelSpectrogram(RATE, dynamic_range=40.0, trim=True)
    loud, faint = (keras.ops.convert_to_numpy(layer(one[None].astype("float32"))) for one in (sound, quiet))
    whole, cut = (np.asarray(layer.compute_mask(one[None]))[0] for one in (sound, quiet.astype("float32")))
    assert whole.tolist() == [True] * 20 and cut.tolist() == [True] * 22 + [False] * 13  # two see the sound's end
    assert np.max(loud) == np.max(faint) == 0
    np.testing.assert_allclose(faint[0, 2:20], loud[0, 2:20], atol=1e-2)  # a hundredth as loud, ten frames later
    untrimmed = LogMelSpectrogram(RATE, dynamic_range=40.0)(quiet[None].astype("float32"))
    untrimmed = keras.ops.convert_to_numpy(untrimmed)
    np.testing.assert_allclose(untrimmed[0, 10:32], faint[0, :22], atol=1e-6)
    np.testing.assert_allclose(untrimmed[0, :10], -40 * np.log(10) / 10, atol=1e-6)  # silence


def test_silence_cut_off_costs_nothing_whatever_the_padding():
    sound = np.random.default_rng(0).normal(size=900).astype("float32")
    model = build_sequence_classifier((None,), 2, sampling_rate=RATE)
    alone = model.predict(sound[None], verbose=0)
    for padded in (np.pad(sound, (0, 700)), np.pad(sound, (800, 0))):  # the second begins ten hops later
        np.testing.assert_allclose(model.predict(padded[None], verbose=0), alone, atol=1e-5)
