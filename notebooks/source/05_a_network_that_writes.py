# %% [markdown]
# # A network that writes
#
# {colab}
#
# **What comes next?** A network that answers this question, letter by letter, can write. You train one on the
# documentation of Python itself, measure it beside two models that only count, let it write with more and less daring,
# and check how much of what it writes is copied. Then the same with pieces of words; and in the end another network
# puts back the capitals and commas that you take away.
#
# About 5 minutes on two CPU cores.

# %%
import re

import keras
import pandas as pd

import rnn_toolkit as rt

# %% tags=["parameters"]
units = 256  # units of the recurrent layer
epochs = 10  # passes through the text
length = 300  # characters to write
seed = 0

# %%
keras.utils.set_random_seed(seed)

# %% [markdown]
# ## The text
#
# Every Python carries the topics that `help("for")` shows: English prose, grammar rules and code. The order is
# alphabetical; the last tenth is kept back to judge by.

# %%
text = rt.datasets.load_python_topics()
cut = int(0.9 * len(text))
train_text, test_text = text[:cut], text[cut:]
print(text[100_000:100_600])

# %% [markdown]
# ## What the network sees
#
# A vocabulary gives each character a number. The text is then cut into parallel streams: row by row, each batch goes
# on where the one before ended, so that the network can carry what it has in mind from batch to batch. The second
# array of a batch is the same text one character later: the answers.

# %%
vocabulary = rt.fit_vocabulary([train_text], unit="character")
train = rt.language_model_batches(train_text, vocabulary, batch_size=32, steps=100, shift=True, seed=seed)
test = rt.language_model_batches(test_text, vocabulary, batch_size=32, steps=100)
x, y = train[0]
vocabulary.decode(x[0, :40]), vocabulary.decode(y[0, :40])

# %% [markdown]
# ## Train
#
# An LSTM, its outputs dropped out by a fifth, and a learning rate that rises and falls once. The loss is in nats a
# character: 0 would be a network that always knows what comes next.

# %%
model = rt.build_language_model(
    vocabulary,
    [*rt.recurrent_layers("lstm", (units,), return_sequences=True), keras.layers.SpatialDropout1D(0.2)],
    batch_size=32,
    optimizer=rt.make_optimizer(4e-3, schedule="warmup_cosine", steps=epochs * len(train)),
)
history = rt.train(model, train, test, epochs=epochs)
_ = rt.plot_history(history)

# %% [markdown]
# ## Is that good?
#
# A unigram model knows how frequent each character is. A bigram model knows that "q" calls for "u". The network has
# read everything before. `perplexity` says between how many equally likely characters a model hesitates on average.

# %%
scores = rt.score_language_model(model, test_text, train=train_text)
scores.round(3)

# %% [markdown]
# ## Let it write
#
# The network offers a probability for each character, and dice decide. The *temperature* bends the dice: towards 0 only
# the likeliest character has a chance, which soon goes round in circles; above 1 the unlikely ones win too often.

# %%
for temperature in (0, 0.5, 1.0, 1.3):
    written = rt.generate(model, 'The "for" statement', length=length, temperature=temperature, seed=seed)
    print(f"--- temperature {temperature}\n{written}\n")

# %% [markdown]
# Watch it work: with `stream=True` the text comes piece by piece. The state is carried along, so a character costs the
# same at the end of a long text as at its beginning.

# %%
for piece in rt.generate(model, "An expression", length=length, temperature=0.5, seed=seed, stream=True):
    print(piece, end="", flush=True)

# %% [markdown]
# What did it hesitate between?

# %%
rt.next_token_probabilities(model, "The value of the exp", top=5).round(3)

# %% [markdown]
# ## Is it copied?
#
# A network that has learnt its text by heart writes well, too. This is the share of what it wrote that stands word for
# word in the training text, in runs of at least 20 and of at least 40 characters.

# %%
sample = rt.generate(model, "\n\n", length=5 * length, temperature=0.8, seed=seed)
{run: round(rt.copied_share(sample, train_text, length=run), 3) for run in (20, 40)}

# %% [markdown]
# ## Pieces of words instead of letters
#
# A subword vocabulary gives frequent words a number of their own and spells rare ones in pieces, down to single bytes:
# nothing is unknown, and white space is kept. Texts get several times shorter, so the network sees further back with
# the same number of steps. Nats a letter and nats a piece are different things; `bits_per_character` compares them.

# %%
pieces = rt.fit_vocabulary([train_text], unit="subword", size=2000)
[pieces.decode([code]) for code in pieces.encode("The iterator is exhausted.")]

