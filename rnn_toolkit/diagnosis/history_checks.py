"""What a training's history says, together with the model that came out of it. Each check takes a `Case`."""

import numpy as np

from rnn_toolkit.diagnosis.case import Case
from rnn_toolkit.diagnosis.findings import Finding, check, error, percent, warning
from rnn_toolkit.networks.optimization import schedule_of
from rnn_toolkit.networks.probing import array


@check("divergence", needs="history")
def divergence(case: Case) -> Finding | None:
    """A loss that became infinite or NaN."""
    loss = case.history["loss"].to_numpy("float64")
    if np.isfinite(loss).all():
        return None
    epoch = case.history.index[np.flatnonzero(~np.isfinite(loss))[0]]
    steps = case.history["not_finite_at_step"].dropna() if "not_finite_at_step" in case.history else ()
    step = f", step {steps.iloc[0]:.0f}" if len(steps) else ""
    return error(
        f"The training loss is not finite from epoch {epoch}{step} on.",
        "A step was so large that values left the range of floats, or a NaN came in with the data.",
        "`rt.callbacks.StopOnNaN()` names the first place; then lower the rate: `rt.make_optimizer(1e-3, clip=1.0)`.",
    )


@check("learning rate too high", needs="history")
def learning_rate_too_high(case: Case) -> Finding | None:
    """Steps that jump over what they look for."""
    ratio, blows, high = _update_ratio(case), _has_diverged(case), case.limits["update_ratio_high"]
    if ratio < case.limits["update_ratio_low"] and not blows:  # steps are small: something else shakes the loss
        return None
    shaken = _oscillation(case, "loss") > case.limits["oscillation"]
    is_raised = ratio > case.limits["update_ratio_raised"]
    shaken |= is_raised and _oscillation(case, "val_loss") > case.limits["validation_oscillation"]
    if not (ratio > high or blows or shaken):
        return None
    rate, suggestion = _rate(case), case.rates.attrs["suggestion"]
    is_clear = case.rates.attrs["lowered"] or ratio > high  # of the test alone, or of steps much larger than sound ones
    if not (is_clear and rate > case.limits["rate"] * suggestion):
        return None
    return _of_rate(rate, ratio, suggestion, "Steps that large jump over the valleys of the loss, not down into them.")


@check("learning rate too low", needs="history")
def learning_rate_too_low(case: Case) -> Finding | None:
    """Steps so small that the epochs do not suffice."""
    if _has_diverged(case) or (case.has_learnt and not _is_falling(case)):
        return None
    ratio = _update_ratio(case)
    if ratio > case.limits["update_ratio_low"]:
        return None
    rate, suggestion = _rate(case), case.rates.attrs["suggestion"]
    # A test that only found the level of the targets, as a constant does, tells nothing of what is slow to learn.
    floor = case.constant_losses.get("training", np.nan)
    taught = case.rates.attrs["lowered"] and not case.rates["smoothed_loss"].min() > case.limits["by_heart"] * floor
    is_clear = taught or ratio < case.limits["update_ratio_tiny"]
    if not (is_clear and rate * case.limits["rate"] < suggestion):
        return None
    return _of_rate(rate, ratio, suggestion, "The loss falls, but so slowly that the epochs end before it is down.")


def _of_rate(rate, ratio, suggestion, cause) -> Finding:
    moved = f", and a step changed the weights by {percent(ratio)} on average" if np.isfinite(ratio) else ""
    return warning(
        f"The learning rate was {rate:.2g}{moved}; a range test suggests {suggestion:.1g}.",
        cause,
        f"Train again with `rt.make_optimizer({suggestion:.1g})`.",
    )


@check("clipping", needs="history")
def clipping(case: Case) -> Finding | None:
    """Gradients that are cut down in every step."""
    if "clipped" not in case.history:
        return None
    if case.has_learnt and not _is_falling(case):
        return None
    share, norm = case.history["clipped"].mean(), case.history["gradient_norm"].mean()
    optimizer = getattr(case.model.optimizer, "inner_optimizer", case.model.optimizer)
    limit = next(
        (one for name in ("global_clipnorm", "clipnorm", "clipvalue") if (one := getattr(optimizer, name))), None
    )
    if limit is None or not (share > case.limits["clipped"] and norm > case.limits["clip_depth"] * limit):
        return None
    return warning(
        f"{percent(share)} of the steps were clipped, to {limit:.2g}, while gradients had a mean norm of {norm:.2g}.",
        "Clipping is for rare outliers; cutting down every step makes the learning rate smaller by that much.",
        f"Allow norms up to what is usual here, `rt.make_optimizer(clip={norm:.2g})`, or scale the targets down.",
    )


