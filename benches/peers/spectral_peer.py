"""One other code on one PDE task: prints a JSON line with its seconds per step, start-up and compilation excluded.

usage: [mpirun -n R] spectral_peer.py TASK PEER [--threads T]

TASK: tgv64, tgv128 (3-D Navier-Stokes, Taylor-Green, viscosity 1/1600, dt 0.01), vorticity512 (2-D, viscosity 1e-3, dt
1e-3), ks1024, ks8192 (Kuramoto-Sivashinsky, L = 32 pi, dt 0.05).
PEER: fluidsim, mpi4py_fft, dedalus, exponax, numpy.
"""

import argparse
import json
import os
import sys
import time
import warnings

parser = argparse.ArgumentParser()
parser.add_argument("task")
parser.add_argument("peer")
parser.add_argument("--threads", type=int, default=1)
args = parser.parse_args()
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
    os.environ[name] = str(args.threads)
os.environ["JAX_PLATFORMS"] = "cpu"
warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402

KIND = args.task.rstrip("0123456789")
N = int(args.task[len(KIND):])
STEPS = {"tgv64": 10, "tgv128": 3, "vorticity512": 10, "ks1024": 2000, "ks8192": 300}[args.task]
DT = {"tgv": 0.01, "vorticity": 1e-3, "ks": 0.05}[KIND]
NU = {"tgv": 1 / 1600, "vorticity": 1e-3, "ks": None}[KIND]
PI2 = 2 * np.pi


def fluidsim():
    import importlib

    import fluidsim

    dim = 3 if KIND == "tgv" else 2
    simul = importlib.import_module(f"fluidsim.solvers.ns{dim}d.solver").Simul
    params = simul.create_default_params()
    for axis in "xyz"[:dim]:
        setattr(params.oper, f"n{axis}", N)
        setattr(params.oper, f"L{axis}", PI2)
    params.oper.coef_dealiasing = 2 / 3
    ranks = int(os.environ.get("OMPI_COMM_WORLD_SIZE", "1"))
    params.oper.type_fft = f"fft{dim}d.mpi_with_fftw1d" if ranks > 1 else f"fft{dim}d.with_pyfftw"
    params.nu_2 = NU
    params.time_stepping.USE_CFL = False
    params.time_stepping.deltat0 = DT
    params.time_stepping.type_time_scheme = "RK4"
    params.time_stepping.USE_T_END = False
    params.time_stepping.it_end = 1
    params.init_fields.type = "in_script"
    params.output.HAS_TO_SAVE = False
    params.output.periods_print.print_stdout = 0
    sim = simul(params)
    if dim == 3:
        x, y, z = sim.oper.get_XYZ_loc()
        sim.state.init_statephys_from(vx=np.sin(x) * np.cos(y) * np.cos(z), vy=-np.cos(x) * np.sin(y) * np.cos(z),
                                      vz=0 * x)
    else:
        x, y = sim.oper.XX, sim.oper.YY
        sim.state.init_statephys_from(rot=np.sin(4 * x) * np.cos(3 * y) + np.cos(2 * x + 5 * y))
    sim.state.statespect_from_statephys()

    def run():
        for _ in range(STEPS):
            sim.time_stepping.one_time_step_computation()

    return fluidsim.__version__, "RK4, 2/3 rule", run


def mpi4py_fft():
    """Rotational form, RK4, 2/3 rule, nine transforms a stage: the demonstration solver of mpi4py-fft and spectralDNS."""
    import mpi4py_fft as library
    from mpi4py import MPI

    plan = library.PFFT(MPI.COMM_WORLD, [N] * 3, dtype=float, slab=True, collapse=True)
    here, there = plan.local_slice(False), plan.local_slice(True)
    numbers = [np.fft.fftfreq(N, 1 / N)] * 2 + [np.fft.rfftfreq(N, 1 / N)]
    k = np.array(np.broadcast_arrays(*np.ix_(*[q[s] for q, s in zip(numbers, there)])), float)
    k2 = (k**2).sum(0)
    over = k / np.where(k2 == 0, 1, k2)
    keep = np.all(np.abs(k) < N / 3, axis=0)
    grid = lambda: library.newDistArray(plan, False)  # noqa: E731
    modes = lambda: library.newDistArray(plan)  # noqa: E731
    u, w, h, work = [grid() for _ in "xyz"], [grid() for _ in "xyz"], modes(), modes()
    x, y, z = np.ix_(*[PI2 * np.arange(N)[s] / N for s in here])
    u[0][:] = np.sin(x) * np.cos(y) * np.cos(z)
    u[1][:] = -np.cos(x) * np.sin(y) * np.cos(z)
    u[2][:] = 0
    state = np.array([np.array(plan.forward(q, modes())) for q in u])

    def to_grid(a, out):
        work[:] = a
        plan.backward(work, out)

    def rate(v):
        for a, out in zip(v, u):
            to_grid(a, out)
        for i, (a, b) in enumerate(((1, 2), (2, 0), (0, 1))):
            to_grid(1j * (k[a] * v[b] - k[b] * v[a]), w[i])
        r = np.empty_like(v)
        for i, (a, b) in enumerate(((1, 2), (2, 0), (0, 1))):
            r[i] = plan.forward(u[a] * w[b] - u[b] * w[a], h) * keep
        return r - (r * over).sum(0) * k - NU * k2 * v

    def run():
        v = state
        for _ in range(STEPS):
            k1 = rate(v)
            k2_ = rate(v + 0.5 * DT * k1)
            k3 = rate(v + 0.5 * DT * k2_)
            k4 = rate(v + DT * k3)
            v = v + DT / 6 * (k1 + 2 * k2_ + 2 * k3 + k4)

    return library.__version__, "RK4, 2/3 rule, 36 transforms a step", run


