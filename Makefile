# The commands of a contributor; `make` alone lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
TORCH := $(shell grep '^torch==' constraints.txt)

# Demo and tests run tiny models: more threads bring nothing, and on a busy machine they wait for each other.
OMP_NUM_THREADS ?= 1
export OMP_NUM_THREADS

# Tests of one file stay together: they share what is costly to make.
PARALLEL ?= --numprocesses logical --maxprocesses 8 --dist loadfile

# Stamps: each step runs again only when what it was made from changes.
HAS_TORCH := $(VENV)/.has-torch
HAS_RUNTIME := $(VENV)/.has-runtime
HAS_DEV := $(VENV)/.has-dev

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo quick test everything slow faults check lint types imports docs house smoke hooks constraints clean distclean

help:  ## list these commands
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

install: $(HAS_DEV)  ## make .venv with everything a contributor needs

demo: $(HAS_RUNTIME)  ## compare two small retrievers and write runs/demo
	$(BIN)/retroscope demo --out runs/demo
	@echo runs/demo/report.html

quick: $(HAS_DEV)  ## run the tests below 0.1 s each: one to two minutes on two cores
	$(BIN)/pytest $(PARALLEL) -m "not slow"

test: $(HAS_DEV)  ## run all tests but the longest: four minutes on two cores
	$(BIN)/pytest $(PARALLEL) -m "not long"

everything: $(HAS_DEV)  ## run all tests: twenty-five minutes on two cores
	$(BIN)/pytest $(PARALLEL)

slow: $(HAS_DEV)  ## measure every test again and write tests/slow.txt
	$(BIN)/pytest $(PARALLEL) --measure-slow

faults: $(HAS_DEV)  ## kill, stop and starve all stages at random, on both engines; KILLS, SEED and MINUTES choose
	$(BIN)/python tests/faults/harness.py --kills $(or $(KILLS),500) --seed $(or $(SEED),0) --minutes $(or $(MINUTES),120)

check: $(HAS_DEV)  ## all that must be green before a merge: style, types, layers, documentation, all tests
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target lint types imports docs
	@$(MAKE) --no-print-directory everything

lint: $(HAS_DEV)  ## style and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(HAS_DEV)  ## mypy, strict
	$(BIN)/mypy

imports: $(HAS_DEV)  ## the layers of docs/architecture.md
	$(BIN)/lint-imports

docs: $(HAS_DEV)  ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

house:  ## measure sizes, imports, names and docstrings; LIST=words lists what is behind a measure
	@$(PYTHON) tools/house.py $(if $(LIST),--list "$(LIST)")

smoke: $(HAS_DEV)  ## build the wheel, install it outside the checkout, run the demo there
	.ci/smoke $(BIN)/python

hooks: $(HAS_DEV)  ## check style, types and layers at every git commit
	$(BIN)/pre-commit install

constraints: $(HAS_DEV)  ## write constraints.txt from what .venv holds
	@{ sed -n '/^#/p' constraints.txt; \
	   $(PIP) freeze --all --exclude-editable --exclude pip --exclude retroscope \
	   | sed 's/^\(torch==[0-9.]*\)+.*/\1/'; } > constraints.new
	@mv constraints.new constraints.txt

clean:  ## remove caches, built documentation and the demo
	rm -rf site build dist runs/demo .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean  ## remove .venv, too
	rm -rf $(VENV) src/retroscope.egg-info

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; (3, 11) <= v[:2] <= (3, 13) or sys.exit( \
	"Retroscope needs Python 3.11, 3.12 or 3.13, but $(PYTHON) is %d.%d.\n  fix: make PYTHON=python3.11 ..." % v[:2])'
	$(PYTHON) -m venv $(VENV)

# pip says nothing for minutes, so each step says what it installs; sizes are of .venv on Linux with Python 3.11.
# torch comes first and under its exact version: any looser wish can pull gigabytes of GPU libraries.
$(HAS_TORCH): constraints.txt | $(BIN)/python
	@echo "installing $(TORCH) with what it needs (10 packages, 0.9 GB on disk with the CPU build) ..."
	@$(PIP) install --quiet -c constraints.txt $(TORCH)
	@touch $@

$(HAS_RUNTIME): $(HAS_TORCH) pyproject.toml
	@echo "installing Retroscope with what it runs on (80 packages, 1.1 GB on disk) ..."
	@$(PIP) install --quiet -c constraints.txt -e ".[datasets]"
	@touch $@

$(HAS_DEV): $(HAS_RUNTIME)
	@echo "installing what a contributor needs (79 packages, 0.9 GB on disk) ..."
	@$(PIP) install --quiet -c constraints.txt -e ".[dev,real]"
	@touch $@
