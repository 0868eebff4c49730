#!/usr/bin/env bash
# Colour transfer between two photographs on two MPI ranks: its table of results and the path of its picture.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh
. scripts/env.sh

out=color_transfer.out
cargo build --release --locked
# shellcheck disable=SC2046 (words on purpose)
mpirun -n 2 $(mpirun_flags 2) target/release/spanwise run inputs/transport/color_transfer.toml --output "$out" --force
target/release/spanwise plot "$out" -o "$out/figure.png"

echo
echo "photograph with the other's palette:  $PWD/$out/transferred.png"
echo "figure with the convergence:          $PWD/$out/figure.png"
echo "numbers with their certified bounds:  $PWD/$out/report.json"
