"""What users of ArviZ find in runs of chains and of samplers, and that it agrees with what the run said."""

import json
import subprocess

import arviz
import numpy as np
import pytest
import xarray
from conftest import BINARY, ROOT

CHAINS = """
solver = "smc"
[problem]
observations = { values = [0.3, -0.5, 1.2, 0.8, -0.1, -1.4, -0.9, 0.2, 1.1, 0.6] }
[problem.model]
kind = "written"
states = ["x"]
parameters = { a = 0.9, q = 0.5 }
noises = { n = { distribution = "normal" } }
initial = { x = "n" }
transition = { x = "a*x + q*n" }
observation = { y = { distribution = "normal", mean = "x", sd = 0.7 } }
[problem.model.priors]
a = { distribution = "uniform", low = 0.0, high = 1.0 }
q = { distribution = "lognormal", log_mean = -0.7, log_sd = 0.5 }
[method]
name = "particle_gibbs"
particles = 10
islands = 4
iterations = 400
warm_up = 100
"""


def run(folder, text):
    (folder / "case.toml").write_text(text)
    done = subprocess.run([BINARY, "run", "case.toml", "--quiet"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads((folder / "case.out/report.json").read_text())
    return folder / "case.out/output.h5", {n["name"]: n["value"] for n in report["numbers"]}


@pytest.fixture(scope="module")
def chains(tmp_path_factory):
    return run(tmp_path_factory.mktemp("chains"), CHAINS)


def test_chains_are_a_posterior_of_arviz_with_the_printed_r_hat_and_effective_draws(chains):
    path, numbers = chains
    results = xarray.open_dataset(path, group="results", engine="h5netcdf")
    assert results.a.dims == ("chain", "draw") and results.a.shape == (4, 400)
    posterior = arviz.convert_to_inference_data(results[["a", "q"]])
    r_hat = arviz.rhat(posterior, method="split").to_array()
    effective = arviz.ess(posterior, method="mean").to_array()
    assert abs(float(r_hat.max()) - numbers["r_hat"]) < 1e-6
    # ArviZ truncates the sum of autocorrelations by its own rule.
    assert abs(float(effective.min()) / numbers["effective_draws"] - 1) < 0.02
    summary = arviz.summary(posterior, kind="stats", round_to="none")
    assert abs(summary["mean"]["a"] - numbers["a"]) < 1e-12


def test_particles_of_a_sampler_are_chains_of_arviz_one_for_each_island(tmp_path):
    # The mixture of the input has the mean (1.75, 1.125); islands of 4000 particles begin from a prior at 0 with sd 10.
    path, _ = run(tmp_path, (ROOT / "inputs/smc/waste_free.toml").read_text())
    state = xarray.open_dataset(path, group="state", engine="h5netcdf")
    assert np.ptp(state.log_weights.values) == 0, "particles of equal weight"
    draws = {c: state[f"particles_{c}"].values.reshape(state.sizes["island"], -1) for c in ("x0", "x1")}
    summary = arviz.summary(arviz.from_dict(posterior=draws), kind="stats", round_to="none")
    for c, mean in (("x0", 1.75), ("x1", 1.125)):
        error = draws[c].mean(axis=1).std(ddof=1) / np.sqrt(len(draws[c]))
        assert abs(summary["mean"][c] - mean) < 4 * error, (summary["mean"][c], mean, error)
