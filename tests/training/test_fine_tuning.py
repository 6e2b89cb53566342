"""Layers unfrozen one by one: what is frozen, slowed down, and kept over an interruption."""

import keras
import numpy as np
import pytest

from rnn_toolkit.networks.pooling import MaskedPooling
from rnn_toolkit.training import fine_tuning
from rnn_toolkit.training import train as train_module
from rnn_toolkit.training.callbacks import default_callbacks
from rnn_toolkit.training.fine_tuning import fine_tune, replace_head
from rnn_toolkit.training.train import load_history


def values(layers):
    """Return the weights of layers as one list of arrays."""
    return [np.array(weight) for layer in layers for weight in layer.get_weights()]


def same(ones, others):
    return [bool((one == other).all()) for one, other in zip(ones, others, strict=True)]


def stack(*, optimizer="sgd", dropout=0.0, seed=3):
    """Return a model of an embedding, a recurrent layer, a normalisation and a head; eager, as it is so small."""
    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Embedding(5, 2), keras.layers.SimpleRNN(2, dropout=dropout)]
    layers += [keras.layers.LayerNormalization(), keras.layers.Dropout(dropout)]
    model = keras.Sequential([keras.Input((4,), dtype="int32"), *layers, keras.layers.Dense(1)])
    model.compile(optimizer, "mse", metrics=["mae"], run_eagerly=True)
    return model


def arrays(rows=8):
    """Return rows to train a `stack` on."""
    generator = np.random.default_rng(0)
    return generator.integers(0, 5, (rows, 4)), generator.normal(size=(rows, 1))


class Look(keras.callbacks.Callback):
    """Note at the beginning and the end of each stage what is trainable and what the weights are."""

    def __init__(self):
        super().__init__()
        self.trainable, self.before, self.after, self.optimizers = [], [], [], []

    def on_train_begin(self, logs=None):
        self.trainable.append([layer.trainable for layer in self.model.layers])
        self.before.append(values(self.model.layers))
        self.optimizers.append(self.model.optimizer)

    def on_train_end(self, logs=None):
        self.after.append(values(self.model.layers))


class Break(keras.callbacks.Callback):
    """Raise an error behind a step, counted over all stages."""

    def __init__(self, step, error=RuntimeError):
        super().__init__()
        self.left, self.error = step, error

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise self.error


def test_layers_are_unfrozen_one_by_one_from_the_head_down():
    model, look = stack(), Look()
    history = fine_tune(model, arrays(), epochs=3, epochs_per_stage=2, callbacks=[look], progress=None)
    # Embedding, recurrent layer, normalisation (which goes with it), dropout, head.
    assert look.trainable == [[False] * 3 + [True] * 2, [False] + [True] * 4, [True] * 5]
    assert history["stage"].tolist() == [1, 1, 2, 2, 3, 3, 3]
    assert history.index.tolist() == [1, 2, 3, 4, 5, 6, 7] and history.index.name == "epoch"


def test_frozen_layers_do_not_change_and_others_do():
    model, look = stack(), Look()
    fine_tune(model, arrays(), epochs=1, callbacks=[look], progress=None)
    unchanged = [same(*pair) for pair in zip(look.before, look.after, strict=True)]
    # Embedding; three of the recurrent layer; two of the normalisation; two of the head.
    assert unchanged[0] == [True] * 6 + [False] * 2
    assert unchanged[1] == [True] + [False] * 7
    assert unchanged[2] == [False] * 8


def test_each_stage_begins_where_the_one_before_ended():
    model, look = stack(), Look()
    fine_tune(model, arrays(), epochs=1, callbacks=[look], progress=None)
    assert all(same(look.after[0], look.before[1])) and all(same(look.after[1], look.before[2]))
    assert all(same(look.after[2], values(model.layers)))


def test_each_layer_takes_a_step_that_is_a_factor_shorter_than_that_of_the_layer_above():
    # The first step of Adam has the length of the rate in each weight whose gradient is not nearly zero.
    model, look = stack(), Look()
    fine_tune(
        model,
        arrays(),
        epochs=1,
        epochs_per_stage=0,
        learning_rate=0.1,
        decay=2.0,
        schedule=None,
        callbacks=[look],
        progress=None,
    )
    steps = [abs(new - old).max() for old, new in zip(look.before[0], look.after[0], strict=True)]
    assert steps == pytest.approx([0.025] + [0.05] * 5 + [0.1] * 2, rel=1e-3)


