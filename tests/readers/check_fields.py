"""Opens the records in time of tests/faults_io.rs as a user would: named dimensions, coordinates, the right numbers.

usage: check_fields.py output.h5
"""

import sys

import numpy as np
import xarray as xr

fields = xr.open_dataset(sys.argv[1], group="fields", engine="h5netcdf")
assert dict(fields.sizes) == {"time": 8, "x": 13, "y": 17}, dict(fields.sizes)
assert set(fields.coords) == {"time", "step", "x"}, fields.coords
assert set(fields.data_vars) == {"wave", "mean"}, fields.data_vars
assert fields.wave.dims == ("time", "x", "y") and fields["mean"].dims == ("time",)
np.testing.assert_array_equal(fields.time, 0.25 * np.arange(8))
np.testing.assert_array_equal(fields.step, 3 * np.arange(8))
np.testing.assert_array_equal(fields.x, np.arange(13) / 13)
t, i, j = np.meshgrid(np.arange(8), np.arange(13), np.arange(17), indexing="ij")
np.testing.assert_array_equal(fields.wave, 10_000 * t + 100 * i + j)
np.testing.assert_array_equal(fields.wave.sel(time=1.25).mean(), fields["mean"].sel(time=1.25))
assert fields.wave.attrs == {"units": "m", "long_name": "a value of the toy"}, fields.wave.attrs
