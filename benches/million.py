"""One iteration of Sinkhorn on a million by a million points in f32, beside the rate of its kernel; prints Markdown.

usage: million.py [--binary PATH] [--threads 2] [--points 1000000]

The first iteration is two passes in the form that finds the largest term and the sum at once, so its kernel is the line
`max and sum` of `cargo bench --bench kernels`, which is run on one core before and after it. The run is killed once the
iteration is logged: what follows at this size are certificates in f64. Peak memory is the process's (VmHWM).
"""

import argparse
import re
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from sinkhorn import sinkhorn

ROOT = Path(__file__).resolve().parents[1]
parser = argparse.ArgumentParser()
parser.add_argument("--binary", default=ROOT / "target/release/spanwise")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--points", type=int, default=1_000_000)
args = parser.parse_args()


def kernel():
    """Nanoseconds per entry of one pass on one core, the median at the largest number of columns."""
    shown = subprocess.run(["cargo", "bench", "--locked", "--quiet", "--bench", "kernels", "--", "max"], cwd=ROOT,
                           capture_output=True, text=True, check=True).stdout
    return float(re.findall(r"max and sum .*f32 +([0-9.]+)", shown)[-1])


def iteration():
    """(seconds, peak bytes) of the first step."""
    with tempfile.TemporaryDirectory(prefix="spanwise-million-") as name:
        folder = Path(name)
        (folder / "million.toml").write_text(sinkhorn(args.points, 2, "f32"))
        command = [str(args.binary), "run", str(folder / "million.toml"), "--output", str(folder / "out"), "--quiet",
                   "--set", f"run.threads={args.threads}"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        log = folder / "out/run.log"
        try:
            while process.poll() is None:
                time.sleep(0.5)
                peak = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
                step = re.search(r" step 1 .* (?:(\d+)m)?([0-9.]+)s, at most", log.read_text()) if log.exists() else None
                if step:
                    return 60 * int(step[1] or 0) + float(step[2]), int(peak[1]) * 1024
        finally:
            process.kill()
            process.wait()
    raise SystemExit("the run ended before its first step was logged")


def main():
    before = kernel()
    seconds, peak = iteration()
    rate = statistics.mean([before, kernel()])
    entries = args.points**2
    ideal = 2 * entries * rate * 1e-9 / args.threads
    print(f"n = m = {args.points}, d = 3, f32, ε = 0.05, one rank × {args.threads} threads: the first iteration took "
          f"{seconds:.0f} s; its two passes at the kernel's {rate:.3f} ns per entry and core take {ideal:.0f} s: "
          f"{seconds / ideal:.2f} of that. Peak {peak / 1e6:.0f} MB, program, MPI and HDF5 included.")


main()
