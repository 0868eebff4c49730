"""Two threads and two ranks of the spectral room against one, beside a yardstick; prints Markdown.

usage: scaling_spectral.py [--binary PATH] [--repetitions 3] [--seconds 2] [--only NAME]

The yardstick is a run that computes in cache (Kuramoto–Sivashinsky on 1024 points): two copies of it at once, each on
its own core, over one alone. It says what the second core is worth on this machine now; the speed-up of a problem is
divided by it. Everything is interleaved, medians; throughput is point-steps per second of stepping, from report.json.
Cores 0 and 1 for all.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--binary", default=Path(__file__).resolve().parents[1] / "target/release/spanwise")
parser.add_argument("--repetitions", type=int, default=3)
parser.add_argument("--seconds", type=float, default=2.0)
parser.add_argument("--only", default="")
args = parser.parse_args()

HEAD = 'solver = "spectral"\n[output]\nevery = 1000000\n[run]\nmax_steps = STEPS\n[problem]\noutput = { whole = false, spectra = false }\n'
KS = HEAD + """points = [1024]
lengths = [200]
end_time = 1e9
equation = { kind = "kuramoto_sivashinsky" }
initial = { kind = "random", spectrum = { kind = "exponential_peak", peak = 0.7 }, amplitude = 0.5 }
[method]
scheme = "etdrk4"
time_step = 0.05
"""
FLOW = HEAD + """points = [N, N, N]
end_time = 1e9
equation = { kind = "navier_stokes_3d", viscosity = 0.01 }
initial = { kind = "named", name = "taylor_green" }
[method]
scheme = "if_rk4"
time_step = 1e-3
"""
VORTICITY = HEAD + """points = [512, 512]
end_time = 1e9
equation = { kind = "vorticity_2d", viscosity = 1e-3 }
initial = { kind = "random", spectrum = { kind = "exponential_peak", peak = 6.0 }, amplitude = 1.0 }
[method]
scheme = "etdrk4"
time_step = 1e-3
"""
PROBLEMS = {
    "Taylor–Green 64³": FLOW.replace("[N, N, N]", "[64, 64, 64]"),
    "Taylor–Green 128³": FLOW.replace("[N, N, N]", "[128, 128, 128]"),
    "vorticity 512²": VORTICITY,
}


def start(folder, name, text, cores, threads, ranks):
    """A run under way, and where its report will be."""
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
    assert code in (0, 3), f"exit code {code}"
    work = json.loads((out / "report.json").read_text())["work"]
    return work["amount"] / work["seconds"]


def steps(folder, text):
    """As many steps as take about the asked seconds on one core."""
    few = 400 if "[1024]" in text else 3
    out, process = start(folder, "trial", text.replace("STEPS", str(few)), "0", 1, 1)
    assert process.wait() in (0, 3)
    seconds = json.loads((out / "report.json").read_text())["work"]["seconds"]
    return max(few, int(args.seconds * few / seconds))


def main():
    chosen = {k: v for k, v in PROBLEMS.items() if args.only in k}
    names = ["alone", "pair"] + [f"{p} {w}" for p in chosen for w in ("1", "threads", "ranks")]
    found = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ready = {p: t.replace("STEPS", str(steps(folder, t))) for p, t in chosen.items()}
        yardstick = KS.replace("STEPS", str(steps(folder, KS)))
        for _ in range(args.repetitions):
            for p, text in ready.items():
                found["alone"].append(rate(*start(folder, "alone", yardstick, "0", 1, 1)))
                pair = [start(folder, f"copy{core}", yardstick, core, 1, 1) for core in "01"]
                found["pair"].append(sum(rate(*copy) for copy in pair))
                found[f"{p} 1"].append(rate(*start(folder, "one", text, "0", 1, 1)))
                found[f"{p} threads"].append(rate(*start(folder, "threads", text, "0,1", 2, 1)))
                found[f"{p} ranks"].append(rate(*start(folder, "ranks", text, "0,1", 1, 2)))
    median = {k: statistics.median(v) for k, v in found.items()}
    worth = median["pair"] / median["alone"]
    print(f"Two copies of the yardstick over one: {worth:.3f}; medians of {args.repetitions}.\n")
    print("| problem | one core, M point-steps/s | 2 threads | over the yardstick | 2 ranks | over the yardstick |")
    print("|---|---:|---:|---:|---:|---:|")
    for p in chosen:
        one = median[f"{p} 1"]
        cells = [c for w in ("threads", "ranks")
                 for c in (median[f"{p} {w}"] / one, median[f"{p} {w}"] / one / worth)]
        print(f"| {p} | {one / 1e6:.2f} | " + " | ".join(f"{c:.2f}" for c in cells) + " |")


main()
