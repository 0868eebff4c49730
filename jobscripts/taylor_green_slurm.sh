#!/bin/bash
# The Taylor–Green vortex at Re = 1600 where it is resolved: 512³, 2/3 rule. max(−dE/dt) = 1.28575e-2 at t = 8.97.
#SBATCH --job-name=taylor-green
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=16
#SBATCH --cpus-per-task=4
#SBATCH --time=02:00:00
#SBATCH --signal=B:USR1@300
set -uo pipefail
# module load openmpi hdf5 openblas
export RAYON_NUM_THREADS=$SLURM_CPUS_PER_TASK OPENBLAS_NUM_THREADS=1
export OMPI_MCA_odls_base_sigkill_timeout=10
resume=()
compgen -G "taylor_green.out/checkpoint*.h5" >/dev/null && resume=(--resume)

# In the background, so that this shell sees SIGUSR1 and hands it to mpirun; submit again to go on.
mpirun --map-by "slot:PE=$SLURM_CPUS_PER_TASK" spanwise run inputs/spectral/taylor_green_re1600.toml \
    --set 'problem.points=[512, 512, 512]' --set method.time_step=0.005 --output taylor_green.out "${resume[@]}" &
job=$!
trap 'kill -USR1 $job' USR1
wait $job
code=$?
while kill -0 $job 2>/dev/null; do
    wait $job
    code=$?
done
exit $code
