"""Fit any Keras model, and go on after whatever happened.

resumable.py      what a callback must have to go on where it was stopped
snapshots.py      a run's state on disk: whole or not at all, and checked
identity.py       what makes two calls the same run
feeding.py        training data of which every batch can be had again
interception.py   code of ours inside the compiled training step
nonfinite.py      the first value that is not finite: stop at it, and say where it came from
monitoring.py     gradients, updates, activations and gates of each epoch
callbacks.py      the standard callbacks, which keep their word
plots.py          pictures of a training and of its learning rates
progress.py       what a training shows while it runs
runs.py           a training's state, taken and put back
train.py          fit, and go on after whatever happened
fine_tuning.py    train what has learnt something else before, layer by layer
hardware.py       what there is to compute on, and training on all of it
curriculum.py     easy examples first
comparison.py     variants of a network side by side, several seeds each
search.py         which arguments make a network learn best
"""
