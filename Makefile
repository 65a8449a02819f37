# smmubench: everything a developer runs.  Needs make and Python 3.11 or newer with venv, nothing else.
#
#   PYTHON=python3.12 make setup    builds .venv with that Python, and later commands stay with it
#   make test ARGS="-k walker"      hands arguments to pytest;  make test JOBS=0 runs in one process

VENV := .venv
BIN  := $(VENV)/bin
ARGS ?=
JOBS ?= 2

# Unless told otherwise, the Python that .venv was asked for last time.
ifndef PYTHON
PYTHON := $(or $(shell cat $(VENV)/.python 2>/dev/null),python3)
endif

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo test lint format perf-yardstick perf-memory perf-compile perf-instructions perf-stages perf-decode perf-faults perf-sweep docs notebooks pins clean distclean

help: ## list these targets
	@echo "make TARGET, where TARGET is one of"
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)$$/\1|\2/p' Makefile | while IFS='|' read -r target what; do \
	  printf '  %-14s %s\n' "$$target" "$$what"; done

setup: ## make .venv with every dependency and the smmubench command (once; then it does nothing)
	@sh .ci/setup "$(PYTHON)" $(VENV)

demo: setup ## compare every fault policy on a bundled capture
	@echo "demo: smmubench compare"
	@$(BIN)/smmubench compare $(ARGS)

test: setup ## run the tests: some with the compiler off, then all; warnings are errors
	@status=0; sh .ci/nojit $(BIN)/python || status=1; \
	echo "test: all tests, JOBS=$(JOBS)"; \
	$(BIN)/python -m pytest -n $(JOBS) $(ARGS) || status=1; exit $$status

lint: setup ## check style (ruff), types (mypy) and who may import whom (import-linter)
	@status=0; \
	check() { echo "lint: $$*"; "$(BIN)/$$@" || status=1; }; \
	check ruff check .; \
	check ruff format --check .; \
	check mypy; \
	check lint-imports --no-logo; \
	[ $$status = 0 ] && echo "lint: clean" || echo "lint: FAILED"; exit $$status

format: setup ## rewrite the code in the house style
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

perf-yardstick: setup ## time our replay against the same machine in C++ (needs g++, a quiet machine, minutes)
	@$(BIN)/python -m bench.yardstick.run $(ARGS)

perf-compile: setup ## time the compilation of every kernel, from cold and from the cache
	@$(BIN)/python -m bench.yardstick.compilation

perf-instructions: setup ## count the instructions of an access, ours and C++'s (needs g++, Linux, x86-64, minutes)
	@$(BIN)/python -m bench.yardstick.instructions $(ARGS)

perf-stages: setup ## time each stage of a block's replay
	@$(BIN)/python -m bench.yardstick.stages

perf-decode: setup ## time the reading of a trace's file beside its translation, and print the ratio
	@$(BIN)/python -m bench.yardstick.decode $(ARGS)

perf-faults: setup ## time the fault path: a storm, MULTI faults, every policy in a long burst (minutes)
	@$(BIN)/python -m bench.yardstick.faults $(ARGS)

perf-memory: setup ## replay 200 M accesses from a file, and print the memory that takes (minutes)
	@$(BIN)/python -m bench.yardstick.memory $(ARGS)

docs: setup ## build the documentation as a site, build/site; warnings are errors
	@$(BIN)/python -m bench.reference
	@$(BIN)/mkdocs build --strict --quiet && echo "docs: build/site/index.html"

notebooks: setup ## run the notebooks, and keep them with their outputs beside their sources
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python notebooks/run.py

perf-sweep: setup ## time a 200-cell sweep in one thread and in two, in turn (a quiet machine, a minute)
	@$(BIN)/python -m bench.yardstick.sweep $(ARGS)

pins: ## work out requirements.lock again from pyproject.toml (asks the package index)
	@sh .ci/setup --check "$(PYTHON)"
	@$(PYTHON) .ci/pins.py

clean: ## remove caches and build leftovers, keep .venv
	@rm -rf build .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	@find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## remove .venv too
	@rm -rf $(VENV) smmubench.egg-info
