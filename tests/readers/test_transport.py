"""What users of other languages rely on: the files open, and their numbers are right by independent computations."""

import h5py
import numpy as np
import pytest
from conftest import log_sum_exp, sinkhorn, symmetric_sinkhorn

# Small variants of the inputs that are shipped: (input, changed keys).
BALANCED = [
    ("gaussians_line", ()),
    ("color_transfer", ("problem.source.levels=8", "problem.target.levels=8")),
    ("images_grid", ("problem.source.size=[24, 24]", "problem.target.size=[24, 24]", "problem.epsilon=0.01")),
    ("sphere_to_knot", ("problem.source.points=400", "problem.target.points=300", "problem.epsilon=0.05")),
    ("sphere_to_torus", ("problem.source.points=300", "problem.target.points=200", "problem.epsilon=0.1")),
    ("digits_64d", ()),
    ("matrix_capitals", ()),
    ("torus", ("problem.source.points=16", "problem.target.points=16")),
]


def slack(value):
    """NumPy's own rounding: sums of up to 10⁶ terms in f64."""
    return 1e-10 * max(1.0, abs(value))


@pytest.mark.parametrize("name, sets", BALANCED)
def test_the_marginals_of_the_plan_are_as_close_as_the_report_says(run, name, sets):
    r = run(name, *sets)
    assert r.exit_code == 0 and r.status == "converged"
    plan = r.plan
    error = np.abs(plan.sum(1) - r.a).sum() + np.abs(plan.sum(0) - r.b).sum()
    reported = r.number("marginal_error")["value"]
    assert abs(error - reported) < 1e-9 + 1e-3 * reported
    assert error <= 1.001 * r.input["method"].get("tolerance", 1e-6) + 1e-13


@pytest.mark.parametrize("name, sets", BALANCED)
def test_the_certified_interval_holds_the_value_of_a_plain_sinkhorn(run, name, sets):
    r = run(name, *sets)
    lower, upper = r.interval("regularised_cost")
    value, _, _ = sinkhorn(r.a, r.b, r.cost, r.epsilon)
    assert lower - slack(value) <= value <= upper + slack(value)
    assert upper - lower < 1e-3 * abs(value)


@pytest.mark.parametrize("name, sets", BALANCED)
def test_the_dual_value_of_the_potentials_lies_in_the_certified_interval(run, name, sets):
    r = run(name, *sets)
    lower, upper = r.interval("regularised_cost")
    dual = r.a @ r.f + r.b @ r.g - r.epsilon * (r.plan.sum() - r.a.sum() * r.b.sum())
    assert lower - slack(dual) <= dual <= upper + slack(dual)


def test_two_gaussians_have_their_closed_value(run):
    r = run("gaussians_line")
    epsilon, sigma, tau, distance = 0.5, 1.0, 0.7, 1.0
    # The covariance of the optimal Gaussian plan, K = √(σ²τ² + ε²/16) − ε/4, and its correlation s = K/(στ).
    k = np.sqrt((sigma * tau) ** 2 + epsilon**2 / 16) - epsilon / 4
    s = k / (sigma * tau)
    value = distance**2 + sigma**2 + tau**2 - 2 * k - epsilon / 2 * np.log(1 - s**2)
    lower, upper = r.interval("regularised_cost")
    # The grid reproduces the integral to 1e-11.
    assert lower - 1e-10 <= value <= upper + 1e-10 and upper - lower < 1e-6
    # T(x) = m_b + K/σ² (x − m_a), in the middle of the interval.
    x = r.points("source")[:, 0]
    middle = np.abs(x) < 3
    np.testing.assert_allclose(r["results/barycentric_map"].ravel()[middle], (1 + k * x)[middle], atol=1e-6)


def test_the_torus_has_its_closed_value(run):
    r = run("torus", "problem.source.points=16", "problem.target.points=16")
    offsets = (np.arange(16) + 0.0) / 16 + 0.2
    squared = (offsets - np.round(offsets)) ** 2
    value = -2 * r.epsilon * np.log(np.mean(np.exp(-squared / r.epsilon)))
    lower, upper = r.interval("regularised_cost")
    assert lower - slack(value) <= value <= upper + slack(value)


def test_the_barycentric_map_is_the_conditional_mean_of_the_plan(run):
    r = run("sphere_to_knot", "problem.source.points=400", "problem.target.points=300", "problem.epsilon=0.05")
    plan = r.plan
    mean = plan @ r.points("target") / plan.sum(1, keepdims=True)
    np.testing.assert_allclose(r["results/barycentric_map"], mean, atol=1e-9)


def test_the_plan_entries_are_the_largest_of_the_plan(run):
    r = run("matrix_capitals")
    rows, columns, mass = (r[f"results/plan_{name}"] for name in ("row", "column", "mass"))
    plan = r.plan
    assert len(mass) == r.input["problem"]["plan_entries"]
    np.testing.assert_allclose(mass, plan[rows.astype(int), columns.astype(int)], rtol=1e-9)
    np.testing.assert_allclose(mass, np.sort(plan.ravel())[::-1][: len(mass)], rtol=1e-9)


