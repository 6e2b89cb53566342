"""Each callback keeps its word where Keras' own does not.

The tests named `test_keras_…` show what Keras does. One that fails says that Keras has mended it: ours may go.
"""

import re

import keras
import numpy as np
import pytest

from rnn_toolkit.networks.optimization import ScaledSchedule
from rnn_toolkit.training.callbacks import (
    AveragedWeights,
    BestModel,
    EarlyStopping,
    Monitor,
    ReduceLROnPlateau,
    StopOnNaN,
    default_callbacks,
)
from rnn_toolkit.training.train import load_best, train

NAN = float("nan")
ONE = (np.ones((1, 1), "float32"), np.zeros((1, 1), "float32"))  # one row, so one step an epoch
on_tensorflow = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="Keras does so on TensorFlow")
on_jax = pytest.mark.skipif(keras.backend.backend() != "jax", reason="Keras does so on JAX")


def halving(optimizer=None, **options) -> keras.Model:
    """Return a model of one weight, 1 at first, which each step halves; its loss is the square of the weight."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")])
    model.compile(optimizer or keras.optimizers.SGD(0.25), "mse", **{"run_eagerly": True} | options)
    return model


def averaging(**options) -> keras.Model:
    """Return the same with an average: 1/2, 3/8, 1/4 behind the first steps, whose weights are 1/2, 1/4, 1/8."""
    return halving(keras.optimizers.SGD(0.25, use_ema=True, ema_momentum=0.5), **options)


def falling() -> keras.optimizers.schedules.LearningRateSchedule:
    """Return a schedule that begins at 0.8 and falls by 0.1 a step."""
    return keras.optimizers.schedules.PolynomialDecay(0.8, 8, 0.0)


def weight(model) -> float:
    return model.get_weights()[0].item()


def rate(optimizer) -> float:
    return float(keras.ops.convert_to_numpy(optimizer.learning_rate))


def drive(model, losses, *callbacks) -> int:
    """Call callbacks as Keras' `fit` does, with a step and a loss for each epoch, and return how many it took."""
    callbacks = keras.callbacks.CallbackList(list(callbacks), model=model, epochs=len(losses))
    model.stop_training = False
    callbacks.on_train_begin()
    for epoch, loss in enumerate(losses):
        callbacks.on_epoch_begin(epoch)
        model.train_on_batch(*ONE)
        callbacks.on_epoch_end(epoch, {"loss": 1.0, "val_loss": loss})
        if model.stop_training:
            break
    callbacks.on_train_end()
    return epoch + 1


def fit(model, *callbacks, epochs) -> int:
    """Fit by Keras, and return how many epochs it took."""
    return len(model.fit(*ONE, epochs=epochs, callbacks=list(callbacks), verbose=0).epoch)


def train_once(model, losses, *callbacks, run_dir=None):
    """Train by us, with a loss for each epoch, and a snapshot behind each step and epoch."""
    callbacks = [Script(losses), *callbacks]
    options = {"run_dir": run_dir, "snapshot_steps": 1, "progress": None}
    return train(model, ONE, epochs=len(losses), callbacks=callbacks, **options)


def train_with_a_crash(losses, *make, behind, run_dir, make_model=halving):
    """Train, let it crash behind an epoch, and train on with a new model and new callbacks, as a new process would."""
    with pytest.raises(RuntimeError, match="crash"):
        train_once(make_model(), losses, *[one() for one in make], At(behind, crash), run_dir=run_dir)
    model, callbacks = make_model(), [one() for one in make]
    return model, callbacks, train_once(model, losses, *callbacks, run_dir=run_dir)


class Script(keras.callbacks.Callback):
    """Pretend that the losses are those of a script."""

    def __init__(self, losses):
        super().__init__()
        self.losses = losses

    def on_epoch_end(self, epoch, logs=None):
        logs["loss"] = self.losses[epoch]


class At(keras.callbacks.Callback):
    """Do something at the beginning of an epoch, which counts from 0."""

    def __init__(self, epoch, action):
        super().__init__()
        self.epoch, self.action = epoch, action

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            self.action()


class Seen(keras.callbacks.Callback):
    """Note the weight behind each epoch's steps, and the weight at its end."""

    def __init__(self):
        super().__init__()
        self.steps, self.ends = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.steps.append(weight(self.model))

    def on_epoch_end(self, epoch, logs=None):
        self.ends.append(weight(self.model))


