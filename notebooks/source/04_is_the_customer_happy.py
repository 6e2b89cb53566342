# %% [markdown]
# # Is the customer happy?
#
# {colab}
#
# **Is a message to a support desk angry, happy, or just a question?** You train a recurrent network on a column of
# texts and a column of labels, put a bag of words beside it, look at what both get wrong, and let the network mark the
# words that led it to its answer.
#
# At the end of this page you can
#
# - turn texts into batches, and train a classifier that reads them in both directions;
# - say what it is worth beside a bag of words, on few texts and on texts where the order of the words decides;
# - look at its errors, and at the words behind an answer.
#
# Words in blue are explained in the [glossary](glossary.md). About 2 minutes on two CPU cores.

# %%
import keras
import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import rnn_toolkit as rt

# %% tags=["parameters"]
epochs = 10  # passes through the training messages
seeds = [0, 1, 2]  # one network each
length = None  # words of a message to read at most, its last ones
own_file = None  # path of your own CSV file, with the columns `message`, `sentiment` and `split`

# %% [markdown]
# ## The data
#
# 918 short messages in three moods, written for this project. Almost half of them are hard on purpose: irony, negation,
# praise and blame in one sentence. `split` says which are to learn from, to choose by, and to judge by.

# %%
frame = rt.datasets.load_support_messages() if own_file is None else pd.read_csv(own_file).assign(hard="")
train_rows, validation_rows, test_rows = (frame[frame["split"] == part] for part in ("train", "validation", "test"))
frame.sample(5, random_state=seeds[0])

# %%
counts = frame.groupby(["split", "sentiment"]).size().unstack()
axes = counts.plot.barh(figsize=(9, 2.5), stacked=True, title="Messages", xlabel="number of messages", ylabel="")
_ = axes.legend(loc="upper left", bbox_to_anchor=(1, 1))

# %% [markdown]
# ## A bag of words first
#
# It counts words and pairs of words, and ignores all else about their order. It is quick. On few texts it is hard to
# beat. It is the [baseline](glossary.md#baseline) of this page.

# %%
bag = make_pipeline(
    TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+|[^\w\s]"),
    LogisticRegression(C=10, max_iter=1000),
)
bag.fit(train_rows["message"], train_rows["sentiment"])
bag_accuracy = bag.score(test_rows["message"], test_rows["sentiment"])
f"bag of words: {bag_accuracy:.1%} of {len(test_rows)} test messages"

# %% [markdown]
# ## From texts to numbers
#
# The [vocabulary](glossary.md#vocabulary) is made from the training messages only. Messages of like length share a
# [batch](glossary.md#batch), so that little of it is [padding](glossary.md#padding).

# %%
vocabulary = rt.fit_vocabulary(train_rows["message"])
reading = {"vocabulary": vocabulary, "length": length}
train = rt.text_batches(train_rows["message"], train_rows["sentiment"], batch_size=32, shuffle=True, **reading)
validation = rt.text_batches(validation_rows["message"], validation_rows["sentiment"], classes=train.classes, **reading)
vocabulary, train, f"{train.padding:.0%} padding"

# %% [markdown]
# ## A plain GRU first
#
# An [embedding](glossary.md#embedding) gives each word a list of numbers. A [GRU](glossary.md#gru) reads the message
# in both directions. What it noted at each word is summed up in a mean and a maximum, and a last layer answers. Few
# messages want a small network: 16 [units](glossary.md#unit), lists of 16 numbers.

# %%
small = rt.recurrent_layers("gru", (16,), bidirectional=True, return_sequences=True)
options = {"embedding": 16, "dropout": 0.5, "word_dropout": 0.3}


def schedule():
    return rt.make_optimizer(3e-3, schedule="one_cycle", steps=epochs * len(train))


keras.utils.set_random_seed(seeds[0])
plain = rt.build_text_classifier(vocabulary, train.classes, small, optimizer=schedule(), **options)
history = rt.train(plain, train, validation, epochs=epochs, progress=None)
plain_accuracy = (rt.classify(plain, test_rows["message"], length=length)["label"] == test_rows["sentiment"]).mean()
f"GRU alone: {plain_accuracy:.1%}; bag of words: {bag_accuracy:.1%}"

