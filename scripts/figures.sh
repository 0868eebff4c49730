#!/usr/bin/env bash
# Runs the inputs that the README and docs/transport.md show, and draws them into docs/images.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh
. scripts/env.sh

cargo build --release --locked
runs=$(mktemp -d)
trap 'rm -rf "$runs"' EXIT
mkdir -p docs/images
for name in color_transfer images_grid sphere_to_knot gaussians_line unbalanced_gaussians digits_64d; do
    # 3: the results are valid although not all that was asked was reached; worth a figure, and a word.
    target/release/spanwise run "inputs/transport/$name.toml" --output "$runs/$name" --quiet || [ $? = 3 ]
    target/release/spanwise plot "$runs/$name" -o "docs/images/$name.png"
    echo "docs/images/$name.png"
done
