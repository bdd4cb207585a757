# Two commands do everything: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo docs package test test-slow test-lowest test-integrations mutants setup check bench bench-peers torture clean

demo: .venv/depthscale
	$(BIN)/depthscale demo --out demo

test: check
	$(BIN)/python -m pytest -m "not slow" -n 2

test-slow: .venv/depthscale-test
	$(BIN)/python -m pytest -m slow -n 2

# What the lowest versions of pyproject.toml can be wrong about: each package's own calls, in minutes.
LOWEST := tests/test_store.py tests/test_files.py tests/test_controls.py tests/cli/test_cli.py \
	tests/report/test_charts.py tests/theory/test_sampled_sums.py tests/nets/test_simulate.py \
	tests/numerics tests/sketch/test_counts.py
test-lowest: .venv-lowest/depthscale
	.venv-lowest/bin/python -m pytest -m "not slow" -n 2 $(LOWEST)

# With Ray and other libraries really started, in an environment of its own; `make test` does without them.
test-integrations: .venv-integrations/depthscale
	.venv-integrations/bin/python -m pytest tests/integrations

# The documentation site, in site/: strict, and without a request to anywhere when it is read.
docs: .venv-docs/depthscale
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --quiet --strict

# Wheel and source distribution, and the wheel tried in an environment that has nothing else.
package: pyproject.toml constraints.txt
	rm -rf dist .venv-package
	$(PYTHON) -m venv .venv-package
	.venv-package/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt build
	PIP_CONSTRAINT=$(CURDIR)/constraints.txt .venv-package/bin/python -m build --outdir dist .
	.venv-package/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt dist/*.whl
	cd dist && ../.venv-package/bin/depthscale probe torch.nn.Tanh --input 'float32[4,8]'

mutants: .venv/depthscale-test
	$(BIN)/python -m tests.mutants

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

# Hours; what it counted is in .torture.json, from where it goes on.
torture: .venv/depthscale-test
	$(BIN)/python -W ignore -m tests.torture --tally .torture.json --write docs/reliability.md

# The two stamps say what is installed; they are made again when the requirements change.
.venv/depthscale: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "depthscale needs Python 3.11 or newer; try: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv || { echo "no venv module: on Debian, apt-get install python3-venv"; exit 1; }
	$(PIP) -e .
	touch $@

.venv/depthscale-test: .venv/depthscale
	$(PIP) -e '.[test]'
	touch $@

.venv-lowest/depthscale: pyproject.toml lowest.txt
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check -c lowest.txt -e . pytest hypothesis pytest-xdist
	touch $@

.venv-integrations/depthscale: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-integrations
	.venv-integrations/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[integrations]'
	touch $@

.venv-docs/depthscale: pyproject.toml
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	  $$($(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"])')
	touch $@

clean:
	rm -rf .venv .venv-docs .venv-package dist site .venv-lowest .venv-integrations .venv-peers demo