# %% [markdown]
# Alone it is behind the bag of words: 642 messages are too few to learn from nothing what each word means.
#
# ## The GRU with a linear model inside
#
# `linear=train` puts a bag of words of its own into the model. It is fitted at once. The network sees what that bag
# holds against each word, and learns what to add to its answer. While it trains, each message is judged by a bag that
# has not seen this message; otherwise nothing would be left to learn.
#
# On 138 test messages a score swings by a point or two from [seed](glossary.md#seed) to seed. So three networks are
# trained from three seeds, and vote. Look at the picture: the [loss](glossary.md#loss) starts low, at what the bag
# knows.

# %%
models = []
for seed in seeds:
    keras.utils.set_random_seed(seed)
    model = rt.build_text_classifier(
        vocabulary,
        train.classes,
        rt.recurrent_layers("gru", (16,), bidirectional=True, return_sequences=True),
        linear=train,
        optimizer=schedule(),
        **options,
    )
    history = rt.train(model, train, validation, epochs=epochs, progress=None)
    models.append(model)
axes = rt.plot_history(history)

# %% [markdown]
# ## Side by side

# %%
answers = [rt.classify(model, test_rows["message"], length=length) for model in models]
mean = sum(answer[train.classes] for answer in answers) / len(answers)
test_rows = test_rows.assign(network=mean.idxmax(axis=1), bag=bag.predict(test_rows["message"]))
right = test_rows[["network", "bag"]].eq(test_rows["sentiment"], axis=0)
table = pd.concat([right.mean().rename("all"), right.groupby(test_rows["hard"].replace("", "plain")).mean().T], axis=1)
table.round(2)

# %% [markdown]
# On 138 messages a point is one message or two, so this table alone proves little. A better measure asks about five
# parts of the other messages in turn, four times over: there the networks get 72.0 % right and the bag 71.3 %, with a
# [loss](glossary.md#loss) of 0.62 beside 0.66. That is a small lead. Most of what the model knows is the linear
# model's. Without the baseline it would have looked like an achievement of the network.
#
# All scores. The last row lets the networks and the bag vote together: do they err on the same messages?

# %%
both = (mean + pd.DataFrame(bag.predict_proba(test_rows["message"]), mean.index, bag.classes_)) / 2
accuracy = pd.Series(
    {"GRU alone": plain_accuracy}
    | {
        f"network, seed {seed}": answer["label"].eq(test_rows["sentiment"]).mean()
        for seed, answer in zip(seeds, answers, strict=True)
    }
    | {"networks, voting": right["network"].mean(), "bag of words": right["bag"].mean()}
    | {"networks and bag, voting": both.idxmax(axis=1).eq(test_rows["sentiment"]).mean()},
    name="test accuracy",
)
accuracy.round(3)

# %% [markdown]
# ## Where order decides
#
# A bag of words cannot tell "not bad, it is good" from "not good, it is bad": the same words. How much is that worth?
# Take messages where nothing but the order decides. Two things are named, and one of them was broken: which came
# **first**, the broken or the other one? 600 such sentences are made from thirteen words; 400 are
# to learn from.

# %%
things = ["door", "lamp", "screen", "cable", "clock", "chair", "radio", "fan"]
generator = np.random.default_rng(0)
sentences, labels = [], []
for _ in range(600):
    one, other = generator.choice(things, 2, replace=False)
    words = generator.permutation([f"the broken {one}", f"the new {other}"])
    sentences.append(f"{words[0]} came before {words[1]}")
    labels.append("broken first" if "broken" in words[0] else "new first")
counting = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(C=10)).fit(
    sentences[:400], labels[:400]
)
order_words = rt.fit_vocabulary(sentences[:400])
order_train = rt.text_batches(sentences[:400], labels[:400], vocabulary=order_words, shuffle=True)
reader = rt.build_text_classifier(order_words, order_train.classes, optimizer=rt.make_optimizer(1e-2))
_ = rt.train(reader, order_train, epochs=max(epochs, 5), progress=None)
order_accuracy = (rt.classify(reader, sentences[400:])["label"] == labels[400:]).mean()
f"bag of words: {counting.score(sentences[400:], labels[400:]):.0%}, GRU: {order_accuracy:.0%}"

