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
predict = { steps = 3 }
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


PREDICTED = """
solver = "smc"
[problem]
model = { kind = "linear_gaussian", coefficient = 0.9, state_sd = 0.5, observation_sd = 0.7, initial_sd = 1.0 }
observations = { values = [0.3, -0.5, nan, 0.8, -0.1, -1.4, -0.9, 0.2, 1.1, 0.6] }
quantiles = [0.05, 0.95]
predict = { steps = 5, interval = 1.0 }
[method]
particles = 4000
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
    # Every tenth trajectory is kept.
    kept = results.trajectories_x
    assert kept.dims == ("chain", "kept_draw", "time") and kept.shape == (4, 40, 10)
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


def test_draws_of_observations_are_a_posterior_predictive_of_arviz(chains):
    path, _ = chains
    results = xarray.open_dataset(path, group="results", engine="h5netcdf")
    drawn = results.posterior_predictive_y
    assert drawn.dims == ("chain", "kept_draw", "predicted_time") and drawn.shape == (4, 40, 13)
    assert drawn.attrs["units"] == "1" and list(results.predicted_time.values) == list(range(13))
    inputs = xarray.open_dataset(path, group="inputs", engine="h5netcdf")
    observed = inputs.observations.values[:, 0]
    assert observed.tolist() == [0.3, -0.5, 1.2, 0.8, -0.1, -1.4, -0.9, 0.2, 1.1, 0.6]
    n = inputs.sizes["time"]
    assert n == 10 and inputs.time.values.tolist() == list(range(10))
    data = arviz.from_dict(
        posterior={"a": results.a.values},
        posterior_predictive={"y": drawn.values[:, :, :n]},
        observed_data={"y": observed},
        predictions={"y": drawn.values[:, :, n:]},
    )
    assert data.posterior_predictive.y.shape == (4, 40, 10) and data.predictions.y.shape == (4, 40, 3)
    # Replicates lie about what was seen: the smoother's deviation and the noise's are below 1 together.
    gap = data.posterior_predictive.y.mean(("chain", "draw")).values - observed
    assert np.all(np.abs(gap) < 1.2) and np.corrcoef(gap + observed, observed)[0, 1] > 0.8


def test_files_of_a_chain_of_parameters_hold_its_data(tmp_path):
    pmmh = CHAINS.replace('"particle_gibbs"', '"pmmh"').replace("islands = 4", "islands = 1").replace("-0.1, -1.4", "nan, -1.4")
    path, _ = run(tmp_path, pmmh)
    inputs = xarray.open_dataset(path, group="inputs", engine="h5netcdf")
    assert inputs.observations.dims == ("time", "component") and inputs.time.values.tolist() == list(range(10))
    observed = [0.3, -0.5, 1.2, 0.8, np.nan, -1.4, -0.9, 0.2, 1.1, 0.6]
    assert np.array_equal(inputs.observations.values[:, 0], observed, equal_nan=True)


def kalman(values, steps):
    """Mean and deviation of every observation given those before."""
    mean, variance, found = 0.0, 1.0, []
    for k, y in enumerate(list(values) + [np.nan] * steps):
        if k > 0:
            mean, variance = 0.9 * mean, 0.81 * variance + 0.25
        found.append((mean, np.sqrt(variance + 0.49)))
        if not np.isnan(y):
            gain = variance / (variance + 0.49)
            mean, variance = mean + gain * (y - mean), variance * (1 - gain)
    return np.array(found).T


def test_the_series_of_a_forecast_are_read_by_xarray_and_are_those_of_kalman(tmp_path):
    path, _ = run(tmp_path, PREDICTED)
    series = xarray.open_dataset(path, group="series", engine="h5netcdf")
    inputs = xarray.open_dataset(path, group="inputs", engine="h5netcdf")
    rows = ~np.isnan(series.time.values)
    assert list(series.time.values[rows]) == list(range(15)) and series.predicted_mean_y.attrs["units"] == "1"
    seen = inputs.observations.values[:, 0]
    assert np.isnan(seen[10:]).all() and np.isnan(seen[2])
    mean, deviation = kalman(seen[:10], 5)
    for name, truth in (("mean", mean), ("sd", deviation)):
        value = series[f"predicted_{name}_y"].values[rows]
        error = series[f"predicted_{name}_error_y"].values[rows]
        assert np.all(np.abs(value - truth) < 4 * error), (name, value - truth, error)
    width = (series["predicted_quantile_0.95_y"] - series["predicted_quantile_0.05_y"]).values[rows]
    assert np.allclose(width, 2 * 1.6449 * deviation, rtol=0.03)
    assert np.array_equal(np.isnan(series.pit_y.values[rows]), np.isnan(seen))


OUTCOMES = f"""
solver = "smc"
[problem]
model = {{ kind = "logistic_regression", file = "{ROOT}/inputs/smc/breast_cancer_fitted.csv", prior_sd = 5.0 }}
predict = {{ file = "{ROOT}/inputs/smc/breast_cancer_new.csv", draws = 30 }}
[method]
name = "tempering"
kernel = "mala"
particles = 300
"""


def test_outcomes_of_a_regression_are_those_of_its_particles_and_predictions_of_arviz(tmp_path):
    path, numbers = run(tmp_path, OUTCOMES)
    results = xarray.open_dataset(path, group="results", engine="h5netcdf")
    state = xarray.open_dataset(path, group="state", engine="h5netcdf")
    tables = [np.loadtxt(ROOT / f"inputs/smc/breast_cancer_{n}.csv", delimiter=",", skiprows=2) for n in ("fitted", "new")]
    mean, sd = tables[0][:, 1:].mean(axis=0), tables[0][:, 1:].std(axis=0)
    beta = np.stack([state[f"particles_beta{c}"].values for c in range(11)], axis=-1).reshape(16, -1, 11)
    evidence = state.island_log_evidence.values
    weights = np.exp(evidence - evidence.max()) / np.exp(evidence - evidence.max()).sum()
    for prefix, table in zip(("", "new_"), tables):
        p = results[f"{prefix}predicted_probability"]
        case, y = f"{prefix}case", table[:, 0]
        assert p.dims == (case,) and p.attrs["units"] == "1" and np.array_equal(results[f"{prefix}label"], y)
        x = np.c_[np.ones(len(table)), (table[:, 1:] - mean) / sd]
        islands = (1 / (1 + np.exp(-(beta @ x.T)))).mean(axis=1)
        assert np.abs(p.values - weights @ islands).max() < 1e-12
        seen = np.abs(1 - y - p.values)
        assert abs(np.log(seen).mean() - numbers[f"{prefix}log_score"]) < 1e-9
        assert abs(((p.values - y) ** 2).mean() - numbers[f"{prefix}brier_score"]) < 1e-12
        bins = np.minimum((10 * p.values).astype(int), 9)
        count = np.bincount(bins, minlength=10)
        assert np.array_equal(results[f"{prefix}calibration_cases"], count)
        full = count > 0
        share = np.bincount(bins, y, minlength=10)[full] / count[full]
        assert np.allclose(results[f"{prefix}calibration_observed"].values[full], share)
        drawn = results[f"{prefix}posterior_predictive_y"]
        assert drawn.dims == ("island", "draw", case) and drawn.shape == (16, 30, len(y))
        # 480 draws of each case; the mean over cases has a deviation of about 0.02.
        assert set(np.unique(drawn)) <= {0.0, 1.0} and abs(float(drawn.mean()) - p.values.mean()) < 0.01
    data = arviz.from_dict(
        posterior_predictive={"y": results.posterior_predictive_y.values},
        observed_data={"y": results.label.values},
        predictions={"y": results.new_posterior_predictive_y.values},
    )
    assert data.posterior_predictive.y.shape == (16, 30, 455) and data.predictions.y.shape == (16, 30, 114)


def test_what_smc_squared_predicts_is_read_by_xarray_and_arviz(tmp_path):
    path, numbers = run(tmp_path, (ROOT / "inputs/smc/forecast_as_data_come.toml").read_text())
    results = xarray.open_dataset(path, group="results", engine="h5netcdf")
    series = xarray.open_dataset(path, group="series", engine="h5netcdf")
    inputs = xarray.open_dataset(path, group="inputs", engine="h5netcdf")
    drawn = results.posterior_predictive_y
    assert drawn.dims == ("island", "draw", "forecast") and drawn.shape == (16, 200, 3)
    assert list(results.forecast.values) == [10, 11, 12] and inputs.observations.shape == (10, 1)
    assert float(results.forecast_mean_y[-1]) == numbers["forecast_mean_y"]
    error = drawn.values.mean(axis=1).std(axis=0, ddof=1) / 4
    assert np.all(np.abs(drawn.values.mean(axis=(0, 1)) - results.forecast_mean_y.values) < 4.5 * error)
    # The first observation is N(0, 1.49) whatever the parameters.
    first = np.flatnonzero(series.time.values == 0)[0]
    assert abs(float(series.predicted_sd_y[first]) - np.sqrt(1.49)) < 4 * float(series.predicted_sd_error_y[first])
    predictive = arviz.from_dict(predictions={"y": drawn.values})
    assert predictive.predictions.y.shape == (16, 200, 3)
