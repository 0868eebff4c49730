"""Bootstrap filters of Spanwise and of other packages on the same problem, in turn on one core; prints Markdown.

usage: filters.py [--bench PATH] [--rounds 3] [--particles 100000 1000000] [--seeds 30]

Resampling (systematic) at every step. A round runs every code once, a process each; the number of a code is the median
of the rounds. Then the log-evidence at equal accuracy: seeds of each code on the same simulated data. Ours is `cargo bench --bench particles --no-run`; the others come from setup.sh particles.

(Not called particles.py: a peer beside it would import that instead of the package of this name.)
"""

import argparse
import datetime
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import particles_peer
from built import newest_bench
from machine import machine

HERE = Path(__file__).resolve().parent
PEERS = Path(os.environ.get("SPANWISE_PEERS", Path.home() / ".cache/spanwise-peers"))
PYTHON = PEERS / "venv-particles/bin/python"
MODELS = {"lg": "linear Gaussian", "sv": "stochastic volatility"}
# As many times as benches/particles.rs takes.
TIMES = {100_000: 300, 1_000_000: 30}
OTHERS = {"numba": "numba", "jax": "JAX, f64", "jax_single": "JAX, f32", "particles": "`particles`"}

parser = argparse.ArgumentParser()
parser.add_argument("--bench", help="the built bench of ours")
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--particles", type=int, nargs="+", default=list(TIMES))
parser.add_argument("--seeds", type=int, default=30)
args = parser.parse_args()
core = str(min(os.sched_getaffinity(0)))


def output(command):
    done = subprocess.run(["taskset", "-c", core, *map(str, command)], capture_output=True, text=True, timeout=1800)
    if done.returncode:
        print(f"{command}: {done.stderr.strip()[-300:]}", file=sys.stderr)
    return done.stdout


def ours(bench, rates):
    for line in output([bench, "filters"]).splitlines():
        found = re.match(r"(\S+) +(.+) N = +(\d+), T = \d+, resampled at every step: ([0-9.]+) M ", line)
        if found:
            level, model, n, rate = found.groups()
            rates.setdefault((model, int(n), f"**Spanwise**, {level}"), []).append(float(rate))


def run_other(name, model, n, repetitions):
    single = ["--single"] if name.endswith("_single") else []
    return output([PYTHON, HERE / "particles_peer.py", name.removesuffix("_single"), "--model", model, "--particles", n,
                   "--times", TIMES[n], "--every-step", "--repetitions", repetitions, *single])


def other(name, model, n, rates):
    shown = run_other(name, model, n, 3)
    found = re.search(r": ([0-9.]+) M particle-steps/s", shown)
    if found:
        rates.setdefault((MODELS[model], n, OTHERS[name]), []).append(float(found[1]))


def accuracy(shown, truth):
    """Seconds of a run, root mean square error of its log-evidence, seconds to an error of a hundredth."""
    seconds = float(re.search(r"^seconds (\S+)", shown, re.M)[1])
    found = [float(z) for z in re.search(r"^log Z (.+)", shown, re.M)[1].split()]
    error = math.sqrt(statistics.fmean((z - truth) ** 2 for z in found))
    return f"{seconds:.2f} s, {error:.4f}, **{seconds * (error / 0.01) ** 2:.2f} s**"


def accuracies(n):
    table = {}
    for model in MODELS:
        y = particles_peer.data(model, TIMES[n])
        truth = particles_peer.exact(model, y)
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.writelines(f"{value!r}\n" for value in y.tolist())
            file.flush()
            shown = output([bench, "evidence", model, file.name, n, args.seeds])
        table.setdefault("**Spanwise**", []).append(accuracy(shown, truth))
        for name in OTHERS:
            table.setdefault(OTHERS[name], []).append(accuracy(run_other(name, model, n, args.seeds), truth))
    print(f"\nLog-evidence at equal accuracy: seconds a run and root mean square error of {args.seeds} seeds against the exact "
          f"log-evidence (Kalman's filter, a grid), and the seconds that an error of 0.01 costs; N = {n}, T = {TIMES[n]}.\n")
    print("| code | " + " | ".join(MODELS.values()) + " |\n|---|" + "---:|" * len(MODELS))
    for code, row in table.items():
        print(f"| {code} | " + " | ".join(row) + " |")


def speeds():
    rates = {}
    for _ in range(args.rounds):
        ours(bench, rates)
        for n in args.particles:
            for model in MODELS:
                for name in OTHERS:
                    other(name, model, n, rates)
    columns = [(model, n) for model in MODELS.values() for n in args.particles]
    print(f"\nMedian of {args.rounds} interleaved round(s); million particle-steps a second, compilation excluded.\n")
    print("| code | " + " | ".join(f"{model}, N = {n}" for model, n in columns) + " |\n|---|" + "---:|" * len(columns))
    for code in dict.fromkeys(c for _, _, c in rates):
        row = [rates.get((*column, code)) for column in columns]
        print(f"| {code} | " + " | ".join(f"{statistics.median(r):.1f}" if r else "" for r in row) + " |")


bench = args.bench or newest_bench("particles")
print(f"Measured {datetime.date.today().isoformat()} on {machine()}; core {core}, f64 unless said.")
if args.rounds:
    speeds()
if args.seeds:
    accuracies(100_000)