def test_the_interval_of_the_unregularised_cost_holds_the_best_assignment(run):
    from scipy.optimize import linear_sum_assignment

    r = run("assignment_small_epsilon", "problem.source.points=200", "problem.target.points=200")
    rows, columns = linear_sum_assignment(r.cost)
    best = r.cost[rows, columns].mean()
    lower, upper = r.interval("unregularised_cost")
    assert lower - slack(best) <= best <= upper + slack(best)
    assert upper - lower < 0.05 * best


def test_pot_gives_the_same_plan(run):
    ot = pytest.importorskip("ot")
    r = run("digits_64d")
    theirs = ot.sinkhorn(r.a, r.b, r.cost, r.epsilon, method="sinkhorn_log", stopThr=1e-12, numItermax=100_000)
    # Both marginal errors are below 1e-7 in L1.
    assert np.abs(r.plan - theirs).sum() < 1e-5


def test_the_unbalanced_interval_holds_the_value_of_plain_iterations(run):
    r = run("unbalanced_gaussians")
    rho = r.input["problem"]["source_penalty"]
    epsilon, a, b, cost = r.epsilon, r.a, r.b, r.cost
    log_a, log_b = np.log(np.maximum(a, 1e-300)), np.log(np.maximum(b, 1e-300))
    damping = rho / (rho + epsilon)
    g = np.zeros(len(b))
    for _ in range(500):
        f = -damping * epsilon * log_sum_exp(log_b[None, :] + (g[None, :] - cost) / epsilon, 1)
        g = -damping * epsilon * log_sum_exp(log_a[:, None] + (f[:, None] - cost) / epsilon, 0)
    mass = (a[:, None] * b[None, :] * np.exp((f[:, None] + g[None, :] - cost) / epsilon)).sum()
    dual = -rho * a @ np.expm1(-f / rho) - rho * b @ np.expm1(-g / rho) - epsilon * (mass - a.sum() * b.sum())
    lower, upper = r.interval("regularised_cost")
    assert lower - 1e-9 <= dual <= upper + 1e-9
    assert upper - lower < 1e-6 * abs(dual)


def test_the_divergence_is_that_of_three_plain_problems(run):
    sets = ("problem.source.points=150", "problem.target.points=120")
    r = run("divergence_mixtures", *sets)
    x, y = r.points("source"), r.points("target")

    def squared(p, q):
        return ((p[:, None] - q[None]) ** 2).sum(-1)

    between = sinkhorn(r.a, r.b, squared(x, y), r.epsilon)[0]
    within = [symmetric_sinkhorn(w, squared(p, p), r.epsilon) for p, w in ((x, r.a), (y, r.b))]
    expected = between - 0.5 * sum(within)
    lower, upper = r.interval("divergence")
    assert lower - slack(1.0) <= expected <= upper + slack(1.0)
    assert upper - lower < 1e-3 * expected


def test_the_transferred_photograph_is_the_one_of_the_output(run):
    r = run("color_transfer", "problem.source.levels=8", "problem.target.levels=8")
    source, transferred = r["results/source_image"], r["results/transferred_image"]
    assert source.dtype == transferred.dtype == np.uint8 and source.shape == transferred.shape == (320, 480, 3)
    assert (r.directory / "transferred.png").stat().st_size > 10_000
    # It takes the mean colour of the target's photograph, in sRGB to a few levels (the transfer is exact in CIELAB).
    target = r["results/target_image"].reshape(-1, 3).mean(0)
    before = np.abs(source.reshape(-1, 3).mean(0) - target).max()
    after = np.abs(transferred.reshape(-1, 3).mean(0) - target).max()
    assert after < 10 and after < 0.2 * before, (before, after)


def test_xarray_sees_names_and_units(run):
    xarray = pytest.importorskip("xarray")
    r = run("gaussians_line")
    with xarray.open_dataset(r.path, group="state", engine="h5netcdf") as state:
        f = state["source_potential"]
        assert f.dims == ("source",) and f.attrs["units"] and f.attrs["long_name"]
        np.testing.assert_array_equal(f.values, r.f)
    with xarray.open_dataset(r.path, group="series", engine="h5netcdf") as series:
        assert series["marginal_error"].dims == ("step",)
        assert float(series["marginal_error"][-1]) <= r.input["method"]["tolerance"]


def test_the_root_says_where_the_numbers_come_from(run):
    with h5py.File(run("gaussians_line").path) as file:
        attributes = dict(file.attrs)
    assert attributes["format"] == "spanwise" and attributes["solver"] == "transport"
    for name in ["format_version", "spanwise_version", "commit", "input", "seed", "status", "created"]:
        assert name in attributes, name
