# The README's commands. Each one sets up what it needs first (scripts/setup.sh says what it does).

.PHONY: help demo test bench figures setup clean

help:
	@echo "make demo     build, carry the palette of one photograph onto another on two MPI ranks, draw it"
	@echo "make test     every test: with and without MPI, real mpirun, Python readers"
	@echo "make bench    kernel benchmarks and the other codes side by side -> docs/benchmarks.md (takes long)"
	@echo "make figures  run the inputs of the README and draw docs/images/*.png"
	@echo "make setup    only the set-up: system packages, Rust"
	@echo "make clean    remove everything that was built (target, .venv, *.out)"

demo:
	@bash scripts/demo.sh

test:
	@bash scripts/test.sh

bench:
	@bash scripts/bench.sh

figures:
	@bash scripts/figures.sh

setup:
	@bash scripts/setup.sh

clean:
	rm -rf target .venv *.out
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
