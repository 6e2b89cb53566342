# %% [markdown]
# # A network that writes
#
# {colab}
#
# **What comes next?** A network that answers this question, letter by letter, can write. You train one on the
# documentation of Python itself, measure it beside two models that only count, let it write, and check how much of what
# it writes is copied. Then you do the same with pieces of words.
#
# At the end of this page you can
#
# - train a language model on a text of your own, and say how good it is in [nats](glossary.md#nats) and
#   [perplexity](glossary.md#perplexity);
# - choose the [temperature](glossary.md#temperature) it writes with;
# - tell writing from copying.
#
# Words in blue are explained in the [glossary](glossary.md). About 5 minutes on two CPU cores.

# %%
import keras
import pandas as pd

import rnn_toolkit as rt

# %% tags=["parameters"]
units = 256  # units of the recurrent layer
epochs = 8  # passes through the text
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
# A [vocabulary](glossary.md#vocabulary) gives each character a number. The text is then cut into 32 streams that are
# read side by side. Each [batch](glossary.md#batch) goes on where the one before ended, so that the network can carry
# its [state](glossary.md#state) from batch to batch. The second array of a batch is the same text one character later:
# the answers.

# %%
vocabulary = rt.fit_vocabulary([train_text], unit="character")
train = rt.language_model_batches(train_text, vocabulary, batch_size=32, steps=100, shift=True, seed=seed)
test = rt.language_model_batches(test_text, vocabulary, batch_size=32, steps=100)
x, y = train[0]
vocabulary.decode(x[0, :40]), vocabulary.decode(y[0, :40])

# %% [markdown]
# ## Train
#
# An [LSTM](glossary.md#lstm), [dropout](glossary.md#dropout) of a fifth of its outputs, and a [learning
# rate](glossary.md#learning-rate) that rises and falls once. The [loss](glossary.md#loss) is in nats a character: 0
# would be a network that always knows what comes next. Look for two lines that fall together.

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
# Two [baselines](glossary.md#baseline) that only count. The unigram model knows how frequent each character is. The
# bigram model knows that "q" calls for "u". The network has read everything before. `perplexity` says between how many
# equally likely characters a model hesitates on average.

# %%
scores = rt.score_language_model(model, test_text, train=train_text)
scores.round(3)

# %% [markdown]
# ## Let it write
#
# The network offers a probability for each character, and a throw of dice decides. The temperature loads the dice:
# towards 0 the likeliest character always wins, and the text soon goes round in circles; above 1 unlikely characters
# win too often, and words fall apart.

# %%
for temperature in (0, 0.5, 1.0, 1.3):
    written = rt.generate(model, 'The "for" statement', length=length, temperature=temperature, seed=seed)
    print(f"--- temperature {temperature}\n{written}\n")

# %% [markdown]
# With `stream=True` the text comes piece by piece, while it is written. The state is carried along, so a character
# costs the same at the end of a long text as at its beginning.

# %%
for piece in rt.generate(model, "The name of the class is ", length=length, temperature=0.6, seed=seed, stream=True):
    print(piece, end="", flush=True)

# %% [markdown]
# What did it hesitate between?

# %%
rt.next_token_probabilities(model, "The value of the exp", top=5).round(3)

# %% [markdown]
# ## Is it copied?
#
# A network that has learnt its text by heart writes well, too. `copied_share` says how much of a text stands word for
# word in the training text, in runs of at least so many characters. What is much? As a measure, the same of the part
# that was kept back: people wrote it, and they repeat themselves, too.

# %%
sample = rt.generate(model, "\n\n", length=5 * length, temperature=0.8, seed=seed)
texts = {"written by the network": sample, "kept back, written by people": test_text[: 5 * length]}
copied = {
    f"runs of {run}": {name: rt.copied_share(one, train_text, length=run) for name, one in texts.items()}
    for run in (20, 40)
}
pd.DataFrame(copied).round(3)

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
# ## Keep it
#
# The file holds the vocabulary and the network; a fresh process needs nothing else.

# %%
model.save("writer.keras")
loaded = keras.models.load_model("writer.keras")
again = rt.generate(loaded, "import", length=20, temperature=0)
again, again == rt.generate(model, "import", length=20, temperature=0)

# %% [markdown]
# ## In five lines
#
# 1. A language model answers one question: what comes next? The text itself holds the answers.
# 2. It is measured in nats a character, or in perplexity, beside models that only count.
# 3. Temperature decides between going round in circles and falling apart; 0.5 to 0.8 is a good range.
# 4. What it copies is compared with what people repeat.
# 5. Pieces of words make texts shorter; `bits_per_character` compares them with letters.
#
# ## Exercises
#
# 1. Which letter is the network least sure of: the first of a word, or its last?
# 2. Train for three [epochs](glossary.md#epoch) only. Which changes more, the perplexity or the copied share?
#
# <details><summary>Solutions</summary>
#
# 1. Compare `rt.next_token_probabilities(model, "The value of the ")` with
#    `rt.next_token_probabilities(model, "The value of the expressio")`: how many characters share the probability? In
#    our run ten had more than a hundredth each at the first place, and the "n" had all of it at the last.
# 2. `epochs = 3` at the top, and run all cells. Put both tables of scores and of copied shares side by side. In our run
#    the perplexity of letters was 4.3 in place of 3.4. The copied share goes up and down with what happens to be
#    written, 0.17 in place of 0.15 in runs of 20.
#
# </details>
#
# ## What to try next
#
# - Your own text: `open("book.txt", encoding="utf-8").read()` in place of the topics; a megabyte is a good start.
# - `rt.datasets.load_tiny_shakespeare()`, with `units=384`.
# - `rt.fit_vocabulary([text])`: whole words, which suit prose better than tables and code.
# - The regularisers that made LSTMs strong: `rt.WeightDrop` around a layer, `rt.ActivationRegularization` behind it.
# - `top_p=0.9`: dice that ignore the unlikely tail.

# %%
assert scores.loc["model", "perplexity"] < len(vocabulary)  # better than rolling a fair die
assert again.startswith("import")
