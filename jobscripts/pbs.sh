#!/bin/bash
#PBS -N spanwise
#PBS -l select=2:ncpus=32:mpiprocs=2:ompthreads=16
#PBS -l walltime=04:00:00
#PBS -j oe
# Submit with:  qsub -v input=color_transfer.toml pbs.sh
set -uo pipefail
cd "$PBS_O_WORKDIR"
: "${input:?qsub -v input=INPUT.toml pbs.sh}"
out=${out:-$(basename "${input%.toml}").out}

export RAYON_NUM_THREADS=${OMP_NUM_THREADS:-16} OPENBLAS_NUM_THREADS=1
export OMPI_MCA_odls_base_sigkill_timeout=10
resume=()
compgen -G "$out/checkpoint*.h5" >/dev/null && resume=(--resume)

mpirun --map-by "slot:PE=$RAYON_NUM_THREADS" spanwise run "$input" --output "$out" "${resume[@]}" &
job=$!
# PBS has no signal ahead of the limit: this shell sends it, five minutes before the end of the four hours.
(sleep $((4 * 3600 - 300)) && kill -USR1 $job) &
timer=$!
wait $job
code=$?
kill $timer 2>/dev/null
if [ $code = 3 ]; then
    qsub -v input="$input",out="$out" "$PBS_O_WORKDIR/pbs.sh"
fi
exit $code
