"""Why training goes wrong: evidence, cause, remedy.

findings.py         what a diagnosis says, and how it is shown
thresholds.py       the limits at which it speaks up, each with its source
reading.py          batches of whatever data a training takes, as arrays
inspection.py       a look at a model that leaves no trace
sample.py           rows of a data set, spread evenly over all of it
layer_health.py     the state of each layer: weights, outputs, gates
gradients.py        how much of the gradient reaches each time step
dry_runs.py         trainings that are undone: the bearable learning rate
one_batch.py        can a model learn one batch by heart?
case.py             what a diagnosis knows: each measurement made once, when asked for
data_checks.py      what can be wrong with the data
split_checks.py     what can be wrong between training and validation data
loss_checks.py      what can be wrong between targets, loss and last activation
model_checks.py     what can be wrong with a model, outside and inside
history_checks.py   what a history tells
diagnose.py         all checks: evidence, cause, remedy
plots.py            pictures of gradients over time and of tried learning rates
"""
