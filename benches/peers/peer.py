"""One other code on one task: prints a JSON line with its seconds, from loaded points to potentials.

usage: peer.py TASK PEER --iterations K [--cap] [--threads T] --folder DIR

Start-up, imports, reading and compilation are outside the clock; building costs and kernels is inside. With --cap the
code is too slow to be run to the end: it is timed at two small iteration counts, and their difference gives the
seconds per iteration; nothing is said about its accuracy then.
"""

import argparse
import json
import math
import os
import sys
import time
import warnings

parser = argparse.ArgumentParser()
parser.add_argument("task")
parser.add_argument("peer")
parser.add_argument("--iterations", type=int, required=True)
parser.add_argument("--cap", type=int, nargs=2, metavar=("FEW", "MORE"))
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--folder", required=True)
args = parser.parse_args()
# Before NumPy, JAX or Torch start their threads.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
    os.environ[name] = str(args.threads)
os.environ["JAX_PLATFORMS"] = "cpu"
warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402
import tasks  # noqa: E402

task = tasks.TASKS[args.task]
one, two = (np.load(f"{args.folder}/{task.name}-{side}.npy") for side in ("source", "target"))
eps = task.epsilon


def pot(method):
    import ot

    def solve(k):
        n, m = len(one), len(two)
        a, b = np.full(n, 1 / n), np.full(m, 1 / m)
        cost = ot.dist(one, two)
        _, log = ot.sinkhorn(a, b, cost, eps, method=method, numItermax=k, stopThr=0.0, log=True, warn=False)
        if "log_u" in log:
            lu, lv = log["log_u"], log["log_v"]
        else:
            lu, lv = np.log(log["u"]), np.log(log["v"])
        return eps * (lu - np.log(a)), eps * (lv - np.log(b))

    return ot.__version__, solve


def pot_lazy():
    import ot

    def solve(k):
        f, g = ot.bregman.empirical_sinkhorn(
            one, two, eps, isLazy=True, batchSize=2048, numIterMax=k, stopThr=0.0, log=False, warn=False)[:2]
        return f + eps * math.log(len(one)), g + eps * math.log(len(two))

    return ot.__version__, solve


def ott(dtype, batch):
    import jax

    jax.config.update("jax_enable_x64", dtype == "float64")
    import jax.numpy as jnp
    import ott
    from ott.geometry import pointcloud
    from ott.problems.linear import linear_problem
    from ott.solvers.linear import sinkhorn

    x, y = jnp.asarray(one, dtype), jnp.asarray(two, dtype)

    def program(k):
        def solve(x, y):
            geometry = pointcloud.PointCloud(x, y, epsilon=eps, batch_size=batch)
            solver = sinkhorn.Sinkhorn(
                lse_mode=True, threshold=-1.0, inner_iterations=k, min_iterations=k, max_iterations=k)
            out = solver(linear_problem.LinearProblem(geometry))
            return out.f, out.g

        return jax.jit(solve).lower(x, y).compile()

    compiled = {k: program(k) for k in counts()}

    def solve(k):
        f, g = compiled[k](x, y)
        f, g = np.asarray(f, float), np.asarray(g, float)
        return f + eps * math.log(len(one)), g + eps * math.log(len(two))

    return f"{ott.__version__} (JAX {jax.__version__})", solve


def ott_grid():
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp
    import ott
    from ott.geometry import grid
    from ott.problems.linear import linear_problem
    from ott.solvers.linear import sinkhorn

    a, b = jnp.asarray(one.ravel()), jnp.asarray(two.ravel())
    axes = [jnp.asarray(q) for q in tasks.axes(task)]

    def program(k):
        def solve(a, b):
            geometry = grid.Grid(x=axes, epsilon=eps)
            solver = sinkhorn.Sinkhorn(
                lse_mode=True, threshold=-1.0, inner_iterations=k, min_iterations=k, max_iterations=k)
            out = solver(linear_problem.LinearProblem(geometry, a, b))
            return out.f, out.g

        return jax.jit(solve).lower(a, b).compile()

    compiled = {k: program(k) for k in counts()}

    def solve(k):
        f, g = compiled[k](a, b)
        return np.asarray(f) - eps * np.log(one.ravel()), np.asarray(g) - eps * np.log(two.ravel())

    return f"{ott.__version__} (JAX {jax.__version__})", solve


def keops():
    import pykeops
    from pykeops.numpy import LazyTensor

    def half(x, y, g):
        cost = ((LazyTensor(x[:, None, :]) - LazyTensor(y[None, :, :])) ** 2).sum(-1)
        exponent = (LazyTensor(g[None, :, None]) - cost) * (1 / eps)
        return -eps * (exponent.logsumexp(1)[:, 0] - math.log(len(y)))

    half(one[:64], two[:64], np.zeros(64))  # compiles the formula

    def solve(k):
        g = np.zeros(len(two))
        for _ in range(k):
            f = half(one, two, g)
            g = half(two, one, f)
        return f, g

    return pykeops.__version__, solve


def geomloss():
    import geomloss as package
    import torch

    torch.set_num_threads(args.threads)
    x, y = torch.tensor(one), torch.tensor(two)
    # Cost |x − y|²/2 and ε = blur²: half of ours. It has no stopping rule; `scaling` sets its number of steps.
    loss = package.SamplesLoss("sinkhorn", p=2, blur=math.sqrt(eps / 2), scaling=0.9, diameter=math.sqrt(3.0),
                               debias=False, potentials=True, backend="tensorized")

    def solve(_):
        f, g = loss(x, y)
        return 2 * f.numpy().ravel(), 2 * g.numpy().ravel()

    return f"{package.__version__} (PyTorch {torch.__version__})", solve


def numpy_scaling():
    def solve(k):
        kernels = tasks.axis_kernels(task)
        v = np.ones_like(two)
        for _ in range(k):
            u = one / tasks.apply_axes(kernels, v)
            v = two / tasks.apply_axes(kernels, u)
        return eps * np.log(u / one), eps * np.log(v / two)

    return np.__version__, solve


def counts():
    return args.cap or [args.iterations]


version, solve = {
    "pot": lambda: pot("sinkhorn"),
    "pot_log": lambda: pot("sinkhorn_log"),
    "pot_lazy": pot_lazy,
    "ott": lambda: ott("float64", None),
    "ott_f32": lambda: ott("float32", None),
    "ott_online": lambda: ott("float64", 1024),
    "ott_grid": ott_grid,
    "keops": keops,
    "geomloss": geomloss,
    "numpy_scaling": numpy_scaling,
}[args.peer]()

if args.cap:
    solve(args.cap[0])  # the first call pays for thread pools and memory, which the difference below must not see
seconds = []
for k in counts():
    start = time.perf_counter()
    f, g = solve(k)
    seconds.append(time.perf_counter() - start)
# GeomLoss chooses its own number of steps.
iterations = None if args.peer == "geomloss" else args.iterations
out = {"version": version, "iterations": iterations, "capped": bool(args.cap)}
if args.cap:
    few, more = args.cap
    out["seconds"] = (seconds[1] - seconds[0]) / (more - few) * args.iterations
else:
    out["seconds"] = seconds[0]
    np.savez(f"{args.folder}/{task.name}-{args.peer}.npz", f=f, g=g)
json.dump(out, sys.stdout)
print()
