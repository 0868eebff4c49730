"""Spanwise and the other codes on the same tasks, in turn, on the same cores; prints a Markdown report.

usage: run.py [--binary PATH] [--threads 1] [--repetitions 3] [--tasks NAME …] [--quick]

Needs NumPy; each peer runs in its own environment under ${SPANWISE_PEERS:-~/.cache/spanwise-peers} (setup.sh).
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
import time
from pathlib import Path

import numpy as np
import tasks
from machine import machine

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PEERS = Path(os.environ.get("SPANWISE_PEERS", Path.home() / ".cache/spanwise-peers"))

# (task, peer): two small iteration counts, where the whole run would take too long.
CAPPED = {
    ("points4096_moderate", "pot_log"): (2, 6),
    ("points4096_small", "pot_log"): (2, 6),
    ("points4096_small", "ott"): (5, 45),
    ("points4096_small", "ott_f32"): (5, 45),
    ("points4096_small", "keops"): (3, 13),
    ("points20000", "keops"): (1, 3),
    ("points20000", "ott_online"): (1, 3),
    ("points20000", "pot_lazy"): (1, 2),
    ("grid256", "ott_grid"): (5, 25),
    ("grid64", "ott_grid"): (2, 8),
}
# peer: its environment, and what it is.
NAMES = {
    "pot": ("pot", "POT `sinkhorn` (stored kernel, plain)"),
    "pot_log": ("pot", "POT `sinkhorn_log`"),
    "pot_lazy": ("pot", "POT `empirical_sinkhorn(isLazy=True)`"),
    "ott": ("ott", "OTT-JAX, dense, f64"),
    "ott_f32": ("ott", "OTT-JAX, dense, f32"),
    "ott_online": ("ott", "OTT-JAX, `batch_size=1024`, f64"),
    "ott_grid": ("ott", "OTT-JAX `Grid`, f64"),
    "keops": ("keops", "KeOps log-sum-exp loop, f64"),
    "geomloss": ("keops", "GeomLoss `tensorized`, scaling 0.9, f64"),
    "numpy_scaling": ("pot", "NumPy, one matrix product per axis"),
}

parser = argparse.ArgumentParser()
parser.add_argument("--binary", default=ROOT / "target/release/spanwise")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--repetitions", type=int, default=3)
parser.add_argument("--tasks", nargs="*", default=list(tasks.TASKS))
parser.add_argument("--peers", nargs="*", help="only these")
parser.add_argument("--quick", action="store_true", help="one repetition, to see that everything runs")
args = parser.parse_args()
repetitions = 1 if args.quick else args.repetitions
cores = ",".join(str(c) for c in sorted(os.sched_getaffinity(0))[: args.threads])


def timed(command, **more):
    """(result, whole-process seconds) on the chosen cores."""
    environment = dict(os.environ, RAYON_NUM_THREADS=str(args.threads), OPENBLAS_NUM_THREADS=str(args.threads))
    start = time.perf_counter()
    result = subprocess.run(["taskset", "-c", cores, *map(str, command)], capture_output=True, text=True,
                            env=environment, **more)
    return result, time.perf_counter() - start


def write_input(task, folder):
    kind = "density" if task.grid else "points"
    path = folder / f"{task.name}.toml"
    path.write_text(f"""solver = "transport"

[run]
threads = {args.threads}

[problem]
source = {{ kind = "{kind}", file = "{task.name}-source.npy" }}
target = {{ kind = "{kind}", file = "{task.name}-target.npy" }}
epsilon = {task.epsilon}

