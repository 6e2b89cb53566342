"""From a language model to a classifier: what is copied, frozen, slowed down, and kept over an interruption."""

import keras
import numpy as np
import pytest

from rnn_toolkit.networks.dropping import ActivationRegularization, WeightDrop
from rnn_toolkit.networks.recurrent import recurrent_layers
from rnn_toolkit.texts.batches import text_batches
from rnn_toolkit.texts.layers import Labels, TokenEmbedding, text_layer_of
from rnn_toolkit.texts.models import build_language_model
from rnn_toolkit.texts.next_token import NextToken
from rnn_toolkit.texts.ngrams import NgramEvidence
from rnn_toolkit.texts.transfer import classifier_from_language_model
from rnn_toolkit.texts.vocabulary import fit_vocabulary
from rnn_toolkit.training import train as train_module
from rnn_toolkit.training.callbacks import default_callbacks
from rnn_toolkit.training.fine_tuning import fine_tune
from rnn_toolkit.training.train import load_history

TEXTS = ["so good", "so bad", "good good so", "bad so bad", "so good good", "bad bad"] * 4
LABELS = ["yes", "no"] * 12


def language_model(layers=None, **options):
    """Return a language model of two layers that drop connections, with a layer of each kind between them."""
    if layers is None:
        first, second = recurrent_layers("lstm", (4, 3), return_sequences=True)
        layers = [WeightDrop(first), keras.layers.SpatialDropout1D(0.2), keras.layers.LayerNormalization()]
        layers += [WeightDrop(second), ActivationRegularization()]
    return build_language_model(fit_vocabulary(TEXTS), layers, **{"embedding": 3} | options)


def batches(model, **options):
    """Return batches of labelled texts for a classifier."""
    vocabulary = text_layer_of(model, TokenEmbedding).vocabulary
    return text_batches(TEXTS, LABELS, vocabulary=vocabulary, batch_size=8, **options)


def stack(*, optimizer="sgd", dropout=0.0, seed=3):
    """Return a model of an embedding, a recurrent layer, a normalisation and a head; eager, as it is so small."""
    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Embedding(5, 2), keras.layers.SimpleRNN(2, dropout=dropout)]
    layers += [keras.layers.LayerNormalization(), keras.layers.Dropout(dropout)]
    model = keras.Sequential([keras.Input((4,), dtype="int32"), *layers, keras.layers.Dense(1)])
    model.compile(optimizer, "mse", metrics=["mae"], run_eagerly=True)
    return model


def arrays(rows=8):
    """Return rows to train a `stack` on."""
    generator = np.random.default_rng(0)
    return generator.integers(0, 5, (rows, 4)), generator.normal(size=(rows, 1))


def values(layers):
    """Return the weights of layers as one list of arrays."""
    return [np.array(weight) for layer in layers for weight in layer.get_weights()]


def same(ones, others):
    return [bool((one == other).all()) for one, other in zip(ones, others, strict=True)]


class Look(keras.callbacks.Callback):
    """Note at the beginning and the end of each stage what is trainable and what the weights are."""

    def __init__(self):
        super().__init__()
        self.trainable, self.before, self.after, self.optimizers = [], [], [], []

    def on_train_begin(self, logs=None):
        self.trainable.append([layer.trainable for layer in self.model.layers])
        self.before.append(values(self.model.layers))
        self.optimizers.append(self.model.optimizer)

    def on_train_end(self, logs=None):
        self.after.append(values(self.model.layers))


class Break(keras.callbacks.Callback):
    """Raise an error behind a step, counted over all stages."""

    def __init__(self, step, error=RuntimeError):
        super().__init__()
        self.left, self.error = step, error

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise self.error


