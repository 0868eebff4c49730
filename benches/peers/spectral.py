"""Spanwise and the other codes on the same PDE tasks, in turn, on the same cores; prints a Markdown report.

usage: spectral.py [--binary PATH] [--threads 1] [--ranks 1] [--repetitions 3] [--tasks NAME ...] [--peers NAME ...]

Seconds per time step: start-up, compilation and planning excluded for everyone, series, files and the estimate of the time error off for us. Each peer
runs in its own environment under ${SPANWISE_PEERS:-~/.cache/spanwise-peers} (setup.sh exponax fluidsim dedalus fft).
"""

import argparse
import datetime
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from machine import machine

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PEERS = Path(os.environ.get("SPANWISE_PEERS", Path.home() / ".cache/spanwise-peers"))

# peer: its environment, and what it is.
NAMES = {
    "fluidsim": ("fluidsim", "FluidSim"),
    "mpi4py_fft": ("fft", "solver on mpi4py-fft"),
    "dedalus": ("dedalus", "Dedalus"),
    "exponax": ("exponax", "exponax, f64"),
    "numpy": ("exponax", "NumPy"),
}

TAYLOR_GREEN = """
[problem]
points = [{n}, {n}, {n}]
end_time = 1000
equation = {{ kind = "navier_stokes_3d", viscosity = 0.000625 }}
initial = {{ kind = "named", name = "taylor_green" }}
[method]
scheme = "if_rk4"
time_step = 0.01
time_error = false
"""
VORTICITY = """
[problem]
points = [{n}, {n}]
end_time = 1000
equation = {{ kind = "vorticity_2d", viscosity = 0.001 }}
initial = {{ kind = "expressions", fields = {{ vorticity = "sin(4*x)*cos(3*y) + cos(2*x + 5*y)" }} }}
[method]
scheme = "if_rk4"
time_step = 0.001
time_error = false
"""
KS = """
[problem]
points = [{n}]
lengths = ["32*pi"]
end_time = 1000000
equation = {{ kind = "kuramoto_sivashinsky" }}
initial = {{ kind = "expressions", fields = {{ u = "cos(x/16)*(1 + sin(x/16))" }} }}
[method]
scheme = "etdrk4"
time_step = 0.05
time_error = false
"""
# task: title, our input, steps of ours, peers
TASKS = {
    "tgv64": ("3-D Navier–Stokes, Taylor–Green, 64³", TAYLOR_GREEN, 80, ("fluidsim", "mpi4py_fft", "dedalus")),
    "tgv128": ("3-D Navier–Stokes, Taylor–Green, 128³", TAYLOR_GREEN, 20, ("fluidsim", "mpi4py_fft")),
    "vorticity512": ("2-D vorticity, 512²", VORTICITY, 120, ("fluidsim", "exponax", "dedalus")),
    "ks1024": ("Kuramoto–Sivashinsky, 1024 points", KS, 5000, ("exponax", "numpy")),
    "ks8192": ("Kuramoto–Sivashinsky, 8192 points", KS, 600, ("exponax", "numpy")),
}

parser = argparse.ArgumentParser()
parser.add_argument("--binary", default=ROOT / "target/release/spanwise")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--ranks", type=int, default=1)
parser.add_argument("--repetitions", type=int, default=3)
parser.add_argument("--tasks", nargs="*", default=list(TASKS))
parser.add_argument("--peers", nargs="*", help="only these")
args = parser.parse_args()
cores = ",".join(str(c) for c in sorted(os.sched_getaffinity(0))[: args.threads * args.ranks])


def launch(command):
    environment = dict(os.environ, RAYON_NUM_THREADS=str(args.threads))
    launcher = ["mpirun", "-n", str(args.ranks), "--bind-to", "none"] if args.ranks > 1 else []
    return subprocess.run(["taskset", "-c", cores, *launcher, *map(str, command)], capture_output=True, text=True,
                          env=environment, timeout=1800)


def ours(task, folder):
    title, text, steps, _ = TASKS[task]
    n = int(task.lstrip("abcdefghijklmnopqrstuvwxyz"))
    house = f'solver = "spectral"\n[run]\nmax_steps = {steps}\nthreads = {args.threads}\n[output]\nevery = 1000000\n'
    (folder / "input.toml").write_text(house + text.format(n=n))
    out = folder / "ours.out"
    shutil.rmtree(out, ignore_errors=True)
    result = launch([args.binary, "run", folder / "input.toml", "--output", out, "--quiet"])
    # 3: the limit of steps, which is what is asked here.
    if result.returncode not in (0, 3):
        return {"failed": f"exit {result.returncode}: {result.stderr.strip()[-300:]}"}
    report = json.loads((out / "report.json").read_text())
    scheme = "ETDRK4, 2/3 rule" if task.startswith("ks") else "IF-RK4, 2/3 rule"
    return {"seconds_per_step": report["work"]["seconds"] / report["steps"], "version": report["spanwise_version"],
            "scheme": scheme}


def peer(name, task):
    python = PEERS / f"venv-{NAMES[name][0]}" / "bin/python"
    if not python.exists():
        return {"failed": "not installed"}
    result = launch([python, HERE / "spectral_peer.py", task, name, "--threads", args.threads])
    lines = [line for line in result.stdout.splitlines() if line.startswith("{")]
    if result.returncode != 0 or not lines:
        words = result.stderr.strip().splitlines()
        return {"failed": words[-1][:200] if words else "failed"}
    return json.loads(lines[-1])


def main():
    print(f"Measured {datetime.date.today().isoformat()} on {machine()}; {args.ranks} rank(s) × {args.threads} "
          f"thread(s) on core(s) {cores} for everyone, median of {args.repetitions} interleaved repetition(s).\n")
    with tempfile.TemporaryDirectory(prefix="spanwise-peers-") as name:
        for task in args.tasks:
            contenders = ["spanwise"] + [p for p in TASKS[task][3] if not args.peers or p in args.peers]
            if args.ranks > 1:
                contenders = [c for c in contenders if c not in ("exponax", "numpy")]
            results = {c: [] for c in contenders}
            for _ in range(args.repetitions):
                for c in contenders:
                    print(f"{task}: {c}", file=sys.stderr)
                    results[c].append(ours(task, Path(name)) if c == "spanwise" else peer(c, task))
            show(TASKS[task][0], results)


def show(title, results):
    print(f"### {title}\n")
    print("| code | version | scheme | ms per step | times ours |\n|---|---|---|---:|---:|")
    base = None
    for c, rows in results.items():
        label = "**Spanwise**" if c == "spanwise" else NAMES[c][1]
        good = [r for r in rows if "failed" not in r]
        if not good:
            print(f"| {label} | | {rows[-1]['failed'].replace('|', '/')} | | |")
            continue
        seconds = statistics.median(r["seconds_per_step"] for r in good)
        base = seconds if c == "spanwise" else base
        ratio = f"{seconds / base:.1f}" if base else ""
        print(f"| {label} | {good[0]['version']} | {good[0]['scheme']} | {1e3 * seconds:.3g} | {ratio} |")
    print(flush=True)


if __name__ == "__main__":
    main()
