# Two commands do everything: `make run` watches two simulated venues, `make test` runs all tests.
# Each sets up its own needs in .venv first. Needed beforehand: Python >= 3.11, pip, make, git.

PYTHON ?= python3
CONFIG ?= examples/quickstart.toml
VENV := .venv
BIN := $(VENV)/bin
PLUGINS := $(sort $(wildcard plugins/*/pyproject.toml))
EDITABLE := $(foreach plugin,$(PLUGINS),-e $(dir $(plugin)))
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: run test lint bench clean help

help:
	@echo "make run    set up, then watch two simulated venues with the quickstart configuration (Ctrl+C ends it)"
	@echo "make test   set up, then run all tests"
	@echo "make lint   set up, then check style and types"
	@echo "make bench  set up, then run the benchmarks"
	@echo "make clean  remove what the set-up made"

run: $(VENV)/.run
	$(BIN)/ctcore run --config $(CONFIG)

test: $(VENV)/.test
	$(BIN)/python -m pytest

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/mypy ctcore $(foreach plugin,$(PLUGINS),$(dir $(plugin))ctdaemon_$(notdir $(patsubst %/,%,$(dir $(plugin)))))
	$(BIN)/mypy benchmarks

bench: $(VENV)/.test
	$(BIN)/python benchmarks/ingest.py

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "ctcore needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.run: $(VENV)/.python pyproject.toml $(PLUGINS)
	$(PIP) install --quiet -e '.[embedded]' $(EDITABLE)
	touch $@

$(VENV)/.test: $(VENV)/.python pyproject.toml $(PLUGINS)
	$(PIP) install --quiet -e '.[embedded,dev]' $(EDITABLE)
	touch $@ $(VENV)/.run

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
