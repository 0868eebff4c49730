"""The problems that every code solves, as arrays on disk: unit-cube points with uniform weights, and smooth grids.

| name    | problem                                                        |
|---------|----------------------------------------------------------------|
| points4096_moderate | n = m = 4096, d = 3, ε = 0.05 (C_max/ε ≈ 55)        |
| points4096_small    | n = m = 4096, d = 3, ε = 0.005                      |
| points20000         | n = m = 20 000, d = 3, ε = 0.05, no matrix stored   |
| grid256             | two blobs on 256², ε = 0.005                        |
| grid64              | two blobs on 64³, ε = 0.005                         |

The cost is |x − y|² and P_ij = a_i b_j exp((f_i + g_j − C_ij)/ε) everywhere; every code is asked for
‖P1 − a‖₁ + ‖Pᵀ1 − b‖₁ ≤ 1e-6, which `marginal_error` recomputes in f64 from the potentials it returned.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

TOLERANCE = 1e-6


@dataclass(frozen=True)
class Task:
    name: str
    title: str
    epsilon: float
    points: int = 0
    grid: tuple = ()
    peers: tuple = ()


TASKS = {
    t.name: t
    for t in [
        Task("points4096_moderate", "n = m = 4096, d = 3, ε = 0.05", 0.05, points=4096,
             peers=("pot", "pot_log", "ott", "ott_f32", "keops", "geomloss")),
        Task("points4096_small", "n = m = 4096, d = 3, ε = 0.005", 0.005, points=4096,
             peers=("pot", "pot_log", "ott", "ott_f32", "keops")),
        Task("points20000", "n = m = 20 000, d = 3, ε = 0.05, on the fly", 0.05, points=20000,
             peers=("keops", "ott_online", "pot_lazy")),
        Task("grid256", "grid 256², ε = 0.005", 0.005, grid=(256, 256), peers=("numpy_scaling", "ott_grid")),
        Task("grid64", "grid 64³, ε = 0.005", 0.005, grid=(64, 64, 64), peers=("numpy_scaling", "ott_grid")),
    ]
}


def axes(task):
    return [(np.arange(n) + 0.5) / n for n in task.grid]


def data(task):
    """Points (x, y), or densities (a, b)."""
    if task.points:
        return tuple(np.random.default_rng(seed).random((task.points, 3)) for seed in (0, 1))
    mesh = np.meshgrid(*axes(task), indexing="ij")

    def blob(centre, width):
        density = np.exp(-sum((m - centre) ** 2 for m in mesh) / (2 * width**2)) + 1e-4
        return density / density.sum()

    return blob(0.3, 0.1), blob(0.7, 0.12)


def axis_kernels(task):
    return [np.exp(-((q[:, None] - q[None]) ** 2) / task.epsilon) for q in axes(task)]


def apply_axes(kernels, h):
    """(K₁ ⊗ K₂ ⊗ …) h, one small matrix product per axis."""
    for k, kernel in enumerate(kernels):
        h = np.moveaxis(np.tensordot(kernel, h, axes=(1, k)), 0, k)
    return h


def marginal_error(task, f, g):
    """‖P1 − a‖₁ + ‖Pᵀ1 − b‖₁ in f64."""
    one, two = data(task)
    if task.grid:
        f, g = f.reshape(task.grid), g.reshape(task.grid)
        # The potentials' constant is moved so that neither exponential overflows.
        shift = g.max()
        u, v = one * np.exp((f + shift) / task.epsilon), two * np.exp((g - shift) / task.epsilon)
        kernels = axis_kernels(task)
        return float(np.abs(u * apply_axes(kernels, v) - one).sum() + np.abs(v * apply_axes(kernels, u) - two).sum())
    n, m = len(one), len(two)
    rows, columns = np.empty(n), np.zeros(m)
    for block in range(0, n, 512):
        x = one[block : block + 512]
        cost = sum((x[:, None, k] - two[None, :, k]) ** 2 for k in range(x.shape[1]))
        plan = np.exp((f[block : block + 512, None] + g[None, :] - cost) / task.epsilon) / (n * m)
        rows[block : block + 512] = plan.sum(1)
        columns += plan.sum(0)
    return float(np.abs(rows - 1 / n).sum() + np.abs(columns - 1 / m).sum())


def sinkhorn_iterations(task, folder):
    """How many plain Sinkhorn iterations (one update of each potential) reach the tolerance; counted once, kept."""
    kept = Path(folder) / f"{task.name}-iterations.json"
    if kept.exists():
        return json.loads(kept.read_text())
    one, two = data(task)
    if task.grid:
        kernels = axis_kernels(task)
        forward = backward = lambda h: apply_axes(kernels, h)
    else:
        # The stored kernel is symmetric work for both sides; f64 holds exp(−C_max/ε) down to ε = 0.005.
        kernel = np.empty((len(one), len(two)))
        for block in range(0, len(one), 512):
            x = one[block : block + 512]
            cost = sum((x[:, None, k] - two[None, :, k]) ** 2 for k in range(x.shape[1]))
            kernel[block : block + 512] = np.exp(-cost / task.epsilon)
        forward, backward = (lambda v: kernel @ v), (lambda u: kernel.T @ u)
        one, two = np.full(len(one), 1 / len(one)), np.full(len(two), 1 / len(two))
    v = np.ones_like(two)
    k_v = forward(v)
    for count in range(1, 100_000):
        u = one / k_v
        v = two / backward(u)
        # After the update of v the second marginal is exact, and the first is off by:
        k_v = forward(v)
        if np.abs(u * k_v - one).sum() <= TOLERANCE:
            kept.write_text(json.dumps(count))
            return count
    raise RuntimeError(f"{task.name}: not converged")
