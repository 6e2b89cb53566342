"""What each recommendation of the guides does, alone, on a forecast, a text and an addition.

    KERAS_BACKEND=jax python tests/benchmarks/recommendations.py train results.csv --seeds 0 1 2 3 4
    python tests/benchmarks/recommendations.py show results.csv

"train" trains each variant on each task and appends a row to the file for each; what stands there is not trained again.
"show" prints the table, the best mean rank first: loss on test rows, mean and standard deviation over the seeds, and
with how many of them a variant was better than the default with the same seed. All variants stop and choose their epoch
by the same validation rows; tasks and variants were settled before the first result, and none was tuned.

- sunspots: 48 months to the next 12, square roots; 1,600 windows of the first 60 % train, mean square error.
- names: the language of a surname, one of 18, from 3,008 labelled names read letter by letter, cross-entropy.
- adding: two marked numbers of 50 to be added, 2,048 sequences, mean square error (see clipping.py).

Transfer begins with what the same network learnt elsewhere: to forecast the monthly series of M1; to foretell the next
letter of 9,000 more names, without their languages; to subtract the two numbers.
"""

import argparse
import csv
import dataclasses
import time
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from clipping import sequences
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline

import rnn_toolkit as rt
from rnn_toolkit.datasets.downloads import cache_dir
from rnn_toolkit.networks.pooling import MaskedPooling

BATCH = 64  # all rows come in full batches, so that a step is compiled once
VARIANTS = {
    "the default: a GRU of 32 units": {},
    "LSTM": {"cell": "lstm"},
    "SimpleRNN": {"cell": "simple"},
    "minGRU": {"cell": "mingru"},
    "twice the units": {"units": (64,)},
    "two layers": {"units": (32, 32)},
    "rate three times higher": {"rate": 9e-3},
    "rate three times lower": {"rate": 1e-3},
    "cosine schedule": {"schedule": "cosine"},
    "one cycle, rate three times higher": {"schedule": "one_cycle", "rate": 9e-3},
    "no clipping": {"clip": None},
    "clipping by value, 0.5": {"clip": "value"},
    "He initialiser": {"kernel_initializer": "he_normal"},
    "Glorot for the recurrent kernels, too": {"recurrent_initializer": "glorot_uniform"},
    "dropout 0.3 on the inputs": {"dropout": 0.3},
    "recurrent dropout 0.3": {"recurrent_dropout": 0.3},
    "dropout 0.3 before the head": {"head_dropout": 0.3},
    "layer normalisation": {"normalization": "layer"},
    "batch normalisation": {"normalization": "batch"},
    "weight decay 0.01": {"weight_decay": 0.01},
    "average of the weights": {"average": 0.99},
    "curriculum: easy first": {"way": "easy"},
    "the other way: hard first": {"way": "hard"},
    "transfer": {"way": "transfer"},
}


@dataclasses.dataclass(frozen=True)
class Task:
    """Data, and what a network for them begins and ends with.

    Args:
        train, validation, test: Arrays `(x, y)`.
        loss: Keras' name of the loss.
        shape: Shape of a row; `None` is any length.
        outputs: Size of the output.
        epochs: Largest number of epochs.
        baselines: Name -> loss on the test rows.
        difficulty: A number a training row, or `None` where there are stages.
        stages: Training data, the easiest first, in place of a difficulty.
        source: Data to learn from before a transfer, and the outputs and epochs for them.
        codes: Number of codes, where the rows are codes.
    """

    train: tuple
    validation: tuple
    test: tuple
    loss: str
    shape: tuple
    outputs: int
    epochs: int
    baselines: dict[str, float]
    source: tuple
    difficulty: np.ndarray | None = None
    stages: list | None = None
    codes: int | None = None


def sunspots() -> Task:
    """Forecast the sunspots of a year."""

    def windows(values):
        cut = np.lib.stride_tricks.sliding_window_view(values.astype("float32"), 60)
        return cut[:, :48, None], cut[:, 48:]

    values = np.sqrt(rt.datasets.load_sunspots()["sunspots"].to_numpy()) / 5
    first, second = int(0.6 * len(values)), int(0.8 * len(values))
    parts = values[:first], values[first:second], values[second:]
    train, validation, test = (
        tuple(part[-rows:] for part in windows(part_values))
        for part_values, rows in zip(parts, (1600, 448, 448), strict=True)
    )

    def last_removed(x, y):
        return x[:, :, 0] - x[:, -1], y - x[:, -1]

    halves, difficulty = np.array_split(np.arange(len(train[0])), 2), np.empty(len(train[0]))
    for teacher, pupil in (halves, halves[::-1]):
        linear = LinearRegression().fit(*last_removed(train[0][teacher], train[1][teacher]))
        x, y = last_removed(train[0][pupil], train[1][pupil])
        difficulty[pupil] = ((linear.predict(x) - y) ** 2).mean(axis=1)
    x, y = last_removed(*test)
    linear = LinearRegression().fit(*last_removed(*train))
    baselines = {"copying the last month": (y**2).mean(), "NLinear": ((linear.predict(x) - y) ** 2).mean()}
    table = pd.read_csv(cache_dir() / "m1" / "M1.csv.gz").query("period == 'MONTHLY' and part == 'train'")
    others = [one.to_numpy() for _, one in table.groupby("series")["value"] if len(one) >= 60 and one.std() > 0]
    others = [windows((one - one.mean()) / one.std()) for one in others]
    source = tuple(np.concatenate(parts)[:11648] for parts in zip(*others, strict=True))
    data = {"train": train, "validation": validation, "test": test, "difficulty": difficulty}
    options = {"loss": "mse", "shape": (48, 1), "outputs": 12, "epochs": 30, "source": (source, 12, 3)}
    return Task(**data, **options, baselines=baselines)