def test_a_classifier_has_the_weights_of_its_language_model():
    source = language_model()
    core = text_layer_of(source, NextToken)
    model = classifier_from_language_model(source, ["no", "yes"])
    embedding, _, *copied = model.layers[: 2 + len(core.stack)]
    assert all(same(embedding.get_weights(), core.embedding.get_weights()))
    assert [type(layer) for layer in copied] == [type(layer) for layer in core.stack]
    assert all(same(values(copied), values(core.stack)))
    assert embedding.vocabulary == core.embedding.vocabulary
    assert text_layer_of(model, Labels).classes == ["no", "yes"]


@pytest.mark.parametrize("cell", ["simple", "gru", "lstm"])
def test_a_classifier_sees_the_states_that_its_language_model_sees(cell):
    source = language_model(recurrent_layers(cell, (4,), return_sequences=True), tied=False)
    core = text_layer_of(source, NextToken)
    model = classifier_from_language_model(source, 2, pooling=("last",))
    codes = core.embedding.vocabulary.encode("so good bad")[None]
    _, states = core.read(codes, core.no_states(1))
    pooled = keras.Model(model.inputs, model.layers[-2].output).predict(codes, verbose=0)
    np.testing.assert_allclose(pooled, keras.ops.convert_to_numpy(states[0]), rtol=1e-5)


def test_a_language_model_that_was_copied_stays_as_it_was():
    source = language_model()
    core = text_layer_of(source, NextToken)
    codes = np.array([[2, 3, 4]], "int32")
    logits = source.predict(codes, verbose=0)
    before = values(source.layers)
    model = classifier_from_language_model(source, ["no", "yes"])
    fine_tune(model, batches(model), epochs=1, epochs_per_stage=0, progress=None)
    assert all(same(before, values(source.layers)))
    assert (source.predict(codes, verbose=0) == logits).all()
    assert all(layer.layer.return_state for layer in core.recurrent) and core.embedding.mask_zero is False


def test_padding_changes_no_probability():
    model = classifier_from_language_model(language_model(), ["no", "yes"])
    codes = np.array([[2, 3, 4, 3]], "int32")
    padded = np.pad(codes, ((0, 0), (0, 5)))
    np.testing.assert_allclose(model.predict(padded, verbose=0), model.predict(codes, verbose=0), rtol=1e-5)


def test_a_classifier_is_saved_and_loaded_whole(tmp_path):
    model = classifier_from_language_model(language_model(), ["no", "yes"], multi_label=True)
    model.optimizer.build(model.trainable_variables)  # without, Keras warns when it loads the file
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    codes = np.array([[2, 3, 4, 0]], "int32")
    assert (loaded.predict(codes, verbose=0) == model.predict(codes, verbose=0)).all()
    assert text_layer_of(loaded, Labels).multi_label


def test_a_linear_model_stands_beside_the_copied_network_and_stays_as_it_was():
    model = language_model()
    embedding = text_layer_of(model, NextToken).embedding
    train = text_batches(TEXTS, LABELS, vocabulary=embedding.vocabulary, batch_size=8)
    classifier = classifier_from_language_model(model, train.classes, linear=train, ngrams=1)
    (counted,) = (layer for layer in classifier.layers if isinstance(layer, NgramEvidence))
    assert counted.longest == 1
    assert all(same(values([embedding]), values([text_layer_of(classifier, TokenEmbedding)])))
    source = text_layer_of(model, NextToken).stack[0].get_weights()[0]
    copied = text_layer_of(classifier, WeightDrop).get_weights()[0]
    assert (copied[: len(source)] == source).all() and copied[len(source) :].tolist() == [[0] * source.shape[1]]
    before = values([counted])
    fine_tune(classifier, train, epochs=1, progress=None)
    assert all(same(before, values([counted]))) and not counted.trainable


def test_a_language_model_from_a_file_may_have_any_names():
    layers = [keras.layers.LSTM(3, return_sequences=True, name="labels"), keras.layers.Dropout(0.1, name="dropout")]
    keras.utils.clear_session()  # the next name for a Dropout is "dropout", as in a new process
    model = classifier_from_language_model(language_model(layers), 2)
    assert len({layer.name for layer in model.layers}) == len(model.layers)


