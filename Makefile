# Each target does all its own set-up, into .venv; python3, python3-venv, make and git are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
INSTALL := $(PIP) install --require-hashes -r

.PHONY: help demo test check soak fuzz format docs lock clean

help:
	@echo "make demo       three passes over a made-up deployment, explained"
	@echo "make test       all tests"
	@echo "make check      format, lint, types and tests, as CI runs them"
	@echo "make soak       the tests of faults, long: kills, pairs of runs, histories; 10 to 20 minutes"
	@echo "make fuzz       an hour (FUZZ_SECONDS) of coverage-guided fuzzing of names and listings"
	@echo "make format     put the code into its one format"
	@echo "make docs       write the reference pages that are generated from the code"
	@echo "make lock       work out requirements/*.txt anew from pyproject.toml"
	@echo "make clean      remove everything that the other targets made"

demo: $(VENV)/.runtime
	$(BIN)/workflow-manager demo

test: $(VENV)/.dev
	$(BIN)/pytest -n auto

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/pytest -n auto

# What CI does in small numbers, with which it can be seen often: nothing lost, and what is repeated.
soak: $(VENV)/.dev
	WORKFLOW_MANAGER_KILLS=200 WORKFLOW_MANAGER_PAIRS=20 WORKFLOW_MANAGER_EXAMPLES=1000 \
	  $(BIN)/pytest -n auto --timeout=3600 tests/faults tests/pipeline/test_hostile_names.py

FUZZ_SECONDS ?= 3600
fuzz: $(VENV)/.dev
	$(PIP) install atheris
	mkdir -p build/fuzz
	$(BIN)/python fuzz/names.py -dict=fuzz/names.dict -max_total_time=$(FUZZ_SECONDS) -max_len=2000 \
	  -len_control=0 -print_final_stats=1 -artifact_prefix=build/ build/fuzz fuzz/seeds

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# An editable install, so that the command always runs the code of this tree.
$(VENV)/.runtime: requirements/runtime.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) requirements/runtime.txt
	$(PIP) install --no-build-isolation --no-deps --editable .
	touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.runtime
	$(INSTALL) requirements/dev.txt
	touch $@

docs: $(VENV)/.dev
	$(BIN)/python -m workflow_manager.cli.reference docs/reference

lock:
	$(PYTHON) -m venv $(VENV)/lock
	$(VENV)/lock/bin/pip install --quiet uv
	$(VENV)/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --group build pyproject.toml -o requirements/runtime.txt
	$(VENV)/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --group build --group dev --all-extras pyproject.toml -c requirements/runtime.txt -o requirements/dev.txt

clean:
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
