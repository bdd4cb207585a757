# Two commands do everything: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test test-slow setup check bench bench-peers clean

demo: .venv/depthscale
	$(BIN)/depthscale demo --out demo

test: check
	$(BIN)/python -m pytest -m "not slow" -n 2

test-slow: .venv/depthscale-test
	$(BIN)/python -m pytest -m slow -n 2

setup: .venv/depthscale

check: .venv/depthscale-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/python -m pytest -q tests/test_architecture.py

# ARGS=--resume goes on with an interrupted run, ARGS=--quick is a share of it.
bench: .venv/depthscale-test
	$(BIN)/python -m benchmarks --write docs/benchmarks.md $(ARGS)

# The tools that the benchmarks compare with, in an environment of their own.
bench-peers: constraints.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt transformers \
	  torchlens unit-scaling neural-observatory monitorch torch-module-monitor

# The two stamps say what is installed; they are made again when the requirements change.
.venv/depthscale: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "depthscale needs Python 3.11 or newer; try: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv || { echo "no venv module: on Debian, apt-get install python3-venv"; exit 1; }
	$(PIP) -e .
	touch $@

.venv/depthscale-test: .venv/depthscale
	$(PIP) -e '.[test]'
	touch $@

clean:
	rm -rf .venv .venv-peers demo
