# Each target sets up what it needs in .venv. Requires python3, python3-venv, make and git.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
INSTALL := $(PIP) install --require-hashes -r

.PHONY: help demo quick test check image-test soak fuzz format docs dashboards chart pictures site dist audit lock clean

help:
	@echo "make demo       run three passes over a sample deployment, explained"
	@echo "make quick      check format, lint and types, and test config, core and pipeline; 30 seconds"
	@echo "make test       run the tests that are not slow; under 4 minutes"
	@echo "make check      check format, lint, types and tests, as CI does"
	@echo "make image-test build the container image and test it; needs root, buildah and mmdebstrap"
	@echo "make soak       run the fault tests at scale: kills, concurrent runs, fault histories; 10 to 20 minutes"
	@echo "make fuzz       fuzz names and listings, coverage-guided, for one hour (FUZZ_SECONDS)"
	@echo "make format     format the code"
	@echo "make docs       generate the reference pages from the code"
	@echo "make dashboards generate the dashboard in deploy/grafana from dashboard.py"
	@echo "make chart      generate the chart's schema and the kustomizations; requires Helm"
	@echo "make pictures   take the pictures in the docs anew; requires Debian's chromium"
	@echo "make site       build the documentation site into build/site"
	@echo "make dist       build a release twice, check it, and test its wheel on each Python; see RELEASING.md"
	@echo "make audit      look up known vulnerabilities of the locked dependencies; requires the internet"
	@echo "make lock       generate requirements/*.txt from pyproject.toml"
	@echo "make clean      remove everything the other targets created"

demo: $(VENV)/.runtime
	$(BIN)/workflow-manager demo

# The loop to work in. The linters and mypy, which has a cache, run beside the tests.
quick: $(VENV)/.dev
	$(MAKE) --no-print-directory --jobs 2 quick-lint quick-test

.PHONY: quick-lint quick-test
quick-lint:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy

quick-test:
	$(BIN)/pytest -q tests/config tests/core tests/pipeline

# Without the slow ones, which tests/conftest.py names; `make check` runs all.
test: $(VENV)/.dev
	$(BIN)/pytest -n auto -m "not slow"

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/pytest -n auto

# Apart from the other tests: it needs root, and makes a Debian base image the first time.
image-test: $(VENV)/.dev
	WORKFLOW_MANAGER_REQUIRE_EMULATORS=1 $(BIN)/pytest --durations=3 tests/image

# The fault tests of CI in large numbers: shows that nothing is lost, and how many tasks are repeated.
soak: $(VENV)/.dev
	WORKFLOW_MANAGER_KILLS=200 WORKFLOW_MANAGER_PAIRS=20 WORKFLOW_MANAGER_PASSES=10000 WORKFLOW_MANAGER_EXAMPLES=1000 \
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

# Editable install: the command always runs the code of this tree.
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
	$(BIN)/python tools/architecture.py

$(VENV)/.release: requirements/release.txt $(VENV)/.dev
	$(INSTALL) requirements/release.txt
	touch $@

$(VENV)/.site: requirements/site.txt $(VENV)/.dev
	$(INSTALL) requirements/site.txt
	touch $@

# What MkDocs warns of, such as a broken link or a page out of the navigation, is an error.
site: $(VENV)/.site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --clean
	$(BIN)/python tools/check_site.py build/site

dist: $(VENV)/.release
	$(BIN)/python release/dist.py $(DIST_FLAGS)

audit: $(VENV)/.release
	$(BIN)/pip-audit --strict --require-hashes --disable-pip -r requirements/all.txt
	$(BIN)/pip-audit --strict --require-hashes --disable-pip -r requirements/runtime.txt

dashboards: $(VENV)/.dev
	$(BIN)/python deploy/grafana/dashboard.py
# Helm is the one that tests/servers/go/build builds, unless HELM names another.
export HELM ?= $(firstword $(wildcard $(HOME)/.cache/workflow-manager/tools/helm-*) helm)
chart: $(VENV)/.dev
	$(BIN)/python deploy/chart_files.py

# Pictures of the status page. Not part of CI: fonts differ from one machine to the next.
pictures: $(VENV)/.dev
	$(PIP) install pillow
	PYTHONPATH=tests $(BIN)/python tests/pictures.py docs/images

lock:
	$(PYTHON) -m venv $(VENV)/lock
	$(VENV)/lock/bin/pip install --quiet uv
	$(VENV)/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --group build pyproject.toml -o requirements/runtime.txt
	$(VENV)/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --group build --group dev --all-extras pyproject.toml -c requirements/runtime.txt -o requirements/dev.txt
	for extra in release site; do $(VENV)/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-header --group $$extra -c requirements/dev.txt -o requirements/$$extra.txt || exit 1; done
	$(VENV)/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --all-extras pyproject.toml -c requirements/dev.txt -o requirements/all.txt

clean:
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
