"""In chunks a model says what it says of the whole signal."""

import keras
import numpy as np
import pytest

import rnn_toolkit as rt

GENERATOR = np.random.default_rng(0)
SOUND = 0.1 * GENERATOR.normal(size=3001).astype("float32")
POOLINGS = ("first", "last", "mean", "max", "attention")
CUTS = [17, 100, 1000, 2400]


def one_way(cell="gru"):
    recurrent = rt.recurrent_layers(cell, (6,), dropout=0.1, normalization="layer", return_sequences=True)
    return [rt.SpecAugment(), rt.StridedConvolution(8, 5, 2), *recurrent]


@pytest.mark.parametrize("cell", ["simple", "lstm", "gru"])
def test_a_signal_in_chunks_gets_the_label_of_the_whole(cell):
    train = rt.sequence_batches([SOUND, SOUND[:900]], ["a", "b"])
    model = rt.build_sequence_classifier(
        (None,), train.classes, one_way(cell), adapt_to=train, sampling_rate=8000, streamable=True, pooling=POOLINGS
    )
    stream = rt.stream(model, steps=3)
    tables = [stream.push(chunk) for chunk in np.split(SOUND, CUTS)]
    assert len(tables[0]) == 0 and list(tables[0]) == ["label", "a", "b"]
    table = stream.finish()
    np.testing.assert_allclose(table["a"], rt.classify(model, [SOUND])["a"], atol=1e-5)
    assert tables[3]["a"][0] == pytest.approx(rt.classify(model, [SOUND[:2400]])["a"][0], abs=1e-5)  # 5 blocks of 480
    with pytest.raises(ValueError, match="The signal has ended"):
        stream.push(SOUND)
    stream.reset()
    stream.push(SOUND)
    np.testing.assert_allclose(stream.finish()["a"], table["a"], atol=1e-6)


def test_a_signal_in_chunks_is_written_down_like_the_whole():
    model = rt.build_ctc_recognizer((None,), ["one", "two"], one_way("lstm"), sampling_rate=8000, streamable=True)
    weights = np.random.default_rng(2)  # the same on every backend
    for one in model.trainable_variables:
        one.assign(weights.normal(size=one.shape))
    stream = rt.stream(model, steps=2)
    said = "".join([stream.push(chunk) for chunk in np.split(SOUND, CUTS)] + [stream.finish()])
    assert said == stream.text == rt.transcribe(model, SOUND) and " " in said


def test_steps_of_a_signal_in_chunks_get_the_labels_of_the_whole():
    model = rt.build_sequence_classifier(
        (None, 2), 2, rt.recurrent_layers("gru", (4,), return_sequences=True), each_step=True
    )
    x = GENERATOR.normal(size=(37, 2)).astype("float32")
    stream = rt.stream(model)
    steps = np.concatenate([stream.push(x[:5]), stream.push(x[5:30]), stream.push(x[30:]), stream.finish()])
    np.testing.assert_allclose(steps, model.predict(x[None], verbose=0)[0], atol=1e-5)


def test_what_reads_backwards_or_needs_the_whole_is_refused():
    with pytest.raises(ValueError, match=r"measures a recording against its loudest moment.*with `streamable=True`"):
        rt.stream(rt.build_ctc_recognizer((None,), "12", one_way("gru"), sampling_rate=8000))
    with pytest.raises(ValueError, match=r"UnitNormalization\) is not known to work in chunks"):
        rt.stream(rt.build_ctc_recognizer((None, 1), "12", [keras.layers.UnitNormalization()]))
    with pytest.raises(ValueError, match=r"Bidirectional\) reads backwards, from an end yet to come"):
        rt.stream(rt.build_sequence_classifier((None, 1), 2))
    vocabulary = rt.fit_vocabulary(["a b"])
    with pytest.raises(ValueError, match="does not read signals one layer after the other"):
        rt.stream(rt.build_text_classifier(vocabulary, 2))


def test_a_model_that_keeps_no_state_is_read_in_chunks_too():
    model = rt.build_ctc_recognizer((None, 2), "ab", [])
    model.layers[-1].set_weights([np.array([[-5.0, 5.0, 0.0], [-5.0, 0.0, 5.0]]), np.array([1.0, 0.0, 0.0])])
    stream = rt.stream(model, steps=2)
    assert stream.push(np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])) + stream.finish() == "ab"


def test_chunks_of_other_channels_are_refused():
    stream = rt.stream(rt.build_ctc_recognizer((None, 1), "12", []))
    with pytest.raises(ValueError, match=r"`chunk` has the shape \(3, 2\), but the model reads"):
        stream.push(np.ones((3, 2)))
    with pytest.raises(ValueError, match="`chunk` holds nan"):
        stream.push(np.full((3, 1), np.nan))
