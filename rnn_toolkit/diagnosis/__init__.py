"""Why training goes wrong: evidence, cause, remedy.

thresholds.py       the checks, in order, and the limits at which each speaks up, with their sources
findings.py         what a check finds, and how it is told; `check` registers one
reading.py          batches of whatever data a training takes, as arrays
sample.py           rows of a data set, spread evenly over all of it
restoring.py        a model that is looked at, or trained for a while, and left as it was
layer_health.py     the state of each layer: weights, outputs, gates
gradients.py        how much of the gradient reaches each time step
dry_runs.py         trainings that are undone: the learning rate that a model bears
reference_loss.py   what a loss expects, and what it comes to: of outputs, of a perfect model, of the best constant
one_batch.py        can a model learn one batch by heart?
case.py             what checks are given: model, data and history, and each measurement of them, made once
data_checks.py      what can be wrong with the data
split_checks.py     what can be wrong between training and validation data
loss_checks.py      what can be wrong between targets, loss and last activation
model_checks.py     what can be wrong with a model, outside and inside
history_checks.py   what a history tells
diagnose.py         all checks: evidence, cause, remedy
plots.py            pictures of gradients over time and of tried learning rates
"""