def names() -> Task:
    """Tell the language of a surname."""
    frame = rt.datasets.load_names().drop_duplicates().sample(frac=1, random_state=0)
    vocabulary, labels = rt.fit_vocabulary(frame["name"][:3008], unit="character"), frame["language"].astype("category")
    x, _ = rt.pad([code[:16] for code in vocabulary.encode(list(frame["name"]))], length=16)
    y = labels.cat.codes.to_numpy("int32")
    parts = [slice(0, 3008), slice(3008, 4032), slice(4032, 9024)]
    train, validation, test = ((x[part], y[part]) for part in parts)

    def ngrams(part):
        grams = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True, lowercase=False)
        return make_pipeline(grams, LogisticRegression(C=10, max_iter=2000)).fit(frame["name"][part], y[part])

    def losses(model, part):
        probabilities = np.full((len(y[part]), 18), 1e-3)  # of a language that the half has no name of
        probabilities[:, model.classes_] = model.predict_proba(frame["name"][part])
        return -np.log(probabilities[np.arange(len(probabilities)), y[part]])

    halves = [slice(0, 1504), slice(1504, 3008)]
    difficulty = np.concatenate([losses(ngrams(halves[1]), halves[0]), losses(ngrams(halves[0]), halves[1])])
    shares = np.bincount(train[1], minlength=18) / 3008
    guesses = {"shares of the languages": log_loss(test[1], np.tile(shares, (4992, 1)), labels=range(18))}
    baselines = guesses | {"runs of 1 to 4 letters, logistic regression": losses(ngrams(parts[0]), parts[2]).mean()}
    unlabelled = np.concatenate([x[:3008], x[9024:]])
    following = np.pad(unlabelled[:, 1:], [(0, 0), (0, 1)])
    source = (unlabelled, following, (following != 0).astype("float32")), len(vocabulary), 3
    data = {"train": train, "validation": validation, "test": test, "difficulty": difficulty}
    options = {"loss": "sparse_categorical_crossentropy", "shape": (16,), "outputs": 18, "epochs": 20}
    return Task(**data, **options, source=source, codes=len(vocabulary), baselines=baselines)


def adding() -> Task:
    """Add two numbers."""
    train, validation, test = (
        sequences(np.random.default_rng(n), rows, 50) for n, rows in enumerate((2048, 512, 4096))
    )
    stages = [sequences(np.random.default_rng(length), 2048, length) for length in (10, 25)]
    x, _ = sequences(np.random.default_rng(3), 2048, 50)
    values, marks = x[..., 0], x[..., 1] > 0
    first, second = values[marks].reshape(-1, 2).T
    source = (x, (first - second)[:, None]), 1, 15
    data = {"train": train, "validation": validation, "test": test, "stages": [*stages, train]}
    options = {"loss": "mse", "shape": (None, 2), "outputs": 1, "epochs": 40, "source": source}
    return Task(**data, **options, baselines={"always 1": ((test[1] - 1) ** 2).mean()})


TASKS = {"sunspots": sunspots, "names": names, "adding": adding}


def network(task, *, units=(32,), rate=3e-3, clip=1.0, head_dropout=0.0, whole=False, **options):
    """Return a compiled network; a `whole` one answers at every step."""
    outputs = task.source[1] if whole else task.outputs
    schedule, weight_decay, average = (options.pop(name, None) for name in ("schedule", "weight_decay", "average"))
    layers = [keras.Input(task.shape, dtype="int32" if task.codes else "float32")]
    if task.codes:
        layers.append(keras.layers.Embedding(task.codes, 32, mask_zero=True))
    layers += rt.recurrent_layers(options.pop("cell", "gru"), units, return_sequences=whole, **options)
    if head_dropout:
        layers.append(keras.layers.Dropout(head_dropout))
    model = keras.Sequential([*layers, keras.layers.Dense(outputs, activation="softmax" if task.codes else None)])
    steps = task.epochs * len(task.train[0]) // BATCH
    ours = {"clip": clip, "schedule": schedule, "weight_decay": weight_decay or 0.0, "average": average}
    optimizer = rt.make_optimizer(rate, steps=steps, **(ours if clip != "value" else {}))
    if clip == "value":
        optimizer = keras.optimizers.Adam(rate, clipvalue=0.5)
    model.compile(optimizer, task.loss, metrics=[task.loss])  # as a metric, since penalties are a part of the loss
    return model