def test_what_a_language_model_needs_and_a_classifier_does_not_is_left_out():
    source = language_model(tied=True, embedding=7)  # with a projection
    model = classifier_from_language_model(source, 2)
    assert sum(isinstance(layer, keras.layers.Dense) for layer in model.layers) == 1  # the labels


def test_layers_are_unfrozen_one_by_one_from_the_head_down():
    model, look = stack(), Look()
    history = fine_tune(model, arrays(), epochs=3, epochs_per_stage=2, callbacks=[look], progress=None)
    # Embedding, recurrent layer, normalisation (which goes with it), dropout, head.
    assert look.trainable == [[False] * 3 + [True] * 2, [False] + [True] * 4, [True] * 5]
    assert history["stage"].tolist() == [1, 1, 2, 2, 3, 3, 3]
    assert history.index.tolist() == [1, 2, 3, 4, 5, 6, 7] and history.index.name == "epoch"


def test_frozen_layers_do_not_change_and_others_do():
    model, look = stack(), Look()
    fine_tune(model, arrays(), epochs=1, callbacks=[look], progress=None)
    unchanged = [same(*pair) for pair in zip(look.before, look.after, strict=True)]
    # Embedding; three of the recurrent layer; two of the normalisation; two of the head.
    assert unchanged[0] == [True] * 6 + [False] * 2
    assert unchanged[1] == [True] + [False] * 7
    assert unchanged[2] == [False] * 8


def test_each_stage_begins_where_the_one_before_ended():
    model, look = stack(), Look()
    fine_tune(model, arrays(), epochs=1, callbacks=[look], progress=None)
    assert all(same(look.after[0], look.before[1])) and all(same(look.after[1], look.before[2]))
    assert all(same(look.after[2], values(model.layers)))


def test_each_layer_takes_a_step_that_is_a_factor_shorter_than_that_of_the_layer_above():
    # The first step of Adam has the length of the rate in each weight whose gradient is not nearly zero.
    model, look = stack(), Look()
    fine_tune(
        model,
        arrays(),
        epochs=1,
        epochs_per_stage=0,
        learning_rate=0.1,
        decay=2.0,
        schedule=None,
        callbacks=[look],
        progress=None,
    )
    steps = [abs(new - old).max() for old, new in zip(look.before[0], look.after[0], strict=True)]
    assert steps == pytest.approx([0.025] + [0.05] * 5 + [0.1] * 2, rel=1e-3)


def test_stages_keep_the_rates_of_their_layers():
    model, look = stack(), Look()
    fine_tune(model, arrays(), epochs=1, decay=2.0, callbacks=[look], progress=None)
    assert [one.rate_factors for one in look.optimizers] == [
        [1, 1],
        [0.5] * 5 + [1, 1],
        [0.25] + [0.5] * 5 + [1, 1],
    ]


def test_a_schedule_runs_through_each_stage():
    rates = fine_tune(stack(), arrays(), epochs=10, epochs_per_stage=10, progress=None)["learning_rate"]
    for stage in range(3):
        course = rates.to_numpy()[10 * stage : 10 * stage + 10]
        assert course.argmax() == 2 and course[-1] == pytest.approx(0, abs=1e-6)  # 3 of 10 steps go up


def test_without_stages_all_layers_train_from_the_start():
    look = Look()
    history = fine_tune(stack(), arrays(), epochs=2, epochs_per_stage=0, callbacks=[look], progress=None)
    assert look.trainable == [[True] * 5] and history["stage"].tolist() == [3, 3]


def test_attention_trains_with_the_head_it_belongs_to():
    source = language_model(recurrent_layers("gru", (3,), return_sequences=True))
    model, look = classifier_from_language_model(source, ["no", "yes"], pooling=("attention",)), Look()
    fine_tune(model, batches(model), epochs=1, callbacks=[look], progress=None)
    names = [type(layer).__name__ for layer in model.layers]
    frozen = [{name for name, free in zip(names, one, strict=True) if not free} for one in look.trainable]
    assert frozen == [{"TokenEmbedding", "GRU"}, {"TokenEmbedding"}, set()]


