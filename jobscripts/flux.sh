#!/bin/bash
#flux: --job-name=spanwise
#flux: --nodes=2
#flux: --exclusive
#flux: --time-limit=4h
#flux: --signal=SIGUSR1@5m
ranks=4 threads=16 # on the nodes of the lines above: two ranks a node
# Submit with:  flux batch flux.sh INPUT.toml     (SIGUSR1 five minutes ahead of the limit)
set -uo pipefail
input=${1:?usage: flux batch flux.sh INPUT.toml}
out=${2:-$(basename "${input%.toml}").out}

export RAYON_NUM_THREADS=$threads OPENBLAS_NUM_THREADS=1
resume=()
compgen -G "$out/checkpoint*.h5" >/dev/null && resume=(--resume)

# flux run forwards SIGUSR1 to every rank; one rank is enough, since the ranks agree.
flux run --ntasks=$ranks --cores-per-task=$threads spanwise run "$input" --output "$out" "${resume[@]}" &
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
    flux batch "$0" "$input" "$out"
fi
exit $code