class Stop(keras.callbacks.Callback):
    """Stop behind an epoch, which counts from 0."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = epoch == self.epoch


def ours(warned) -> list:
    """Return the warnings that are for the user; Keras raises others for developers, which pytest's filter hides."""
    return [one for one in warned if one.category is UserWarning]


def crash():
    raise RuntimeError("crash")


def interrupt():
    raise KeyboardInterrupt


# EarlyStopping


def test_keras_early_stopping_takes_a_nan_for_the_best_value():
    model = halving()
    stop = keras.callbacks.EarlyStopping(patience=2, restore_best_weights=True)
    assert drive(model, [NAN, 3.0, 2.0, 1.0], stop) == 3
    assert np.isnan(stop.best) and weight(model) == 1 / 2


@pytest.mark.parametrize("first", [NAN, float("-inf")])
def test_early_stopping_never_takes_what_is_no_number_for_the_best_value(first):
    model, stop = halving(), EarlyStopping(patience=2)
    assert drive(model, [first, 3.0, NAN, 1.0], stop) == 4
    assert stop.best == 1.0 and weight(model) == 1 / 16


@pytest.mark.parametrize("watching", [keras.callbacks.EarlyStopping, keras.callbacks.ReduceLROnPlateau])
def test_keras_callbacks_of_a_new_process_forget_their_best_value(watching):
    model = halving()
    drive(model, [1.0, 2.0], watching(patience=3))
    again = watching(patience=3)
    drive(model, [2.0, 2.0], again)
    assert again.best == 2.0 and again.wait == 1


def test_early_stopping_goes_on_where_a_crash_left_it(tmp_path):
    model, (stop,), history = train_with_a_crash(
        [1.0, 2.0, 2.0, 2.0, 2.0, 2.0], lambda: EarlyStopping("loss", patience=3), behind=2, run_dir=tmp_path
    )
    assert len(history) == 4 and stop.best == 1.0  # the best epoch, and three without a new best
    assert weight(model) == 1 / 2


@pytest.mark.parametrize("action, error", [(interrupt, KeyboardInterrupt), (crash, RuntimeError)])
def test_keras_early_stopping_leaves_the_last_weights_behind_an_exception(action, error):
    model = halving()
    stop = keras.callbacks.EarlyStopping("loss", restore_best_weights=True, patience=9)
    with pytest.raises(error):
        fit(model, Script([1.0, 2.0, 3.0, 4.0]), stop, At(3, action), epochs=4)
    assert weight(model) == 1 / 8


def test_early_stopping_restores_the_best_weights_behind_an_interruption():
    model = halving()
    history = train_once(model, [1.0, 2.0, 3.0, 4.0], EarlyStopping("loss"), At(3, interrupt))
    assert len(history) == 3 and weight(model) == 1 / 2


def test_early_stopping_restores_the_best_weights_behind_an_exception():
    model = halving()
    with pytest.raises(RuntimeError, match="crash"):
        train_once(model, [1.0, 2.0, 3.0, 4.0], EarlyStopping("loss"), At(3, crash))
    assert weight(model) == 1 / 2


def test_keras_early_stopping_only_warns_of_a_missing_metric():
    with pytest.warns(UserWarning, match="which is not available"):
        assert drive(halving(), [1.0, 2.0, 3.0], keras.callbacks.EarlyStopping("val_los", mode="min")) == 3


WATCHING = [EarlyStopping, ReduceLROnPlateau, BestModel]


@pytest.mark.parametrize("watching", WATCHING)
def test_a_missing_metric_is_refused_and_the_nearest_named(watching):
    message = (
        rf"{watching.__name__} watches 'val_los', which is not .* There are: loss, val_loss\. Did you mean 'val_loss'\?"
    )
    with pytest.raises(ValueError, match=message):
        drive(halving(), [1.0], watching("val_los"))


def test_train_refuses_a_missing_metric_before_the_first_step():
    model = halving()
    with pytest.raises(ValueError, match=r"There are: loss, .* Did you mean 'loss'\? Watch one of them, or add it to"):
        train(model, ONE, ONE, callbacks=[EarlyStopping("los")], progress=None)
    assert weight(model) == 1


@pytest.mark.parametrize("watching", WATCHING)
def test_another_training_is_watched_anew(watching):
    model, callback = halving(), watching()
    drive(model, [1.0, 2.0], callback)
    drive(model, [4.0, 3.0, 5.0], callback)
    assert callback.best == 3.0