def test_the_best_weights_of_all_stages_stay(monkeypatch):
    model, look = stack(), Look()
    losses, truth = iter([0.5, 0.2, 0.3]), train_module.train

    def train(*arguments, **options):
        history = truth(*arguments, **options | {"callbacks": [*options["callbacks"], look]})
        return history.assign(val_loss=next(losses))

    monkeypatch.setattr(train_module, "train", train)
    fine_tune(model, arrays(), arrays(), epochs=1, progress=None)
    assert all(same(look.after[1], values(model.layers)))
    assert not all(same(look.after[2], values(model.layers)))


def test_what_was_trainable_and_compiled_before_is_so_afterwards():
    model = stack(optimizer=keras.optimizers.SGD(0.25, momentum=0.5))
    fine_tune(model, arrays(), epochs=1, progress=None)
    assert [layer.trainable for layer in model.layers] == [True] * 5
    assert type(model.optimizer) is keras.optimizers.SGD and model.optimizer.momentum == 0.5
    assert int(model.optimizer.iterations) == 0 and model.loss == "mse"
    assert set(model.evaluate(*arrays(), verbose=0, return_dict=True)) == {"loss", "mae"}
    model.fit(*arrays(), verbose=0)


def test_a_layer_that_was_frozen_stays_frozen():
    model, look = stack(), Look()
    model.layers[0].trainable = False
    before = values(model.layers[:1])
    history = fine_tune(model, arrays(), epochs=1, callbacks=[look], progress=None)
    assert history["stage"].tolist() == [1, 2]
    assert look.trainable[-1] == [False] + [True] * 4 and not model.layers[0].trainable
    assert all(same(before, values(model.layers[:1])))


def test_a_part_of_a_layer_that_was_frozen_stays_frozen():
    both = keras.layers.Bidirectional(keras.layers.SimpleRNN(2))
    model = keras.Sequential([keras.Input((4, 1)), both, keras.layers.Dense(1)])
    both.forward_layer.trainable = False
    both.backward_layer.cell.bias.trainable = False
    model.compile("sgd", "mse", run_eagerly=True)
    before = [np.array(weight) for weight in model.get_weights()]
    fine_tune(model, (np.ones((4, 4, 1)), np.ones((4, 1))), epochs=1, progress=None)
    assert not both.forward_layer.trainable and both.backward_layer.trainable
    assert not both.backward_layer.cell.bias.trainable
    # Kernel, recurrent kernel and bias of both directions, kernel and bias of the head.
    assert same(before, model.get_weights()) == [True, True, True, False, False, True, False, False]


def test_an_error_leaves_all_layers_as_trainable_as_before():
    model = stack()
    with pytest.raises(RuntimeError):
        fine_tune(model, arrays(), epochs=1, callbacks=[Break(1)], progress=None)
    assert [layer.trainable for layer in model.layers] == [True] * 5
    assert type(model.optimizer) is keras.optimizers.SGD


def test_ctrl_c_ends_all_stages():
    model = stack()
    history = fine_tune(model, arrays(), epochs=5, callbacks=[Break(2, KeyboardInterrupt)], progress=None)
    assert history["stage"].tolist() == [1]  # and stage 2 was stopped in its first step
    assert [layer.trainable for layer in model.layers] == [True] * 5


@pytest.mark.parametrize("step", [2, 4, 8])  # in stage 1 of three steps, stage 2 of three, stage 3 of six
def test_a_training_that_was_interrupted_ends_as_one_that_was_not(step, tmp_path):
    def run(model, run_dir, *stop):
        options = {"epochs": 2, "batch_size": 8, "learning_rate": 0.05, "run_dir": run_dir, "progress": None}
        return fine_tune(model, arrays(24), arrays(8), callbacks=[*default_callbacks(), *stop], **options)

    reference = stack(dropout=0.3)
    history = run(reference, tmp_path / "reference").drop(columns="seconds")
    with pytest.raises(RuntimeError):
        run(stack(dropout=0.3), tmp_path / "run", Break(step))
    resumed = stack(dropout=0.3, seed=4)  # other weights and random numbers: those of the run count
    assert run(resumed, tmp_path / "run").drop(columns="seconds").equals(history)
    assert all(same(values(reference.layers), values(resumed.layers)))


