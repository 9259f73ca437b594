# `make demo` shows the whole loop on real data, `make test` is everything that CI runs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LAB_HOME ?= $(CURDIR)/.demo

# Chromium is Debian's; the tests that need it install it where they may.
CHROMIUM ?= /usr/bin/chromium

# Processes that share the tests of Python.
TEST_PROCESSES ?= 2

.PHONY: demo lab stop install test lint python-lint js-lint js-types js-test python-test bench clean

demo: install
	$(BIN)/python notebooks/demo.py --home $(LAB_HOME)

# One process at a time has the data: JupyterLab takes it over, and starts the deployments again.
lab: install
	-MLSHIP_HOME=$(LAB_HOME) $(BIN)/mlship stop --server
	MLSHIP_HOME=$(LAB_HOME) $(BIN)/jupyter lab --notebook-dir notebooks $(if $(filter 0,$(shell id -u)),--allow-root)

stop:
	MLSHIP_HOME=$(LAB_HOME) $(BIN)/mlship stop --server

install: $(VENV)/installed

# The lock is complete. What is imported is compiled then: that is a small part of 25,000 files.
$(VENV)/packages: requirements-dev.lock
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-compile -r requirements-dev.lock
	@touch $@

node_modules/installed: package-lock.json
	npm ci --no-audit --no-fund --loglevel=error
	@touch $@

JS_SOURCES := $(shell find js -type f -not -path '*/node_modules/*' -not -path '*/lib/*')

modelship_lab/notebook/static/widgets.js: node_modules/installed $(JS_SOURCES)
	npm run build --silent >node_modules/build.log 2>&1 || { cat node_modules/build.log; exit 1; }
	@touch $@

$(VENV)/installed: $(VENV)/packages modelship_lab/notebook/static/widgets.js pyproject.toml
	HATCH_JUPYTER_BUILDER_SKIP_NPM=1 $(BIN)/pip install --quiet --disable-pip-version-check --no-deps \
		--no-build-isolation --editable .
	@touch $@

test: install $(CHROMIUM)
	$(MAKE) --jobs 2 --output-sync python-lint js-lint js-types js-test
	$(MAKE) python-test

lint: python-lint js-lint js-types

python-lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

js-lint: install
	npm run lint --silent

js-types: install
	npm run typecheck --silent

js-test: install
	npm test --silent

# Much here waits for real processes. What fails is tried once more, alone: a busy machine is told from a defect.
# One thread each: threads of several processes that wait for the same two cores keep one another from them.
python-test: export OMP_NUM_THREADS = 1
python-test: install $(CHROMIUM)
	$(BIN)/pytest --numprocesses $(TEST_PROCESSES) || \
		$(BIN)/pytest --last-failed --last-failed-no-failures none

$(CHROMIUM):
	apt-get update -qq && apt-get install -y -qq chromium

bench: install
	for each in $(basename $(notdir $(wildcard tests/benchmarks/bench_*.py))); do \
		$(BIN)/python -m tests.benchmarks.$$each || exit 1; done

clean:
	rm -rf $(VENV) node_modules modelship_lab/labextension modelship_lab/notebook/static .demo dist
