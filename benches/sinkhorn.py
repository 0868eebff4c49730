"""The input of plain Sinkhorn steps on the fly, so that every run does the same work."""


def sinkhorn(points, steps, precision):
    """An input of so many steps between two clouds of so many points in three dimensions; no tolerance ends it earlier."""
    return f"""solver = "transport"
[run]
max_steps = {steps}
[problem]
source = {{ kind = "uniform_samples", points = {points}, dimension = 3 }}
target = {{ kind = "uniform_samples", points = {points}, dimension = 3 }}
epsilon = 0.05
[method]
name = "sinkhorn"
tolerance = 1e-14
precision = "{precision}"
stored_kernel_mib = 0
epsilon_scaling = {{ enabled = "off" }}
"""
