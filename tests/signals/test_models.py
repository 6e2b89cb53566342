"""Models keep scales and names in their file, give one answer whatever the padding, and check their data."""

import keras
import numpy as np
import pytest

import rnn_toolkit as rt

GENERATOR = np.random.default_rng(0)
SENSORS = [GENERATOR.normal(5, 2, size=(length, 3)).astype("float32") for length in (4, 20, 9, 15)]
SOUNDS = [0.1 * GENERATOR.normal(size=length).astype("float32") for length in (900, 2500, 1700)]
SMALL = {"units": (6,), "return_sequences": True}


@pytest.fixture(scope="module")
def sensors():
    train = rt.sequence_batches(SENSORS, ["on", "off", "on", "off"], batch_size=2)
    return rt.build_sequence_classifier((None, 3), train.classes, rt.recurrent_layers(**SMALL), adapt_to=train)


@pytest.fixture(scope="module")
def sounds():
    layers = [rt.StridedConvolution(6, 5, strides=2), *rt.recurrent_layers(**SMALL)]
    train = rt.transcript_batches(SOUNDS, ["1", "22", "3"], alphabet="123")
    return rt.build_ctc_recognizer((None,), "123", layers, adapt_to=train, sampling_rate=8000)


def test_inputs_are_normalised_by_the_valid_training_steps(sensors):
    steps = np.concatenate(SENSORS).astype("float64")
    layer = sensors.layers[1]
    np.testing.assert_allclose(np.ravel(layer.mean), steps.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(np.ravel(layer.variance), steps.var(axis=0), rtol=1e-4)


def test_a_channel_that_never_changes_is_centred_only():
    still = [np.full((5, 1), 3.0), np.full((7, 1), 3.0)]
    train = rt.sequence_batches(still, [0, 1])
    model = rt.build_sequence_classifier((None, 1), 2, rt.recurrent_layers(**SMALL), adapt_to=train)
    assert np.isfinite(model.predict(train, verbose=0)).all()


def test_padding_changes_no_answer(sensors):
    together = rt.classify(sensors, SENSORS)
    alone = [rt.classify(sensors, [one])["on"][0] for one in SENSORS]
    np.testing.assert_allclose(together["on"], alone, atol=1e-5)
    padded, _ = rt.pad(SENSORS, length=100)
    np.testing.assert_allclose(sensors.predict(padded, verbose=0)[:, 1], together["on"], atol=1e-5)


def test_padding_changes_no_logit(sounds):
    padded, lengths = rt.pad(SOUNDS, length=4000)
    together = sounds.predict(padded, verbose=0)
    for row, one, length in zip(together, SOUNDS, lengths, strict=True):
        steps = -(-length // 160)
        np.testing.assert_allclose(row[:steps], sounds.predict(one[None], verbose=0)[0], atol=1e-5)
        assert (row[steps:].argmax(axis=1) == 0).all()


def test_the_accuracy_of_steps_counts_each_step_alike_however_wide_its_batch():
    model = rt.build_sequence_classifier((None, 1), 2, [], each_step=True)
    model.layers[-1].set_weights([np.zeros((1, 2)), np.array([5.0, 0.0])])  # it always says 0
    batches = rt.sequence_batches([np.ones((8, 1)), np.ones((32, 1))], [[0] * 8, [1] * 32], batch_size=1)
    assert model.evaluate(batches, verbose=0, return_dict=True)["accuracy"] == pytest.approx(8 / 40)


@pytest.mark.parametrize("name", ["sensors", "sounds"])
def test_the_file_is_the_whole_pipeline(name, request, tmp_path):
    model = request.getfixturevalue(name)
    model.optimizer.build(model.trainable_variables)  # Keras warns where one that never took a step is loaded
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    if name == "sensors":
        assert rt.classify(loaded, SENSORS).equals(rt.classify(model, SENSORS))
    else:
        assert rt.transcribe(loaded, SOUNDS) == rt.transcribe(model, SOUNDS)


def test_transcripts_too_long_for_the_strides_are_told_before_training(sounds):
    with pytest.raises(
        ValueError,
        match=r"1 of 2 transcripts are too long.* position 1: its 4 symbols need 6 steps .* strides of 160 leave 5",
    ):
        rt.check_transcripts(sounds, rt.transcript_batches([SOUNDS[0], SOUNDS[0][:790]], ["1", "2211"], alphabet="123"))
    rt.check_transcripts(sounds, rt.transcript_batches([SOUNDS[0][:801]], ["2211"], alphabet="123"))
    with pytest.raises(ValueError, match="holds no transcripts"):
        rt.check_transcripts(sounds, rt.sequence_batches(SOUNDS))
    with pytest.raises(ValueError, match="holds no transcripts"):
        rt.check_transcripts(sounds, (SOUNDS, ["1", "22", "3"]))


def test_steps_are_learnt_and_labelled():
    generator = np.random.default_rng(1)
    rows = [generator.normal(size=(length, 1)) for length in (5, 12, 30, 8) * 8]
    train = rt.sequence_batches(rows, [np.where(row[:, 0] > 0, "up", "down") for row in rows], batch_size=8)
    model = rt.build_sequence_classifier(
        (None, 1), train.classes, rt.recurrent_layers(**SMALL), each_step=True, optimizer=rt.make_optimizer(0.02)
    )
    history = rt.train(model, train, train, epochs=8, progress=None)
    assert history["val_accuracy"].iloc[-1] > 0.9
    table = rt.label_steps(model, rows[:2])
    assert table["sequence"].tolist() == [0] * 5 + [1] * 12 and table["step"].tolist()[5:7] == [0, 1]
    assert (table["label"] == np.where(np.concatenate(rows[:2])[:, 0] > 0, "up", "down")).mean() > 0.8


def test_the_next_frame_is_learnt_with_the_same_layers():
    generator = np.random.default_rng(1)
    steps = np.arange(12)[:, None]
    circles = [np.sin(steps / 2 + generator.uniform(0, 6)) for _ in range(64)]
    train = rt.sequence_batches([one[:-1] for one in circles], [one[1:] for one in circles], batch_size=16)
    layers = rt.recurrent_layers("gru", (16,), return_sequences=True)
    from rnn_toolkit.signals.layers import SequenceReader

    model = keras.Sequential([keras.Input((None, 1)), SequenceReader(), *layers, keras.layers.Dense(1)])
    model.compile(rt.make_optimizer(0.02), loss="mae")
    history = rt.train(model, train, epochs=12, progress=None)
    copying = np.mean([np.abs(one[1:] - one[:-1]).mean() for one in circles])
    assert history["loss"].iloc[-1] * 16 / 11 < copying / 2  # Keras' mean counts the five padded steps of sixteen


def test_a_class_with_one_example_is_learnt_with_the_others():
    rows = [np.full((4, 1), value) for value in [1.0] * 10 + [-1.0] * 10 + [5.0]]
    train = rt.sequence_batches(rows, ["a"] * 10 + ["b"] * 10 + ["c"], class_weight="balanced", batch_size=7)
    layers = rt.recurrent_layers(**SMALL)
    model = rt.build_sequence_classifier(
        (None, 1), train.classes, layers, adapt_to=train, dropout=0, optimizer=rt.make_optimizer(0.03)
    )
    rt.train(model, train, epochs=15, progress=None)
    assert rt.classify(model, rows)["label"].tolist() == ["a"] * 10 + ["b"] * 10 + ["c"]


TRAIN = rt.sequence_batches(SENSORS, ["on", "off", "on", "off"])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: rt.build_sequence_classifier((None, None), 2),
            ValueError,
            r"`input_shape` must be \(None, channels\)",
        ),
        (lambda: rt.build_sequence_classifier((None, 3), 2, sampling_rate=8000), ValueError, "for waveforms"),
        (lambda: rt.build_sequence_classifier((None, 3), 1), ValueError, "`classes` must be two at least"),
        (lambda: rt.build_sequence_classifier((None, 3), "ab"), TypeError, "`classes` must be a list of labels"),
        (
            lambda: rt.build_sequence_classifier((None, 3), 2, adapt_to=SENSORS),
            TypeError,
            "must be batches of sequences",
        ),
        (lambda: rt.build_sequence_classifier((None, 3), 2, adapt_to=TRAIN), ValueError, "`adapt_to` has the classes"),
        (
            lambda: rt.build_sequence_classifier((None, 2), ["off", "on"], adapt_to=TRAIN),
            ValueError,
            r"shape \(None, 3\)\. Received `input_shape`: \(None, 2\)",
        ),
        (
            lambda: rt.build_sequence_classifier((None, 3), 2, rt.recurrent_layers(), each_step=True),
            ValueError,
            "`layers` must return every step",
        ),
        (
            lambda: rt.build_sequence_classifier((None, 3), 2, [rt.StridedConvolution(4, 2, 2)], each_step=True),
            ValueError,
            "make one step of 2",
        ),
        (lambda: rt.build_ctc_recognizer((None, 3), "12", adapt_to=TRAIN), ValueError, "`adapt_to` has the classes or"),
        (
            lambda: rt.build_ctc_recognizer(
                (None, 1), "12", adapt_to=rt.transcript_batches([np.ones((2, 1))], ["11"], alphabet="12")
            ),
            ValueError,
            "its 2 symbols need 3 steps",
        ),
    ],
)
def test_what_cannot_be_built_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