REFUSED = [
    (
        [*WATCHING, default_callbacks],
        {"mode": "auto"},
        ValueError,
        "`mode` must be one of 'min', 'max'. Received: 'auto'",
    ),
    (
        [EarlyStopping, ReduceLROnPlateau, default_callbacks],
        {"patience": 0},
        ValueError,
        "`patience` must be at least 1.",
    ),
    ([EarlyStopping, ReduceLROnPlateau, default_callbacks], {"patience": 2.5}, TypeError, "must be a whole number."),
    *[
        ([ReduceLROnPlateau], {"factor": factor}, ValueError, f"must lie between 0 and 1. Received: {factor}. Pass 0.5")
        for factor in (0, 1, 1.5, -0.5, NAN)
    ],
]


@pytest.mark.parametrize(("makers", "options", "error", "message"), REFUSED)
def test_an_argument_out_of_range_is_refused(makers, options, error, message):
    for make in makers:
        with pytest.raises(error, match=re.escape(message)):
            make(**options)


def test_in_mode_max_the_highest_value_is_the_best():
    model = halving()
    assert drive(model, [1.0, 2.0, 3.0, 1.0, 1.0, 1.0], EarlyStopping(mode="max", patience=2)) == 5
    assert weight(model) == 1 / 8


@pytest.mark.parametrize(
    "mode, losses, epochs",
    [
        ("min", [3.0, 2.75, 2.625, 1.0], 3),  # neither is half a unit below 3
        ("min", [3.0, 2.75, 2.25, 2.0, 2.0], 5),  # the third is
        ("max", [1.0, 1.25, 1.375, 9.0], 3),
        ("max", [1.0, 1.25, 1.75, 2.0, 2.0], 5),
    ],
)
def test_a_smaller_difference_than_min_delta_is_not_better(mode, losses, epochs):
    assert drive(halving(), losses, EarlyStopping(mode=mode, patience=2, min_delta=0.5)) == epochs


# ReduceLROnPlateau


def test_keras_reduction_raises_beside_a_schedule():
    model = halving(keras.optimizers.SGD(falling()))
    with pytest.raises(TypeError, match="its learning rate is not settable"):
        drive(model, [1.0, 1.0, 1.0], keras.callbacks.ReduceLROnPlateau(patience=1))


# At the end of each epoch, before a reduction; with patience=2 and no new best, behind the third epoch and the fifth.
RATES = [0.7, 0.6, 0.5, 0.4 / 2, 0.3 / 2, 0.2 / 4]
# A step with rate r multiplies the weight by 1 - 2r: -0.6, -0.4, -0.2, then 1 - 0.5, 1 - 0.4 and 1 - 0.15.
LAST_WEIGHT = -0.01224


def scheduled(**options) -> keras.Model:
    return halving(keras.optimizers.SGD(falling()), **options)


def test_a_reduction_multiplies_the_whole_schedule_in_the_compiled_step_too():
    model = scheduled(run_eagerly=False)
    history = train_once(model, [1.0] * 6, ReduceLROnPlateau("loss", patience=2))
    assert history.learning_rate.tolist() == pytest.approx(RATES)
    assert weight(model) == pytest.approx(LAST_WEIGHT)


@pytest.mark.parametrize("behind", [2, 3, 5])
def test_a_multiplied_schedule_goes_on_where_a_crash_left_it(tmp_path, behind):
    model, _, history = train_with_a_crash(
        [1.0] * 6, lambda: ReduceLROnPlateau("loss", patience=2), behind=behind, run_dir=tmp_path, make_model=scheduled
    )
    assert history.learning_rate.tolist() == pytest.approx(RATES)
    assert weight(model) == pytest.approx(LAST_WEIGHT)


def test_a_reduction_that_no_snapshot_has_seen_is_taken_back_before_going_on(tmp_path):
    class CrashOnce(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):  # behind the reduction, before the snapshot of the epoch
            if epoch == 2:
                crash()

    model = scheduled()
    with pytest.raises(RuntimeError, match="crash"):
        train_once(model, [1.0] * 6, ReduceLROnPlateau("loss", patience=2), CrashOnce(), run_dir=tmp_path)
    history = train_once(model, [1.0] * 6, ReduceLROnPlateau("loss", patience=2), run_dir=tmp_path)
    assert history.learning_rate.tolist() == pytest.approx(RATES)
    assert weight(model) == pytest.approx(LAST_WEIGHT)


