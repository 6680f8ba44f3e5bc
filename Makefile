# `make demo` builds and shows the atlas of the tiny world; `make test` runs every check.
# Needs Python 3.11 to 3.13 and make. Packages go into .venv, data into .atlas; nothing else
# is touched. ARGS go to the command: make demo ARGS=--no-dashboard

PYTHON := $(shell for python in python3 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& command -v "$$python" && break; done)
VENV := .venv
PIP := $(VENV)/bin/python -m pip install --disable-pip-version-check --quiet
ARGS ?=

.PHONY: help demo test lint faults format dictionary docs bench screenshots clean
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

help: ## say what there is
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

demo: $(VENV)/installed ## build the atlas of the tiny world and open its dashboard
	$(VENV)/bin/feature-atlas demo $(ARGS)

test: $(VENV)/installed-dev ## style, types, import contracts and all tests
	$(VENV)/bin/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(VENV)/installed-dev ## style, types and import contracts alone
	$(VENV)/bin/python -m pytest tests/test_quality.py $(ARGS)

faults: $(VENV)/installed-dev ## kill 50 loads and 10 database servers, and damage 1,000 folders
	ATLAS_FAULTS=50,10 $(VENV)/bin/python -m pytest tests/etl/warehouse/test_faults.py $(ARGS)
	ATLAS_EXAMPLES=500 $(VENV)/bin/python -m pytest tests/etl/warehouse/bad_folders/test_damage.py $(ARGS)

format: $(VENV)/installed-dev ## put the code into its form
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

dictionary: $(VENV)/installed ## write docs/data_dictionary.md anew from the schema
	@export ATLAS_HOME=$$(mktemp -d); unset ATLAS_DATABASE_URL; \
	$(VENV)/bin/feature-atlas migrate \
	&& $(VENV)/bin/feature-atlas dictionary --output docs/data_dictionary.md; \
	status=$$?; $(VENV)/bin/feature-atlas stop; rm -rf "$$ATLAS_HOME"; exit $$status

docs: $(VENV)/installed-docs ## build the pages of docs/ as a site: build/site/index.html
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --quiet --strict $(ARGS)
	@echo "written to build/site: open build/site/index.html"

bench: PART ?= *
bench: $(VENV)/installed ## time the parts against their floors; one: PART=layer_statistics
	@for benchmark in benchmarks/$(PART).py; do \
		echo "== $$benchmark"; $(VENV)/bin/python "$$benchmark" $(ARGS) || exit 1; done

screenshots: URL ?= http://127.0.0.1:8501
screenshots: $(VENV)/installed-dev ## draw docs/screenshots anew from the pages that URL serves
	$(VENV)/bin/python tests/docs/screenshots.py $(URL)

clean: ## remove packages and build results; the atlas in .atlas stays
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 to 3.13 found. On Debian or Ubuntu:" \
		"apt-get install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "$(PYTHON) cannot make virtual" \
		"environments. On Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: requirements.lock pyproject.toml | $(VENV)/bin/python
	@echo "installing packages into $(VENV): some minutes the first time"
	$(PIP) -r requirements.lock
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/installed-dev: requirements-dev.lock requirements-workers.lock requirements-mcp.lock $(VENV)/installed
	$(PIP) -r requirements-dev.lock
	@touch $@

$(VENV)/installed-docs: requirements-docs.lock requirements.lock | $(VENV)/bin/python
	$(PIP) -r requirements-docs.lock
	@touch $@
