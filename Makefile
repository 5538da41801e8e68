# Everything that is done with a checkout. `make help` lists it. TESTS="tests/unit" chooses among the tests; ARGS="…" is
# handed on to pytest or to the demo.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
TESTS ?= tests
ARGS ?=
MAJORS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test test-long test-matrix check mypy basedpyright format bench docs

help: ## list what can be made
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'

demo: $(INSTALLED) ## change a live schema on a throw-away PostgreSQL, with readers and writers at work
	@EVOLVE_SCRATCH=$${EVOLVE_SCRATCH:-embedded} $(BIN)/python -m evolve demo $(ARGS)

test: $(INSTALLED) ## run every test but the ones that take minutes
	@$(BIN)/python -m pytest -n 2 --dist worksteal $(TESTS) $(ARGS)

test-long: $(INSTALLED) ## run every test
	@$(BIN)/python -m pytest -n 2 --dist worksteal --long $(TESTS) $(ARGS)

test-matrix: $(INSTALLED) ## hold what is claimed of locks and recipes against bare PostgreSQL 14 to 18 (fetched to .servers/); MAJORS=14,17 chooses
	@$(BIN)/python .ci/matrix.py --majors "$(MAJORS)" $(ARGS)

check: $(INSTALLED) ## check formatting, style, layers and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory --jobs 2 mypy basedpyright

# Each keeps one core busy, so `make check` runs them side by side.
mypy basedpyright: $(INSTALLED)
	$(BIN)/$@

format: $(INSTALLED) ## format the code and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(INSTALLED) ## measure; the results go to .bench/
	@$(BIN)/python -m pytest -s tests/benchmarks $(ARGS)

docs: $(INSTALLED) ## build the site from the pages, to site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --config-file .ci/mkdocs.yml
	@echo "site/index.html; with search: $(BIN)/python -m http.server --bind 127.0.0.1 -d site 8000"

# The virtual environment. It is installed again when pyproject.toml has changed.
$(INSTALLED): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { \
	    echo "evolve needs Python 3.11 or newer, and there is no $(PYTHON): install it, or name one: make PYTHON=python3.12"; \
	    exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "evolve needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Name another: make PYTHON=python3.12"; \
	    exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "$(PYTHON) cannot make virtual environments: on Debian and Ubuntu, apt-get install python3-venv"; \
	    exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing evolve and what its tests need into $(VENV) …"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --root-user-action=ignore --editable '.[dev]'
	@touch $(INSTALLED)
