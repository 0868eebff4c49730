#!/bin/bash
#SBATCH --job-name=spanwise
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=2
#SBATCH --cpus-per-task=16
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --open-mode=append
#SBATCH --requeue
set -uo pipefail
input=${1:?usage: sbatch slurm.sh INPUT.toml}
out=${2:-$(basename "${input%.toml}").out}

# module load openmpi hdf5 openblas
export RAYON_NUM_THREADS=$SLURM_CPUS_PER_TASK OPENBLAS_NUM_THREADS=1
export OMPI_MCA_odls_base_sigkill_timeout=10

# Later submissions go on from the checkpoint of the earlier ones.
resume=()
compgen -G "$out/checkpoint*.h5" >/dev/null && resume=(--resume)

# In the background, so that this shell sees SIGUSR1 (five minutes ahead of the limit) and hands it to mpirun.
mpirun --map-by "slot:PE=$SLURM_CPUS_PER_TASK" spanwise run "$input" --output "$out" "${resume[@]}" &
job=$!
trapped=0
trap 'trapped=1; kill -USR1 $job 2>/dev/null' USR1
wait $job
code=$?
# The trap ends a wait; the next one gets the launcher's own code, or 127 where it was told before.
while [ $trapped = 1 ]; do
    trapped=0
    wait $job
    next=$?
    [ $next = 127 ] || code=$next
done

# 3: valid results, but short of the aim. Again only where time ran out: a run that has stalled or made all its steps would do so again.
if [ $code = 3 ] && grep -Eq '"reason": "(the limit of wall time|signal |a signal )' "$out/report.json"; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit $code
