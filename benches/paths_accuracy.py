"""What an error of 0.1 of the log-evidence costs each method of the room `paths`; prints Markdown.

usage: paths_accuracy.py [--binary PATH] [--threads 1] [--seed 0] [--repeats 3] [WORD …]

Every row is one run, made `--repeats` times for the median of its seconds: the problem of an input of inputs/paths with the
method of the row, and the exact answer beside the estimate. Drift evaluations to an error of 0.1 are extrapolated from the
standard error of the run, as error² falls with 1/evaluations, and hold the training (levels, fits, a pilot), which is paid
once; seconds are those of the run in proportion to evaluations, and mean something on a quiet machine only. Rows whose run
claims no error (its replicates spread too far) have no such number. WORD: only rows that hold it.
"""

import argparse
import json
import math
import re
import statistics
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
parser = argparse.ArgumentParser()
parser.add_argument("--binary", default=ROOT / "target/release/spanwise")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--repeats", type=int, default=3)
parser.add_argument("words", nargs="*", metavar="WORD")
args = parser.parse_args()


def observed_process():
    """log Z of ornstein_uhlenbeck_curve.toml, by Kalman's filter of its chain."""
    h, rate, mean, variance, log_z = 0.01, 0.25, 0.0, 4.0, 0.0
    seen = {50: (-1.0, 0.4), 90: (1.0, 0.1)}
    for step in range(101):
        if step > 0:
            mean, variance = (1 - h * rate) * mean, (1 - h * rate) ** 2 * variance + 2 * h
        if step in seen:
            value, deviation = seen[step]
            gain = 1 / (1 + variance / deviation**2)
            log_z += 0.5 * math.log(gain) - 0.5 * gain * (value - mean) ** 2 / deviation**2
            mean = gain * (mean + variance * value / deviation**2)
            variance *= gain
    return log_z


# The input whose problem is taken, what the table calls it, and its exact log-evidence.
WELL = ("double_well_controlled", "double well", -4.52938474)
END = ("brownian_end_point", "Brownian end, σ = 0.01", -8.9869438501)
TILTED = ("tilted_bridge_pcnl", "tilted bridge", -0.73879092)
SEEN = ("ornstein_uhlenbeck_curve", "Ornstein–Uhlenbeck, seen twice", observed_process())
WELLS = ("two_wells_inpainting", "two wells, seen twice", -40.68196044)
CHANNELS = ("two_channels_mixture", "two channels", -15.157683)
MULLER = ("muller_brown_transition", "Müller–Brown, kT = 12.5", -9.98492)
BALL = ("muller_brown_ball", "Müller–Brown, a ball", -10.2831)

