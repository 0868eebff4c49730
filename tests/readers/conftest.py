"""Runs the real binary and opens what it wrote. Nothing here uses code of Spanwise but the binary itself."""

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("SPANWISE_BINARY", ROOT / "target/release/spanwise"))
INPUTS = ROOT / "inputs/transport"


class Run:
    """A finished run: arrays by path, numbers of report.json by name, and the problem rebuilt in NumPy."""

    def __init__(self, directory, exit_code):
        self.directory = directory
        self.exit_code = exit_code
        self.path = directory / "output.h5"
        self.report = json.loads((directory / "report.json").read_text())
        with h5py.File(self.path) as file:
            self.input = tomllib.loads(file.attrs["input"])
            self.status = file.attrs["status"]
            self.arrays = {}
            file.visititems(lambda name, x: self.arrays.__setitem__(name, x[()]) if isinstance(x, h5py.Dataset) else None)

    def __getitem__(self, path):
        return self.arrays[path]

    def number(self, name):
        return next(n for n in self.report["numbers"] if n["name"] == name)

    def interval(self, name):
        error = self.number(name)["error"]
        assert error["kind"] == "interval", (name, error)
        return error["lower"], error["upper"]

    @property
    def a(self):
        return self["inputs/source_weights"].ravel()

    @property
    def b(self):
        return self["inputs/target_weights"].ravel()

    @property
    def f(self):
        return self["state/source_potential"].ravel()

    @property
    def g(self):
        return self["state/target_potential"].ravel()

    @property
    def epsilon(self):
        return float(self["series/epsilon"][-1])

    def points(self, side):
        if f"inputs/{side}_points" in self.arrays and self[f"inputs/{side}_points"].size:
            points = self[f"inputs/{side}_points"]
            return points[:, None] if points.ndim == 1 else points
        shape = self[f"inputs/{side}_shape"].astype(int)
        axes = [(np.arange(n) + 0.5) / n for n in shape]
        return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(shape))

    @property
    def cost(self):
        """The cost matrix, by its definition."""
        cost = self.input["problem"].get("cost", {"kind": "squared_euclidean"})
        if cost["kind"] == "matrix":
            return np.load(INPUTS / cost["file"])
        x, y = self.points("source"), self.points("target")
        difference = x[:, None, :] - y[None, :, :]
        if "period" in cost:
            difference -= cost["period"] * np.round(difference / cost["period"])
        squared = np.sum(difference**2, -1)
        return {
            "squared_euclidean": lambda: squared,
            "euclidean": lambda: np.sqrt(squared),
            "euclidean_power": lambda: squared ** (cost["power"] / 2),
        }[cost["kind"]]()

    @property
    def plan(self):
        """P_ij = a_i b_j exp((f_i + g_j − C_ij)/ε)."""
        z = (self.f[:, None] + self.g[None, :] - self.cost) / self.epsilon
        return self.a[:, None] * self.b[None, :] * np.exp(z)


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """run("gaussians_line", "problem.epsilon=1.0", ranks=1): each distinct call is made once."""
    done = {}

    def start(name, *sets):
        if (name, sets) not in done:
            directory = tmp_path_factory.mktemp(name) / "out"
            command = [str(BINARY), "run", str(INPUTS / f"{name}.toml"), "--output", str(directory), "--quiet"]
            for s in sets:
                command += ["--set", s]
            result = subprocess.run(command, capture_output=True, text=True, timeout=600)
            assert result.returncode in (0, 3), f"{' '.join(command)}\n{result.stdout}\n{result.stderr}"
            done[name, sets] = Run(directory, result.returncode)
        return done[name, sets]

    return start


def log_sum_exp(z, axis):
    largest = z.max(axis, keepdims=True)
    return np.squeeze(largest, axis) + np.log(np.exp(z - largest).sum(axis))


def sinkhorn(a, b, cost, epsilon, tolerance=1e-12, steps=200_000):
    """Plain log-domain Sinkhorn, to be compared with: returns (value, f, g) of OT_ε."""
    g = np.zeros(len(b))
    log_a, log_b = np.log(a), np.log(b)
    for _ in range(steps):
        f = -epsilon * log_sum_exp(log_b[None, :] + (g[None, :] - cost) / epsilon, 1)
        new = -epsilon * log_sum_exp(log_a[:, None] + (f[:, None] - cost) / epsilon, 0)
        error = np.abs(b * np.expm1((g - new) / epsilon)).sum()
        g = new
        if error < tolerance:
            break
    assert error < tolerance, error
    # After the update of g the plan has mass 1 exactly, and its row marginal is off by the error.
    return a @ f + b @ g, f, g


def symmetric_sinkhorn(a, cost, epsilon, tolerance=1e-12, steps=10_000):
    """OT_ε(a, a): f ← (f + T(f))/2 needs few steps where plain iterations need very many."""
    f = np.zeros(len(a))
    for _ in range(steps):
        new = -epsilon * log_sum_exp(np.log(a)[None, :] + (f[None, :] - cost) / epsilon, 1)
        error = np.abs(a * np.expm1((f - new) / epsilon)).sum()
        f = 0.5 * (f + new)
        if error < tolerance:
            break
    assert error < tolerance, error
    return 2 * a @ f