@check("labels unrelated to inputs", needs="history")
def labels_unrelated(case: Case) -> Finding | None:
    """Rows that can be learnt by heart, and nothing that holds for all of them, or for others."""
    shares = {split: case.best[split] / floor for split, floor in case.constant_losses.items() if split in case.best}
    split = max(shares, key=shares.get, default=None)
    if "validation" not in shares or shares[split] < case.limits["constant"] or case.tells(split):
        return None
    if not shares.get("training", np.inf) < case.limits["by_heart"]:
        batch = case.overfit.attrs  # rows alike whose labels were mixed up take long to be learnt to the end
        if not (batch["overfits"] or batch["final"] < case.limits["by_heart"] * batch["constant"]):
            return None
    return warning(
        f"The best {split} loss, {case.best[split]:.3g}, is no better than that of a constant, "
        f"{case.constant_losses[split]:.3g}, although the network can learn training rows by heart.",
        "Inputs tell nothing of the targets of new rows: both were shuffled apart, or do not depend on each other.",
        "Look at rows beside their targets, and shuffle both alike: "
        "`order = np.random.permutation(len(x)); x, y = x[order], y[order]`.",
    )


@check("no better than a constant", needs="history")
def no_better_than_a_constant(case: Case) -> Finding | None:
    """A training that came to nothing."""
    if "training" not in case.best:
        return None
    floor = case.constant_losses.get("training", np.nan)
    if not case.best["training"] > case.limits["constant"] * floor or case.tells("training"):
        return None
    return warning(
        f"The training loss never came below {case.best['training']:.3g}; a constant has {floor:.3g}.",
        "The network answers without looking at its input, as if it had not been trained.",
        "Mend the other findings; then try the rate of `rt.find_learning_rate(model, train)`, more units, more epochs.",
    )


@check("overfitting", needs="history")
def overfitting(case: Case) -> Finding | None:
    """Training rows that are learnt better than others can be."""
    if "validation" not in case.losses or not case.has_trained:
        return None
    train, validation = case.losses["training"], case.losses["validation"]
    floor = case.constant_losses.get("validation", np.nan)
    gap = validation > case.limits["overfitting"] * train
    gap &= validation - train > case.limits["overfitting_gap"] * floor
    began, is_past = "", False
    losses = case.history["val_loss"].dropna() if "val_loss" in case.history else ()
    if len(losses):
        past = min(validation, losses.iloc[-1])  # a few batches may be harder than all; the last epoch knew them all
        is_past = past > case.limits["past_best"] * losses.min()
        is_past &= past - losses.min() > case.limits["past_best_gap"] * floor
        if is_past:
            is_past = past - losses.min() > case.limits["past_best_errors"] * case.standard_error("validation")
        began = f" On the latter it was lowest at epoch {losses.idxmin()}, with {losses.min():.3g}." if is_past else ""
    if not (gap or (is_past and validation > train)):
        return None
    weights = int(sum(np.prod(one.shape) for one in case.model.trainable_variables))
    return Finding(
        "warning" if is_past or case.best.get("validation", np.inf) > case.limits["of_no_use"] * floor else "note",
        f"The loss is {train:.3g} on training rows and {validation:.3g} on validation rows.{began}",
        f"The network has learnt its rows by heart: {weights:,} weights for {len(case.train):,} rows.",
        "Fewer units, dropout, `rt.recurrent_layers(units=(16,), dropout=0.3)`, early stopping, or more data.",
    )


