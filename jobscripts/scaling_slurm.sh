#!/bin/bash
#SBATCH --job-name=spanwise-scaling
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=4
#SBATCH --cpus-per-task=16
#SBATCH --time=02:00:00
# Strong scaling: the same problem on 1, 2, 4, … ranks, a fixed number of steps, and the table of rates. The final
# potentials have the same bits on every rank count, which the last column shows.
# Submit with:  sbatch scaling_slurm.sh inputs/transport/uniform_large.toml     (outside Slurm: MOST=2 THREADS=1 bash …)
set -euo pipefail
input=${1:?usage: sbatch scaling_slurm.sh INPUT.toml}
command -v h5dump >/dev/null || { echo "scaling_slurm.sh: needs h5dump (of the HDF5 module, or the package hdf5-tools)" >&2; exit 2; }
steps=${STEPS:-20}
most=${MOST:-${SLURM_NTASKS:-1}}
threads=${THREADS:-${SLURM_CPUS_PER_TASK:-1}}
export RAYON_NUM_THREADS=$threads OPENBLAS_NUM_THREADS=1

printf '%6s %8s %12s %14s %9s  %s\n' ranks threads seconds 'entries/s' speed-up potentials
for ((ranks = 1; ranks <= most; ranks *= 2)); do
    out=scaling-$ranks.out
    # Exit code 3 is expected: the limit of steps comes before the tolerance.
    mpirun -n "$ranks" --map-by "slot:PE=$threads" spanwise run "$input" --output "$out" --force --quiet \
        --set run.max_steps="$steps" >/dev/null || [ $? = 3 ]
    # The first line of h5dump names the file.
    bits=$(h5dump -m '%.17g' -d /state/source_potential "$out/output.h5" | tail -n +2 | sha256sum | cut -c1-16)
    python3 - "$ranks" "$threads" "$bits" <<'PYTHON'
import json, sys
ranks, threads, bits = sys.argv[1:]
work = json.load(open(f"scaling-{ranks}.out/report.json"))["work"]
first = json.load(open("scaling-1.out/report.json"))["work"]
speed_up = work["per_second"] / first["per_second"]
print(f"{ranks:>6} {threads:>8} {work['seconds']:>12.4g} {work['per_second']:>14.4g} {speed_up:>9.2f}  {bits}")
PYTHON
done
