"""A model that is looked at is left as it was, and what cannot be looked at is refused."""

import keras
import numpy as np
import pytest

import rnn_toolkit as rt
from rnn_toolkit._checks import check_ready
from rnn_toolkit.diagnosis.restoring import graphs_as_they_are, untouched
from rnn_toolkit.networks.probing import numpy

ONES = np.ones((4, 3, 1), "float32"), np.ones((4, 1), "float32")


@pytest.fixture(scope="module")
def model():
    model = keras.Sequential([keras.Input((3, 1)), keras.layers.GRU(2), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    model.train_on_batch(*ONES)
    return model


def state_of(model):
    variables = [numpy(one).tolist() for one in (*model.variables, *model.optimizer.variables)]
    return variables, [dict(vars(one)) for one in model._flatten_layers()], np.random.get_state()[1].tolist()


@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt])
def test_weights_optimizer_attributes_and_chance_are_put_back(model, error):
    before, optimizer = state_of(model), model.optimizer
    try:
        with untouched(model):
            model.train_on_batch(*ONES)
            vars(model)["optimizer"] = keras.optimizers.SGD()
            model.layers[0].stray = 1
            np.random.random()
            assert state_of(model)[2] != before[2]
            if error is not None:
                raise error
    except (RuntimeError, KeyboardInterrupt) as raised:
        assert isinstance(raised, error)
    assert state_of(model) == before
    assert model.optimizer is optimizer


LOOKS = [rt.diagnose, rt.gradient_flow, rt.layer_statistics, rt.find_learning_rate, rt.overfit_one_batch]
DENSE = keras.Sequential([keras.Input((3, 1)), keras.layers.Dense(1)])


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ("model", TypeError, "`model` must be a Keras model. Received: str"),
        (keras.layers.Dense(1), TypeError, "`model` must be a Keras model. Received: Dense"),
        (keras.Sequential([keras.layers.Dense(1)]), ValueError, "is not built: it has no weights yet"),
        (DENSE, ValueError, "is not compiled: it has no loss"),
    ],
)
def test_what_cannot_be_looked_at_is_refused(look, given, error, words):
    if given is DENSE and look is rt.layer_statistics:
        pytest.skip("it needs no loss")
    arguments = [ONES] if look not in (rt.gradient_flow, rt.layer_statistics) else ONES[: look.__code__.co_argcount - 1]
    with pytest.raises(error, match=words):
        look(given, *arguments)


def test_the_purpose_is_named(model):
    with pytest.raises(ValueError, match="A look at its layers needs them"):
        check_ready(keras.Sequential([keras.layers.Dense(1)]), purpose="A look at its layers", compiled=False)
    with pytest.raises(ValueError, match="The flow of its gradients needs one"):
        check_ready(DENSE, purpose="The flow of its gradients")
    assert check_ready(model, purpose="Anything") is None


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of TensorFlow")
@pytest.mark.parametrize("is_off", [False, True])
def test_graphs_are_rewritten_as_before_also_behind_an_error(is_off):
    import tensorflow as tf

    def options():
        return tf.config.optimizer.get_experimental_options()

    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": is_off})
    try:
        with pytest.raises(KeyError), graphs_as_they_are():
            assert options()["disable_meta_optimizer"]
            raise KeyError
        assert options()["disable_meta_optimizer"] is is_off
    finally:
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})