def test_stages_keep_the_rates_of_their_layers():
    model, look = stack(), Look()
    fine_tune(model, arrays(), epochs=1, decay=2.0, callbacks=[look], progress=None)
    assert [one.rate_factors for one in look.optimizers] == [
        [1, 1],
        [0.5] * 5 + [1, 1],
        [0.25] + [0.5] * 5 + [1, 1],
    ]


@pytest.mark.slow
def test_a_schedule_runs_through_each_stage():
    rates = fine_tune(stack(), arrays(), epochs=10, epochs_per_stage=10, progress=None)["learning_rate"]
    for stage in range(3):
        course = rates.to_numpy()[10 * stage : 10 * stage + 10]
        assert course.argmax() == 2 and course[-1] == pytest.approx(0, abs=1e-6)  # 3 of 10 steps go up


def test_lists_of_numbers_are_rows():
    x, y = arrays()
    expected = fine_tune(stack(), (x, y), epochs=1, epochs_per_stage=0, batch_size=3, progress=None)
    found = fine_tune(stack(), (x.tolist(), y.tolist()), epochs=1, epochs_per_stage=0, batch_size=3, progress=None)
    assert found["loss"].tolist() == pytest.approx(expected["loss"].tolist())


def test_without_stages_all_layers_train_from_the_start():
    look = Look()
    history = fine_tune(stack(), arrays(), epochs=2, epochs_per_stage=0, callbacks=[look], progress=None)
    assert look.trainable == [[True] * 5] and history["stage"].tolist() == [3, 3]


