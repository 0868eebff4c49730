#!/bin/bash
#SBATCH --job-name=spanwise-scaling
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=4
#SBATCH --cpus-per-task=16
#SBATCH --time=02:00:00
# Strong scaling: the same problem on 1, 2, 4, … ranks, a fixed number of steps, and the table of rates. The final
# potentials must have the same bits on every rank count, which the last column checks.
# Submit with:  sbatch scaling_slurm.sh inputs/transport/uniform_large.toml
set -euo pipefail
input=${1:?usage: sbatch scaling_slurm.sh INPUT.toml}
steps=${STEPS:-20}
most=${SLURM_NTASKS:-4}
threads=${SLURM_CPUS_PER_TASK:-1}
export RAYON_NUM_THREADS=$threads OPENBLAS_NUM_THREADS=1

printf '%6s %8s %12s %12s %10s  %s\n' ranks threads seconds rate/s speed-up potentials
base=""
for ((ranks = 1; ranks <= most; ranks *= 2)); do
    out=scaling-$ranks.out
    # Exit code 3 is expected: the limit of steps comes before the tolerance.
    mpirun -n "$ranks" --map-by "slot:PE=$threads" spanwise run "$input" --output "$out" --force --quiet \
        --set run.max_steps="$steps" >/dev/null || [ $? = 3 ]
    python3 - "$out" "$ranks" "$threads" "${base:-0}" <<'PYTHON' | tee /dev/stderr | awk '{print $3}' >"$out/seconds"
import hashlib, json, subprocess, sys
out, ranks, threads, base = sys.argv[1:]
work = json.load(open(f"{out}/report.json"))["work"]
dump = subprocess.run(["h5dump", "-d", "/state/source_potential", "-b", "LE", "-o", "/dev/stdout", f"{out}/output.h5"],
                      capture_output=True).stdout
speed = float(base) / work["seconds"] if float(base) else 1.0
print(f"{ranks:>6} {threads:>8} {work['seconds']:>12.4g} {work['per_second']:>12.4g} {speed:>10.2f}  "
      f"{hashlib.sha256(dump).hexdigest()[:16]}")
PYTHON
    [ -n "$base" ] || base=$(cat "$out/seconds")
done
