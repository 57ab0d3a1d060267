# `make demo` and `make test` do all the set-up by themselves; see README.md.
PYTHON ?=
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-all coverage lint fmt hooks bench bench-long docs clean
.DEFAULT_GOAL := test

# MindSpore 2.10 has wheels for these Pythons. A name on PATH may be a shim that fails, so each is run.
$(VENV)/.installed: pyproject.toml
	@for python in $(PYTHON) $(if $(PYTHON),,python3 python3.12 python3.11 python3.10 python); do \
	  if $$python -c 'import sys; raise SystemExit(not (3, 10) <= sys.version_info < (3, 13))' 2>/dev/null; then \
	    found=$$python; break; fi; done; \
	if [ -z "$$found" ]; then \
	  echo "densenet needs Python 3.10, 3.11 or 3.12; found $$($(or $(PYTHON),python3) --version 2>&1 | head -n 1). Try: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; fi; \
	echo "Setting up $(VENV) with $$($$found --version) (MindSpore is large: a minute or more)" && \
	$$found -m venv --clear $(VENV) && \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: $(VENV)/.installed
	@run=runs/demo-$$(date +%Y%m%d-%H%M%S); $(BIN)/densenet train --out $$run && $(BIN)/densenet validate $$run

# Each test process may start others, each of which takes two cores: more than four at once are no quicker.
PYTEST := $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist worksteal

test: lint
	$(PYTEST) -m 'not slow'

test-all: lint
	$(PYTEST)

# Of lines and branches, in the processes that the tests start too; what is killed in the middle is not counted.
coverage: $(VENV)/.installed
	$(PYTEST) -m 'not slow' --cov --cov-report=term --cov-report=html:build/coverage

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fmt: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

hooks: $(VENV)/.installed
	$(BIN)/pre-commit install

# Half an hour on two cores that do nothing else. PEERS="--mindcv DIR --torch PYTHON --photos DIR" sets others beside ours.
bench: $(VENV)/.installed
	$(BIN)/python benchmarks/write_measurements.py $(PEERS)

# Hours: random specs, runs that are killed, and the curve of CIFAR-10 in the folder CIFAR10.
bench-long: $(VENV)/.installed
	$(BIN)/python benchmarks/truth.py --specs 1000 --workers 2
	for devices in 1 2; do $(BIN)/python benchmarks/kill_resume.py --kills 200 --devices $$devices || exit 1; done
	$(BIN)/python benchmarks/cifar_paper.py $(or $(CIFAR10),CIFAR10) --layers 16 --epochs 20

# Only this target needs mkdocs and its theme.
$(VENV)/.docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	@touch $@

# The pages of docs/ and the reference of the library, as site/, without the network; then what the pages say is tried.
docs: $(VENV)/.docs
	$(BIN)/python -m mkdocs build --strict --clean
	$(BIN)/python -m pytest tests/test_docs.py tests/test_public_api.py tests/test_site.py

clean:
	rm -rf $(VENV) dist build site .pytest_cache .mypy_cache .ruff_cache .hypothesis
