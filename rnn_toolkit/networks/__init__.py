"""What every model is made of, whatever it reads.

padding.py        sequences of different length as one array
targets.py        labels of any kind -> codes and weights
batches.py        batches that can be had again, rows of like length together
probing.py        a model's layers and their outputs, seen from outside
recurrent.py      recurrent layers: the cells, and all that is known of them
gates.py          the gates of recurrent layers, seen from outside
pooling.py        one vector for a sequence of steps
labels.py         the last layer of a classifier, with the labels' names; what labels each step
recognition.py    model + whatever its first layer reads -> labels by name
dropping.py       what a recurrent network drops, or pays for, while it trains
optimization.py   optimizers, learning-rate schedules, clipping
"""
