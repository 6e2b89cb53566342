"""What a history tells: each check at its fault, and silent without."""

import keras
import numpy as np
import pytest
from diagnosis.cases import falling, trained_case

import rnn_toolkit as rt
from rnn_toolkit.diagnosis import history_checks


def test_a_loss_that_is_not_finite_is_dated():
    assert "from epoch 2 on" in history_checks.divergence(trained_case({"loss": [1.0, np.nan, np.nan]})).evidence


def test_the_step_that_a_callback_saw_is_named():
    model = keras.Sequential([keras.Input((3, 1)), keras.layers.GRU(2), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    data = np.ones((4, 3, 1), "float32"), np.array([1, 1, np.nan, 1], "float32")
    with pytest.warns(UserWarning, match="not finite at epoch 1"):
        callbacks = [rt.callbacks.StopOnNaN()]
        history = rt.train(model, data, epochs=3, batch_size=1, callbacks=callbacks, progress=None)
    step = int(history["not_finite_at_step"].iloc[0])
    assert f"from epoch 1, step {step} on" in history_checks.divergence(trained_case(history)).evidence


def test_a_loss_that_never_fell_although_a_batch_is_learnt_by_heart_says_that_labels_are_unrelated():
    lucky = {"loss": [1.0, 0.99, 0.98], "val_loss": [0.7, 1.0, 1.0]}  # the first epoch came close to them by chance
    finding = history_checks.labels_unrelated(trained_case(lucky))
    assert finding.evidence.startswith("The best training loss, 0.98, is no better than that of a constant, 1,")
    halfway = trained_case(lucky, overfits=False)
    assert history_checks.labels_unrelated(halfway) is None
    halfway.overfit.attrs["final"] = 0.5
    assert history_checks.labels_unrelated(halfway) is not None
    assert history_checks.labels_unrelated(trained_case(falling(1, 0.5))) is None


def test_rows_learnt_by_heart_without_use_for_others_are_named():
    kept = {"loss": [1.0, 0.2], "val_loss": [1.0, 1.4]}
    assert "no better than that of a constant, 1," in history_checks.labels_unrelated(trained_case(kept)).evidence
    assert history_checks.labels_unrelated(trained_case(falling(1, 0.2))) is None


def test_nothing_is_said_of_a_network_after_too_few_epochs():
    finding = history_checks.stopped_too_early(trained_case({"loss": [0.98, 0.95, 0.96]}))
    assert finding.evidence == "After 3 epochs the training loss was 0.96."
    assert history_checks.stopped_too_early(trained_case({"loss": [0.98, 0.95, 0.96, 0.95, 0.96]})) is None
    assert history_checks.stopped_too_early(trained_case({"loss": [0.2, 0.1, 0.11]})) is None


def test_a_loss_that_still_falls_was_stopped_too_early():
    assert "After 10 epochs" in history_checks.stopped_too_early(trained_case(falling(1, 0.5))).evidence
    settled = {"loss": [1.0, 0.3, 0.2, 0.2, 0.2, 0.2], "val_loss": [1.0, 0.3, 0.2, 0.2, 0.2, 0.2]}
    assert history_checks.stopped_too_early(trained_case(settled)) is None
    waited = list(np.linspace(1, 0.5, 20)) + [0.505] * 6  # as early stopping does
    assert history_checks.stopped_too_early(trained_case({"loss": waited, "val_loss": waited})) is None


def test_a_training_that_did_not_reach_its_start_was_not_stopped_too_early():
    case = trained_case(falling(1, 0.5))
    case.start = 0.6
    assert history_checks.stopped_too_early(case) is not None
    case.start = 0.4  # as of a forecaster that starts at the best linear model
    assert history_checks.stopped_too_early(case) is None


def test_a_rate_far_above_the_range_test_is_named():
    columns = {"learning_rate": 0.5, "update_ratio/memory": 0.2}
    finding = history_checks.learning_rate_too_high(trained_case(falling(1, 1, **columns)))
    assert "The learning rate was 0.5, and a step changed the weights by 20 % on average" in finding.evidence
    assert history_checks.learning_rate_too_high(trained_case(falling(1, 1, **columns), rates=0.1)) is None


def test_a_rate_far_below_the_range_test_is_named():
    columns = {"learning_rate": 1e-5, "update_ratio/memory": 1e-5}
    finding = history_checks.learning_rate_too_low(trained_case(falling(1, 0.95, **columns)))
    assert "a range test suggests 0.001" in finding.evidence


def test_a_range_test_that_only_found_the_level_of_the_targets_says_nothing_of_a_rate_too_low():
    history = falling(1, 0.95, learning_rate=1e-5)
    assert history_checks.learning_rate_too_low(trained_case(history, reached=0.89)) is not None
    assert history_checks.learning_rate_too_low(trained_case(history, reached=0.95)) is None  # a constant has 1


def test_a_clip_far_below_the_norms_is_named():
    columns = {"clipped": 1.0, "gradient_norm": 50.0}
    finding = history_checks.clipping(trained_case(falling(1, 1, **columns)))
    assert "100 % of the steps were clipped, to 1, while gradients had a mean norm of 50" in finding.evidence
    assert history_checks.clipping(trained_case(falling(1, 1, clipped=0.3, gradient_norm=50.0))) is None


def test_a_training_that_came_to_nothing_is_named():
    assert history_checks.no_better_than_a_constant(trained_case(falling(1.1, 1.0))) is not None
    assert history_checks.no_better_than_a_constant(trained_case(falling(1.1, 0.5))) is None


def test_overfitting_tells_where_it_began():
    kept = {"loss": [0.9, 0.5, 0.1], "val_loss": [0.9, 0.6, 0.9]}
    finding = history_checks.overfitting(trained_case(kept, losses={"training": 0.1, "validation": 0.9}))
    assert "0.1 on training rows and 0.9 on validation rows. On the latter it was lowest at epoch 2" in finding.evidence
    assert finding.severity == "warning"
    by_chance = trained_case(kept, losses={"training": 0.7, "validation": 0.9}, standard_error=lambda split: 0.2)
    assert history_checks.overfitting(by_chance) is None
    even = trained_case(kept, losses={"training": 0.58, "validation": 0.6})
    assert history_checks.overfitting(even) is None


def test_a_narrow_network_that_learns_all_rows_badly_underfits():
    losses = {"training": 0.6, "validation": 0.62}
    case = trained_case(falling(1, 0.6), losses=losses, overfits=False)
    assert "the narrowest layer has 4 units" in history_checks.underfitting(case).evidence
    assert history_checks.underfitting(trained_case(falling(1, 0.6), losses=losses)) is None
    assert history_checks.underfitting(trained_case(falling(1, 0.1), losses={"training": 0.1})) is None


def test_the_rate_of_a_schedule_is_its_highest_not_where_it_ended():
    case = trained_case(falling(1, 0.99))
    decay = keras.optimizers.schedules.PolynomialDecay(1e-3, decay_steps=10, end_learning_rate=0.0)
    case.model = keras.Sequential([keras.Input((12, 2)), keras.layers.Flatten(), keras.layers.Dense(1)])
    case.model.compile(keras.optimizers.SGD(decay), "mse")
    case.model.optimizer.iterations.assign(10)
    assert float(case.model.optimizer.learning_rate) == 0
    assert history_checks.learning_rate_too_low(case) is None
    case.rates.attrs["suggestion"] = 0.1
    assert "The learning rate was 0.001;" in history_checks.learning_rate_too_low(case).evidence


def test_a_training_that_diverged_had_no_rate_too_low():
    case = trained_case({"loss": [np.nan, np.nan]}, rates=1.0)
    assert history_checks.learning_rate_too_low(case) is None
    assert history_checks.learning_rate_too_low(trained_case(falling(1, 0.99), rates=1.0)) is not None
