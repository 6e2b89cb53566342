"""From images, sensors and sound, whatever comes as a sequence, to labels and transcripts.

sequences.py     long tables -> a table with a sequence a row; splits that keep groups apart
batches.py       sequences and their labels -> padded and bucketed batches
layers.py        what reads sequences: padding, spectrograms, strides; what is heard, symbol by symbol
models.py        the shape of a sequence -> compiled keras.Sequential
evaluation.py    scores of labels and of transcripts
recognition.py   model + recordings -> transcripts, where their symbols stand, a label a step
streaming.py     model + a signal in chunks -> the same, while it comes in
plots.py         pictures of confusions, of recordings and what was heard in them
"""
