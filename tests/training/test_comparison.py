"""A table of variants: what it holds, that it can be stopped, and what it refuses."""

import keras
import numpy as np
import pytest
from training.one_weight import line

from rnn_toolkit.training import comparison
from rnn_toolkit.training.comparison import compare

DATA = np.ones((4, 1), "float32"), np.zeros((4, 1), "float32")


def build(rate=0.0, **compiling):
    """Return y = w x with w = 1: its loss on `DATA` is 1, and after one step of this rate (1 - 2 rate)²."""
    return line(keras.optimizers.SGD(rate), **compiling)


def test_the_table_holds_mean_spread_and_each_seed_beside_the_baseline():
    variants = {"still": {}, "one leap": {"rate": 0.5}, "half a leap": {"rate": 0.25}}
    table = compare(build, variants, DATA, DATA, seeds=2, epochs=1, baselines={"copying": 0.5})
    assert table.index.tolist() == ["still", "one leap", "half a leap", "copying"]
    assert table["mean"].tolist() == pytest.approx([1.0, 0.0, 0.25, 0.5])
    assert table["spread"].tolist()[:3] == [0, 0, 0]
    assert table["seed_1"].tolist()[:3] == pytest.approx([1.0, 0.0, 0.25])
    assert (table["seconds"][:3] > 0).all()
    assert table.loc["copying", "spread":].isna().all()


def test_spread_is_the_standard_deviation_over_the_seeds(monkeypatch):
    found = iter([1.0, 3.0])
    monkeypatch.setattr(comparison, "best_value", lambda *_: next(found))
    table = compare(build, {"only": {}}, DATA, DATA, seeds=2, epochs=1)
    assert table.loc["only", ["mean", "spread"]].tolist() == pytest.approx([2.0, 2**0.5])


def test_each_seed_begins_elsewhere_and_the_same_seed_at_the_same_place():
    def random(units=1):
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(units)])
        model.compile("sgd", "mse", run_eagerly=True)
        return model

    table = compare(random, {"a": {}, "b": {"units": 1}}, DATA, DATA, seeds=2, epochs=1)
    assert table["seed_0"].nunique() == table["seed_1"].nunique() == 1
    assert table.loc["a", "seed_0"] != table.loc["a", "seed_1"]


def test_a_metric_may_be_watched_and_higher_may_be_better():
    def measured(rate):
        return line(keras.optimizers.SGD(rate), metrics=["mae"])

    options = {"seeds": 1, "epochs": 2, "monitor": "val_mae"}
    assert compare(measured, {"down": {"rate": 0.25}}, DATA, DATA, **options)["mean"].tolist() == [0.25]
    # Climbing, w goes from 1 to 1.5 and 2.25.
    up = compare(measured, {"up": {"rate": -0.25}}, DATA, DATA, **options, mode="max")
    assert up["mean"].tolist() == [2.25]


def test_data_that_depend_on_the_arguments_come_from_build():
    def with_data(rows):
        x = np.full((rows, 1), float(rows), "float32")
        return build(), (x, x * 0), (x, x * 0)

    table = compare(with_data, {"two": {"rows": 2}, "three": {"rows": 3}}, seeds=1, epochs=1)
    assert table["mean"].tolist() == pytest.approx([4.0, 9.0])


def test_the_same_call_trains_only_what_is_missing(tmp_path):
    folder, variants = tmp_path / "runs", {"a/b": {}, "..": {"rate": 0.5}}
    first = compare(build, {"a/b": {}}, DATA, DATA, seeds=1, epochs=2, run_dir=folder)
    table = compare(build, variants, DATA, DATA, seeds=1, epochs=2, run_dir=folder)
    again = compare(build, variants, DATA, DATA, seeds=1, epochs=2, run_dir=folder)
    assert table.equals(again)  # the seconds, too
    assert table.loc["a/b"].equals(first.loc["a/b"])
    assert sorted(path.name for path in folder.iterdir()) == ["..-seed-0", "a%2Fb-seed-0"]


def test_ctrl_c_returns_what_there_is(monkeypatch):
    real = comparison.training.train

    def stopped(model, *data, callbacks, **options):
        callbacks[-1].on_interrupt("stopped")
        return real(model, *data, callbacks=callbacks, **options)

    def train(*arguments, **options):
        monkeypatch.setattr(comparison.training, "train", stopped)
        return real(*arguments, **options)

    monkeypatch.setattr(comparison.training, "train", train)
    table = compare(build, {"a": {}, "b": {}}, DATA, DATA, seeds=1, epochs=1)
    assert table["mean"].tolist() == pytest.approx([1.0, np.nan], nan_ok=True)


