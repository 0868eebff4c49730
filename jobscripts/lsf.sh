#!/bin/bash
#BSUB -J spanwise
#BSUB -n 4
#BSUB -R "span[ptile=2] affinity[core(16)]"
#BSUB -W 04:00
#BSUB -wa USR1
#BSUB -wt 5
#BSUB -r
#BSUB -o spanwise.%J.log
# Submit with:  input=color_transfer.toml bsub < lsf.sh     (-wa and -wt: SIGUSR1 five minutes ahead of the limit)
set -uo pipefail
: "${input:?input=INPUT.toml bsub < lsf.sh}"
out=${out:-$(basename "${input%.toml}").out}

export RAYON_NUM_THREADS=16 OPENBLAS_NUM_THREADS=1
export OMPI_MCA_odls_base_sigkill_timeout=10
resume=()
compgen -G "$out/checkpoint*.h5" >/dev/null && resume=(--resume)

mpirun --map-by "slot:PE=$RAYON_NUM_THREADS" spanwise run "$input" --output "$out" "${resume[@]}" &
job=$!
# LSF signals the whole job; the trap keeps this shell alive, and mpirun forwards its own copy to the ranks.
trap 'kill -USR1 $job 2>/dev/null' USR1
wait $job
code=$?
while kill -0 $job 2>/dev/null; do
    wait $job
    code=$?
done
if [ $code = 3 ]; then
    brequeue "$LSB_JOBID"
fi
exit $code
