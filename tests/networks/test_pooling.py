"""One vector for a sequence: padding says nothing."""

import keras
import numpy as np
import pytest

from rnn_toolkit.networks.pooling import MaskedPooling

STEPS = np.array([[[1.0, 4.0], [3.0, -2.0], [100.0, 100.0]]])
VALID = np.array([[True, True, False]])


def array(values) -> np.ndarray:
    return keras.ops.convert_to_numpy(values)


def constant(layer, *values):
    """Set the weights of a layer to constants, or to arrays."""
    layer.set_weights([np.broadcast_to(value, old.shape) for value, old in zip(values, layer.weights, strict=True)])
    return layer


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ("first", [1, 4]),
        ("last", [3, -2]),
        ("mean", [2, 1]),
        ("max", [3, 4]),
        (["max", "first", "mean"], [3, 4, 1, 4, 2, 1]),
    ],
)
def test_pooling_takes_valid_steps_only(kinds, expected):
    assert array(MaskedPooling(kinds)(STEPS, mask=VALID)).tolist() == [expected]


def test_without_a_mask_every_step_is_valid():
    assert array(MaskedPooling(["last", "max"])(STEPS)).tolist() == [[100, 100, 100, 100]]


def test_padding_is_no_maximum_of_negative_numbers():
    steps = np.array([[[-5.0], [-7.0], [0.0]]])
    assert array(MaskedPooling("max")(steps, mask=VALID)).tolist() == [[-5]]


def attention() -> MaskedPooling:
    """Attention whose scores are 0 for a step of 0 and log 3 for one of 20: weights of 1/4 and 3/4."""
    layer = MaskedPooling("attention")
    layer.build((None, None, 1))
    return constant(layer, 1.0, np.log(3))


def test_attention_weighs_valid_steps_by_their_scores():
    steps = np.array([[[0.0], [20.0], [20.0]]])
    assert array(attention()(steps, mask=VALID)).item() == pytest.approx(15, rel=1e-5)
    assert array(attention()(steps)).item() == pytest.approx(20 * 6 / 7, rel=1e-5)


def test_half_precision_pools_the_same(half_precision):
    steps = np.array([[[0.0], [20.0], [20.0]]])
    layer = MaskedPooling(["mean", "max", "attention"])
    layer.build((None, None, 1))
    outputs = constant(layer, 1.0, np.log(3))(steps, mask=VALID)
    assert keras.backend.standardize_dtype(outputs.dtype) == "float16"
    assert array(outputs)[0].tolist() == pytest.approx([10, 20, 15], rel=2e-3)
    assert array(layer(steps, mask=np.zeros((1, 3), bool))).tolist() == [[0, 0, 0]]


@pytest.mark.parametrize(("kind", "expected"), [("first", 7), ("last", 7), ("mean", 0), ("max", 0), ("attention", 0)])
def test_a_row_of_padding_alone_stays_finite(kind, expected):
    layer = MaskedPooling(kind)
    assert array(layer(np.array([[[7.0], [8.0]]]), mask=np.zeros((1, 2), bool))).tolist() == [[expected]]


def test_an_unknown_pooling_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"`pooling` must be one of 'first', .*Received: 'men'\. Did you mean 'mean'"):
        MaskedPooling(["max", "men"])
    with pytest.raises(ValueError, match=r"`pooling` must be one of .* Received: None"):
        MaskedPooling([])


def test_pooling_of_what_has_no_steps_is_refused():
    with pytest.raises(
        ValueError, match=r"needs all steps, .*Received: shape \(None, 4\)\. Pass layers of which the last returns seq"
    ):
        keras.Sequential([keras.Input((None, 3)), keras.layers.GRU(4), MaskedPooling()])