def test_attention_trains_with_the_head_it_belongs_to():
    layers = [keras.layers.Embedding(5, 2), keras.layers.SimpleRNN(2, return_sequences=True)]
    model = keras.Sequential([keras.Input((4,)), *layers, MaskedPooling("attention"), keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    look = Look()
    fine_tune(model, arrays(), epochs=1, callbacks=[look], progress=None)
    assert look.trainable == [[False, False, True, True], [False, True, True, True], [True] * 4]


def test_the_best_weights_of_all_stages_stay(monkeypatch):
    model, look, rates, truth = stack(), Look(), iter([0.05, 30.0, 30.0]), train_module.train
    monkeypatch.setattr(fine_tuning, "make_optimizer", lambda *_, **__: keras.optimizers.SGD(next(rates)))
    monkeypatch.setattr(
        train_module,
        "train",
        lambda *ones, **others: truth(*ones, **others | {"callbacks": [*others["callbacks"], look]}),
    )
    history = fine_tune(model, arrays(), arrays(), epochs=1, progress=None)
    losses = history["val_loss"].tolist()
    assert losses[1] < losses[0] and not min(losses[2:]) < 10 * losses[1]  # the rates of later stages only harm
    assert all(same(look.after[0], values(model.layers)))
    assert model.evaluate(*arrays(), verbose=0, return_dict=True)["loss"] == pytest.approx(losses[1], rel=1e-6)


def test_what_was_trainable_and_compiled_before_is_so_afterwards():
    model = stack(optimizer=keras.optimizers.SGD(0.25, momentum=0.5))
    fine_tune(model, arrays(), epochs=1, progress=None)
    assert [layer.trainable for layer in model.layers] == [True] * 5
    assert type(model.optimizer).__name__ == "SGD" and model.optimizer.momentum == 0.5
    assert int(model.optimizer.iterations) == 0 and model.loss == "mse"
    assert set(model.evaluate(*arrays(), verbose=0, return_dict=True)) == {"loss", "mae"}
    model.fit(*arrays(), verbose=0)


def test_a_layer_that_was_frozen_stays_frozen():
    model, look = stack(), Look()
    model.layers[0].trainable = False
    before = values(model.layers[:1])
    history = fine_tune(model, arrays(), epochs=1, callbacks=[look], progress=None)
    assert history["stage"].tolist() == [1, 2]
    assert look.trainable[-1] == [False] + [True] * 4 and not model.layers[0].trainable
    assert all(same(before, values(model.layers[:1])))


def test_a_part_of_a_layer_that_was_frozen_stays_frozen():
    both = keras.layers.Bidirectional(keras.layers.SimpleRNN(2))
    model = keras.Sequential([keras.Input((4, 1)), both, keras.layers.Dense(1)])
    both.forward_layer.trainable = False
    both.backward_layer.cell.bias.trainable = False
    model.compile("sgd", "mse", run_eagerly=True)
    before = [np.array(weight) for weight in model.get_weights()]
    fine_tune(model, (np.ones((4, 4, 1)), np.ones((4, 1))), epochs=1, progress=None)
    assert not both.forward_layer.trainable and both.backward_layer.trainable
    assert not both.backward_layer.cell.bias.trainable
    # Kernel, recurrent kernel and bias of both directions, kernel and bias of the head.
    assert same(before, model.get_weights()) == [True, True, True, False, False, True, False, False]


def test_an_error_leaves_all_layers_as_trainable_as_before():
    model = stack()
    with pytest.raises(RuntimeError):
        fine_tune(model, arrays(), epochs=1, callbacks=[Break(1)], progress=None)
    assert [layer.trainable for layer in model.layers] == [True] * 5
    assert type(model.optimizer).__name__ == "SGD"


def test_ctrl_c_ends_all_stages():
    model = stack()
    history = fine_tune(model, arrays(), epochs=5, callbacks=[Break(2, KeyboardInterrupt)], progress=None)
    assert history["stage"].tolist() == [1]  # and stage 2 was stopped in its first step
    assert [layer.trainable for layer in model.layers] == [True] * 5
    assert fine_tune(stack(), arrays(), callbacks=[Break(1, KeyboardInterrupt)], progress=None).empty


@pytest.mark.slow
@pytest.mark.parametrize("step", [2, 4, 8])  # in stage 1 of three steps, stage 2 of three, stage 3 of six
def test_a_training_that_was_interrupted_ends_as_one_that_was_not(step, tmp_path):
    def run(model, run_dir, *stop):
        options = {"epochs": 2, "batch_size": 8, "learning_rate": 0.05, "run_dir": run_dir, "progress": None}
        return fine_tune(model, arrays(24), arrays(8), callbacks=[*default_callbacks(), *stop], **options)

    reference = stack(dropout=0.3)
    history = run(reference, tmp_path / "reference").drop(columns="seconds")
    with pytest.raises(RuntimeError):
        run(stack(dropout=0.3), tmp_path / "run", Break(step))
    resumed = stack(dropout=0.3, seed=4)  # other weights and random numbers: those of the run count
    assert run(resumed, tmp_path / "run").drop(columns="seconds").equals(history)
    assert all(same(values(reference.layers), values(resumed.layers)))


def test_a_finished_run_returns_its_history_and_its_weights_at_once(tmp_path):
    model, other = stack(), stack(seed=4)
    history = fine_tune(model, arrays(), arrays(), epochs=2, run_dir=tmp_path, progress=None)
    again = fine_tune(other, arrays(), arrays(), epochs=2, run_dir=tmp_path, progress=None)
    assert again.equals(history) and all(same(values(model.layers), values(other.layers)))
    assert (
        load_history(tmp_path / "stage-3")["loss"][1:].tolist() == history.loc[history["stage"] == 3, "loss"].tolist()
    )
    assert (tmp_path / "stage-1" / "best.keras").exists()


def frozen():
    model = stack()
    model.trainable = False
    return model


def uncompiled():
    return keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])


@pytest.mark.parametrize(
    ("build", "options", "message"),
    [
        (uncompiled, {}, r"is not compiled: it has no loss\. .* Call `model\.compile"),
        (frozen, {}, r"has no layer to train\. Set `layer\.trainable = True`"),
        (stack, {"epochs": 0}, "`epochs` must be at least 1"),
        (stack, {"epochs_per_stage": -1}, "`epochs_per_stage` must be at least 0"),
        (stack, {"batch_size": 0}, "`batch_size` must be at least 1"),
        (stack, {"decay": 0.5}, r"`decay` must be at least 1\. Received: 0\.5\. Try 2\.6"),
        (stack, {"decay": 0}, r"`decay` must be at least 1\. Received: 0\. Try 2\.6"),
        (stack, {"decay": -2.6}, r"`decay` must be at least 1\. Received: -2\.6\. Try 2\.6"),
        (stack, {"decay": float("nan")}, r"`decay` must be at least 1\. Received: nan\. Try 2\.6"),
        (stack, {"decay": float("inf")}, r"`decay` must be at least 1\. Received: inf\. Try 2\.6"),
        (stack, {"schedule": "onecycle"}, r"`schedule` must be one of .* Did you mean 'one_cycle'\?"),
        (
            stack,
            {"train": type("Unsized", (), {"__iter__": lambda self: iter([arrays()])})()},
            r"does not say how many batches it has: Unsized\. .* or schedule=None",
        ),
    ],
)
def test_what_cannot_be_fine_tuned_is_refused(build, options, message):
    with pytest.raises(ValueError, match=message):
        fine_tune(build(), **{"train": arrays()} | options)


