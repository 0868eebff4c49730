#!/usr/bin/env bash
# Kernels, two cores against one, then Spanwise and the other codes in turn on the same cores; writes docs/benchmarks.md.
# THREADS=1 and REPETITIONS=3 unless set. Takes an hour or so; the other codes go into ~/.cache/spanwise-peers.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh --python
. scripts/env.sh

threads=${THREADS:-1}
repetitions=${REPETITIONS:-3}
partial=docs/benchmarks.md.partial
cargo build --release --locked
cargo bench --locked --no-run --bench '*'
bash benches/peers/setup.sh
bash benches/peers/setup.sh exponax fluidsim dedalus fft particles

section() { printf '\n## %s\n\n' "$*"; }
script() { .venv/bin/python "$@"; }
{
    echo "# Benchmarks"
    echo
    echo "Written by \`make bench\` at commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown). Times on a shared machine drift by tens of"
    echo "per cent: compare numbers of one table, which were taken in turn."
    section "Kernels"
    echo '```'
    for bench in benches/*.rs; do
        # benches/grid.rs times NumPy beside.
        PYTHON=$PWD/.venv/bin/python OPENBLAS_NUM_THREADS=$threads RAYON_NUM_THREADS=$threads \
            cargo bench --locked --quiet --bench "$(basename "$bench" .rs)"
    done
    echo '```'
    if [ "$(cores)" -ge 2 ]; then
        section "A million points"
        script benches/million.py
        section "Two cores against one"
        script benches/scaling.py
    fi
    section "Transport"
    script benches/peers/run.py --threads "$threads" --repetitions "$repetitions"
    section "PDEs"
    script benches/peers/spectral.py --threads "$threads" --repetitions "$repetitions"
    if [ "$(cores)" -ge 2 ]; then
        section "PDEs on two ranks"
        script benches/peers/spectral.py --ranks 2 --repetitions "$repetitions" --tasks tgv64 tgv128 --peers fluidsim mpi4py_fft
    fi
    section "Transforms"
    script benches/peers/fft.py --rounds "$repetitions"
    section "Particles"
    script benches/peers/filters.py --rounds "$repetitions"
    section "Paths: what an error of 0.1 of the log-evidence costs"
    script benches/paths_accuracy.py --threads "$threads"
} >"$partial"
mv "$partial" docs/benchmarks.md
echo "written: docs/benchmarks.md"
