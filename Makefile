# Everything that a person or a machine does with this repository. `make help` lists it.

PYTHON ?= python3
TEST_WORKERS ?= 2
FAULTS_MINUTES ?= 60
BIN := .venv/bin
STAMP := .venv/.set-up
JS_STAMP := node_modules/.set-up
PEER_STAMPS := $(patsubst %,bench/peers/%/.set-up,django/.venv fastapi_users/.venv oidc_provider/node_modules better_auth/node_modules)
NPM_ALL := npm run --silent --workspaces --if-present

.DEFAULT_GOAL := help
.SUFFIXES:

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

.PHONY: setup
setup: $(STAMP) $(JS_STAMP) ## Make .venv and node_modules with everything that development needs

$(STAMP): requirements/dev.txt pyproject.toml tools/setup.sh
	@PYTHON="$(PYTHON)" tools/setup.sh

$(JS_STAMP): package-lock.json tools/setup_js.sh
	@tools/setup_js.sh

.PHONY: require-js
require-js: setup
	@test -e $(JS_STAMP) || { echo "make: this needs Node; what setup says above tells which" >&2; exit 1; }

.PHONY: require-chromium
require-chromium:
	@tools/setup_chromium.sh

.PHONY: demo
demo: setup ## Run the service, a tour of its API, and the examples (DEMO_ONCE=1: end after the tour)
	@$(BIN)/keybearer demo --examples examples

.PHONY: test
test: $(if $(ARGS),test-python,test-all) ## Run all tests (ARGS="-k name": some of the Python tests)

.PHONY: test-all
test-all: setup
	@$(BIN)/python tools/run_tests.py

.PHONY: test-python
test-python: setup
	@$(BIN)/pytest -n $(TEST_WORKERS) --dist worksteal $(ARGS)

.PHONY: test-js
test-js: require-js require-chromium ## Run the JavaScript tests (ARGS="-t name": some of them)
	@npm run --silent test --workspace keybearer -- $(ARGS)

.PHONY: test-secrets
test-secrets: setup ## Run the Python tests, and look for credentials in all that they leave (ARGS="-k name": some of them)
	@$(BIN)/python -m pytest -p tests.support.scanned_run -n $(TEST_WORKERS) --dist worksteal $(ARGS)

.PHONY: faults
faults: setup ## Run the service under faults for an hour (FAULTS_MINUTES=5: five minutes), and record what happened
	@$(BIN)/python -m tests.faults --minutes $(FAULTS_MINUTES) --report docs/reliability.md $(ARGS)

.PHONY: floods
floods: setup ## Flood the service with a million of everything, and record what happened (ARGS="--scale 0.01": less)
	@$(BIN)/python -m tests.faults.measure_floods --report docs/reliability.md $(ARGS)

.PHONY: bench
bench: setup ## Run the benchmarks
	@$(BIN)/python -m bench.run $(ARGS)

.PHONY: bench-record
bench-record: setup ## Run the benchmarks and record the figures in docs/benchmarks.md
	@$(BIN)/python -m bench.run --record

.PHONY: bench-growth
bench-growth: setup ## Measure with up to ten million sessions (ARGS=--record: write docs/growth.md)
	@$(BIN)/python -m bench.growth $(ARGS)

.PHONY: bench-parts
bench-parts: setup ## Measure where the time goes (ARGS=--record: write docs/limits.md)
	@$(BIN)/python -m bench.parts $(ARGS)

.PHONY: bench-clients
bench-clients: require-js ## Compare keybearer/axios with axios-auth-refresh (ARGS=--record: write docs/clients-compared.md)
	@node packages/keybearer-js/bench/clients/run.js $(ARGS)

.PHONY: bench-peers
bench-peers: require-js $(PEER_STAMPS) ## Compare the service with others at the same work (ARGS=--record: write docs/peers-compared.md)
	@$(BIN)/python -m bench.peers.run $(ARGS)

bench/peers/%/.venv/.set-up: bench/peers/%/requirements.txt | $(STAMP)
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(@D)
	@$(BIN)/uv pip install --quiet --python $(@D)/bin/python --require-hashes -r $<
	@touch $@

bench/peers/%/node_modules/.set-up: bench/peers/%/package-lock.json
	@cd $(<D) && npm ci --silent
	@touch $@

.PHONY: check
check: check-format check-lint check-types check-imports check-rules check-requirements check-generated check-js ## Everything but the tests
	@echo "check: passed"

.PHONY: check-format
check-format: setup
	@echo "check: format"
	@$(BIN)/ruff format --quiet --check . || { echo "check: run 'make format'"; exit 1; }

.PHONY: check-lint
check-lint: setup
	@echo "check: lint"
	@$(BIN)/ruff check --quiet .

.PHONY: check-types
check-types: setup
	@echo "check: types"
	@$(BIN)/mypy --no-error-summary

.PHONY: check-imports
check-imports: setup
	@echo "check: import contracts"
	@$(BIN)/lint-imports --no-cache > .venv/import-contracts.log || { cat .venv/import-contracts.log; exit 1; }

.PHONY: check-rules
check-rules: setup
	@echo "check: rules of our own"
	@$(BIN)/python tools/check_rules.py

.PHONY: check-requirements
check-requirements: setup
	@echo "check: requirements belong to their inputs"
	@$(BIN)/python tools/compile_requirements.py --check

.PHONY: check-generated
check-generated: setup
	@echo "check: generated files are up to date"
	@$(BIN)/python tools/generate_openapi.py --check
	@$(BIN)/python tools/generate_errors.py --check
	@$(BIN)/python tools/generate_configuration.py --check

.PHONY: check-js
check-js: require-js
	@echo "check: JavaScript"
	@$(NPM_ALL) check

.PHONY: format
format: setup ## Format the code and sort its imports
	@$(BIN)/ruff check --quiet --select I --fix .
	@$(BIN)/ruff format --quiet .
	@test ! -e $(JS_STAMP) || $(NPM_ALL) format

.PHONY: generate
generate: setup ## Write the generated files anew
	@$(BIN)/python tools/generate_openapi.py
	@$(BIN)/python tools/generate_errors.py
	@$(BIN)/python tools/generate_configuration.py

.PHONY: requirements
requirements: setup ## Compile requirements/*.txt (ARGS=--upgrade: take the newest versions)
	@$(BIN)/python tools/compile_requirements.py $(ARGS)

.PHONY: dist
dist: setup ## Build the wheel and the source distribution into dist/
	@rm -rf dist
	@$(BIN)/hatchling build

.PHONY: clean
clean: ## Remove everything that can be made again
	rm -rf .venv node_modules bench/peers/*/.venv bench/peers/*/node_modules dist packages/*/dist packages/*/LICENSE .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests tools bench -name __pycache__ -type d -prune -exec rm -rf {} +