def test_a_finished_run_returns_its_history_and_its_weights_at_once(tmp_path):
    model, other = stack(), stack(seed=4)
    history = fine_tune(model, arrays(), arrays(), epochs=2, run_dir=tmp_path, progress=None)
    again = fine_tune(other, arrays(), arrays(), epochs=2, run_dir=tmp_path, progress=None)
    assert again.equals(history) and all(same(values(model.layers), values(other.layers)))
    assert load_history(tmp_path / "stage-3")["loss"].tolist() == history.loc[history["stage"] == 3, "loss"].tolist()
    assert (tmp_path / "stage-1" / "best.keras").exists()


def test_a_classifier_learns_its_labels():
    source = language_model(recurrent_layers("simple", (4,), return_sequences=True))
    model = classifier_from_language_model(source, ["no", "yes"], dropout=0.0)
    texts, labels = ["good", "bad"] * 20, ["yes", "no"] * 20
    data = text_batches(texts, labels, vocabulary=text_layer_of(model, TokenEmbedding).vocabulary, batch_size=8)
    fine_tune(model, data, data, epochs=20, learning_rate=0.05, progress=None)
    assert model.evaluate(data, verbose=0, return_dict=True)["accuracy"] == 1


def test_a_model_that_is_not_compiled_is_refused():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match=r"is not compiled\. Call `model\.compile"):
        fine_tune(model, (np.ones((2, 1)), np.ones((2, 1))))


def test_a_model_without_anything_to_train_is_refused():
    model = stack()
    model.trainable = False
    with pytest.raises(ValueError, match=r"has no layer to train\. Set `layer\.trainable = True`"):
        fine_tune(model, arrays())


@pytest.mark.parametrize("decay", [0.5, 0, -2.6, float("nan"), float("inf")])
def test_a_decay_that_is_no_divisor_is_refused(decay):
    with pytest.raises(ValueError, match=rf"`decay` must be at least 1\. Received: {decay}\. Try 2\.6"):
        fine_tune(stack(), arrays(), decay=decay)


@pytest.mark.parametrize(
    ("option", "least"), [({"epochs": 0}, 1), ({"epochs_per_stage": -1}, 0), ({"batch_size": 0}, 1)]
)
def test_a_number_that_is_too_small_is_refused(option, least):
    (name,) = option
    with pytest.raises(ValueError, match=rf"`{name}` must be at least {least}"):
        fine_tune(stack(), arrays(), **option)


def test_an_unknown_schedule_is_refused():
    with pytest.raises(ValueError, match=r"`schedule` must be one of .* Did you mean 'one_cycle'\?"):
        fine_tune(stack(), arrays(), schedule="onecycle")


def test_a_schedule_over_data_of_unknown_length_is_refused():
    data = (batch for batch in [arrays()])
    with pytest.raises(ValueError, match=r"does not say how many batches it has: generator\. .* or schedule=None"):
        fine_tune(stack(), data)


def test_a_model_that_is_no_language_model_is_refused():
    with pytest.raises(ValueError, match=r"carries no .*NextToken.*rt\.build_language_model"):
        classifier_from_language_model(stack(), 2)


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="`classes` must be two at least"):
        classifier_from_language_model(language_model(), ["yes"])


def test_an_unknown_pooling_is_refused():
    with pytest.raises(ValueError, match=r"`pooling` must be one of .*Received: 'men'\. Did you mean 'mean'\?"):
        classifier_from_language_model(language_model(), 2, pooling=("last", "men"))
