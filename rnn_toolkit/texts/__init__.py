"""From texts to classifiers, taggers and language models, and to what they say.

inputs.py        texts as people have them: lists, columns, missing ones
vocabulary.py    texts -> codes of words, characters or subwords, and back
vectors.py       pretrained word vectors for the words of a vocabulary
batches.py       texts -> padded and bucketed batches
streams.py       one long text -> streams for a language model
tags.py          tokens and their tags -> batches
layers.py        the layers between texts as codes and labels by name
next_token.py    the state that a language model carries from batch to batch
ngrams.py        a linear model of words and their pairs: fitted, and read by a network
evaluation.py    scores of tags and language models beside counts, and of what was copied
models.py        a vocabulary -> compiled keras.Sequential
transfer.py      from a language model to a classifier
recognition.py   model + texts -> tags (labels: networks/recognition.py)
explanation.py   the words that spoke for a label
sampling.py      how the next token is chosen: likeliest, drawn, from the likeliest few
generation.py    model + prompt -> text
plots.py         pictures of an explained text
"""