# %% [markdown]
# The bag guesses; the network reads. Real texts lie in between, and on most of them single words tell nearly all.
#
# ## Look at the errors
#
# The messages that the networks were surest about, and wrong.

# %%
wrong = test_rows[test_rows["network"] != test_rows["sentiment"]].assign(sure=mean.max(axis=1))
pd.set_option("display.max_colwidth", None)
wrong.nlargest(5, "sure")[["message", "sentiment", "network", "sure"]].round(2)

# %% [markdown]
# ## Which words did it?
#
# `rt.explain_text` says how much each word spoke for the label, or against it. Words in deep blue led the network to
# its answer. Pale ones hardly count.

# %%
best = models[0]
for message in wrong.nlargest(2, "sure")["message"]:
    rt.plot_explanation(rt.explain_text(best, message))

# %% [markdown]
# ## Use it
#
# The file holds vocabulary, network and labels: raw text in, labels by name out, in any process that has imported
# `rnn_toolkit`.

# %%
best.save("mood.keras")
mood = keras.models.load_model("mood.keras")
messages = ["Took three weeks, but it works.", "Where do I change my address?", "Broken again. Third time this month."]
rt.classify(mood, messages).round(2).assign(message=messages)

# %% [markdown]
# ## In five lines
#
# 1. A column of texts and a column of labels are all it takes; the vocabulary comes from the training rows.
# 2. On few texts a bag of words is hard to beat, and a plain GRU is behind it.
# 3. With the bag inside, the network begins at its answer and adds a little.
# 4. Where the order of words decides, a bag guesses and a network reads.
# 5. Errors are looked at one by one, and each answer can be traced to its words.
#
# ## Exercises
#
# 1. Take away half of the training messages. Who loses more, the GRU alone or the one with a bag inside?
# 2. Write three messages that fool the network, and see by `rt.explain_text` why.
#
# <details><summary>Solutions</summary>
#
# 1. `train_rows = train_rows.iloc[::2]` above the bag, and run the cells below it again. In our run the GRU alone fell
#    from 0.69 to 0.55, the networks with a bag inside, voting, from 0.70 to 0.64.
# 2. Irony works now and then. "Thanks for nothing." is called positive, and both "Thanks" and "nothing" count for that.
#    "Great, broken again." does not fool it: "again" says enough.
#
# </details>
#
# ## What to try next
#
# - Your own texts: set `own_file` at the top.
# - More texts. With 5,000 film reviews to learn from, the model gets 89.1 % of 25,000 test reviews right, the bag
#   88.2 % (seed 0). These lines make the file (84 MB to download, once). Set `own_file = "films.csv"`, `epochs = 4`,
#   `seeds = [0]` and `length = 400` at the top, and run all cells again: 3 minutes on two CPU cores.
#
#   ```python
#   films = rt.datasets.load_imdb().rename(columns={"review": "message"})
#   known = films[films["split"] == "train"].sample(6_000, random_state=0)
#   known = known.assign(split=["train"] * 5_000 + ["validation"] * 1_000)
#   pd.concat([known, films[films["split"] == "test"]]).to_csv("films.csv", index=False)
#   ```
#
# - Few labels, much text: train a language model on all of it, then `rt.classifier_from_language_model` and
#   `rt.fine_tune`.
# - Pretrained word vectors: `matrix, coverage = rt.load_word_vectors("glove.6B.100d.txt", vocabulary)`, then
#   `rt.build_text_classifier(..., embedding=matrix)`.
# - Several labels for a text: pass lists of labels to `rt.text_batches`, and `multi_label=True`.

# %%
assert mood.layers[-1].classes == sorted(frame["sentiment"].unique())
assert len(wrong) < len(test_rows) and 0 <= plain_accuracy <= 1
assert order_accuracy > 0.8, order_accuracy
