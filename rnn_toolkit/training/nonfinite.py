"""The first value that is not finite: stop at it, keep the weights from it, and say where it came from."""

import warnings

import keras
import numpy as np
from keras import ops

from rnn_toolkit.networks.optimization import unwrapped, whole
from rnn_toolkit.networks.probing import first_layer, numpy, place_in_batch
from rnn_toolkit.training.interception import Inside, intercept, is_distributed, release
from rnn_toolkit.training.resumable import ResumableCallback

LOOK_STEPS = 16  # between two looks at the gradients' flags: each look costs about as much as a very small step


class StopOnNaN(ResumableCallback):
    """Stop at the first loss or gradient that is not finite, keep the weights from it, and say where it came from.

    Keras' `TerminateOnNaN` stops after the update has made all weights NaN. Here an update with a gradient that is
    not finite is not applied, and a warning names the epoch, the step, and the first place with a non-finite value:
    inputs, targets, sample weights, a layer's output, the loss, or the gradients of some weights. A step that a
    `LossScaleOptimizer` skips while it looks for its scale is no reason to stop. The step goes into `logs`, as
    `not_finite_at_step`, and so into the history, if this stands before the callback that keeps it. Several replicas
    (`tf.distribute`): the loss is watched, the update is not withheld.

    Inputs and layers are searched where `train` hands the batches over; in Keras' own `fit`, where you do so by
    `stop.on_run(data=batches)`, with `batches[step]` the batch of a step.

    Attributes:
        stopped: Whether training was stopped.
        message: What was found, or `None`.

    Raises:
        ValueError: If the model is not built when training begins.

    Example:
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> stop = StopOnNaN()
        >>> with warnings.catch_warnings(action="ignore"):
        ...     history = model.fit(np.ones((1, 1)), np.array([[np.nan]]), epochs=9, verbose=0, callbacks=[stop])
        >>> len(history.epoch), stop.message.split(";")[0], bool(np.isfinite(model.get_weights()[0]).all())
        (1, 'The loss is not finite at epoch 1, step 1', True)
    """

    def __init__(self):
        super().__init__()
        self.stopped, self.message, self._inside = False, None, None

    def on_train_begin(self, logs=None):
        """Start to watch."""
        model = self.model
        self.stopped, self.message, self._found = False, None, None
        release(model, self._guard)  # of a `fit` that was broken off
        self._variables = list(model.trainable_variables)
        self._optimizer = unwrapped(model.optimizer)
        self._inside, self._last, self._looked = None, -1, -1  # steps of this epoch: the last one, and that looked at
        if self._optimizer is model.optimizer and not is_distributed(model):  # a loss scale guards by itself
            self._inside = Inside(sum=len(self._variables))
            intercept(model, self._guard, outermost=True)

    def on_epoch_begin(self, epoch, logs=None):
        """Remember what a bad batch changes outside the optimizer, such as the averages of a batch normalisation."""
        self._epoch = epoch
        self._averages = [(v, numpy(v)) for v in self.model.non_trainable_weights]

    def on_train_batch_begin(self, batch, logs=None):
        """Note where the step begins."""
        self._begun = batch

    def on_train_batch_end(self, batch, logs=None):
        """Stop if the loss is not finite; gradients are looked at now and then, as their updates wait anyway."""
        steps = (self.params or {}).get("steps") or batch + 1
        self._last = min(batch, steps - 1)  # with `steps_per_execution` Keras counts beyond the epoch's end
        if not np.isfinite(float((logs or {}).get("loss", 0.0))):
            self._look(self._begun, loss_is_finite=False)
        elif self._last - self._looked >= LOOK_STEPS:
            self._look(self._looked + 1)

    def _look(self, first, *, loss_is_finite=True):
        """Stop if the loss is not finite, or a gradient has not been since step `first`."""
        flags = np.zeros(0) if self._inside is None else self._inside.read()["sum"]
        self._looked = self._last
        if loss_is_finite and not flags.any():
            return
        model = self.model  # on JAX this puts the weights back into their variables
        for variable, value in self._averages:
            if not np.isfinite(numpy(variable)).all():
                variable.assign(value)
        self._found = first + 1
        where, remedy = self._first_place(model, range(first, self._last + 1), loss_is_finite, flags)
        steps = f"step {first + 1}" if self._last == first else f"steps {first + 1} to {self._last + 1}"
        what = "The loss is" if not loss_is_finite else "A gradient is"
        kept = "its update was not applied" if flags.any() else "training stops"
        self._stop(f"{what} not finite at epoch {self._epoch + 1}, {steps}; {kept}. {where} {remedy}")

    def on_epoch_end(self, epoch, logs=None):
        """Look at the last gradients, and stop if a loss scale has been lowered in vain."""
        if not self.stopped and self._last > self._looked:
            self._look(self._looked + 1)
        self._last = self._looked = -1
        if self._found is not None and logs is not None:
            logs["not_finite_at_step"] = self._found
        scale = getattr(self.model.optimizer, "dynamic_scale", None)
        if not self.stopped and scale is not None and float(numpy(scale)) < 1:
            self._stop(
                f"The gradients are not finite at epoch {epoch + 1}, although the loss scale has fallen below 1. "
                "No first place was found, as their updates were skipped. "
                "Train in float32 to see where it happens: `keras.mixed_precision.set_dtype_policy('float32')`."
            )

    def on_train_end(self, logs=None):
        """Leave optimizer and model as they were."""
        release(self.model, self._guard)

    def get_state(self) -> dict:
        """Return whether and why training was stopped, and what has not been looked at yet."""
        flags = [] if self._inside is None else self._inside.read()["sum"]
        seen = {"flags": flags, "last": self._last, "looked": self._looked}
        return {"stopped": self.stopped, "message": self.message} | seen

    def set_state(self, state: dict):
        """Go on from a state; that of a run that was stopped says so again."""
        self.stopped, self.message = state["stopped"], state["message"]
        self._last, self._looked = state.get("last", -1), state.get("looked", -1)  # earlier versions forgot them
        if self._inside is not None and len(state.get("flags", ())):
            self._inside.write(sum=state["flags"])
        if self.stopped:
            warnings.warn(f"This run was stopped and does not go on: {self.message}", stacklevel=2)

    def _guard(self, apply, grads, trainable_variables=None):
        """Apply the gradients if all are finite. Runs inside the compiled step."""
        variables = self._variables if trainable_variables is None else trainable_variables
        given = {id(v): ops.all(ops.isfinite(whole(g))) for g, v in zip(grads, variables, strict=True) if g is not None}
        finite = ops.stack([given.get(id(v), ops.ones((), "bool")) for v in self._variables])
        # A weight of no known owner counts for the decision, and not for the names.
        good, bad = ops.all(ops.stack(list(given.values()))), {"sum": 1 - ops.cast(finite, "float32")}
        if keras.backend.backend() != "jax":
            ops.cond(good, lambda: apply(grads, trainable_variables), lambda: self._inside.add(bad))
            return
        held = [*self._variables, *self._optimizer.variables]

        def update():  # assignments must not leave a branch of `jax.lax.cond` (as in Keras' LossScaleOptimizer)
            with keras.StatelessScope(state_mapping=[(v, v.value) for v in held]) as scope:
                apply(grads, trainable_variables)
            return [scope.get_current_value(v) for v in held]

        def refuse():
            self._inside.add(bad)
            return [v.value for v in held]

        for variable, value in zip(held, ops.cond(good, update, refuse), strict=True):
            variable.assign(value)

    def _first_place(self, model, steps, loss_is_finite, flags) -> tuple[str, str]:
        """Return a sentence that names the first non-finite value, and one that says what to do."""
        for step in steps if self.data is not None and not loss_is_finite else ():
            x, y, weight = (*self.data[step], None)[:3]
            for what, arrays in (("inputs", x), ("targets", y), ("sample weights", weight)):
                place = place_in_batch(arrays)
                if place:
                    return (
                        f"The first non-finite value is in the {what}: {place} of batch {step + 1}.",
                        "Fill these values or leave the rows out.",
                    )
            name = first_layer(model, x)
            if name:
                return (
                    f"The first non-finite value is in the output of layer '{name}'.",
                    "Lower the learning rate, clip the gradients (`rt.make_optimizer`), or scale the inputs.",
                )
        names = [v.path for v, bad in zip(self._variables, flags, strict=False) if bad]
        if names and loss_is_finite:
            return (
                f"The first non-finite values are the gradients of {', '.join(names[:3])}"
                + (f" and {len(names) - 3} more." if len(names) > 3 else "."),
                "Look for a root, logarithm or division near 0 in these layers or in the loss.",
            )
        if self.data is None:
            return (
                "Where it began is not known, as the batch is not.",
                "Check the data, or hand them over: `stop.on_run(data=batches)`.",
            )
        return (
            "The first non-finite value is the loss itself: the outputs for this batch are finite.",
            "Look for a logarithm or a division by 0 in the loss, or lower the learning rate.",
        )

    def _stop(self, message):
        self.stopped, self.message = True, message
        self.model.stop_training = True
        warnings.warn(message, stacklevel=2)