def wrapped():
    """Return a model whose layers lie within a layer, as those of a forecaster do."""
    inner = keras.Sequential([keras.layers.Dense(2, name="low"), keras.layers.Dense(1, name="high")])
    model = keras.Sequential([keras.Input((3, 2)), keras.layers.TimeDistributed(inner)])
    model.compile("sgd", "mse", run_eagerly=True)
    return model, inner


def test_layers_within_a_layer_are_unfrozen_one_by_one_too():
    model, inner = wrapped()
    before = values(inner.layers)
    data = np.ones((4, 3, 2)), np.zeros((4, 3, 1))
    look = Look()
    fine_tune(model, data, epochs=1, callbacks=[look], progress=None)
    assert len(look.after) == 2
    low, high = slice(0, 2), slice(2, 4)
    assert all(same(look.after[0][low], before[low]))
    assert not all(same(look.after[0][high], before[high]))
    assert not all(same(look.after[1][low], before[low]))


def trained():
    return keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(3, name="body"),
            keras.layers.Dense(4, name="old"),
            keras.layers.Softmax(),
        ]
    )


def functional():
    inputs = keras.Input((2,))
    outputs = keras.layers.Dense(4, name="old")(keras.layers.Dense(3, name="body")(inputs))
    return keras.Model(inputs, keras.layers.Softmax()(outputs))


@pytest.mark.parametrize("make", [trained, functional])
def test_a_new_head_stands_on_copies_of_the_layers_below_the_old_one(make):
    old = make()
    before = old.get_weights()
    model = replace_head(old, [keras.layers.Dense(5, name="new"), keras.layers.Softmax()])
    assert isinstance(model, keras.Sequential) == isinstance(old, keras.Sequential)
    assert model.output_shape == (None, 5)
    assert all(same(model.get_layer("body").get_weights(), before[:2]))
    model.get_layer("body").set_weights([np.zeros((2, 3)), np.zeros(3)])
    assert all(same(old.get_weights(), before))


def test_of_several_heads_the_last_one_is_replaced_and_the_others_left_out():
    inputs = keras.Input((2,))
    body = keras.layers.Dense(3, name="body")(inputs)
    heads = [keras.layers.Dense(units, name=f"old_{units}")(body) for units in (4, 5)]
    model = replace_head(keras.Model(inputs, heads), keras.layers.Dense(2, name="new"))
    assert [layer.name for layer in model.layers[1:]] == ["body", "new"]
    on_inputs = [keras.layers.Dense(units)(inputs) for units in (4, 5)]
    with pytest.raises(ValueError, match="has no layer below its head"):
        replace_head(keras.Model(inputs, on_inputs), keras.layers.Dense(2))


def test_a_head_that_does_not_fit():
    for make in (trained, functional):
        with pytest.raises(
            ValueError, match=r"`head` does not fit on layer 'body', which returns the shape \(None, 3\)"
        ):
            replace_head(make(), keras.layers.LSTM(2))


def test_a_model_without_a_layer_below_its_head():
    for model in (keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]), keras.Sequential()):
        with pytest.raises(ValueError, match="has no layer below its head"):
            replace_head(model, keras.layers.Dense(2))


def test_a_model_of_another_kind_has_no_layer_on_top():
    class Own(keras.Model):
        pass

    with pytest.raises(TypeError, match="must be Sequential or functional"):
        replace_head(Own(), keras.layers.Dense(2))


def test_training_that_only_harms_changes_nothing():
    model = stack()
    x, _ = arrays()
    data, validation = (x, np.full((8, 1), 100.0)), (x, model.predict(x, verbose=0))
    before = model.get_weights()
    history = fine_tune(model, data, validation, epochs=1, learning_rate=0.1, schedule=None, progress=None)
    assert history["val_loss"].idxmin() == 0  # as it began, it fits them exactly
    assert all(same(model.get_weights(), before))
