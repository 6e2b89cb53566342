# %% [markdown]
# # Put the capitals back
#
# {colab}
#
# **Which word is which?** A tagger answers for each word of a text: is it a name, a verb, the end of a sentence? Here
# you take the capitals and marks of a text away, and train a network that puts them back. The text is its own teacher,
# so nobody has to label anything.
#
# At the end of this page you can
#
# - make words and tags from a text, and train a tagger that reads in both directions;
# - score it for each tag by [F1](glossary.md#f1), beside each word's usual tag.
#
# Words in blue are explained in the [glossary](glossary.md). About 1 minute on two CPU cores.

# %%
import re

import keras
import pandas as pd

import rnn_toolkit as rt

# %% tags=["parameters"]
epochs = 10  # passes through the text
seed = 0

# %%
keras.utils.set_random_seed(seed)

# %% [markdown]
# ## The text
#
# The topics that Python's `help` shows, in the order of the alphabet. The last tenth is kept back to judge by.

# %%
text = rt.datasets.load_python_topics()
cut = int(0.9 * len(text))
train_text, test_text = text[:cut], text[cut:]

# %% [markdown]
# ## Words and tags
#
# The tag "A," is a capital and a comma, "a" neither. Only prose is taken, a paragraph at a time. Look at the pairs.


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

# %%
learnt = pd.DataFrame({"word": words, "tag": tags}).explode(["word", "tag"])
axes = learnt["tag"].value_counts().plot.bar(title="How often is each tag?", xlabel="tag", ylabel="words", rot=0)

# %% [markdown]
# Nearly all words have the tag "a". A tagger that always said so would be right nine times in ten and useless. So the
# score is F1 of each tag, which is 0 for a tag that is never found.
#
# ## The usual tag first
#
# The [baseline](glossary.md#baseline): each word as it is most often written.

# %%
usual = learnt.groupby("word")["tag"].agg(lambda found: found.mode()[0])
answers = {"as usual": [[usual.get(word, "a") for word in row] for row in test_words]}

# %% [markdown]
# ## The network
#
# It reads in both directions ([bidirectional](glossary.md#bidirectional)): what follows a word often tells whether a
# sentence ends with it.

# %%
vocabulary = rt.fit_vocabulary(map(" ".join, words))
train = rt.tag_batches(words, tags, vocabulary=vocabulary, batch_size=16, shuffle=True, seed=seed)
rate = rt.make_optimizer(5e-3, schedule="one_cycle", steps=epochs * len(train))
model = rt.build_tagger(vocabulary, train.classes, optimizer=rate)
history = rt.train(model, train, epochs=epochs, progress=None)
axes = rt.plot_history(history)

# %%
answers["network"] = rt.tag(model, test_words)
scores = pd.concat({name: rt.score_tags(test_tags, given)["F1"] for name, given in answers.items()}, axis=1)
scores.loc["token"].round(2)

# %% [markdown]
# Look at the capitals, "A", and at the full stops, "a.". Any word can begin a sentence, so its usual spelling tells
# little of that. The network finds most capitals, and about half of the full stops. Commas want more text than this.
#
# ## Use it
#
# The file holds [vocabulary](glossary.md#vocabulary), network and tags.

# %%
model.save("tagger.keras")
loaded = keras.saving.load_model("tagger.keras")
table = rt.tag(loaded, ["the value of the expression must be a string if it is a list a type error is raised"])
written = " ".join(
    {"a": str.lower, "A": str.capitalize}[tag[0]](word) + tag[1:]
    for word, tag in zip(table["token"], table["tag"], strict=True)
)
written

# %% [markdown]
# ## In five lines
#
# 1. A tagger gives each word a tag; a text without its capitals is its own teacher.
# 2. It reads in both directions, as what follows often decides.
# 3. Where one tag is frequent, [accuracy](glossary.md#accuracy) says nothing; F1 of each tag does.
# 4. The usual tag of each word is the baseline.
# 5. The file holds vocabulary, network and tags.
#
# ## Exercises
#
# 1. How much is reading in both directions worth?
# 2. Which words are tagged wrongly most often?
#
# <details><summary>Solutions</summary>
#
# 1. Pass `rt.recurrent_layers("gru", (64,), return_sequences=True)` to `rt.build_tagger`: it reads forwards only. Train
#    it the same way and compare F1 of the full stops. Whether a sentence ends, the next word tells.
# 2. Put words, tags and answers side by side, `table = rt.tag(model, test_words)`, add a column with the right tags,
#    and count the words of the rows in which the two differ.
#
# </details>
#
# ## What to try next
#
# - Names, places, dates: pass lists of words and lists of tags, such as "B-PER", "I-PER" and "O", to `rt.tag_batches`;
#   `rt.score_tags` then scores whole names, too.
# - `rt.fine_tune` from a language model, where tagged text is rare.

# %%
assert written.lower().startswith("the value")
assert scores.loc["token"].loc["a", "network"] > 0.5, scores
