# Everything starts with `make help`. Targets install what they need into .venv; a second run is instant.

# The first that runs and is new enough: a name on the PATH may be a shim of a version that isn't there.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
# PyPI's torch carries CUDA. TORCH_INDEX=https://download.pytorch.org/whl/cpu takes a tenth of the download.
TORCH_INDEX ?=
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
CODE := service worker model_core training client tests $(wildcard benchmarks scripts)

.DEFAULT_GOAL := help
.PHONY: help install serve test check lint types imports format bench chaos docs lock clean

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

install: $(VENV)/.dev ## install all that working on the code needs

serve: $(VENV)/.serve ## run the whole service here; PORT=8001 picks another port
	@exec $(BIN)/upscaled serve

test: $(VENV)/.dev ## run all tests
	@scripts/from-debian usr/bin/promtool promtool prometheus
	$(BIN)/python -m pytest -n 2

check: lint types imports ## lint, formatting, types and import directions

lint: $(VENV)/.dev ## ruff, rules and formatting
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)

types: $(VENV)/.dev ## mypy, strict
	$(BIN)/mypy

imports: $(VENV)/.dev ## who may import whom
	$(BIN)/lint-imports

format: $(VENV)/.dev ## format the code and fix what can be fixed
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

bench: $(VENV)/.dev ## measure speed on this machine, into benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks

chaos: $(VENV)/.dev ## break a service at random and see that no job is lost: SEED=1 KILLS=200 JSON=FILE
	@scripts/from-debian 'usr/lib/*/faketime/libfaketimeMT.so.1' libfaketime
	$(BIN)/python -m tests.chaos --seed $(or $(SEED),1) --kills $(or $(KILLS),200) $(if $(JSON),--json $(JSON))

docs: $(VENV)/.dev ## redraw and relist what documents take from the code
	$(BIN)/python scripts/drawings.py
	$(BIN)/python scripts/settings_docs.py
	$(BIN)/python scripts/env_example.py
	$(BIN)/python scripts/models_docs.py

lock: $(VENV)/.python ## pin what the images install to what is newest now, in docker/lock.txt
	$(PIP) uv
	$(BIN)/uv pip compile pyproject.toml --extra api --extra worker --extra traces --extra training --universal \
		--python-version 3.11 --upgrade --no-annotate --custom-compile-command 'make lock' --quiet -o docker/lock.txt

clean: ## remove the environment and every cache; data/ stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .tools

# A stamp is newer than pyproject.toml exactly when the environment has what pyproject.toml asks for.
$(VENV)/.python:
	@test -n "$(PYTHON)" || { echo "upscaled needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.serve: pyproject.toml | $(VENV)/.python
	$(PIP) -e '.[serve]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/.python
	$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/.serve
