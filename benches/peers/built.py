"""Benches of ours that cargo has built."""

import sys
from pathlib import Path


def newest_bench(name):
    """The newest executable of `cargo bench --bench NAME --no-run`."""
    target = Path(__file__).resolve().parents[2] / "target/release/deps"
    built = [p for p in target.glob(f"{name}-*") if not p.suffix]
    if not built:
        sys.exit(f"build ours first: cargo bench --bench {name} --no-run")
    return max(built, key=lambda p: p.stat().st_mtime)
