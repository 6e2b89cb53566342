"""Easy examples first: which rows take part when, and that stages follow each other and go on."""

import keras
import numpy as np
import pytest
from training.one_weight import line, weight

from rnn_toolkit.training import train as train_module
from rnn_toolkit.training.curriculum import PacedBatches, train_curriculum
from rnn_toolkit.training.train import load_history


def rows(x):
    """Return y = 0 for one x."""
    return np.full((1, 1), x, "float32"), np.zeros((1, 1), "float32")


# One step of rate r on y = w x with the target 0 takes w to (1 - 2 r x²) w.
STAGES = [rows(1.0), rows(2.0)]


def test_each_stage_trains_on_its_data_from_where_the_one_before_ended():
    model = line(keras.optimizers.SGD(0.1))
    history = train_curriculum(model, STAGES, epochs=1, epochs_per_stage=2, progress=None)
    assert history["stage"].tolist() == [1, 1, 2]
    assert history.index.tolist() == [1, 2, 3]
    assert history["loss"].tolist() == pytest.approx([1.0, 0.8**2, (2 * 0.8**2) ** 2])


def test_each_stage_has_a_fresh_optimizer_at_the_rate_that_it_was_given():
    model = line(keras.optimizers.SGD(0.1))
    rates = []

    class Lower(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            rates.append(float(self.model.optimizer.learning_rate))
            assert int(self.model.optimizer.iterations) == 0

        def on_epoch_end(self, epoch, logs=None):
            self.model.optimizer.learning_rate = 0.01

    train_curriculum(model, STAGES, epochs=1, epochs_per_stage=1, callbacks=[Lower()], progress=None)
    assert rates == pytest.approx([0.1, 0.1])


def test_the_best_by_the_validation_data_goes_into_the_next_stage():
    model = line(keras.optimizers.SGD(0.5))
    # The first step goes to w = 0; on x = 2 the same rate leaves it there.
    history = train_curriculum(model, STAGES, rows(1.0), epochs=2, epochs_per_stage=1, progress=None)
    assert weight(model) == 0.0
    assert history.index.tolist() == [0, 1, 2, 3]  # the second stage starts where the first one ended


def test_a_stage_ends_at_the_average_of_its_weights_if_the_optimizer_keeps_one():
    model = line(keras.optimizers.SGD(0.25, use_ema=True, ema_momentum=0.5))
    history = train_curriculum(model, [rows(1.0), rows(1.0)], epochs=1, epochs_per_stage=2, progress=None)
    # Two steps take the weight to 0.5 and 0.25; the average of these is 0.375.
    assert history["loss"].tolist() == [1.0, 0.25, 0.375**2]


def test_a_stopped_curriculum_goes_on_where_it_was(tmp_path, monkeypatch):
    def run(folder):
        keras.utils.set_random_seed(0)
        model = line(keras.optimizers.Adam(0.1))
        history = train_curriculum(
            model, STAGES, rows(1.0), epochs=3, epochs_per_stage=2, run_dir=folder, progress=None
        )
        return weight(model), history.drop(columns="seconds")

    wanted, whole = run(tmp_path / "whole")
    real = train_module.train

    def killed(model, data, *arguments, run_dir, **options):
        if run_dir.name == "stage-2":
            real(model, data, *arguments, run_dir=run_dir, **options | {"epochs": 1})
            raise RuntimeError("killed")
        return real(model, data, *arguments, run_dir=run_dir, **options)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="killed"):
        patch.setattr(train_module, "train", killed)
        run(tmp_path / "parts")
    assert 1 in load_history(tmp_path / "parts" / "stage-2").index
    found, parts = run(tmp_path / "parts")
    assert found == wanted
    assert parts.equals(whole)


def test_ctrl_c_ends_all_stages():
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyboardInterrupt

    history = train_curriculum(line(), STAGES, epochs=2, callbacks=[Stop()], progress=None)
    assert set(history["stage"]) <= {1}


def paced(difficulty, **options):
    data = np.arange(len(difficulty)), np.arange(len(difficulty))
    return PacedBatches(data, difficulty, **options)


