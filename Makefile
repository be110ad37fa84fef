# Two commands set everything up: `make quickstart` and `make test`. Both may be run again cheaply.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Spinning threads of one process would slow the others down.
export OMP_WAIT_POLICY := passive
export OMP_NUM_THREADS ?= 1
# The versions that the suite is run with: a release of tomorrow breaks nothing today.
PINS := cluster/image-constraints.txt
# Tests in one process a core and one more, for some wait for processes that they start. Those with Ray run in two of them,
# one after another in each.
PARALLEL ?= -n $(shell $(PYTHON) -c 'import os; print(os.cpu_count() + 1)')
# A venv is good for one pyproject.toml, one set of pins and one checkout.
STAMP := $(shell (cat pyproject.toml $(PINS); pwd) | cksum | cut -d' ' -f1)

.PHONY: help quickstart test test-fast test-ci test-slow benchmarks gpu-check lint docs format clean

help:
	@echo "make quickstart   set up, then the whole pipeline on embedded data, in ./quickstart"
	@echo "make test         set up, then all tests but the slow ones"
	@echo "make test-fast    without the tests that start Ray, or take half a second or more"
	@echo "make test-ci      those of the slow tests that run with every change"
	@echo "make test-slow    the tests that take minutes"
	@echo "make benchmarks   the speed measurements, each side by side in one run"
	@echo "make gpu-check    what only a GPU can show, 7 min 30 s at most; GPU_PYTHON is a python with torch for CUDA"
	@echo "make lint         ruff and mypy"
	@echo "make docs         the documentation as a site, in ./site"

$(VENV)/.dalr-%-$(STAMP):
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing dalr[$*] into $(VENV): about 3 minutes and 7 GB the first time"
	$(BIN)/python -m pip install --quiet --constraint $(PINS) --editable '.[$*]'
	@find $(VENV) -maxdepth 1 -name '.dalr-*' ! -name '*-$(STAMP)' -delete  # it is another checkout's no more
	touch $@

quickstart: $(VENV)/.dalr-quickstart-$(STAMP)
	$(BIN)/dalr quickstart --out quickstart

test: $(VENV)/.dalr-dev-$(STAMP)
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow and not gpu and not benchmark" $(PYTEST_ARGS)

test-fast: $(VENV)/.dalr-dev-$(STAMP)
	$(BIN)/python -m pytest -n logical -m "not cluster and not medium and not slow and not gpu and not benchmark" $(PYTEST_ARGS)

test-ci: $(VENV)/.dalr-dev-$(STAMP)
	$(BIN)/python -m pytest $(PARALLEL) -m ci $(PYTEST_ARGS)

test-slow: $(VENV)/.dalr-dev-$(STAMP)
	$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

benchmarks: $(VENV)/.dalr-dev-$(STAMP)
	$(BIN)/python -m pytest -m benchmark -s --timeout 3600 $(PYTEST_ARGS)

# A machine with a GPU often has its own torch and no index to install from: the source tree, pydantic, ijson, pathspec and
# typer are enough. With GPU_CHECK_ARGS=ray, where all of dalr is installed: training and a sweep on Ray.
GPU_PYTHON ?= $(PYTHON)
gpu-check:
	PYTHONPATH=$(CURDIR) HF_HUB_OFFLINE=1 $(GPU_PYTHON) -m tests.gpu --out gpu-check $(GPU_CHECK_ARGS)

lint: $(VENV)/.dalr-dev-$(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.dalr-dev-$(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet --site-dir site

format: $(VENV)/.dalr-dev-$(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist quickstart site
