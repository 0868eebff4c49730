#!/bin/bash
#BSUB -J spanwise
#BSUB -n 4
#BSUB -R "span[ptile=2] affinity[core(16)]"
#BSUB -W 04:00
#BSUB -wa USR1
#BSUB -wt 5
#BSUB -r
#BSUB -o spanwise.%J.log
threads=16 # as core(16) above
# Submit with:  input=color_transfer.toml bsub < lsf.sh     (-wa and -wt: SIGUSR1 five minutes ahead of the limit)
set -uo pipefail
: "${input:?input=INPUT.toml bsub < lsf.sh}"
out=${out:-$(basename "${input%.toml}").out}

export RAYON_NUM_THREADS=$threads OPENBLAS_NUM_THREADS=1
export OMPI_MCA_odls_base_sigkill_timeout=10
resume=()
compgen -G "$out/checkpoint*.h5" >/dev/null && resume=(--resume)

mpirun --map-by "slot:PE=$threads" spanwise run "$input" --output "$out" "${resume[@]}" &
job=$!
# LSF signals the whole job; the trap keeps this shell alive, and mpirun forwards its own copy to the ranks.
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
    brequeue "$LSB_JOBID"
fi
exit $code
