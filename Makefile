# What can be done here. `make` alone lists it.
.DEFAULT_GOAL := help
.PHONY: help serve demo test check audit lint types layers docs bench clean

VENV := .venv
BIN := $(VENV)/bin
# One more than there are cores: tests wait for processes and disks a quarter of their time.
PYTEST_ARGS ?= -n $(shell expr $$(nproc) + 1) --dist worksteal

# A stamp is as new as the dependencies it was made from.
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev

help: ## List what can be done
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

$(INSTALLED): pyproject.toml tools/environment.sh
	@sh tools/environment.sh $(VENV) .
	@touch $@

$(INSTALLED_DEV): pyproject.toml tools/environment.sh
	@sh tools/environment.sh $(VENV) ".[test,dev]"
	@touch $@ $(INSTALLED)

serve: $(INSTALLED) ## Serve FHIR on http://127.0.0.1:8000/fhir (settings: FHIR_PORT, FHIR_DATABASE_URL, ...)
	@$(BIN)/fhir-server serve

demo: $(INSTALLED) ## Load 1,000 synthetic patients of Can Tho, then serve
	@$(BIN)/fhir-server demo --patients 1000
	@$(BIN)/fhir-server serve

# Tests start servers and commands by the hundred, and where nothing may be written beside the
# sources (PYTHONDONTWRITEBYTECODE) each would compile the program anew: 0.7 s.
test: $(INSTALLED_DEV) ## Run every test, on SQLite and on PostgreSQL
	@$(BIN)/python -m compileall -q fhir_server
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

ATTACKS := tests/access tests/fuzz tests/security tests/rest tests/store/test_audit.py tests/test_cli_audit.py tests/test_tls.py

.PHONY: attack
attack: $(INSTALLED_DEV) ## The attacks in their long form, with their figures: matrix, tokens, audit edits, fuzz
	@FHIR_ATTACK=long $(BIN)/python -m pytest $(PYTEST_ARGS) $(wildcard $(ATTACKS))

.PHONY: chaos demo-sync
# Provinces of 25 rounds each, side by side: one takes about one core, and waits for its lines beside.
CHAOS_ARGS ?= -n $(shell nproc) --dist worksteal
chaos: export FHIR_CHAOS := $(or $(FHIR_CHAOS),1000)
chaos: $(INSTALLED_DEV) ## A hub and five posts, whatever may fail, for FHIR_CHAOS rounds (1000); and the demo as a user has it
	@$(BIN)/python -m pytest -s tests/sync/real --ignore tests/sync/real/test_chaos.py
	@$(BIN)/python -m pytest -s $(CHAOS_ARGS) tests/sync/real/test_chaos.py

demo-sync: $(INSTALLED) ## A hub and two posts here: cut the line, work, restore it, and resolve a conflict
	@$(BIN)/python -m tools.demo_sync

check: lint types layers docs-check audit ## All of lint, types, layers, documents, audit, then test: what CI runs
	@$(MAKE) --no-print-directory test

audit: $(INSTALLED_DEV) ## Whether a dependency is known to be vulnerable (FHIR_AUDIT_STRICT=1: or cannot be known)
	@$(BIN)/python tools/audit_dependencies.py

lint: $(INSTALLED_DEV) ## Style: ruff check and ruff format --check
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(INSTALLED_DEV) ## Types: mypy --strict
	@$(BIN)/mypy

layers: $(INSTALLED_DEV) ## Who may import whom: import-linter
	@$(BIN)/lint-imports

docs: $(INSTALLED_DEV) ## Write the documents that are made from the code
	@$(BIN)/python tools/write_docs.py

.PHONY: docs-check
docs-check: $(INSTALLED_DEV)
	@$(BIN)/python tools/write_docs.py --check

bench: $(INSTALLED_DEV) ## Measure throughput and latency on both databases, and draw how searches grow
	@$(BIN)/python -m bench
	@$(BIN)/python -m bench.search --write

clean: ## Remove the environment and caches; the records in data/ stay
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist
