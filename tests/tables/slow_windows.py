"""Windows the slow, obvious way, row by row in plain Python: what the fast ones are compared with on random tables."""

import statistics

import numpy as np
import pandas as pd

from rnn_toolkit.tables.task import ForecastTask

COLUMNS = ("load", "heat", "wind", "sky", "price", "size")


def random_case(seed: int):
    """Return a random table as series -> position -> column -> value, its task, and how to split it."""
    generator = np.random.default_rng(seed)
    table = {}
    for name in ("b", "a", "c")[: generator.integers(1, 4)]:
        first, length = int(generator.integers(0, 8)), int(generator.integers(14, 30))
        size, rows = float(generator.integers(1, 9)), {}
        for position in range(first, first + length):
            inside = first < position < first + length - 1
            if inside and generator.random() < 0.1:
                continue  # a missing time step
            values = {column: float(generator.integers(0, 50)) for column in COLUMNS}
            values["sky"] = str(generator.choice(["sun", "rain", "fog"], p=[0.7, 0.2, 0.1]))
            values["size"] = size
            for column in ("load", "heat", "wind", "sky", "price"):
                if generator.random() < 0.1 or (column == "load" and position < first + 3 and seed % 3 == 0):
                    values[column] = None
            rows[position] = values
        table[name] = rows
    task = ForecastTask(
        ("load", "heat") if seed % 2 else "load",
        horizon=int(generator.integers(1, 5)),
        lookback=int(generator.integers(1, 6)),
        time="time",
        series="shop",
        observed=("wind", "sky"),
        known="price",
        static="size",
        season_length=int(generator.integers(1, 5)) if seed % 5 else None,
    )
    options = {
        "validation": [5, 0.2, 0.15][seed % 3],
        "test": [5, 0.2, 0][(seed // 3) % 3],
        "gap": int(generator.integers(0, 3)),
        "stride": int(generator.integers(1, 3)),
    }
    return table, task, options


def frame_of(table: dict, *, step: int | str, order: str) -> pd.DataFrame:
    """Return the table as a frame, on whole numbers or dates, sorted by series or by time."""
    rows = [
        {"shop": name, "position": position, **row} for name, rows in table.items() for position, row in rows.items()
    ]
    if order == "time":
        rows.sort(key=lambda row: row["position"])  # stable: the series stay in order within a time
    frame = pd.DataFrame(rows)
    position = frame.pop("position")
    if isinstance(step, int):
        return frame.assign(time=position * step - 3)
    axis = pd.date_range("2024-01-05", periods=int(position.max()) + 1, freq=step)
    return frame.assign(time=axis[position])


def borders(table, horizon, *, validation, test, gap, **_):
    """Return, by series, the positions where training ends, and where validation and test begin and end."""
    spans = {name: (min(rows), max(rows) + 1) for name, rows in table.items()}
    ends = {name: end for name, (_, end) in spans.items()}
    total = sum(end - begin for begin, end in spans.values())
    begins = []
    for share, least in ((test, horizon), (validation, horizon + gap)):
        if isinstance(share, int):
            start = {name: max(ends[name] - share, spans[name][0]) for name in table}
        else:
            moment = max(ends.values()) + 1
            while True:
                start = {name: min(max(moment, spans[name][0]), ends[name]) for name in table}
                behind = [ends[name] - start[name] for name in table]
                is_enough = share == 0 or max(behind) >= least or moment < min(begin for begin, _ in spans.values())
                if sum(behind) >= round(share * total) and is_enough:
                    break
                moment -= 1
        begins.append(start)
        ends = start
    test_start, validation_start = begins
    result = {}
    for name, (begin, end) in spans.items():
        result[name] = {
            "train": (begin, max(validation_start[name] - gap, begin)),
            "validation": (validation_start[name], max(test_start[name] - gap, validation_start[name])),
            "test": (test_start[name], end),
        }
    return result


class SlowWindows:
    """Every number of every window, looked up one at a time."""

    def __init__(self, table, task, train_ends, shown, *, is_padded):
        self.table, self.task, self.train_ends = table, task, train_ends
        self.shown = shown  # names of the series in their order of appearance
        self.first = {name: min(rows) - task.before_reach for name, rows in table.items()}
        if is_padded:
            needed = task.lookback + task.horizon
            self.first = {name: min(first, train_ends[name] - needed) for name, first in self.first.items()}
        self.seen = [name for name in shown if any(self.training(name, target) for target in task.target)]
        numeric = [column for column in (*task.observed, *task.known, *task.static) if column != "sky"]
        self.means = {}
        for column in numeric:
            values = [value for name in shown for value in self.training(name, column)]
            self.means[column] = sum(values) / len(values) if values else 0.0
        self.categories = sorted({value for name in shown for value in self.training(name, "sky")})
        self.flagged = [
            column
            for column in (*task.target, *task.observed, *task.known)
            if any(
                self.value(name, column, at) is None
                for name in shown
                for at in range(self.first[name], train_ends[name])
            )
        ]

    def value(self, name, column, position):
        return self.table[name].get(position, {}).get(column)

    def training(self, name, column):
        positions = range(self.first[name], self.train_ends[name])
        if column in self.task.static:
            return [next(iter(self.table[name].values()))[column] for _ in positions]
        return [self.value(name, column, at) for at in positions if self.value(name, column, at) is not None]

    def level(self, name, target, statistic):
        if name in self.seen and self.training(name, target):
            return statistic(name, target)
        others = [statistic(other, target) for other in self.seen if self.training(other, target)]
        return statistics.median(others)

    def start(self, name, target):
        first = self.first[name]
        head = [self.value(name, target, at) for at in range(first, first + self.task.lookback)]
        head = [value for value in head if value is not None]
        if name not in self.seen and head:
            return sum(head) / len(head)
        return self.level(name, target, lambda one, column: statistics.fmean(self.training(one, column)))

    def size_of(self, values, usual=None):
        """Return the scale of a list of values, None where one is missing; `usual` is that of other series."""
        there = [value for value in values if value is not None]
        if self.task.season_length is not None:
            for lag in (self.task.season_length, 1):
                pairs = [pair for pair in zip(values, values[lag:], strict=False) if None not in pair]
                differences = [abs(one - other) for one, other in pairs]
                if any(differences):
                    return sum(differences) / len(differences)
        level = abs(statistics.fmean(there))
        return statistics.pstdev(there) or (usual and min(level or usual, usual))

    def scale(self, name, target):
        first, task = self.first[name], self.task
        trained = {
            one: [self.value(one, target, at) for at in range(self.first[one], self.train_ends[one])]
            for one in self.seen
            if self.training(one, target)
        }
        usual = statistics.median(filter(None, map(self.size_of, trained.values())))
        scales = {one: self.size_of(values, usual) for one, values in trained.items()}
        usual = statistics.median(scales.values())
        head = [self.value(name, target, at) for at in range(first, first + task.lookback) if at in self.table[name]]
        if name not in self.seen and any(value is not None for value in head):
            return self.size_of(head, usual)
        return scales.get(name, usual)

    def filled(self, name, column, position):
        if column in self.task.static:
            return next(iter(self.table[name].values()))[column]
        for at in range(position, self.first[name] - 1, -1):
            value = self.value(name, column, at)
            if value is not None:
                if column == "sky":
                    return self.categories.index(value) + 1 if value in self.categories else 0
                return value
        if column == "sky":
            return 0
        return self.start(name, column) if column in self.task.target else self.means[column]

    def step(self, name, position):
        """Return the channels of one time step."""
        task = self.task
        channels = [
            self.filled(name, column, position) for column in (*task.target, *task.observed, *task.known, *task.static)
        ]
        by = task.horizon
        while by > 0:
            channels.append(self.filled(name, "price", position + by))
            by -= task.lookback
        channels += [float(self.value(name, column, position) is None) for column in self.flagged]
        return [*channels, self.seen.index(name) + 1 if name in self.seen else 0]

    def cut(self, spans, stride):
        """Return x, y, weights and series of all windows whose targets lie in the spans, by series."""
        task, xs, ys, weights, series = self.task, [], [], [], []
        for name in self.shown:
            begin, end = spans[name]
            first = max(begin - task.lookback, self.first[name])
            for at in range(first, end - task.lookback - task.horizon + 1, stride):
                targets = range(at + task.lookback, at + task.lookback + task.horizon)
                there = [[self.value(name, target, one) is not None for target in task.target] for one in targets]
                if not any(map(any, there)):
                    continue
                xs.append([self.step(name, one) for one in range(at, at + task.lookback)])
                ys.append([[self.filled(name, target, one) for target in task.target] for one in targets])
                scales = [self.scale(name, target) for target in task.target]
                weights.append(
                    [[is_there / scale for is_there, scale in zip(row, scales, strict=True)] for row in there]
                )
                series.append(name)
        return xs, ys, weights, series