def test_a_reduction_goes_on_where_a_crash_left_it(tmp_path):
    _, (reduction,), history = train_with_a_crash(
        [1.0, 2.0, 2.0, 2.0, 2.0], lambda: ReduceLROnPlateau("loss", patience=3), behind=2, run_dir=tmp_path
    )
    assert history.learning_rate.tolist() == [0.25, 0.25, 0.25, 0.25, 0.125]
    assert reduction.best == 1.0 and reduction.wait == 1


@pytest.mark.parametrize("present", [0.8, keras.optimizers.schedules.PolynomialDecay(0.8, 8, 0.8)])
def test_the_next_fit_reduces_the_rate_that_the_last_one_left(present):
    model = halving(keras.optimizers.SGD(present))
    drive(model, [1.0, 1.0], ReduceLROnPlateau(patience=1))
    drive(model, [1.0, 1.0], ReduceLROnPlateau(patience=1))
    assert rate(model.optimizer) == pytest.approx(0.2)


@pytest.mark.skipif(not hasattr(keras.optimizers, "MultiOptimizer"), reason="Keras before 3.14 has one optimizer only")
def test_of_several_optimizers_each_rate_is_reduced():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1), keras.layers.Dense(1, name="head")])
    one, other = keras.optimizers.SGD(falling()), keras.optimizers.SGD(0.5)
    optimizers = keras.optimizers.OptimizerMap(one)
    optimizers["head/.*"] = other
    model.compile(keras.optimizers.MultiOptimizer(optimizers), "mse")
    drive(model, [1.0, 1.0, 1.0], ReduceLROnPlateau(patience=1))
    assert rate(one) == pytest.approx(0.5 / 4) and rate(other) == 0.125


def test_a_schedule_below_a_loss_scale_is_multiplied():
    model = halving(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(falling()), initial_scale=1.0))
    drive(model, [1.0, 1.0, 1.0], ReduceLROnPlateau(patience=1))
    assert rate(model.optimizer) == pytest.approx(0.5 / 4)


def rates_behind_each_epoch(reduction, losses, learning_rate=0.8):
    model, rates = halving(keras.optimizers.SGD(learning_rate)), []
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: rates.append(rate(model.optimizer)))
    drive(model, losses, reduction, note)
    return pytest.approx(rates)


def test_keras_reduction_takes_a_nan_for_the_best_value():
    reduction = keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=2)
    assert rates_behind_each_epoch(reduction, [NAN, 3.0, 2.0]) == [0.8, 0.8, 0.4]


def test_a_nan_counts_as_no_new_best():
    assert rates_behind_each_epoch(ReduceLROnPlateau(patience=2), [NAN, 3.0, 2.0, NAN, NAN]) == [0.8] * 4 + [0.4]


def test_keras_reduction_takes_small_losses_for_a_plateau():
    reduction = keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=2)
    assert rates_behind_each_epoch(reduction, [3e-5, 2e-5, 1e-5]) == [0.8, 0.8, 0.4]


def test_small_losses_that_fall_are_no_plateau():
    assert rates_behind_each_epoch(ReduceLROnPlateau(patience=2), [3e-5, 2e-5, 1e-5]) == [0.8, 0.8, 0.8]


def test_in_mode_max_the_rate_stays_while_the_value_rises():
    reduction = ReduceLROnPlateau(patience=1, mode="max")
    assert rates_behind_each_epoch(reduction, [1.0, 2.0, 3.0, 2.0]) == [0.8, 0.8, 0.8, 0.4]


def test_a_multiplied_schedule_is_saved_with_its_model(tmp_path):
    model = scheduled()
    drive(model, [1.0, 1.0], ReduceLROnPlateau(patience=1))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert rate(loaded.optimizer) == pytest.approx(0.6 / 2)  # behind two steps
    drive(loaded, [1.0, 1.0], ReduceLROnPlateau(patience=1))
    assert rate(loaded.optimizer) == pytest.approx(0.4 / 4)  # behind two more, and reduced again


def test_a_multiplied_schedule_is_that_schedule_times_a_number():
    schedule = ScaledSchedule(falling(), 0.5)
    assert [float(schedule(step)) for step in (0, 2, 8)] == pytest.approx([0.4, 0.3, 0.0])


# BestModel


def saved_weight(path) -> float:
    return weight(keras.saving.load_model(path))


def test_keras_checkpoint_keeps_the_epoch_with_a_nan_for_good(tmp_path):
    path = tmp_path / "best.keras"
    drive(halving(), [NAN, 3.0, 2.0], keras.callbacks.ModelCheckpoint(path, save_best_only=True))
    assert saved_weight(path) == 1 / 2