def test_the_share_of_rows_grows_as_in_the_paper():
    batches = paced(np.arange(100), pacing_epochs=2, initial=0.1, batch_size=50)
    # c = √(t (1 - 0.1²) + 0.1²) at t = 0, 1/4, 1/2, 3/4: 0.1, 0.507, 0.711, 0.867.
    highest = []
    for epoch in (0, 1):
        batches.set_epoch(epoch)
        seen = [np.concatenate([paced_with(seed, epoch)[index][0] for seed in range(40)]).max() for index in (0, 1)]
        highest += seen
    assert highest == [9, 50, 71, 86]


def paced_with(seed, epoch):
    batches = paced(np.arange(100), pacing_epochs=2, initial=0.1, batch_size=50, seed=seed)
    batches.set_epoch(epoch)
    return batches


def test_easy_rows_come_first_whatever_their_place_and_hard_ones_with_the_sign_changed():
    difficulty = np.array([5.0, -1.0, 3.0, 9.0])
    options = {"pacing_epochs": 9, "initial": 0.2, "batch_size": 2}
    assert set(paced(difficulty, **options)[0][0]) == {1}
    assert set(paced(-difficulty, **options)[0][0]) == {3}


def test_no_row_comes_twice_in_a_batch_that_has_enough_of_them():
    batches = paced(np.arange(100), pacing_epochs=1, initial=0.5, batch_size=50)
    assert sorted(batches[0][0]) == list(range(50))


def test_batches_depend_on_seed_epoch_and_step_alone():
    one, other = (paced(np.arange(40), batch_size=8, seed=1) for _ in range(2))
    one.set_epoch(3), other.set_epoch(3)
    assert [x.tolist() for x, _ in one] == [x.tolist() for x, _ in other]
    assert one[1][0].tolist() != one[2][0].tolist()


def test_in_keras_own_fit_the_share_grows_too():
    batches = PacedBatches((np.ones((4, 1)), np.zeros((4, 1))), np.arange(4), pacing_epochs=2, batch_size=2)
    line().fit(batches, epochs=3, verbose=0)
    assert batches.epoch in (3, 4)


@pytest.mark.parametrize("stages", [(np.ones((2, 1)), np.ones((2, 1))), [], {"easy": rows(1.0)}, iter(STAGES)])
def test_stages_in_the_wrong_form(stages):
    with pytest.raises(TypeError, match="`stages` must be a list of training data, the easiest first"):
        train_curriculum(line(), stages)


def test_a_stage_that_does_not_match_is_named():
    with pytest.raises(ValueError, match=r"`stages\[1\]` must have as many rows"):
        train_curriculum(line(), [rows(1.0), (np.ones((2, 1)), np.ones((3, 1)))])


def test_a_model_must_be_compiled():
    with pytest.raises(ValueError, match="not compiled"):
        train_curriculum(keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]), STAGES)


@pytest.mark.parametrize("wrong", ["epochs", "epochs_per_stage"])
def test_numbers_of_epochs_out_of_range(wrong):
    with pytest.raises(ValueError, match=f"`{wrong}` must be at least 1"):
        train_curriculum(line(), STAGES, **{wrong: 0})


@pytest.mark.parametrize("difficulty", [[1.0], [[1.0], [2.0]], [1.0, np.nan], 3.0])
def test_difficulties_that_are_not_one_number_a_row(difficulty):
    with pytest.raises(ValueError, match="one finite number for each of the 2 rows"):
        PacedBatches((np.ones(2), np.ones(2)), difficulty)


def test_a_data_set_has_no_rows_to_order():
    with pytest.raises(TypeError, match=r"`data` must be arrays, \(x, y\) or .* Received: PacedBatches"):
        PacedBatches(paced(np.arange(4)), np.arange(4))


@pytest.mark.parametrize("wrong", [{"pacing_epochs": 0}, {"initial": 0.0}, {"initial": 1.5}, {"batch_size": 0}])
def test_paces_out_of_range(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        paced(np.arange(4), **wrong)
