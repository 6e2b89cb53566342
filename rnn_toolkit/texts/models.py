"""From a vocabulary to compiled Keras models that classify texts, tag them, or say what comes next."""

import functools
from collections.abc import Sequence

import keras
import numpy as np

from rnn_toolkit._checks import whole_number
from rnn_toolkit.networks.labels import Labels, compile_for_steps
from rnn_toolkit.networks.optimization import make_optimizer
from rnn_toolkit.networks.pooling import MaskedPooling
from rnn_toolkit.networks.recurrent import recurrent_layers
from rnn_toolkit.networks.targets import checked_classes
from rnn_toolkit.texts.batches import TextBatches, check_labelled
from rnn_toolkit.texts.layers import TokenEmbedding
from rnn_toolkit.texts.next_token import NextToken
from rnn_toolkit.texts.ngrams import WithEvidence, fit_ngrams
from rnn_toolkit.texts.vocabulary import Vocabulary, check_vocabulary


def build_text_classifier(
    vocabulary: Vocabulary,
    classes: Sequence | int,
    layers: Sequence[keras.layers.Layer] | None = None,
    *,
    embedding: int | np.ndarray = 128,
    pooling: Sequence[str] = ("mean", "max"),
    dropout: float = 0.3,
    word_dropout: float = 0.0,
    multi_label: bool = False,
    linear: TextBatches | None = None,
    ngrams: int | None = None,
    optimizer: keras.optimizers.Optimizer | None = None,
) -> keras.Model:
    """Build a compiled recurrent classifier of texts; vocabulary and labels lie inside.

    An embedding, recurrent layers, and what their valid steps come to; padding changes nothing. With `linear=train` the
    model begins where a bag of words ends: a linear model of words and pairs of words is fitted at once to the training
    texts and then frozen. The network reads what that model holds against each word, beside the word's vector, and
    learns what to add to half its log odds. In training both see each text as the linear model sees a new one, by
    weights that were fitted to other texts.

    Args:
        vocabulary: What `fit_vocabulary` made of the training texts.
        classes: The labels in the order of their codes, such as `train.classes`; or their number.
        layers: Layers between embedding and pooling, the last of which returns sequences; `None` takes a bidirectional
            GRU of 64 units.
        embedding: Numbers in a word's vector; or pretrained vectors, `(len(vocabulary), numbers)`, as
            `load_word_vectors` returns them, to be trained on.
        pooling: How the steps become one vector: some of "first", "last", "mean", "max", "attention", side by side.
        dropout: Share of the embedding's channels, and of the pooled vector, to drop in training.
        word_dropout: Share of the vocabulary to drop in training.
        multi_label: Whether a text may have several labels, or none.
        linear: Labelled training batches to fit the linear model to, those that the network will be trained on; `None`
            goes without.
        ngrams: Tokens of the longest run that it weighs; `None` takes 4 characters, or 2 of other tokens.
        optimizer: Any Keras optimizer; `None` takes `make_optimizer()`.

    Returns:
        `keras.Sequential`, or with `linear` another `keras.Model`, from codes, int32 `(batch, timesteps)`, to
        probabilities, `(batch, classes)`, with accuracy as its metric.

    Raises:
        TypeError, ValueError: If there is no vocabulary, fewer than two classes, an unknown pooling, or vectors or
            training batches of another vocabulary or of other classes.

    Example:
        >>> from rnn_toolkit import fit_vocabulary
        >>> vocabulary = fit_vocabulary(["good", "so bad"])
        >>> build_text_classifier(vocabulary, ["bad", "good"]).output_shape
        (None, 2)

    Source: A model that learns from another one's answers to texts held out: Wolpert, 1992, "Stacked generalization",
        Neural Networks 5(2).
    """
    check_vocabulary(vocabulary)
    classes = checked_classes(classes, multi_label)
    if ngrams is not None:
        whole_number(ngrams, "ngrams")
    if linear is not None:
        check_labelled(linear, "linear", vocabulary=vocabulary, classes=classes, multi_label=multi_label)
    codes = keras.Input((None,), dtype="int32")
    below = [_token_embedding(vocabulary, embedding, word_dropout), keras.layers.SpatialDropout1D(dropout)]
    above = [*_layers_or_default(layers), MaskedPooling(pooling), keras.layers.Dropout(dropout)]
    if linear is None:
        labels = Labels(classes, multi_label=multi_label)
        model = keras.Sequential([codes, *below, *above, labels], name="text_classifier")
    else:
        is_spelled = vocabulary.has_single_characters
        logits, evidence = fit_ngrams(linear, longest=ngrams or (4 if is_spelled else 2), ends=is_spelled)(codes)
        outputs = WithEvidence()([_applied(below, codes), evidence])
        # The network adds nothing until it has learnt something.
        labels = Labels(classes, multi_label=multi_label, kernel_initializer="zeros")
        model = keras.Model(codes, labels(_applied(above, outputs), linear=logits), name="text_classifier")
    kind = (
        ("binary_crossentropy", "binary_accuracy") if multi_label else ("sparse_categorical_crossentropy", "accuracy")
    )
    model.compile(optimizer or make_optimizer(), loss=kind[0], metrics=[kind[1]])
    return model