def test_the_best_model_is_never_that_of_a_nan(tmp_path):
    best = BestModel(run_dir=tmp_path)
    drive(halving(), [NAN, 3.0, 2.0, NAN, 2.5], best)
    assert best.best == 2.0 and saved_weight(tmp_path / "best.keras") == 1 / 8


def test_keras_checkpoint_of_a_new_process_writes_over_a_better_model(tmp_path):
    path = tmp_path / "best.keras"
    drive(halving(), [1.0], keras.callbacks.ModelCheckpoint(path, save_best_only=True))
    model = halving()
    model.set_weights([np.array([[0.75]])])
    drive(model, [5.0], keras.callbacks.ModelCheckpoint(path, save_best_only=True))
    assert saved_weight(path) == 0.375


def test_the_best_model_outlives_a_crash(tmp_path):
    _, (best,), _ = train_with_a_crash([1.0, 5.0, 5.0], lambda: BestModel("loss"), behind=1, run_dir=tmp_path)
    assert best.best == 1.0 and saved_weight(tmp_path / "best.keras") == 1 / 2


def test_the_best_model_in_mode_max_is_that_of_the_highest_value(tmp_path):
    drive(halving(), [1.0, 3.0, 2.0], BestModel(mode="max", run_dir=tmp_path))
    assert saved_weight(tmp_path / "best.keras") == 1 / 4


def half_written(path, **options):
    """Stand in for `model.save` on a disk that fills up."""
    with open(path, "wb") as file:
        file.write(b"half a fi")
    raise OSError(28, "No space left on device")


def test_keras_checkpoint_writes_over_the_last_good_file_in_place(tmp_path, monkeypatch):
    model, path = halving(), tmp_path / "best.keras"
    checkpoint = keras.callbacks.ModelCheckpoint(path, save_best_only=True)
    drive(model, [2.0], checkpoint)
    monkeypatch.setattr(model, "save", half_written)
    with pytest.raises(OSError, match="No space left"):
        drive(model, [1.0], checkpoint)
    assert path.read_bytes() == b"half a fi"


def test_a_full_disk_is_reported_once_and_leaves_the_last_good_file(tmp_path, monkeypatch):
    model = halving()
    best = BestModel(run_dir=tmp_path)
    full, free = lambda: monkeypatch.setattr(model, "save", half_written), monkeypatch.undo
    with pytest.warns(UserWarning, match=r"best\.keras was not written: .*No space left.* Training goes on") as warned:
        assert drive(model, [3.0, 1.0, 0.5], best, At(1, full)) == 3
    assert len(ours(warned)) == 1 and [path.name for path in tmp_path.iterdir()] == ["best.keras"]
    assert saved_weight(tmp_path / "best.keras") == 1 / 2 and best.best == 3.0
    free()
    best.on_epoch_end(3, {"val_loss": 2.0})  # better than what the disk holds
    assert saved_weight(tmp_path / "best.keras") == 1 / 8


def test_the_folder_of_the_best_model_is_made(tmp_path):
    drive(halving(), [1.0], BestModel(run_dir=tmp_path / "runs" / "one"))
    assert saved_weight(tmp_path / "runs" / "one" / "best.keras") == 1 / 2


def test_without_a_folder_the_best_value_is_kept_and_nothing_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    best = BestModel()
    drive(halving(), [2.0, 1.0, 3.0], best)
    assert best.best == 1.0 and not list(tmp_path.iterdir())


# AveragedWeights


def test_keras_swap_leaves_the_average_out_when_training_stops_early():
    model = averaging()
    fit(model, keras.callbacks.SwapEMAWeights(swap_on_epoch=True), Stop(1), epochs=9)
    assert weight(model) == 1 / 4


@pytest.mark.parametrize("validation", [None, ONE])
def test_the_model_ends_at_the_average_when_training_stops_early(validation):
    model = averaging()
    train(model, ONE, validation, epochs=9, callbacks=[AveragedWeights(), Stop(1)], progress=None)
    assert weight(model) == 3 / 8


def test_the_model_ends_at_the_average_of_a_whole_training():
    model = averaging()
    train(model, ONE, epochs=3, callbacks=[AveragedWeights()], progress=None)
    assert weight(model) == 1 / 4


@on_tensorflow
def test_keras_leaves_the_average_out_behind_an_exception():
    model = averaging()
    with pytest.raises(RuntimeError, match="crash"):
        fit(model, keras.callbacks.SwapEMAWeights(), At(2, crash), epochs=3)
    assert weight(model) == 1 / 4


