"""Strings of three to seven spoken digits: digit error rate for speakers that were learnt from and for one who was not.

    RNN_TOOLKIT_DATA=~/.cache/rnn_toolkit python tests/benchmarks/digit_strings.py --unseen nicolas
    RNN_TOOLKIT_DATA=~/.cache/rnn_toolkit python tests/benchmarks/digit_strings.py --one-way    # to be streamed

Strings are joined from single recordings of one speaker of the Free Spoken Digit Dataset, with pauses, and noise
throughout. Training strings use the recordings 5 to 49 of the speakers learnt from; the strings they are judged by use
the recordings 0 to 4, and none of them occurs in training. The last part prints what a second of sound takes in chunks,
and how far the logits of a whole recording and a padded one differ.
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pandas as pd

import rnn_toolkit as rt

RATE = 8000


def strings_of(frame, count, *, seed, noise=0.02) -> pd.DataFrame:
    """Join recordings to strings, each of one speaker: 3 to 7 digits, pauses of 50 to 400 ms, and noise over all."""
    generator = np.random.default_rng(seed)
    parts = {speaker: part for speaker, part in frame.groupby("speaker")}
    rows = []
    for _ in range(count):
        part = parts[generator.choice(list(parts))]
        spoken = part.iloc[generator.integers(len(part), size=generator.integers(3, 8))]
        pieces = [np.zeros(generator.integers(400, 3200), "float32")]
        for recording in spoken["recording"]:
            pieces += [recording / np.abs(recording).max(), np.zeros(generator.integers(400, 3200), "float32")]
        sound = np.concatenate(pieces)
        sound += noise * generator.random() * generator.standard_normal(len(sound), "float32")
        rows.append({"recording": sound, "digits": "".join(map(str, spoken["digit"]))})
    return pd.DataFrame(rows)


def main(*, unseen, strings, tests, epochs, units, rate, seed, one_way, synthetic):
    """Print error rates, and what streaming takes."""
    frame = rt.datasets.load_spoken_digits()
    others, _, left_out = rt.split_by_group(frame, "speaker", validation=[], test=[unseen])
    learnt, held = others[others["split"] == "train"], others[others["split"] == "test"]
    if synthetic:
        voices = rt.datasets.load_synthetic_digits().rename(columns={"voice": "speaker"})
        learnt = pd.concat([learnt, voices], ignore_index=True)
    train = strings_of(learnt, strings, seed=seed)
    parts = {
        "seen speakers": strings_of(held, tests, seed=1001),
        "unseen speaker": strings_of(left_out, tests, seed=1002),
    }
    parts = {name: part[~part["digits"].isin(train["digits"])] for name, part in parts.items()}
    keras.utils.set_random_seed(seed)
    options = {"alphabet": "0123456789", "batch_size": 32, "shuffle": True, "seed": seed}
    batches = rt.transcript_batches(
        train["recording"], train["digits"], speeds=(0.8, 0.9, 1.0, 1.1, 1.25), noise=0.2, **options
    )
    recurrent = rt.recurrent_layers("gru", (units,), bidirectional=not one_way, dropout=0.2, return_sequences=True)
    layers = [rt.SpecAugment(time=0.05, channels=0.2), rt.StridedConvolution(units, 5, strides=2)]
    layers += [rt.StridedConvolution(units, 5, strides=2), *recurrent]
    optimizer = rt.make_optimizer(rate, schedule="one_cycle", steps=epochs * len(batches))
    built = {"adapt_to": batches, "sampling_rate": RATE, "streamable": one_way, "optimizer": optimizer}
    model = rt.build_ctc_recognizer((None,), "0123456789", layers, **built)
    began = time.perf_counter()
    rt.train(model, batches, epochs=epochs, progress=None)
    print(
        f"{len(train):,} strings to learn from, {time.perf_counter() - began:.0f} s, {model.count_params():,} weights"
    )
    for name, part in parts.items():
        for beam_width in (None, 10):
            heard = rt.transcribe(model, part["recording"], beam_width=beam_width)
            scores = rt.score_transcripts(part["digits"], heard)
            print(f"\n{name}, {len(part)} strings, beam {beam_width}\n{scores.round(3).to_string()}")
    sound = parts["seen speakers"]["recording"].iloc[0]
    padded = np.pad(sound, (0, 8000))[None]
    alone = model.predict(sound[None], verbose=0)[0]
    print(f"\npadding: logits differ by {np.abs(model.predict(padded, verbose=0)[0, : len(alone)] - alone).max():.1e}")
    if one_way:
        stream = rt.stream(model)
        stream.push(sound)
        stream.reset()
        began = time.perf_counter()
        said = "".join(stream.push(chunk) for chunk in np.array_split(sound, len(sound) // 800)) + stream.finish()
        took = (time.perf_counter() - began) / (len(sound) / RATE)
        print(
            f"streaming: {1000 * took:.0f} ms a second of sound in chunks of 100 ms; as the whole: "
            f"{said == rt.transcribe(model, sound)}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--unseen", default="nicolas")
    parser.add_argument("--strings", type=int, default=2_000)
    parser.add_argument("--tests", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--units", type=int, default=96)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--one-way", action="store_true")
    parser.add_argument("--synthetic", action="store_true")
    main(**vars(parser.parse_args()))
