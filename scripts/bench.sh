#!/usr/bin/env bash
# Kernel benchmarks, then Spanwise and the other codes in turn on the same cores; writes docs/benchmarks.md.
# THREADS=1 and REPETITIONS=3 unless set. Takes an hour or so; the other codes go into ~/.cache/spanwise-peers.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh --python
. scripts/env.sh

threads=${THREADS:-1}
partial=docs/benchmarks.md.partial
cargo build --release --locked
bash benches/peers/setup.sh
bash benches/peers/setup.sh exponax fluidsim dedalus fft
{
    echo "# Benchmarks"
    echo
    echo "Written by \`make bench\` at commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown). Times on a shared machine drift by tens of"
    echo "per cent: compare numbers of one table, which were taken in turn."
    echo
    echo "## Kernels and whole runs"
    echo
    echo '```'
    for bench in benches/*.rs; do
        [ -e "$bench" ] || continue
        OPENBLAS_NUM_THREADS=$threads RAYON_NUM_THREADS=$threads \
            cargo bench --locked --quiet --bench "$(basename "$bench" .rs)"
    done
    echo '```'
    echo
    echo "## Other codes"
    echo
    .venv/bin/python benches/peers/run.py --threads "$threads" --repetitions "${REPETITIONS:-3}"
    .venv/bin/python benches/peers/spectral.py --threads "$threads" --repetitions "${REPETITIONS:-3}"
} >"$partial"
mv "$partial" docs/benchmarks.md
echo "written: docs/benchmarks.md"
