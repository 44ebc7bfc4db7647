# The words of this project; `make` alone lists them. Only Python 3.11+ and make are needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
INSTALLED := $(VENV)/.installed
JUNIT := build/junit.xml
PURE := tests/unit/libs/events tests/unit/services/ledger tests/seeded/test_rules_follow_the_tiny_model.py

# What one process has compiled the next one need not: hundreds are started by the tests.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup sdks demo test check form types compiled guards bench simulate requirements schemas lock

help: ## List these words
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

setup: $(INSTALLED) ## Install everything into .venv (at once when nothing changed)

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "farebox needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@echo "installing the locked packages into $(VENV)"
	@uv pip install -q --python $(PY) --require-hashes --no-deps -r requirements.lock 2>/dev/null \
	  || $(PY) -m pip install -qq --no-compile --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@$(PY) -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(PY) -m compileall -q -j 0 $(VENV)/lib >/dev/null || true
	@touch $@

demo: setup ## Run the whole stack and let a customer buy, spend and run dry (FAREBOX_DEMO_EXIT=1: then exit)
	@$(PY) -m farebox.main demo

test: setup ## Everything that must hold: checks, all tests on real servers, requirements
	@$(MAKE) --no-print-directory -j3 form types sdks
	@mkdir -p $(dir $(JUNIT))
	$(PY) -m pytest -n 3 --dist loadfile --no-loadscope-reorder --junitxml=$(JUNIT)
	@$(MAKE) --no-print-directory requirements

sdks: setup ## Install the official SDKs that the tests call with (at once when nothing changed)
	@$(PY) -m tests.sdk.install

check: setup ## Format, lint, types, borders between modules, rules of the tree
	@$(MAKE) --no-print-directory -j2 form types

form: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(PY) -m pytest -q tests/tidy

types: setup
	$(BIN)/mypy

guards: setup ## Remove each guard in a copy: its test must go red
	$(PY) -m tests.guards

compiled: setup ## Compile the ledger's hot modules, if there is a C compiler, and test them so
	$(PY) -m farebox.compiling
	$(PY) -m pytest -q -n 2 -p tests.support.compiled $(PURE)

bench: setup ## Measure side by side with the alternatives into benchmarks/results
	-@$(PY) -m farebox.compiling
	$(PY) -m benchmarks

SEED ?= 1
SEEDS ?= 1
STEPS ?= 200
simulate: setup ## Search by seed: SEED=7 STEPS=200 repeats one story, SEEDS=2000 tells that many
	@$(PY) -m tests.seeded --seed $(SEED) --seeds $(SEEDS) --steps $(STEPS)

requirements: setup ## Each requirement, its tests and their results in the last make test
	@$(PY) -m tests.support.requirements $(JUNIT)

schemas: setup ## Write again what is generated: schemas and reference pages
	$(PY) -m libs.events.schemas_gen
	$(PY) -m libs.catalogue.reference
	$(PY) -m services.gateway.openapi_gen
	$(PY) -m farebox.reference

lock: ## Resolve the dependencies anew into requirements.lock (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-header --no-annotate --extra local --extra dev pyproject.toml -o requirements.lock
