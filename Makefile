# `make setup` leaves a ready .venv; every other target does that first where it is due.
# Nothing is needed beforehand but python3 (3.11 or newer), git, make and curl.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
TOOLS := $(VENV)/.tools
READY := $(VENV)/.ready
LOCK := $(UV) pip compile --quiet --python-version 3.11 --universal --generate-hashes --no-header \
	--no-emit-index-url --no-emit-find-links

# A slow line is not an error. uv trusts whom this system and pip trust, and looks where pip was told
# to look: behind a company's proxy or mirror, what pip can fetch, uv can.
export UV_HTTP_TIMEOUT ?= 300
export UV_SYSTEM_CERTS ?= true
LIKE_PIP := told() { $(BIN)/pip config get "global.$$1" 2>/dev/null || true; }; \
	index="$${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-$$(told index-url)}}"; \
	if [ -n "$$index" ]; then export UV_DEFAULT_INDEX="$$index"; fi; \
	trusted="$${SSL_CERT_FILE:-$${PIP_CERT:-$$(told cert)}}"; \
	if [ -n "$$trusted" ]; then export SSL_CERT_FILE="$$trusted"; fi;

# `need PACKAGE` installs what a bare Debian lacks; who may not do that is told its name.
NEED := need() { \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "      installing the package $$1"; \
		export DEBIAN_FRONTEND=noninteractive; \
		told="$$(apt-get update -qq 2>&1 && \
			apt-get install -y -qq --no-install-recommends "$$1" 2>&1)" \
			|| { echo "$$told" >&2; exit 1; }; \
	else \
		echo "The package $$1 is missing: install it (sudo apt-get install $$1)," \
			"then run make again." >&2; exit 1; \
	fi; };

.PHONY: help setup demo test check lint hostile crash mutate bench serve lock clean

help: ## say what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: $(READY) ## make .venv with everything in it
	@:

$(TOOLS): requirements/bootstrap.txt requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Codebot needs Python 3.11 or newer: make PYTHON=python3.12 setup" >&2; exit 1; }
	@echo "[1/4] Python's own venv"
	@$(NEED) $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || need python3-venv
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV)
	@echo "[2/4] uv, the installer"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes \
		-r requirements/bootstrap.txt
	@echo "[3/4] what Codebot needs and the Claude Code program (about 200 MB, once)"
	@$(LIKE_PIP) $(UV) pip sync --python $(VENV) --require-hashes --compile-bytecode \
		requirements/dev.txt
	@touch $@

$(READY): $(TOOLS) pyproject.toml
	@echo "[4/4] Codebot itself"
	@$(UV) pip install --quiet --python $(VENV) --offline --no-deps --no-build-isolation --editable .
	@touch $@
	@echo "Ready: $(BIN)/codebot --help"

demo: $(READY) ## the whole way of a task on this machine, nothing configured
	@$(BIN)/codebot demo

test: export PYTHONDONTWRITEBYTECODE := # or each test process reads and rewrites every test anew
test: $(READY) ## every test, the wheel and the docs included
	@$(NEED) command -v jq >/dev/null || need jq  # the examples in docs/ read JSON with it
	@$(NEED) command -v git-lfs >/dev/null || need git-lfs  # large files are tried with the real one
	@$(NEED) command -v npm >/dev/null || need npm  # installs from a registry through the gateway
	@$(BIN)/pytest -n 3 --dist worksteal  # three on two cores: every test waits for something

check: lint ## format, lint, types, layers, unit tests: under 30 seconds
	@$(BIN)/pytest -q tests/unit src

lint: $(READY)
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo

hostile: $(READY) ## what boxes, registries and set-ups must prevent, by root and by an ordinary user
	@$(BIN)/pytest -q --hostile-all tests/hostile tests/unit/test_seccomp.py \
		tests/integration/test_sandbox_*.py tests/integration/test_registries*.py \
		tests/integration/test_recipes.py tests/integration/test_kept_layers.py

crash: $(READY) ## kill -9 in every moment of every step and effect, and at random: one node and several
	@$(BIN)/pytest -q -s --crash-all --crash-rounds 200 --cancels 100 \
		tests/e2e/test_crash_matrix.py tests/e2e/test_random_crashes.py tests/e2e/test_cancel.py \
		tests/e2e/test_many_cancels.py

mutate: $(READY) ## take every argument of a box away, one at a time: some test must miss it
	@PYTHONPATH=tests $(BIN)/python -m hostile.mutate

bench: export PYTHONDONTWRITEBYTECODE := # what is measured is a start, not a compilation
bench: $(READY) ## the figures, as ratios in one run
	@$(BIN)/python -m bench

serve: $(READY) ## the service, with the settings of the environment and of .env
	@$(BIN)/codebot serve

lock: $(READY) ## pin again what pyproject.toml and requirements/*.in ask for
	@$(LIKE_PIP) $(LOCK) requirements/bootstrap.in -o requirements/bootstrap.txt
	@$(LIKE_PIP) $(LOCK) pyproject.toml requirements/dev.in --extra claude -o requirements/dev.txt

clean: ## remove everything that make made
	@rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis \
		.import_linter_cache
	@find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +
