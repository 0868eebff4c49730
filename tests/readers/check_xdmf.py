"""Opens an XDMF of tests/xdmf.rs with VTK's reader and compares every value, place and time with h5py's.

usage: check_xdmf.py output.xdmf
"""

import sys
from pathlib import Path

import h5py
import numpy as np
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonExecutionModel import vtkStreamingDemandDrivenPipeline
from vtkmodules.vtkIOXdmf2 import vtkXdmfReader

path = Path(sys.argv[1])
with h5py.File(path.with_name("output.h5")) as file:
    group = file["fields"]
    times = group["time"][...]
    names = [n for n in group if group[n].ndim > 2 and group[n].dims[0][0].name == "/fields/time"]
    fields = {name: group[name][...] for name in names}
    axes = [d[0].name.rsplit("/", 1)[1] for d in group[names[0]].dims][1:]
    coordinates = [group[a][...] for a in axes]
assert len(names) >= 2, names

reader = vtkXdmfReader()
reader.SetFileName(str(path))
reader.UpdateInformation()
steps = reader.GetOutputInformation(0).Get(vtkStreamingDemandDrivenPipeline.TIME_STEPS())
np.testing.assert_allclose(steps, times, rtol=1e-15)
for t, time in enumerate(times):
    reader.UpdateTimeStep(time)
    grid = reader.GetOutputDataObject(0)
    while grid.IsA("vtkMultiBlockDataSet"):
        grid = grid.GetBlock(0)
    for name, values in fields.items():
        shown = vtk_to_numpy(grid.GetPointData().GetArray(name))
        np.testing.assert_array_equal(shown.reshape(values[t].shape), values[t], err_msg=f"{name} at {time}")
    # Vectors point along the mesh that is shown: the component of our last axis first.
    arrows = vtk_to_numpy(grid.GetPointData().GetArray("velocity"))
    components = [fields[f"velocity_{a}"][t].ravel() for a in axes[::-1]]
    components += [np.zeros_like(components[0])] * (3 - len(components))
    np.testing.assert_array_equal(arrows, np.stack(components, axis=1), err_msg=f"velocity at {time}")
    # VTK's fastest coordinate is our last axis.
    shape = values[t].shape
    for index in [(0,) * len(shape), tuple(n - 1 for n in shape), tuple(n // 3 for n in shape)]:
        point = grid.GetPoint(int(np.ravel_multi_index(index, shape)))
        ours = [x[i] for x, i in zip(coordinates, index)][::-1]
        np.testing.assert_allclose(point[: len(ours)], ours, rtol=1e-12, atol=1e-12)
print(f"{len(times)} times, {len(fields)} fields on {shape}")
