"""Windows: how many a second, how much memory, what feeding `fit` from them costs, and what the import costs.

    python tests/benchmarks/windows.py

The memory figure needs a process of its own for each measurement; the script starts them itself.
"""

import resource
import subprocess
import sys
import time

import numpy as np


def speed():
    """Print windows a second: look-back 64, 8 features, batches of 256, shuffled."""
    import pandas as pd

    import rnn_toolkit as rt

    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(300_000, 8)), columns=list("abcdefgh"))
    for horizon in (1, 24):
        task = rt.ForecastTask("a", horizon, 64, observed=tuple("bcdefgh"))
        train, _, _ = rt.split_by_time(frame, task, validation=0, test=0, batch_size=256)
        rates = []
        for _ in range(5):
            began = time.perf_counter()
            count = sum(len(train[index][0]) for index in range(len(train)))
            rates.append(count / (time.perf_counter() - began))
        print(f"horizon {horizon}: {np.median(rates):,.0f} windows a second (median of 5 epochs)")


def memory():
    """Print the peak memory of cutting 10 million rows of 8 columns, in tables' sizes."""
    import pandas as pd

    import rnn_toolkit as rt

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    rows = 10_000_000
    frame = pd.DataFrame({name: np.random.default_rng(0).normal(size=rows) for name in "abcdefgh"})
    frame.index = pd.date_range("2000", periods=rows, freq="min")
    size = frame.memory_usage().sum()
    train, _, _ = rt.split_by_time(frame, rt.ForecastTask("a", 24, 336, observed=tuple("bcdefgh")))
    for index in range(100):
        train[index]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    print(
        f"table {size / 1e6:.0f} MB, peak with table, windows and splits {peak / 1e6:.0f} MB: {peak / size:.2f} tables"
    )


def feeding():
    """Print the time of a training step fed from windows over one fed from ready arrays."""
    import pandas as pd

    import rnn_toolkit as rt

    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(30_000, 8)).cumsum(0), columns=list("abcdefgh"))
    for lookback, units, batch in ((24, 32, 64), (96, 64, 64), (336, 128, 256)):
        task = rt.ForecastTask("a", 24, lookback, observed=tuple("bcdefgh"))
        windows = rt.Windows(frame, task, batch_size=batch, shuffle=True)
        x, y, weight = windows.to_arrays()
        model = rt.build_forecaster(windows, rt.recurrent_layers("gru", (units,)))
        times = {"windows": [], "arrays": []}
        for turn in range(8):
            for name, taken in times.items():
                began = time.perf_counter()
                if name == "windows":
                    model.fit(windows, epochs=1, verbose=0, shuffle=False)
                else:
                    model.fit(x, y, sample_weight=weight, batch_size=batch, epochs=1, verbose=0)
                if turn:  # the first turn compiles
                    taken.append((time.perf_counter() - began) / len(windows) * 1e3)
        ratio = np.median(np.array(times["windows"]) / np.array(times["arrays"]))
        print(
            f"look-back {lookback}, {units} units, batch {batch}: {np.median(times['windows']):.1f} ms a step from "
            f"windows, {np.median(times['arrays']):.1f} from arrays, ratio {ratio:.3f} (median of 7 pairs)"
        )


def importing():
    """Print what `import rnn_toolkit` adds to `import keras`."""
    code = "import time, keras; began = time.perf_counter(); import rnn_toolkit; print(time.perf_counter() - began)"
    seconds = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(5)
    ]
    print(f"import rnn_toolkit after import keras: {np.median(seconds):.2f} s (median of 5 processes)")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        {"speed": speed, "memory": memory, "feeding": feeding, "importing": importing}[sys.argv[1]]()
    else:
        for part in ("speed", "memory", "importing", "feeding"):
            subprocess.run([sys.executable, __file__, part], check=True, stderr=subprocess.DEVNULL)