def test_the_model_ends_at_the_average_behind_an_interruption_between_epochs():
    model = averaging()
    history = train_once(model, [1.0, 1.0, 1.0], AveragedWeights(), At(2, interrupt))
    assert len(history) == 2 and weight(model) == 3 / 8


@pytest.mark.parametrize(
    "step, average, run_eagerly", [(0, 1.0, True), (0, 1.0, False), (1, 1 / 2, True), (2, 3 / 8, False)]
)
def test_the_model_ends_at_the_average_behind_an_interruption_within_an_epoch(step, average, run_eagerly):
    model = averaging(run_eagerly=run_eagerly)
    stop = keras.callbacks.LambdaCallback(on_train_batch_begin=lambda batch, logs: batch == step and interrupt())
    data = np.ones((4, 1), "float32"), np.zeros((4, 1), "float32")
    train(model, data, batch_size=1, epochs=1, callbacks=[AveragedWeights(), stop], progress=None)
    assert weight(model) == average  # not the zero that the optimizer begins with


def test_the_model_ends_at_the_average_behind_an_exception():
    model = averaging()
    with pytest.raises(RuntimeError, match="crash"):
        train_once(model, [1.0, 1.0, 1.0], AveragedWeights(), At(2, crash))
    assert weight(model) == 3 / 8


def test_validation_sees_the_average_and_training_does_not():
    model, seen = averaging(), Seen()
    history = train(model, ONE, ONE, epochs=3, callbacks=[AveragedWeights(), seen], progress=None)
    assert seen.steps == [1 / 2, 1 / 4, 1 / 8]  # as without an average
    assert seen.ends == [1 / 2, 3 / 8, 1 / 4]
    assert history.val_loss.tolist() == [1.0, 1 / 4, 9 / 64, 1 / 16]
    assert history.loss[1:].tolist() == [1.0, 1 / 4, 1 / 16]


def test_without_validation_the_other_callbacks_see_the_average_too():
    seen = Seen()
    train(averaging(), ONE, epochs=3, callbacks=[AveragedWeights(), seen], progress=None)
    assert seen.steps == [1 / 2, 1 / 4, 1 / 8] and seen.ends == [1 / 2, 3 / 8, 1 / 4]


@pytest.mark.parametrize("behind", [1, 2])
def test_an_average_goes_on_where_a_crash_left_it(tmp_path, behind):
    model, (_, seen), _ = train_with_a_crash(
        [1.0, 1.0, 1.0], AveragedWeights, Seen, behind=behind, run_dir=tmp_path, make_model=averaging
    )
    assert seen.steps == [1 / 2, 1 / 4, 1 / 8][behind:] and seen.ends == [1 / 2, 3 / 8, 1 / 4][behind:]
    assert weight(model) == 1 / 4


def test_a_finished_run_with_an_average_goes_on_from_its_last_weights(tmp_path):
    seen = Seen()
    train_once(averaging(), [1.0, 1.0], AveragedWeights(), run_dir=tmp_path)
    model = averaging()
    train_once(model, [1.0, 1.0], AveragedWeights(), run_dir=tmp_path)
    assert weight(model) == 3 / 8
    train_once(model, [1.0, 1.0, 1.0], AveragedWeights(), seen, run_dir=tmp_path)
    assert seen.steps == [1 / 8] and weight(model) == 1 / 4


@on_jax
def test_keras_cannot_train_on_behind_an_average():
    model = averaging(run_eagerly=False)
    fit(model, epochs=1)
    with pytest.raises(TypeError, match="'NoneType' object is not callable"):  # weights and average share their arrays
        fit(model, epochs=1)


def test_a_model_with_an_average_can_be_judged_trained_on_and_saved(tmp_path):
    model = averaging(run_eagerly=False)
    # The second training begins at 3/8. Its weights are 3/16 and 3/32, and their average 9/32, then 3/16.
    for average in (3 / 8, 3 / 16):
        train(model, ONE, ONE, epochs=2, callbacks=[AveragedWeights()], progress=None)
        assert model.evaluate(*ONE, verbose=0) == average**2
        model.save(tmp_path / "model.keras")
        assert saved_weight(tmp_path / "model.keras") == average