# %%
piece_train = rt.language_model_batches(train_text, pieces, batch_size=16, steps=50, shift=True, seed=seed)
piece_test = rt.language_model_batches(test_text, pieces, batch_size=16, steps=50)
piece_model = rt.build_language_model(
    pieces,
    [
        keras.layers.SpatialDropout1D(0.3),
        *rt.recurrent_layers("lstm", (units,), return_sequences=True),
        keras.layers.SpatialDropout1D(0.3),
    ],
    batch_size=16,
    word_dropout=0.1,
    optimizer=rt.make_optimizer(4e-3, schedule="one_cycle", steps=epochs * len(piece_train)),
)
rt.train(piece_model, piece_train, piece_test, epochs=epochs)
piece_scores = rt.score_language_model(piece_model, test_text, train=train_text)
pd.concat({"letters": scores, "pieces": piece_scores}).round(3)

# %%
print(rt.generate(piece_model, 'The "for" statement', length=100, temperature=0.8, seed=seed))

# %% [markdown]
# ## Put the capitals back
#
# A text can be its own teacher in another way: take its capitals and marks away, and a network can learn to put them
# back. `rt.build_tagger` gives each word a tag, and reads in both directions, as what follows a word often tells. The
# tag "A," is a capital and a comma, "a" neither. Only prose is taken here, a paragraph at a time.


# %%
def taken_off(paragraph):
    """Return the words without capitals and marks, and the tags that bring them back."""
    parts = re.findall(r"(\w+)([,.:;?!]?)", paragraph)
    return [word.lower() for word, _ in parts], ["aA"[word[0].isupper()] + mark for word, mark in parts]


def prose_of(text):
    """Return words and tags of each paragraph that is no code and no table."""
    paragraphs = [one for one in text.split("\n\n") if re.match(r"[A-Z]\w*[ ,]", one) and "\n " not in one]
    return zip(*map(taken_off, paragraphs), strict=True)


words, tags = prose_of(train_text)
test_words, test_tags = prose_of(test_text)
list(zip(words[0], tags[0], strict=True))[:12]

# %% [markdown]
# Beside the network: each word as it is most often written. Look at the capitals, "A", and at the full stops, "a.".

# %%
word_vocabulary = rt.fit_vocabulary(map(" ".join, words))
tag_train = rt.tag_batches(words, tags, vocabulary=word_vocabulary, batch_size=16, shuffle=True, seed=seed)
rate = rt.make_optimizer(5e-3, schedule="one_cycle", steps=epochs * len(tag_train))
tagger = rt.build_tagger(word_vocabulary, tag_train.classes, optimizer=rate)
rt.train(tagger, tag_train, epochs=epochs, progress=None)
learnt = pd.DataFrame({"word": words, "tag": tags}).explode(["word", "tag"])
usual = learnt.groupby("word")["tag"].agg(lambda found: found.mode()[0])
answers = {
    "network": rt.tag(tagger, test_words),
    "as usual": [[usual.get(word, "a") for word in row] for row in test_words],
}
tag_scores = pd.concat({name: rt.score_tags(test_tags, given)["F1"] for name, given in answers.items()}, axis=1)
tag_scores.loc["token"].round(2)

# %% [markdown]
# Any word can begin a sentence, so its usual spelling tells little of that; the network finds most capitals, and about
# half of the full stops. Commas want more text than this.

# %%
table = rt.tag(tagger, ["the value of the expression must be a string if it is a list a type error is raised"])
" ".join(
    {"a": str.lower, "A": str.capitalize}[tag[0]](word) + tag[1:]
    for word, tag in zip(table["token"], table["tag"], strict=True)
)

# %% [markdown]
# ## Keep it
#
# The file holds the vocabulary and the network; a fresh process needs nothing else.

# %%
model.save("writer.keras")
loaded = keras.models.load_model("writer.keras")
again = rt.generate(loaded, "import", length=20, temperature=0)
again, again == rt.generate(model, "import", length=20, temperature=0)

# %% [markdown]
# ## What to try next
#
# - Your own text: `open("book.txt", encoding="utf-8").read()` in place of the topics; a megabyte is a good start.
# - `rt.datasets.load_tiny_shakespeare()`, with `units=384`.
# - `rt.fit_vocabulary([text])`: whole words, which suit prose better than tables and code.
# - The regularisers that made LSTMs strong: `rt.WeightDrop` around a layer, `rt.ActivationRegularization` behind it.
# - `top_p=0.9`: dice that ignore the unlikely tail.
# - A tagger of your own: pass lists of words and lists of tags, such as "B-PER", "I-PER" and "O", to `rt.tag_batches`;
#   `rt.score_tags` then scores whole names, too.

# %%
assert scores.loc["model", "perplexity"] < len(vocabulary)  # better than rolling a fair die
assert again.startswith("import")