def build_tagger(
    vocabulary: Vocabulary,
    tags: Sequence | int,
    layers: Sequence[keras.layers.Layer] | None = None,
    *,
    embedding: int | np.ndarray = 64,
    dropout: float = 0.3,
    optimizer: keras.optimizers.Optimizer | None = None,
) -> keras.Sequential:
    """Build a compiled recurrent tagger, which labels each token of a text; vocabulary and tags lie inside.

    Train it on `tag_batches`. Its loss is a mean over the tokens of a batch, its accuracy one over all tokens.

    Args:
        vocabulary: What `fit_vocabulary` made of the training texts, of words or characters.
        tags: The tags in the order of their codes, such as `train.classes`; or their number.
        layers: Layers between embedding and tags, which return sequences; `None` takes a bidirectional GRU of 64 units,
            as what follows a token often tells its tag.
        embedding: Numbers in a token's vector; or pretrained vectors, as in `build_text_classifier`.
        dropout: Share of the embedding's channels to drop in training.
        optimizer: Any Keras optimizer; `None` takes `make_optimizer()`.

    Returns:
        `keras.Sequential` from codes, int32 `(batch, timesteps)`, to probabilities, `(batch, timesteps, tags)`.

    Raises:
        TypeError, ValueError: If there is no vocabulary, fewer than two tags, vectors of another vocabulary, or the
            layers return only the last step.

    Example:
        >>> from rnn_toolkit import fit_vocabulary
        >>> build_tagger(fit_vocabulary(["Paris sleeps"]), ["B", "O"]).output_shape
        (None, None, 2)

    Source: Huang et al., 2015, "Bidirectional LSTM-CRF models for sequence tagging", arXiv:1508.01991; without the CRF.
    """
    check_vocabulary(vocabulary)
    below = [_token_embedding(vocabulary, embedding), keras.layers.SpatialDropout1D(dropout)]
    above = [*_layers_or_default(layers), Labels(checked_classes(tags))]
    model = keras.Sequential([keras.Input((None,), dtype="int32"), *below, *above], name="tagger")
    compile_for_steps(model, optimizer or make_optimizer())
    return model