def test_half_precision_survives_the_end_of_the_session(half_precision):
    compare(build, {"a": {}}, DATA, DATA, seeds=1, epochs=1)
    assert keras.config.dtype_policy().name == "mixed_float16"


def test_an_average_of_the_weights_is_what_counts():
    def averaging():
        return line(keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.5))

    # The step goes from 1 to 0; its average with the first weight stands at 0 or 0.5, by how Keras begins it.
    table = compare(averaging, {"a": {}}, DATA, DATA, seeds=1, epochs=2)
    assert np.isfinite(table["mean"]).all()


def test_the_line_says_what_is_trained(monkeypatch, capsys):
    monkeypatch.setattr(comparison, "is_interactive", lambda: True)
    compare(build, {"a": {}, "b": {}}, DATA, DATA, seeds=1, epochs=1)
    assert "b, seed 0: 1" in capsys.readouterr().out
    compare(build, {"a": {}}, DATA, DATA, seeds=1, epochs=1, progress=None)
    assert capsys.readouterr().out == ""


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="about the memory of TensorFlow")
def test_no_graph_of_a_training_is_kept_and_gradients_of_ones_own_are():
    import tensorflow as tf
    from tensorflow.python.framework import ops

    names = ops.gradient_registry.list
    compare(build, {"a": {"run_eagerly": False}}, DATA, DATA, seeds=1, epochs=1)
    before = set(names())
    assert not [name for name in before if name.startswith("CustomGradient-")]
    tf.function(tf.custom_gradient(lambda x: (x, lambda dy: dy)))(tf.ones(1))
    own = set(names()) - before
    compare(build, {"a": {"run_eagerly": False}}, DATA, DATA, seeds=1, epochs=1)
    assert own and set(names()) == before | own
    ops.gradient_registry._registry.pop(*own)


@pytest.mark.parametrize(
    ("variants", "error", "message"),
    [
        ({}, ValueError, "`variants` is empty"),
        (["a"], TypeError, "must be a dict of dicts"),
        ({"a": 3}, TypeError, "must be a dict of dicts"),
        ({"a": {"rat": 1}}, ValueError, r"`build\(rate\)` cannot be called with rat: .* Did you mean 'rate'"),
    ],
)
def test_variants_that_cannot_be(variants, error, message):
    with pytest.raises(error, match=message):
        compare(with_rate, variants, DATA, DATA)


def with_rate(rate):
    return build(rate)


def test_an_argument_that_build_needs_is_named():
    with pytest.raises(ValueError, match="missing a required argument: 'rate'"):
        compare(with_rate, {"a": {}}, DATA, DATA)


def test_a_baseline_does_not_take_the_row_of_a_variant():
    with pytest.raises(ValueError, match="`baselines` holds 'linear', which is a variant, too"):
        compare(build, {"linear": {}}, DATA, DATA, baselines={"linear": 0.5})


def test_a_baseline_that_is_no_number_is_refused_before_training():
    with pytest.raises(ValueError, match="could not convert"):
        compare(lambda: pytest.fail("was trained"), {"a": {}}, DATA, DATA, baselines={"linear": "unknown"})


def test_a_build_that_returns_nothing_is_named():
    with pytest.raises(TypeError, match=r"`model` must be a Keras model\. Received: NoneType"):
        compare(lambda: None, {"a": {}}, DATA, DATA)


def test_losses_with_penalties_are_not_compared():
    def penalised():
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_regularizer="l2")])
        model.compile("sgd", "mse", metrics=["mae"], run_eagerly=True)
        return model

    with pytest.raises(ValueError, match="penalties") as caught:
        compare(penalised, {"l2": {}}, DATA, DATA)
    assert caught.value.__notes__ == ["This was variant 'l2' with seed 0."]
    compare(penalised, {"l2": {}}, DATA, DATA, epochs=1, seeds=1, monitor="val_mae")


def test_validation_data_are_needed():
    with pytest.raises(ValueError, match="no validation data to judge by 'val_loss'"):
        compare(build, {"a": {}}, DATA)


def test_a_training_without_a_finite_loss_is_no_result():
    endless = np.full((4, 1), np.inf), np.zeros((4, 1))
    with pytest.raises(ValueError, match="no finite 'val_loss'"):
        compare(build, {"a": {}}, DATA, endless, epochs=1)


@pytest.mark.parametrize("wrong", [{"mode": "low"}, {"seeds": 0}, {"epochs": 0}, {"progress": "bar"}])
def test_options_that_are_out_of_range(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        compare(build, {"a": {}}, DATA, DATA, **wrong)
