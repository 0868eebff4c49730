"""Opens a file of tests/faults_io.rs as a user would: h5py and xarray see the right numbers, names, units and axes.

usage: check_raw.py output.h5
"""

import sys

import h5py
import numpy as np
import xarray as xr

path = sys.argv[1]
shape = (37, 53)
field = np.sin(np.arange(37 * 53) * 0.37).reshape(shape)

with h5py.File(path) as f:
    assert f.attrs["format"] == "spanwise" and f.attrs["format_version"] == 1, dict(f.attrs)
    assert f.attrs["solver"] == "toy" and f.attrs["seed"] == 7, dict(f.attrs)
    assert f.attrs["input"] == 'solver = "toy"\n# ε = 1\n', f.attrs["input"]
    assert isinstance(f.attrs["status"], str) and f.attrs["created"].endswith("Z")
    assert int(f["provenance"].attrs["ranks"]) >= 1
    u = f["state/field"]
    # Rust's sine and NumPy's may differ in the last place.
    np.testing.assert_allclose(u[...], field, rtol=0, atol=4e-16)
    assert u.attrs["units"] == "m s-1" and u.attrs["long_name"] == "a value of the toy"
    assert [list(d.keys()) for d in u.dims] == [["x"], [u.dims[1].keys()[0]]] and len(u.dims[1]) == 1
    large = f["state/large"]
    assert large.compression == "gzip" and large.shuffle and large.shape == (300_007,)
    np.testing.assert_array_equal(large[...], np.arange(300_007) // 64)
    assert f["state/count"][()] == 2**64 - 2
    assert f["state/moments"][1] == np.finfo(float).tiny / 4

state = xr.open_dataset(path, group="state", engine="h5netcdf")
assert dict(state.sizes) == {
    "x": 37, "y": 53, "row": 4, "column": 11, "i": 300_007, "item": 3, "nothing": 0, "pixel": 101, "moment": 3,
}, dict(state.sizes)
assert state.field.dims == ("x", "y") and state.columns.dims == ("row", "column")
np.testing.assert_array_equal(state.x, np.arange(37) / 7)  # a coordinate, because it runs along itself
assert set(state.coords) == {"x"}, state.coords
assert set(state.data_vars) == {"field", "columns", "large", "few", "none", "greys", "level", "moments", "count"}
np.testing.assert_array_equal(state.columns, 100 * np.arange(4)[:, None] + np.arange(11))
assert state.field.attrs == {"units": "m s-1", "long_name": "a value of the toy"}, state.field.attrs
assert float(state.level) == 0.1 and state.level.dims == ()
np.testing.assert_array_equal(state.few, [0, -1, -2])

series = xr.open_dataset(path, group="series", engine="h5netcdf")
assert series.error.dims == ("step",)
np.testing.assert_array_equal(series.step, [0, 1, 5])
np.testing.assert_array_equal(series.error.sel(step=5), 1e-300)