def build_language_model(
    vocabulary: Vocabulary,
    layers: Sequence[keras.layers.Layer] | None = None,
    *,
    embedding: int | None = None,
    tied: bool | None = None,
    word_dropout: float = 0.0,
    batch_size: int = 64,
    optimizer: keras.optimizers.Optimizer | None = None,
) -> keras.Sequential:
    """Build a compiled model that says which token comes next, after all that it has read; the vocabulary lies inside.

    Train it on `language_model_batches`: the state goes on from batch to batch. Its loss is in nats a token.

    Args:
        vocabulary: What `fit_vocabulary` made of the training text.
        layers: One-way recurrent layers that return sequences, with `keras.layers.SpatialDropout1D`,
            `ActivationRegularization` and the like between them, and `WeightDrop` around them; `None` takes an LSTM of
            384 units and dropout.
        embedding: Numbers in a token's vector; `None` takes 64 for characters and 256 for others.
        tied: Whether the embedding also scores the outputs; `None` does so unless the tokens are characters.
        word_dropout: Share of the vocabulary to drop in training.
        batch_size: Rows whose state is kept, those of `language_model_batches`; `train` refuses batches of more.
        optimizer: Any Keras optimizer; `None` takes `make_optimizer()`.

    Returns:
        `keras.Sequential` from codes, int32 `(batch, timesteps)`, to logits, `(batch, timesteps, len(vocabulary))`.

    Raises:
        TypeError, ValueError: If there is no vocabulary, or the layers read backwards, return the last step only or
            hold nothing recurrent.

    Example:
        >>> from rnn_toolkit import fit_vocabulary
        >>> vocabulary = fit_vocabulary(["to be"], unit="character")
        >>> layers = recurrent_layers("gru", (8,), return_sequences=True)
        >>> build_language_model(vocabulary, layers).output_shape
        (None, None, 7)

    Source: Merity et al., 2018, "Regularizing and optimizing LSTM language models", ICLR.
    """
    check_vocabulary(vocabulary)
    whole_number(batch_size, "batch_size")
    if layers is None:
        layers = [*recurrent_layers("lstm", (384,), return_sequences=True), keras.layers.SpatialDropout1D(0.2)]
    is_spelled = vocabulary.has_single_characters
    width = (64 if is_spelled else 256) if embedding is None else whole_number(embedding, "embedding")
    tied = not is_spelled if tied is None else tied
    # Keras' own start, within 0.05 of zero, tells tokens apart so faintly that the first epochs learn little; but
    # vectors that also score the outputs must start small, or the first guesses are far too sure.
    start = "uniform" if tied else keras.initializers.RandomNormal(stddev=1.0)
    embed = TokenEmbedding(vocabulary, width, word_dropout=word_dropout, mask_zero=False, embeddings_initializer=start)
    core = NextToken(embed, layers, tied=tied, batch_size=batch_size, name="next_token")
    model = keras.Sequential([keras.Input((None,), dtype="int32"), core], name="language_model")
    model.compile(optimizer or make_optimizer(), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def _token_embedding(vocabulary, embedding, word_dropout=0.0) -> TokenEmbedding:
    """Return a layer of new vectors of a width, or of given ones."""
    is_given = isinstance(embedding, np.ndarray)
    if is_given and (embedding.ndim != 2 or len(embedding) != len(vocabulary)):
        raise ValueError(
            f"`embedding` must have a row for each of the {len(vocabulary)} codes. Received: shape "
            f"{embedding.shape}. Load the vectors with this vocabulary: `rt.load_word_vectors(path, vocabulary)`."
        )
    width = embedding.shape[1] if is_given else whole_number(embedding, "embedding")
    start = keras.initializers.Constant(0.0) if is_given else "uniform"
    layer = TokenEmbedding(vocabulary, width, word_dropout=word_dropout, embeddings_initializer=start)
    if is_given:
        layer.build((None, None))
        layer.embeddings.assign(embedding)
    return layer


def _layers_or_default(layers):
    """Return a bidirectional GRU where no layers are given."""
    return recurrent_layers("gru", (64,), bidirectional=True, return_sequences=True) if layers is None else layers


def _applied(layers, inputs):
    """Return what layers make of a tensor, one after the other."""
    return functools.reduce(lambda outputs, layer: layer(outputs), layers, inputs)
