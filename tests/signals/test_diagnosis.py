"""What `diagnose` and `Monitor` say of signals: nothing of sound cases, and what is wrong of broken ones."""

import numpy as np
import pytest

import rnn_toolkit as rt

pytestmark = pytest.mark.slow
GRAVE = ("error", "warning")


def accused(report) -> list[str]:
    return report.loc[report["severity"].isin(GRAVE), "check"].tolist()


@pytest.fixture(scope="module")
def cases():
    """Return tones that rise or, more rarely, fall, of unequal lengths, with silence at both ends."""
    generator = np.random.default_rng(0)
    rows, labels = [], []
    for place in range(80):
        length, is_rising = int(generator.integers(12, 40)), place % 4 > 0
        slope = np.linspace(-1, 1, length) * (1 if is_rising else -1)
        sound = np.stack([slope + 0.2 * generator.normal(size=length), generator.normal(size=length)], axis=1)
        silence = [np.zeros((count, 2)) for count in (3, generator.integers(1, 6))]
        rows.append(np.concatenate([silence[0], sound, silence[1]]))
        labels.append("rising" if is_rising else "falling")
    return rows, labels


def test_sound_cases_are_not_accused_before_nor_after_training(cases, tmp_path):
    rows, labels = cases
    train = rt.sequence_batches(rows[:60], labels[:60], batch_size=16, shuffle=True)
    validation = rt.sequence_batches(rows[60:], labels[60:], classes=train.classes)
    model = rt.build_sequence_classifier(
        (None, 2),
        train.classes,
        rt.recurrent_layers("gru", (12,), bidirectional=True, return_sequences=True),
        adapt_to=train,
        optimizer=rt.make_optimizer(0.02, schedule="one_cycle", steps=20 * len(train)),
    )
    assert accused(rt.diagnose(model, train, validation)) == []
    callbacks = [*rt.default_callbacks(), rt.Monitor()]
    history = rt.train(model, train, validation, epochs=20, callbacks=callbacks, run_dir=tmp_path, progress=None)
    assert history["val_accuracy"].iloc[-1] > 0.9 and "gradient_norm" in history
    assert accused(rt.diagnose(model, train, validation, history=history)) == []
    assert rt.plot_history(history) is not None


def test_a_recogniser_that_is_sound_is_not_accused_and_one_with_long_texts_is(cases):
    rows, _ = cases
    texts = ["12" if place % 2 else "21" for place in range(60)]
    train = rt.transcript_batches(rows[:60], texts, alphabet="12", batch_size=16, shuffle=True)
    layers = rt.recurrent_layers("gru", (8,), bidirectional=True, return_sequences=True)
    model = rt.build_ctc_recognizer((None, 2), "12", layers, adapt_to=train)
    assert accused(rt.diagnose(model, train)) == []
    long = rt.transcript_batches(rows[:60], ["1" * 40] * 60, alphabet="12", batch_size=16)
    assert "loss and activation" in accused(rt.diagnose(model, long))