@check("underfitting", needs="history")
def underfitting(case: Case) -> Finding | None:
    """A network too small for what there is to learn."""
    if "training" not in case.constant_losses or not case.has_trained:
        return None
    train, floor = case.losses["training"], case.constant_losses["training"]
    validation = case.losses.get("validation", train)
    narrow = min((_width(layer) for layer in case.recurrent.values()), default=np.inf)
    if (
        not train > case.limits["underfitting"] * floor
        or validation > case.limits["overfitting"] * train
        or narrow > case.limits["narrow"]
        or case.overfit.attrs["overfits"]  # few units are enough for a few numbers
    ):
        return None
    return warning(
        f"Training and validation loss are {train:.3g} and {validation:.3g}, a constant has {floor:.3g}, and "
        f"the narrowest layer has {narrow} unit{'s' * (narrow > 1)}.",
        "What the network can remember of a sequence has to go through that many numbers.",
        "Give it more units: `rt.recurrent_layers(units=(64,))`.",
    )


@check("stopped too early", needs="history")
def stopped_too_early(case: Case) -> Finding | None:
    """A loss that was still falling when the training ended, or had hardly begun to."""
    epochs, column = len(case.history), _watched(case)
    hardly_begun = epochs < case.limits["epochs"] and not case.has_learnt
    if not (_is_falling(case) or (hardly_begun and np.isfinite(case.history[column].iloc[-1]))):
        return None
    name, losses = "validation" if column == "val_loss" else "training", case.history[column]
    seen = f"still falling: {losses.min():.3g} was its best yet" if _is_falling(case) else f"{losses.iloc[-1]:.3g}"
    return warning(
        f"After {epochs} epoch{'s' * (epochs > 1)} the {name} loss was {seen}.",
        "The training ended before it was done.",
        f"Train on: `rt.train(model, train, validation, epochs={max(10 * epochs, 30)})`; it stops in time.",
    )


def _update_ratio(case: Case) -> float:
    """Return the mean change of the weights in a step, in their norm; of the layers' means the median."""
    ratios = [case.history[name].mean() for name in case.history if name.startswith("update_ratio/")]
    return float(np.nanmedian(ratios)) if ratios else np.nan


def _rate(case: Case) -> float:
    """Return the highest rate of a training: the present one of a schedule may have come down to next to nothing."""
    if "learning_rate" in case.history:
        return float(case.history["learning_rate"].max())
    optimizer = case.model.optimizer
    schedule = schedule_of(optimizer)
    if schedule is None:
        return float(array(optimizer.learning_rate))
    return max(float(array(schedule(step))) for step in np.linspace(0, int(array(optimizer.iterations)), 20, dtype=int))


def _has_diverged(case: Case) -> bool:
    loss = case.history["loss"].to_numpy("float64")
    finite = loss[np.isfinite(loss)]
    return len(finite) < len(loss) or bool(len(finite) > 1 and finite[-1] > 2 * finite.min() and finite[-1] > finite[0])


def _oscillation(case: Case, column: str) -> float:
    """Return how far a loss goes back and forth from epoch to epoch, in its range, on average."""
    loss = case.history[column].to_numpy("float64") if column in case.history else np.zeros(0)
    if len(loss) < 5 or not np.isfinite(loss).all() or np.ptp(loss) <= 0.01 * np.abs(loss).mean():
        return 0.0
    change = np.diff(loss)
    turns = change[1:] * change[:-1] < 0
    size = np.minimum(np.abs(change[1:]), np.abs(change[:-1]))
    return float(np.mean(np.where(turns, size, 0)) / np.ptp(loss))


def _watched(case: Case) -> str:
    return "val_loss" if "val_loss" in case.history and case.history["val_loss"].notna().any() else "loss"


def _is_falling(case: Case) -> bool:
    """Return whether the loss fell on at its end, by a good part of all that it fell, below where the model began."""
    values = case.history[_watched(case)].dropna().to_numpy("float64")
    if len(values) < 2 or not np.isfinite(values).all() or (_watched(case) == "val_loss" and values[-1] >= case.start):
        return False
    late = max(len(values) // 5, 1)
    before, after = values[:-late].min(), values[-late:].min()
    is_recent = len(values) - np.argmin(values) <= max(late // 2, 2)  # else it had stopped to fall
    return bool(is_recent and before - after > case.limits["still_falling"] * (values[0] - after))


def _width(layer) -> int:
    return int(np.min([np.prod(size) for size in np.atleast_1d(np.asarray(layer.cell.state_size, dtype=object))]))
