"""What users of xarray and ParaView find in a spectral run, and that the numbers agree with NumPy's transforms."""

import subprocess

import numpy as np
import pytest
import xarray
from conftest import BINARY

INPUT = """
solver = "spectral"
[problem]
points = [24, 20]
lengths = ["2*pi", "4*pi"]
end_time = 0.5
equation = { kind = "vorticity_2d", viscosity = 0.02 }
initial = { kind = "expressions", fields = { vorticity = "sin(x)*cos(y) + 0.3*cos(2*x - y/2)" } }
output = { every = 0.25, fields = ["all"], probes = [[1.0, 2.0]] }
[method]
scheme = "if_rk4"
time_step = 0.025
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spectral")
    (folder / "case.toml").write_text(INPUT)
    done = subprocess.run([BINARY, "run", "case.toml", "--quiet"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "case.out"


def group(directory, name):
    return xarray.open_dataset(directory / "output.h5", group=name, engine="h5netcdf")


def test_fields_have_named_dimensions_and_coordinates(directory):
    fields = group(directory, "fields")
    assert fields.vorticity.dims == ("time", "x", "y")
    np.testing.assert_allclose(fields.time, [0, 0.25, 0.5], rtol=1e-12)
    np.testing.assert_allclose(fields.x, 2 * np.pi * np.arange(24) / 24, rtol=1e-14)
    np.testing.assert_allclose(fields.y, 4 * np.pi * np.arange(20) / 20, rtol=1e-14)
    x, y = np.meshgrid(fields.x, fields.y, indexing="ij")
    start = np.sin(x) * np.cos(y) + 0.3 * np.cos(2 * x - y / 2)
    np.testing.assert_allclose(fields.vorticity[0], start, atol=1e-13)


def test_the_velocity_is_that_of_the_vorticity_by_numpys_transforms(directory):
    fields = group(directory, "fields")
    kx = np.fft.fftfreq(24, 1 / 24)[:, None]
    ky = np.fft.rfftfreq(20, 1 / 20)[None, :] / 2
    w = np.fft.rfft2(fields.vorticity[-1].values)
    k2 = np.where(kx**2 + ky**2 == 0, 1, kx**2 + ky**2)
    u = np.fft.irfft2(1j * ky * w / k2, (24, 20))
    np.testing.assert_allclose(fields.velocity_x[-1], u, atol=1e-13)


def test_the_series_have_time_and_the_energy_of_the_fields(directory):
    series, fields = group(directory, "series"), group(directory, "fields")
    assert "time" in series.coords
    energy = 0.5 * float((fields.velocity_x[-1] ** 2 + fields.velocity_y[-1] ** 2).mean())
    np.testing.assert_allclose(series.energy[-1], energy, rtol=1e-12)
    # The probe is the series summed at (1, 2), here from the final coefficients.
    state = group(directory, "state")
    c = state.vorticity[..., 0].values + 1j * state.vorticity[..., 1].values
    phase = np.exp(1j * (state.kx.values[:, None] + state.ky.values[None, :] * 2.0))
    weight = np.where(np.arange(c.shape[1]) == 0, 1, 2)
    np.testing.assert_allclose(series.vorticity_probe_1[-1], (weight * (c * phase).real).sum(), rtol=1e-11)


def test_the_xdmf_names_the_fields_and_their_times(directory):
    from xml.etree import ElementTree

    root = ElementTree.parse(directory / "output.xdmf").getroot()
    times = [float(t.get("Value")) for t in root.iter("Time")]
    np.testing.assert_allclose(times, [0, 0.25, 0.5], rtol=1e-12)
    assert {a.get("Name") for a in root.iter("Attribute")} >= {"vorticity", "velocity_x", "velocity_y"}
