#!/bin/bash
#PBS -N spanwise
#PBS -l select=2:ncpus=32:mpiprocs=2:ompthreads=16
#PBS -j oe
#PBS -l walltime=04:00:00
limit=$((4 * 3600)) # the walltime of the line above, in seconds (not every PBS tells the job)
# Submit with:  qsub -v input=color_transfer.toml pbs.sh     (from elsewhere: qsub -v input=…,script=jobscripts/pbs.sh jobscripts/pbs.sh)
set -uo pipefail
cd "$PBS_O_WORKDIR"
: "${input:?qsub -v input=INPUT.toml pbs.sh}"
# PBS runs a copy; the next submission needs the script itself.
script=${script:-pbs.sh}
[ -f "$script" ] || { echo "pbs.sh: no $script here; qsub -v script=PATH_OF_THIS_SCRIPT,…" >&2; exit 2; }
out=${out:-$(basename "${input%.toml}").out}

export RAYON_NUM_THREADS=${OMP_NUM_THREADS:-16} OPENBLAS_NUM_THREADS=1
export OMPI_MCA_odls_base_sigkill_timeout=10
resume=()
compgen -G "$out/checkpoint*.h5" >/dev/null && resume=(--resume)

mpirun --map-by "slot:PE=$RAYON_NUM_THREADS" spanwise run "$input" --output "$out" "${resume[@]}" &
job=$!
# PBS has no signal ahead of the limit: this shell sends it, five minutes before. The timer takes its sleep with it when the run
# ends, and holds no stream of the job open.
(
    nap=
    trap 'kill $nap; exit' TERM
    sleep $((limit - 300)) &
    nap=$!
    wait $nap && kill -USR1 $job
) </dev/null >/dev/null 2>&1 &
timer=$!
wait $job
code=$?
kill $timer 2>/dev/null
wait $timer 2>/dev/null
# 3: valid results, but short of the aim. Again only where time ran out: a run that has stalled or made all its steps would do so again.
if [ $code = 3 ] && grep -Eq '"reason": "(the limit of wall time|signal |a signal )' "$out/report.json"; then
    qsub -v input="$input",out="$out",script="$script" "$script"
fi
exit $code