def transferred(task):
    """Train a network elsewhere and on the task; return it and its history there."""
    data, _, epochs = task.source
    whole = task.codes is not None
    teacher = network(task, whole=whole)
    rt.train(teacher, data, epochs=epochs, batch_size=BATCH, callbacks=[], progress=None)
    head = [keras.layers.Dense(task.outputs, activation="softmax" if whole else None, name="new_head")]
    pupil = rt.replace_head(teacher, [*([MaskedPooling("last")] if whole else []), *head])
    pupil.compile("adam", task.loss, metrics=[task.loss])
    options = {
        "epochs": task.epochs,
        "epochs_per_stage": 2,
        "learning_rate": 3e-3,
        "batch_size": BATCH,
        "progress": None,
    }
    return pupil, rt.fine_tune(pupil, task.train, task.validation, **options)


def run(task, seed, *, way=None, **options) -> dict:
    """Train one variant with one seed; return its losses."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    began = time.perf_counter()
    if way == "transfer":
        model, history = transferred(task)
    elif way and task.stages:  # as many epochs in all
        model, early = network(task), task.epochs // 6
        stages = task.stages if way == "easy" else task.stages[::-1]
        epochs = {"epochs": task.epochs - 2 * early, "epochs_per_stage": early}
        history = rt.train_curriculum(model, stages, task.validation, **epochs, batch_size=BATCH, progress=None)
    else:
        model, train = network(task, **options), task.train
        if way:
            difficulty = task.difficulty if way == "easy" else -task.difficulty
            pace = {"pacing_epochs": task.epochs // 3, "initial": 0.1, "batch_size": BATCH, "seed": seed}
            train = rt.PacedBatches(train, difficulty, **pace)
        history = rt.train(model, train, task.validation, epochs=task.epochs, batch_size=BATCH, progress=None)
    losses = {"validation": history[f"val_{task.loss}"].min()}
    losses["test"] = model.evaluate(*task.test, batch_size=BATCH, verbose=0, return_dict=True)[task.loss]
    return {name: f"{loss:.6g}" for name, loss in losses.items()} | {
        "epochs": len(history),
        "seconds": f"{time.perf_counter() - began:.1f}",
    }


def train(path, seeds):
    """Train what the file does not hold yet, one seed of all after the other."""
    tasks = {name: make() for name, make in TASKS.items()}
    done = set() if not path.exists() else {tuple(row) for row in pd.read_csv(path, dtype=str).iloc[:, :3].to_numpy()}
    for seed in seeds:
        for name, task in tasks.items():
            for variant, options in VARIANTS.items():
                if (name, variant, str(seed)) in done:
                    continue
                row = {"task": name, "variant": variant, "seed": seed} | run(task, seed, **options)
                with path.open("a", newline="") as file:
                    writer = csv.DictWriter(file, row)
                    if file.tell() == 0:
                        writer.writeheader()
                    writer.writerow(row)


def show(path):
    """Print a table of all tasks, the best mean rank first."""
    results = pd.read_csv(path)
    default = next(iter(VARIANTS))
    columns, ranks = {}, {}
    for name in TASKS:
        losses = results[results["task"] == name].pivot(index="variant", columns="seed", values="test")
        better = losses.lt(losses.loc[default]).sum(axis=1)
        ranks[name] = losses.mean(axis=1).rank()
        columns[name] = {
            variant: f"{row.mean():.3g} ± {row.std():.1g}"
            + ("" if variant == default else f" ({better[variant]} of {row.count()})")
            for variant, row in losses.iterrows()
        }
    order = pd.DataFrame(ranks).mean(axis=1).sort_values()
    lines = [["Variant", *TASKS, "mean rank"], ["---"] * (len(TASKS) + 2)]
    lines += [[name, *(columns[task].get(name, "") for task in TASKS), f"{rank:.1f}"] for name, rank in order.items()]
    for name, make in TASKS.items():
        for baseline, loss in make().baselines.items():
            lines.append([baseline, *(f"{loss:.3g}" if task == name else "" for task in TASKS), ""])
    print("\n".join(f"| {' | '.join(line)} |" for line in lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["train", "show"])
    parser.add_argument("path", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=range(5))
    arguments = parser.parse_args()
    if arguments.what == "train":
        train(arguments.path, arguments.seeds)
    else:
        show(arguments.path)


if __name__ == "__main__":
    main()