def dedalus():
    import logging

    import dedalus
    import dedalus.public as d3

    logging.disable(logging.WARNING)
    names = "xyz" if KIND == "tgv" else "xy"
    coordinates = d3.CartesianCoordinates(*names)
    dist = d3.Distributor(coordinates, dtype=np.float64)
    bases = [d3.RealFourier(coordinates[q], size=N, bounds=(0, PI2), dealias=3 / 2) for q in names]
    grid = dist.local_grids(*bases)
    if KIND == "tgv":
        u, q = dist.VectorField(coordinates, name="u", bases=bases), dist.Field(name="q", bases=bases)
        tau = dist.Field(name="tau")
        problem = d3.IVP([u, q, tau], namespace=dict(u=u, q=q, tau=tau, nu=NU, d3=d3))
        problem.add_equation("dt(u) + d3.grad(q) - nu*d3.lap(u) = - u@d3.grad(u)")
        problem.add_equation("d3.div(u) + tau = 0")
        problem.add_equation("d3.integ(q) = 0")
        u["g"][0] = np.sin(grid[0]) * np.cos(grid[1]) * np.cos(grid[2])
        u["g"][1] = -np.cos(grid[0]) * np.sin(grid[1]) * np.cos(grid[2])
        solver, scheme = problem.build_solver(d3.RK443), "IMEX RK443 (4 stages), 3/2 padding"
    else:
        psi, w, tau = dist.Field(name="psi", bases=bases), dist.Field(name="w", bases=bases), dist.Field(name="tau")
        dx = lambda a: d3.Differentiate(a, coordinates["x"])  # noqa: E731
        dy = lambda a: d3.Differentiate(a, coordinates["y"])  # noqa: E731
        problem = d3.IVP([w, psi, tau], namespace=dict(w=w, psi=psi, tau=tau, nu=NU, dx=dx, dy=dy, d3=d3))
        problem.add_equation("dt(w) - nu*d3.lap(w) = -(dy(psi)*dx(w) - dx(psi)*dy(w))")
        problem.add_equation("d3.lap(psi) + tau + w = 0")
        problem.add_equation("d3.integ(psi) = 0")
        w["g"] = np.sin(4 * grid[0]) * np.cos(3 * grid[1]) + np.cos(2 * grid[0] + 5 * grid[1])
        solver, scheme = problem.build_solver(d3.RK222), "IMEX RK222 (2 stages), 3/2 padding"

    def run():
        for _ in range(STEPS):
            solver.step(DT)

    return dedalus.__version__, scheme, run


def exponax():
    import exponax as library
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp

    if KIND == "vorticity":
        stepper = library.stepper.NavierStokesVorticity(2, PI2, N, DT, diffusivity=NU, order=4)
        x = PI2 * np.arange(N) / N
        x, y = np.meshgrid(x, x, indexing="ij")
        start = np.sin(4 * x) * np.cos(3 * y) + np.cos(2 * x + 5 * y)
    else:
        stepper = library.stepper.KuramotoSivashinskyConservative(1, 32 * np.pi, N, DT, order=4)
        x = 32 * np.pi * np.arange(N) / N
        start = np.cos(x / 16) * (1 + np.sin(x / 16))
    march = jax.jit(library.repeat(stepper, STEPS))
    start = jnp.asarray(start[None], jnp.float64)
    return f"{library.__version__} (JAX {jax.__version__})", "ETDRK4, 2/3 rule", lambda: march(start).block_until_ready()


def numpy():
    """ETDRK4 of Kassam and Trefethen (2005) with NumPy's transforms."""
    x = 32 * np.pi * np.arange(N) / N
    start = np.fft.rfft(np.cos(x / 16) * (1 + np.sin(x / 16)))
    k = np.arange(N // 2 + 1) / 16
    z = DT * (k**2 - k**4)[:, None] + np.exp(1j * np.pi * (np.arange(1, 33) - 0.5) / 32)
    e, e2 = np.exp(DT * (k**2 - k**4)), np.exp(DT * (k**2 - k**4) / 2)
    mean = lambda f: DT * f.mean(1).real  # noqa: E731
    q = mean((np.exp(z / 2) - 1) / z)
    f1 = mean((-4 - z + np.exp(z) * (4 - 3 * z + z**2)) / z**3)
    f2 = mean((2 + z + np.exp(z) * (z - 2)) / z**3)
    f3 = mean((-4 - 3 * z - z**2 + np.exp(z) * (4 - z)) / z**3)
    g = -0.5j * k * (np.arange(N // 2 + 1) < N / 3)
    rate = lambda v: g * np.fft.rfft(np.fft.irfft(v, N) ** 2)  # noqa: E731

    def run():
        v = start
        for _ in range(STEPS):
            nv = rate(v)
            a = e2 * v + q * nv
            na = rate(a)
            nb = rate(e2 * v + q * na)
            nc = rate(e2 * a + q * (2 * nb - nv))
            v = e * v + nv * f1 + 2 * (na + nb) * f2 + nc * f3

    return np.__version__, "ETDRK4, 2/3 rule", run


version, scheme, run = {f.__name__: f for f in (fluidsim, mpi4py_fft, dedalus, exponax, numpy)}[args.peer]()
run()  # compiles, plans, warms the caches
start = time.perf_counter()
run()
seconds = time.perf_counter() - start
if int(os.environ.get("OMPI_COMM_WORLD_RANK", "0")) == 0:
    print(json.dumps({"version": version, "scheme": scheme, "seconds_per_step": seconds / STEPS}))
    sys.stdout.flush()