def test_early_stopping_behind_the_average_restores_the_best_average(tmp_path):
    model = averaging()
    callbacks = [AveragedWeights(), EarlyStopping("loss", patience=2), BestModel("loss")]
    train_once(model, [2.0, 1.0, 3.0, 3.0, 3.0], *callbacks, run_dir=tmp_path)
    assert weight(model) == 3 / 8 and saved_weight(tmp_path / "best.keras") == 3 / 8


def test_the_average_leaves_other_variables_and_frozen_layers_to_the_training():
    def make():
        keras.utils.set_random_seed(1)
        frozen = keras.layers.Dense(3, name="frozen")
        layers = [frozen, keras.layers.BatchNormalization(), keras.layers.Dense(1)]
        model = keras.Sequential([keras.Input((2,)), *layers])
        frozen.trainable = False
        model.compile(keras.optimizers.SGD(0.25, use_ema=True, ema_momentum=0.5), "mse")
        return model

    x = np.arange(8, dtype="float32").reshape(4, 2) / 8
    model, plain, trained = make(), make(), []
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: trained.append(plain.get_weights()))
    train(plain, (x, x[:, :1]), epochs=2, callbacks=[note], progress=None)
    train(model, (x, x[:, :1]), (x, x[:, :1]), epochs=2, callbacks=[AveragedWeights()], progress=None)
    for variable, first, second in zip(model.weights, *trained, strict=True):
        expected = (first + second) / 2 if variable.trainable else second  # momentum 1/2; an epoch is one step
        assert np.allclose(keras.ops.convert_to_numpy(variable), expected, atol=1e-6)
    assert sum(variable.trainable for variable in model.weights) == 4  # gamma, beta, kernel, bias


def test_the_average_of_an_optimizer_below_a_loss_scale_is_found():
    inner = keras.optimizers.SGD(0.25, use_ema=True, ema_momentum=0.5)
    model = halving(keras.optimizers.LossScaleOptimizer(inner, initial_scale=1.0))
    history = train(model, ONE, ONE, epochs=3, progress=None)
    assert history.val_loss.tolist() == [1.0, 1 / 4, 9 / 64, 1 / 16] and weight(model) == 1 / 4


def test_an_optimizer_without_an_average_is_refused_before_the_first_step():
    model = halving(keras.optimizers.SGD(0.25, name="plain"))
    with pytest.raises(
        ValueError, match=r"optimizer 'plain' keeps no moving average .*make_optimizer\(average=0\.99\)"
    ):
        train(model, ONE, callbacks=[AveragedWeights()], progress=None)
    assert weight(model) == 1


@on_tensorflow
def test_keras_swap_rounds_the_weights():
    model, swap = averaging(), keras.callbacks.SwapEMAWeights()
    fit(model, epochs=1)
    swap.set_model(model)
    model.set_weights([np.array([[1e8]])])
    swap.on_test_begin()
    assert weight(model) == 0  # the average is 1/2


def test_a_swap_keeps_weights_and_average_to_the_last_bit():
    model, average = averaging(), AveragedWeights()
    fit(model, epochs=1)
    average.set_model(model)
    average.on_train_begin()
    model.set_weights([np.array([[1e8]])])
    average.on_test_begin()
    assert weight(model) == 1 / 2
    average.on_epoch_begin(1)
    assert weight(model) == 1e8


def test_keras_swap_leaves_other_weights_in_the_model_behind_a_prediction():
    model = averaging()
    fit(model, epochs=2)  # ends at the average, 3/8
    model.set_weights([np.array([[1.0]])])
    model.predict(ONE[0], callbacks=[keras.callbacks.SwapEMAWeights()], verbose=0)
    assert weight(model) == 3 / 8


def test_a_prediction_takes_the_weights_that_are_in_the_model_and_leaves_them_there():
    model = averaging()
    model.set_weights([np.array([[1.0]])])
    assert model.predict(ONE[0], callbacks=[AveragedWeights()], verbose=0).item() == 1.0
    assert weight(model) == 1.0


# BackupAndRestore, for which the snapshots of `train` stand


