"""Two threads and two ranks against two independent copies at the same time, and one copy alone; prints Markdown.

usage: scaling.py [--binary PATH] [--points 20000] [--steps 8] [--repetitions 3]

Throughput is entries of the cost per second of stepping, from report.json; everything interleaved, medians. Cores 0
and 1 for all. The steps are Sinkhorn's in f64, on the fly, so that all do the same work.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

from sinkhorn import sinkhorn

parser = argparse.ArgumentParser()
parser.add_argument("--binary", default=Path(__file__).resolve().parents[1] / "target/release/spanwise")
parser.add_argument("--points", type=int, default=20000)
parser.add_argument("--steps", type=int, default=8)
parser.add_argument("--repetitions", type=int, default=3)
args = parser.parse_args()


def start(folder, name, cores, threads, ranks):
    out = folder / name
    run = [str(args.binary), "run", str(folder / "scaling.toml"), "--output", str(out), "--force", "--quiet"]
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


def main():
    results = {"one copy alone": [], "two copies at once (sum)": [], "1 rank × 2 threads": [], "2 ranks × 1 thread": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "scaling.toml").write_text(sinkhorn(args.points, args.steps, "f64"))
        for _ in range(args.repetitions):
            results["one copy alone"].append(rate(*start(folder, "alone", "0", 1, 1)))
            pair = [start(folder, "left", "0", 1, 1), start(folder, "right", "1", 1, 1)]
            results["two copies at once (sum)"].append(sum(rate(*p) for p in pair))
            results["1 rank × 2 threads"].append(rate(*start(folder, "threads", "0,1", 2, 1)))
            results["2 ranks × 1 thread"].append(rate(*start(folder, "ranks", "0,1", 1, 2)))
    copies = statistics.median(results["two copies at once (sum)"])
    alone = statistics.median(results["one copy alone"])
    print(f"n = m = {args.points}, {args.steps} Sinkhorn steps, f64, on the fly, median of {args.repetitions}:\n")
    print("| what | entries/s | against two copies at once | against one alone |")
    print("|---|---:|---:|---:|")
    for what, rates in results.items():
        r = statistics.median(rates)
        print(f"| {what} | {r:.3g} | {r / copies:.2f} | {r / alone:.2f} |")


main()
