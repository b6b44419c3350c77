# `make` lists what there is to do. Everything runs from the project's root.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python -W ignore::DeprecationWarning
PYTEST := $(BIN)/python -m scripts.run_tests
BASE_URL ?= http://127.0.0.1:8080
CASES ?= 5000
SHARE ?= 1
AT_ONCE ?= 0
ONLY ?= tests
RECORDED := tests/contract/test_examples.py tests/contract/test_refusals.py tests/handlers tests/test_app.py

.DEFAULT_GOAL := help
.PHONY: help setup run dev demo wire test prove browser conformance bench check types redocly spectral contract clients fuzz docs record lock clean

help: ## List the targets
	@echo "Rensei server: make <target>"
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:[^#]*## /\t/' | awk -F'\t' '{printf "  %-12s %s\n", $$1, $$2}'

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; name one with make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv is missing; on Debian: apt-get install python3-venv"; exit 1; }
	@touch $@

$(VENV)/.server: requirements/server.txt $(VENV)/.made
	@echo "Installing what the server needs into $(VENV) (once, about a minute) ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/server.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.made
	@echo "Installing what the tests need into $(VENV) (once, about two minutes) ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@ $(VENV)/.server

setup: $(VENV)/.dev ## Make the environment for everything below

run: $(VENV)/.server ## Run the whole server on embedded PostgreSQL and Valkey
	@exec $(BIN)/python -W ignore -m supervisor

dev: $(VENV)/.dev ## The same, started anew when the YAML or the code changes
	@exec $(RUN) scripts/dev.py

test: $(VENV)/.dev ## The tests, in under ten minutes
	$(PYTEST) -n 3 --dist worksteal -m "not prove and not browser and not conformance"

demo: $(VENV)/.dev ## A fleet at work on the server of `make run`, to watch and to kill; ARGS=--help
	@exec $(RUN) -m demo $(ARGS)

wire: $(VENV)/.dev ## The wire log of one whole session of the open-source worker, line by line of its table
	@exec $(RUN) -m tests.acceptance

.PHONY: clients
clients: node/node_modules/.made ## Typed Python and TypeScript clients of the contract, into build/clients/
	@$(RUN) -m scripts.clients

prove: $(VENV)/.dev ## Races, kills, 10,000-item runs, long fuzzing; SHARE=0.1 a tenth or less, AT_ONCE=2 two at once
	PROVE_SHARE=$(SHARE) $(PYTEST) -n $(AT_ONCE) --dist worksteal -m prove $(ONLY)

browser: node/node_modules/.made ## The pages in headless Chromium, and the generated clients
	@command -v chromium >/dev/null || { echo "Chromium is missing; on Debian: apt-get install chromium"; exit 1; }
	$(PYTEST) -m browser

node/node_modules/.made: node/package-lock.json $(VENV)/.dev
	@echo "Installing the judges from npm (once, about a minute) ..."
	@cd node && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --silent --ignore-scripts --no-audit --no-fund
	@touch $@

tests/conformance/node_modules/.made: tests/conformance/package-lock.json $(VENV)/.dev
	@echo "Installing the conformance suite (once, some seconds) ..."
	@cd tests/conformance && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --silent --ignore-scripts --no-audit --no-fund
	@touch $@

conformance: tests/conformance/node_modules/.made ## The conformance suite of MCP against this server
	$(PYTEST) -m conformance tests/conformance

bench: $(VENV)/.dev ## CPU per operation beside a control in the same run
	@exec $(RUN) -m bench

# Each says nothing unless there is something to say.
REDOCLY := REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true node_modules/.bin/redocly
LINT := cd node && export PATH="$(CURDIR)/$(BIN):$$PATH" &&
types:
	$(BIN)/mypy .
redocly: node/node_modules/.made
	@$(LINT) said=$$($(REDOCLY) lint --config redocly.yaml ../openapi/rensei-api.yaml 2>&1) || { echo "$$said"; exit 1; }
spectral: node/node_modules/.made
	@$(LINT) said=$$(node_modules/.bin/spectral lint --ruleset spectral.yaml --fail-severity=hint ../openapi/rensei-api.yaml 2>&1) || { echo "$$said"; exit 1; }

check: $(VENV)/.dev ## Style, strict types, import floors, spec lint, and that all copies agree
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@$(MAKE) --no-print-directory --output-sync -j2 types redocly spectral
	$(BIN)/lint-imports
	$(BIN)/openapi-spec-validator openapi/rensei-api.yaml
	$(RUN) scripts/sync_spec.py --check

contract: $(VENV)/.dev ## Judge a running server against the YAML: BASE_URL=... KEY=...
	@exec $(RUN) scripts/judge.py --base-url $(BASE_URL) --key "$(KEY)" $(ARGS)

fuzz: $(VENV)/.dev ## Fuzz a server of its own with Schemathesis, CASES examples an operation
	FUZZ_EXAMPLES=$(CASES) $(PYTEST) tests/contract/test_schemathesis.py

docs: $(VENV)/.dev ## Write anew what is made from the contract: twins, map, llms.txt, scope table, build/site
	$(RUN) scripts/sync_spec.py
	$(RUN) -m pages.static_site

record: $(VENV)/.dev ## Let the tests note which statuses they saw; ONLY=FILE for what one file sees
	rm -rf build/statuses
	RENSEI_STATUS_RECORD=$(CURDIR)/build/statuses $(PYTEST) -n $(AT_ONCE) --dist worksteal \
		-m "not prove and not browser and not conformance" $(if $(filter tests,$(ONLY)),$(RECORDED),$(ONLY))
	$(if $(filter tests,$(ONLY)),rm -f openapi/status-record.json)
	$(RUN) scripts/sync_spec.py

lock: $(VENV)/.dev ## Resolve requirements/*.in again, with hashes
	cd requirements && ../$(BIN)/uv pip compile -q --upgrade --generate-hashes --universal --python-version 3.11 --no-emit-index-url --custom-compile-command "make lock" dev.in -o dev.txt
	cd requirements && ../$(BIN)/uv pip compile -q --generate-hashes --universal --python-version 3.11 --no-emit-index-url --custom-compile-command "make lock" -c dev.txt server.in -o server.txt

clean: ## Remove what was built (the state folder stays)
	rm -rf build $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