def test_keras_backup_deletes_its_folder_and_what_else_is_in_it(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    fit(halving(), keras.callbacks.BackupAndRestore(tmp_path), epochs=1)
    assert not tmp_path.exists()


def test_a_run_keeps_its_folder_and_what_else_is_in_it(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    train_once(halving(), [1.0], run_dir=tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine" and (tmp_path / "history.csv").exists()


def test_keras_backup_makes_a_later_fit_begin_late(tmp_path):
    with pytest.raises(RuntimeError, match="crash"):
        fit(halving(), keras.callbacks.BackupAndRestore(tmp_path), At(3, crash), epochs=4)
    model = halving()
    assert fit(model, keras.callbacks.BackupAndRestore(tmp_path), epochs=4) == 1
    assert fit(model, epochs=3) == 0


def test_a_fit_behind_a_run_that_went_on_begins_at_its_beginning(tmp_path):
    model, _, history = train_with_a_crash([1.0] * 4, behind=3, run_dir=tmp_path)
    assert len(history) == 4
    assert fit(model, epochs=3) == 3


def test_train_names_the_callbacks_of_keras_that_forget_and_ours(tmp_path):
    forgetful = {
        keras.callbacks.EarlyStopping(): "rt.callbacks.EarlyStopping",
        keras.callbacks.ReduceLROnPlateau(): "rt.callbacks.ReduceLROnPlateau",
        keras.callbacks.ModelCheckpoint(tmp_path / "b.keras", save_best_only=True): "rt.callbacks.BestModel",
        keras.callbacks.SwapEMAWeights(): "rt.callbacks.AveragedWeights",
        keras.callbacks.BackupAndRestore(tmp_path / "backup"): "the snapshots of `train`",
    }
    with pytest.warns(UserWarning) as warned:
        train(averaging(), ONE, ONE, epochs=1, callbacks=list(forgetful), run_dir=tmp_path / "run", progress=None)
    assert [str(one.message) for one in ours(warned)] == [
        f"keras.callbacks.{type(callback).__name__} forgets its state on a resume. Take {better}."
        for callback, better in forgetful.items()
    ]
    assert {one.filename for one in ours(warned)} == {__file__}  # the line that calls `train`


def test_train_says_nothing_about_keras_callbacks_without_a_run_folder():
    train(halving(), ONE, ONE, epochs=1, callbacks=[keras.callbacks.EarlyStopping()], progress=None)


def test_train_says_nothing_about_a_checkpoint_of_each_epoch(tmp_path):
    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras")
    train(halving(), ONE, ONE, epochs=1, callbacks=[checkpoint], run_dir=tmp_path / "run", progress=None)
    assert (tmp_path / "1.keras").exists()


# All together


def test_every_callback_of_ours_goes_on_and_stands_in_one_place():
    from rnn_toolkit import callbacks

    for one in (*default_callbacks(), AveragedWeights(), Monitor(), StopOnNaN()):
        assert isinstance(one, callbacks.ResumableCallback) and getattr(callbacks, type(one).__name__) is type(one)


def test_two_best_models_of_one_folder_are_refused_before_training(tmp_path):
    model, two = halving(metrics=["mae"]), [BestModel("loss"), BestModel("mae", run_dir=str(tmp_path))]
    with pytest.raises(ValueError, match=r"Two BestModel .* they watch 'loss', 'mae'\. .*run_dir='.*mae'\)"):
        train_once(model, [1.0], *two, run_dir=tmp_path)
    assert weight(model) == 1


def test_two_best_models_keep_their_files_in_two_folders(tmp_path):
    two = [BestModel("loss"), BestModel("loss", mode="max", run_dir=tmp_path / "worst")]
    train_once(halving(), [3.0, 1.0, 2.0], *two, run_dir=tmp_path)
    assert weight(load_best(tmp_path)) == 1 / 4 and weight(load_best(tmp_path / "worst")) == 1 / 2


def test_the_defaults_go_on_where_a_crash_left_them(tmp_path):
    losses = [3.0, 2.0, 4.0, 4.0, 4.0, 4.0, 4.0]
    histories, weights = [], []
    for name, action in [("whole", None), ("crashed", crash)]:
        model = halving()
        if action is not None:
            with pytest.raises(RuntimeError, match="crash"):
                train_once(
                    model,
                    losses,
                    *default_callbacks(monitor="loss", patience=4),
                    At(4, action),
                    run_dir=tmp_path / name,
                )
            model = halving()
        histories.append(
            train_once(model, losses, *default_callbacks(monitor="loss", patience=4), run_dir=tmp_path / name)
        )
        weights.append(weight(model))
    assert histories[0].learning_rate.tolist() == [0.25, 0.25, 0.25, 0.25, 0.125, 0.125]
    assert histories[0].drop(columns="seconds").equals(histories[1].drop(columns="seconds"))
    assert weights == [1 / 4, 1 / 4]
    assert saved_weight(tmp_path / "whole" / "best.keras") == saved_weight(tmp_path / "crashed" / "best.keras") == 1 / 4
