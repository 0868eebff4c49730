#!/usr/bin/env bash
# Runs the inputs that the README and the pages of docs show, and draws them into docs/images.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh
. scripts/env.sh

cargo build --release --locked
runs=$(mktemp -d)
trap 'rm -rf "$runs"' EXIT
mkdir -p docs/images
for input in transport/{color_transfer,images_grid,sphere_to_knot,gaussians_line,unbalanced_gaussians,digits_64d} \
    spectral/{kolmogorov_flow,taylor_green_re100,rayleigh_benard_2d,kuramoto_sivashinsky,gray_scott} \
    smc/stochastic_volatility paths/two_wells_inpainting; do
    name=$(basename "$input")
    # 3: the results are valid although not all that was asked was reached; worth a figure, and a word.
    target/release/spanwise run "inputs/$input.toml" --output "$runs/$name" --quiet || [ $? = 3 ]
    target/release/spanwise plot "$runs/$name" -o "docs/images/$name.png"
    echo "docs/images/$name.png"
done