ANNEALED = 'name = "annealed_dynamics"\npaths = 1024\n'
NARROW = 'low = [-1.8]\nhigh = [1.8]\n'
# (item of the list of methods, problem, words for the method, its keys)
ROWS = [
    ("B.1", WELL, "controlled annealing, degree 3", f'name = "controlled_annealing"\n{NARROW}degree = 3\n'),
    ("B.1", WELL, "controlled annealing, degree 5", f'name = "controlled_annealing"\n{NARROW}degree = 5\n'),
    ("B.1", END, "controlled annealing, degree 1", 'name = "controlled_annealing"\nlow = [-4.0]\nhigh = [4.0]\ndegree = 1\n'),
    ("B.2", TILTED, "pcn", ANNEALED + 'mover = "pcn"\nsweeps = 8\ness = 0.9\n'),
    ("B.2", TILTED, "pcnl", ANNEALED + 'mover = "pcnl"\nsweeps = 8\ness = 0.9\n'),
    ("B.2", TILTED, "hmc", ANNEALED + 'mover = "hmc"\nrotations = 3\nsweeps = 8\ness = 0.9\n'),
    ("B.2", TILTED, "spde", ANNEALED + 'mover = "spde"\nsweeps = 8\ness = 0.9\n'),
    ("B.2", WELL, "pcn, linear twist", ANNEALED + 'mover = "pcn"\ntwist = "linear"\n'),
    ("B.2", WELL, "pcnl, linear twist", ANNEALED + 'mover = "pcnl"\ntwist = "linear"\n'),
    ("B.2", WELL, "hmc, linear twist", ANNEALED + 'mover = "hmc"\nrotations = 3\ntwist = "linear"\n'),
    ("B.2", WELL, "spde, linear twist", ANNEALED + 'mover = "spde"\ntwist = "linear"\n'),
    ("B.3", SEEN, "Gaussian density curve", 'name = "density_curve"\niterations = 3000\n'),
    ("B.3", CHANNELS, "density curve of two Gaussians", None),
    ("B.3", SEEN, "clouds of particles", 'name = "density_particles"\n'),
    ("B.3", WELL, "clouds of particles", 'name = "density_particles"\n'),
    ("B.3", WELLS, "clouds of particles", 'name = "density_particles"\n'),
    ("B.4", WELL, "twisted SMC, no twist", 'name = "twisted_smc"\ntwist = { kind = "none" }\n'),
    ("B.4", WELL, "twisted SMC, linear twist", 'name = "twisted_smc"\ntwist = { kind = "linear" }\n'),
    ("B.4", WELL, "twisted SMC, learned twist", 'name = "twisted_smc"\ntwist = { kind = "learned", low = [-1.8], high = [1.8] }\n'),
    ("B.4", WELL, "twisted SMC, quadratic twist", 'name = "twisted_smc"\ntwist = { kind = "quadratic" }\n'),
    ("B.4", WELLS, "twisted SMC, linear twist", 'name = "twisted_smc"\ntwist = { kind = "linear" }\n'),
    ("B.4", WELLS, "twisted SMC, quadratic twist", 'name = "twisted_smc"\ntwist = { kind = "quadratic" }\n'),
    ("B.4", MULLER, "twisted SMC, twist on a grid", None),
    ("B.4", BALL, "twisted SMC, twist on a grid", None),
    ("B.6", MULLER, "importance sampling", 'name = "importance"\npaths = 131072\n'),
    ("B.6", WELL, "importance sampling", 'name = "importance"\n'),
    ("B.6", WELL, "rejection", 'name = "rejection"\n'),
    ("B.6", WELL, "shooting along levels", ANNEALED + 'mover = "shooting"\n'),
]


def run(problem, method):
    """The report of a problem with a method (None: the input's own), and the median of its steps' seconds."""
    text = (ROOT / f"inputs/paths/{problem}.toml").read_text()
    if method is not None:
        text = re.split(r"^\[method\]$", text, flags=re.MULTILINE)[0] + "[method]\n" + method
    with tempfile.TemporaryDirectory(prefix="spanwise-accuracy-") as name:
        folder = Path(name)
        (folder / "input.toml").write_text(text)
        reports = []
        for repeat in range(args.repeats):
            out = folder / f"out{repeat}"
            command = [str(args.binary), "run", str(folder / "input.toml"), "--output", str(out), "--quiet",
                       "--set", f"run.threads={args.threads}", "--set", f"run.seed={args.seed}"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            reports.append(json.loads((out / "report.json").read_text()))
        seconds = statistics.median(report["timings"]["step_seconds"] for report in reports)
        return reports[0], seconds


def power(x):
    """Two digits, as 1.2e4."""
    digits, exponent = f"{x:.1e}".split("e")
    return f"{digits}e{int(exponent)}"


print("| | problem (exact log Z) | method | estimate ± error | off, in errors | drift evaluations to 0.1 | of these training | seconds to 0.1 |")
print("|---|---|---|---|---:|---:|---:|---:|")
for item, (problem, called, truth), words, method in ROWS:
    if args.words and not any(w.lower() in f"{item} {called} {words}".lower() for w in args.words):
        continue
    report, taken = run(problem, method)
    numbers = {n["name"]: n for n in report["numbers"]}
    value = numbers["log_evidence"]["value"]
    error = (numbers["log_evidence"]["error"] or {}).get("value")
    sampling, training = (numbers[n]["value"] for n in ("drift_evaluations", "training_evaluations"))
    row = [item, f"{called} ({truth:.5f})", words]
    if error is None:
        row += [f"{value:.4f}, no error claimed", "", "", power(training), ""]
    else:
        needed = sampling * (error / 0.1) ** 2
        seconds = taken * (needed + training) / (sampling + training)
        row += [f"{value:.4f} ± {error:.4f}", f"{(value - truth) / error:+.1f}", power(needed + training), power(training),
                f"{seconds:.2g}"]
    print("| " + " | ".join(row) + " |", flush=True)
