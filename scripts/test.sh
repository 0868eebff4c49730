#!/usr/bin/env bash
# Every test: without MPI, with MPI (real mpirun included), the Python readers on the output of real runs; that benches compile.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh --python
. scripts/env.sh

# First without MPI, so that the binary left in target/quick afterwards, which the readers run, is the full one. One target
# directory: cargo keeps the dependencies of both feature sets apart, and shares what is equal.
export SPANWISE_PYTHON="$PWD/.venv/bin/python" SPANWISE_BINARY="$PWD/target/quick/spanwise"
cargo test --profile quick --locked --no-default-features
cargo test --profile quick --locked
.venv/bin/python -m pytest tests/readers -q
# Benchmarks are not run, but must not rot.
cargo check --profile quick --locked --benches
