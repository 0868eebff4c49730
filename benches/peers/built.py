"""Benches of ours that cargo has built."""

import sys
from pathlib import Path


def find_bench(name):
    """The newest executable of `cargo bench --bench NAME --no-run`, if there is one."""
    target = Path(__file__).resolve().parents[2] / "target/release/deps"
    built = [p for p in target.glob(f"{name}-*") if not p.suffix]
    return max(built, key=lambda p: p.stat().st_mtime, default=None)


def newest_bench(name):
    """[`find_bench`], which must be there."""
    return find_bench(name) or sys.exit(f"build ours first: cargo bench --bench {name} --no-run")
