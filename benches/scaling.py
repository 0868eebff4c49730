"""Many cores against one, for every room: threads, ranks and independent copies; prints Markdown.

usage: scaling.py [--cores 2] [--binary PATH] [--repetitions 5] [--seconds 4] [--only NAME]

The yardstick computes in cache (Kuramoto–Sivashinsky on 1024 points): a copy of it on every core at once over one
alone says what the cores are worth on this machine now, and the speed-up of a problem is divided by it. Copies of the
problem itself, one on every core, say what memory allows. Everything is interleaved; medians of the ratios of each repetition. Throughput is the work
that report.json counts over the seconds of stepping. Cores 0 … cores − 1 are used.

A host may move the cores of a virtual machine. If there are two and benches/cores.rs was built (`cargo bench --bench
cores --no-run`), it says before and after every repetition how far apart they are; those between two equal answers count,
and each kind of answer has a row.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import tempfile
from pathlib import Path

from peers.built import find_bench
from sinkhorn import sinkhorn

parser = argparse.ArgumentParser()
parser.add_argument("--cores", type=int, default=2)
parser.add_argument("--binary", default=Path(__file__).resolve().parents[1] / "target/release/spanwise")
parser.add_argument("--repetitions", type=int, default=5)
parser.add_argument("--seconds", type=float, default=4.0)
parser.add_argument("--only", default="")
args = parser.parse_args()

SPECTRAL = """solver = "spectral"
[output]
every = 1000000
[run]
max_steps = STEPS
[problem]
output = { whole = false, spectra = false }
end_time = 1e9
"""
KS = SPECTRAL + """points = [1024]
lengths = [200]
equation = { kind = "kuramoto_sivashinsky" }
initial = { kind = "random", spectrum = { kind = "exponential_peak", peak = 0.7 }, amplitude = 0.5 }
[method]
scheme = "etdrk4"
time_error = false
time_step = 0.05
"""
VORTICITY = SPECTRAL + """points = [512, 512]
equation = { kind = "vorticity_2d", viscosity = 1e-3 }
initial = { kind = "random", spectrum = { kind = "exponential_peak", peak = 6.0 }, amplitude = 1.0 }
[method]
scheme = "etdrk4"
time_error = false
time_step = 1e-3
"""


def flow(points):
    return SPECTRAL + f"""points = [{points}, {points}, {points}]
equation = {{ kind = "navier_stokes_3d", viscosity = 0.01 }}
initial = {{ kind = "named", name = "taylor_green" }}
[method]
scheme = "if_rk4"
time_error = false
time_step = 1e-3
"""


def particles(count):
    return f"""solver = "smc"
[problem]
model = {{ kind = "stochastic_volatility" }}
observations = {{ simulate = STEPS, seed = 7 }}
[method]
particles = {count}
islands = 1
ess_threshold = 1.0
"""


# Name → (input, steps of the trial that says how many steps the asked seconds take).
PROBLEMS = {
    "Sinkhorn on the fly, 20 000 points": (sinkhorn(20000, "STEPS", "f64"), 2),
    "Taylor–Green 64³": (flow(64), 3),
    "Taylor–Green 128³": (flow(128), 3),
    "vorticity 512²": (VORTICITY, 3),
    "particle filter, 10⁶": (particles(1000000), 5),
}
YARDSTICK = (KS, 400)
# Nanoseconds of a flag's round trip: below, cores share the last cache.
NEAR = 200


def start(folder, name, text, cores, threads, ranks):
    """A run under way on the list of cores, and where its report will be."""
    path, out = folder / f"{name}.toml", folder / name
    path.write_text(text)
    run = [str(args.binary), "run", str(path), "--output", str(out), "--force", "--quiet"]
    if ranks > 1:
        run = ["mpirun", "--bind-to", "core", "-n", str(ranks), *run]
    environment = dict(os.environ, RAYON_NUM_THREADS=str(threads))
    return out, subprocess.Popen(["taskset", "-c", cores, *run], env=environment, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)


def rate(out, process):
    code = process.wait()
    assert code in (0, 3), f"{out.name}: exit code {code}"
    work = json.loads((out / "report.json").read_text())["work"]
    return work["amount"] / work["seconds"]


def sized(folder, text, few, factor=1):
    """The input with as many steps as take about the asked seconds, `factor` times."""
    out, process = start(folder, "trial", text.replace("STEPS", str(few)), "0", 1, 1)
    assert process.wait() in (0, 3)
    seconds = json.loads((out / "report.json").read_text())["work"]["seconds"]
    return text.replace("STEPS", str(max(few, int(args.seconds * factor * few / seconds))))


def copies(folder, text):
    """The summed rate of one copy on every core at once."""
    running = [start(folder, f"copy{core}", text, str(core), 1, 1) for core in range(args.cores)]
    return sum(rate(*copy) for copy in running)


def distance():
    """How far apart the two cores are, in words; None where nobody measures it."""
    bench = find_bench("cores") if args.cores == 2 else None
    if bench is None:
        return None
    said = subprocess.run(["taskset", "-c", "0,1", bench], capture_output=True, text=True, check=True).stdout
    return "near" if float(re.search(r"back (\d+) ns", said)[1]) < NEAR else "far"


def main():
    n, every = args.cores, f"0-{args.cores - 1}"
    print("The yardstick: this many times one copy in as many copies at once. M/s: million entries of the cost, "
          "point-steps, particle-steps a second. Medians over so many repetitions of the ratios within each.\n")
    print(f"| problem | repetitions | one core, M/s | yardstick | {n} copies | {n} threads | over the yardstick "
          f"| {n} ranks | over the yardstick |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yardstick = sized(folder, *YARDSTICK)
        for problem, (text, few) in PROBLEMS.items():
            if args.only not in problem:
                continue
            # A run on every core has as many more steps: the first one, which touches the memory, weighs the same in both.
            small, large = sized(folder, text, few), sized(folder, text, few, factor=n)
            found, before = {}, distance()
            for _ in range(3 * args.repetitions):
                rates = {
                    "alone": rate(*start(folder, "alone", yardstick, "0", 1, 1)),
                    "yardstick": copies(folder, yardstick),
                    "one": rate(*start(folder, "one", small, "0", 1, 1)),
                    "copies": copies(folder, small),
                    "threads": rate(*start(folder, "threads", large, every, n, 1)),
                    "ranks": rate(*start(folder, "ranks", large, every, 1, n)),
                }
                after = distance()
                if before == after:
                    found.setdefault(after, []).append(rates)
                if len(found.get(after, [])) == args.repetitions:
                    break
                before = after
            if not found:
                print(f"| {problem} | 0: the cores moved in every one |", flush=True)
            for cores, repetitions in found.items():
                show(problem if cores is None else f"{problem}, cores {cores}", repetitions)


def show(problem, repetitions):
    """A row of the table."""
    def median(of):
        return statistics.median(of(rates) for rates in repetitions)

    def gain(way):
        return median(lambda rates: rates[way] / rates["one"])

    def over(way):
        return median(lambda rates: rates[way] / rates["one"] / (rates["yardstick"] / rates["alone"]))

    print(f"| {problem} | {len(repetitions)} | {median(lambda rates: rates['one']) / 1e6:.4g} | "
          f"{median(lambda rates: rates['yardstick'] / rates['alone']):.2f} | {gain('copies'):.2f} | "
          f"{gain('threads'):.2f} | {over('threads'):.2f} | {gain('ranks'):.2f} | {over('ranks'):.2f} |", flush=True)


main()