[method]
tolerance = {tasks.TOLERANCE}
""" + ("stored_kernel_mib = 0\n" if task.name == "points20000" else ""))
    return path


def ours(task, folder):
    """One run of the binary: what report.json says, and the seconds of the whole process."""
    out = folder / f"{task.name}.out"
    shutil.rmtree(out, ignore_errors=True)
    command = [args.binary, "run", folder / f"{task.name}.toml", "--output", out, "--quiet"]
    result, whole = timed(command)
    if result.returncode != 0:
        return {"failed": f"exit {result.returncode}: {result.stderr.strip()[-300:]}"}
    report = json.loads((out / "report.json").read_text())
    # Building (reading, kernels) and all steps (ε-scaling and the final check in f64 included). The certificates that
    # follow are extra, no peer has them; the whole process includes them.
    seconds = report["timings"]["build_seconds"] + report["work"]["seconds"]
    return {"seconds": seconds, "whole": whole, "iterations": report["steps"],
            "version": report["spanwise_version"], "capped": False}


def peer(name, task, folder, iterations):
    python = PEERS / f"venv-{NAMES[name][0]}" / "bin/python"
    if not python.exists():
        return {"failed": "not installed"}
    command = [python, HERE / "peer.py", task.name, name, "--iterations", iterations, "--threads", args.threads,
               "--folder", folder]
    if (task.name, name) in CAPPED:
        command += ["--cap", *CAPPED[task.name, name]]
    try:
        result, whole = timed(command, timeout=1800)
    except subprocess.TimeoutExpired:
        return {"failed": "more than 30 minutes"}
    if result.returncode != 0:
        return {"failed": result.stderr.strip().splitlines()[-1][:200] if result.stderr.strip() else "failed"}
    return {**json.loads(result.stdout.strip().splitlines()[-1]), "whole": whole}


def accuracy(task, name, folder):
    """The marginal error of the potentials a code returned; none where its run was capped."""
    if name == "spanwise":
        import h5py

        with h5py.File(folder / f"{task.name}.out" / "output.h5") as file:
            f, g = file["state/source_potential"][()].ravel(), file["state/target_potential"][()].ravel()
    else:
        path = folder / f"{task.name}-{name}.npz"
        if not path.exists():
            return None
        saved = np.load(path)
        f, g = saved["f"], saved["g"]
    return tasks.marginal_error(task, f, g)


def main():
    date = datetime.date.today().isoformat()
    print(f"Measured {date} on {machine()}; {args.threads} thread(s) on core(s) {cores} for everyone, "
          f"median of {repetitions} interleaved repetition(s).\n")
    print("Seconds from loaded points to potentials with ‖P1 − a‖₁ + ‖Pᵀ1 − b‖₁ ≤ 1e-6; the error in the table is "
          "recomputed in f64 from the potentials each code returned. *: too slow to run to the end; seconds per "
          "iteration, from two short runs, times the number of plain Sinkhorn iterations that the task needs.\n")
    with tempfile.TemporaryDirectory(prefix="spanwise-peers-") as name:
        folder = Path(name)
        for task in (tasks.TASKS[t] for t in args.tasks):
            one, two = tasks.data(task)
            np.save(folder / f"{task.name}-source.npy", one)
            np.save(folder / f"{task.name}-target.npy", two)
            write_input(task, folder)
            iterations = tasks.sinkhorn_iterations(task, folder)
            contenders = ["spanwise"] + [p for p in task.peers if not args.peers or p in args.peers]
            results = {c: [] for c in contenders}
            for repetition in range(repetitions):
                for c in contenders:
                    print(f"{task.name}: {c}, {repetition + 1} of {repetitions}", file=sys.stderr)
                    done = results[c]
                    if done and "failed" in done[-1]:
                        continue
                    done.append(ours(task, folder) if c == "spanwise" else peer(c, task, folder, iterations))
            show(task, results, folder)


def show(task, results, folder):
    def median(rows, key):
        return statistics.median(r[key] for r in rows)

    ok = {c: [r for r in rows if "failed" not in r] for c, rows in results.items()}
    base = median(ok["spanwise"], "seconds") if ok["spanwise"] else None
    print(f"### {task.title}\n")
    print("| code | version | seconds | times ours | iterations | marginal error | whole process, s |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for c, rows in results.items():
        label = "**Spanwise**" if c == "spanwise" else NAMES[c][1]
        if not ok[c]:
            print(f"| {label} | | {rows[-1]['failed'].replace('|', '/')} | | | | |")
            continue
        rows = ok[c]
        seconds = median(rows, "seconds")
        ratio = f"{seconds / base:.1f}" if base else ""
        error = accuracy(task, c, folder)
        star = "*" if rows[0]["capped"] else ""
        shown = "" if error is None else f"{error:.1e}"
        # A capped run's process time says nothing about the whole problem.
        whole = "" if star else f"{median(rows, 'whole'):.2f}"
        print(f"| {label} | {rows[0]['version']} | {seconds:.3g}{star} | {ratio} | {rows[0]['iterations'] or ''} "
              f"| {shown} | {whole} |")
    print(flush=True)


if __name__ == "__main__":
    main()
