"""Transforms of a cube by Spanwise, FFTW-MPI, mpi4py-fft and pyFFTW, in turn on the same cores; Markdown on stdout.

usage: fft.py [--bench PATH] [--sizes 128 256] [--rounds 3] [--pairs 7]

A round runs every code once, a process each; the number of a code is the median of the rounds, each the median of its
pairs. Ours is `cargo bench --bench fft --no-run`; the others come from setup.sh fft, FFTW-MPI is built here.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from built import newest_bench

HERE = Path(__file__).resolve().parent
PEERS = Path(os.environ.get("SPANWISE_PEERS", Path.home() / ".cache/spanwise-peers"))
PYTHON = PEERS / "venv-fft/bin/python"

# One peer in a process of its own: prints the same line of JSON as the others.
PEER = r"""
import json, statistics, sys, time
import numpy as np
name, n, pairs, threads = sys.argv[1], *map(int, sys.argv[2:5])
seconds, ranks = [], 1
if name == "pyfftw":
    import pyfftw
    u, c, v = (pyfftw.empty_aligned(s, d) for s, d in
               [((n,) * 3, "float64"), ((n, n, n // 2 + 1), "complex128"), ((n,) * 3, "float64")])
    options = dict(axes=(0, 1, 2), flags=["FFTW_MEASURE"], threads=threads)
    forward = pyfftw.FFTW(u, c, direction="FFTW_FORWARD", **options)
    backward = pyfftw.FFTW(c, v, direction="FFTW_BACKWARD", normalise_idft=False, **options)
    def pair(): forward.execute(); backward.execute()
    barrier = slowest = lambda x=0: x
    first, scale = True, 1 / n ** 3
else:
    from mpi4py import MPI
    from mpi4py_fft import PFFT, newDistArray
    world = MPI.COMM_WORLD
    ranks, first, scale = world.Get_size(), world.Get_rank() == 0, 1
    # By processes in two directions where there are enough of them, as its default.
    plan = PFFT(world, (n,) * 3, axes=(0, 1, 2), dtype=float, slab="slab" in name, collapse=False)
    u, c, v = newDistArray(plan, False), newDistArray(plan, True), newDistArray(plan, False)
    def pair(): plan.forward(u, c); plan.backward(c, v)
    barrier, slowest = world.Barrier, lambda x: world.allreduce(x, MPI.MAX)
rng = np.random.default_rng(1)
u[:] = start = rng.standard_normal(u.shape)
pair()
error = float(np.abs(v * scale - start).max())
for _ in range(pairs):
    u[:] = start
    barrier()
    clock = time.perf_counter()
    pair()
    seconds.append(slowest(time.perf_counter() - clock))
if first:
    print(json.dumps(dict(peer=name, n=n, kind="full", ranks=ranks, threads=threads,
                          seconds=statistics.median(seconds), error=error)))
"""

parser = argparse.ArgumentParser()
parser.add_argument("--bench", help="the built bench of ours")
parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256])
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--pairs", type=int, default=7)
parser.add_argument("--ways", nargs="+", default=["1x1", "2x1", "1x2"], help="ranks x threads")
arguments = parser.parse_args()


def build_fftw():
    source, binary = HERE / "fftw_mpi.c", PEERS / "fftw_mpi"
    if not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime:
        PEERS.mkdir(parents=True, exist_ok=True)
        built = subprocess.run(
            ["mpicc", "-O3", "-march=native", source, "-o", binary, "-lfftw3_mpi", "-lfftw3", "-lm"]
        )
        if built.returncode:
            return None
    return binary


def run(command, ranks, threads):
    environment = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    command = [str(c) for c in command]
    if ranks > 1:
        command = ["mpirun", "-n", str(ranks), *command]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not rows:
        print(f"{' '.join(command[:4])}: {done.stderr.strip()[-300:]}", file=sys.stderr)
    return rows


bench, fftw, found = arguments.bench or newest_bench("fft"), build_fftw(), {}
ways = [tuple(map(int, way.split("x"))) for way in arguments.ways]
for _ in range(arguments.rounds):
    for n in arguments.sizes:
        for ranks, threads in ways:
            common = [n, arguments.pairs]
            ours = [bench, "--json", "--sizes", n, "--pairs", arguments.pairs, "--threads", threads]
            jobs = [ours]
            if threads == 1:
                if fftw:
                    jobs.append([fftw, *common])
                jobs.append([PYTHON, "-c", PEER, "mpi4py-fft", *common, threads])
            if ranks == 1:
                jobs.append([PYTHON, "-c", PEER, "pyfftw", *common, threads])
            for job in jobs:
                for row in run(job, ranks, threads):
                    key = (row["n"], ranks, threads, row["peer"], row["kind"])
                    found.setdefault(key, []).append(row)

print("| n | ranks × threads | code | ms per pair | others ÷ ours | round trip |\n|---|---|---|---|---|---|")
for n in arguments.sizes:
    for ranks, threads in ways:
        here = {k[3:]: v for k, v in found.items() if k[:3] == (n, ranks, threads)}
        median = {k: statistics.median(r["seconds"] for r in v) for k, v in here.items()}
        ours = median.get(("spanwise", "full"))
        for (peer, kind), seconds in median.items():
            ratio = f"{seconds / ours:.2f}" if ours and peer != "spanwise" else ""
            name = peer if kind == "full" else f"{peer}, {kind}"
            error = max(r["error"] for r in here[peer, kind])
            print(f"| {n}³ | {ranks} × {threads} | {name} | {seconds * 1e3:.1f} | {ratio} | {error:.0e} |")
triads = [r["triad"] for rows in found.values() for r in rows if "triad" in r]
if triads:
    print(f"\nTriad in the same runs: {min(triads) * 1e-9:.1f} to {max(triads) * 1e-9:.1f} GB/s.")
