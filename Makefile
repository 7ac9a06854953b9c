# `make help` lists the targets. uv is bootstrapped from the package index into .tools/; nothing else has to be installed.
UV_VERSION := 0.13.8
PYTHON ?= python3
UV := .tools/uv/bin/uv
RUN := $(UV) run --frozen --no-sync

.PHONY: help setup run test check fmt bench chaos docs e2e fuzz postgres screenshots sim

help:  ## what there is
	@grep -E '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/'

$(UV):
	@$(PYTHON) -m venv .tools/uv
	@.tools/uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/.synced: uv.lock pyproject.toml $(wildcard */pyproject.toml services/*/pyproject.toml) | $(UV)
	@$(UV) sync --frozen --quiet --compile-bytecode
	@touch $@

# An existing client of the signed OpenAPI, as a stranger installs it: nothing of ours, and ours nothing of it.
.venv-clients/.synced: uv.lock pyproject.toml | $(UV)
	@UV_PROJECT_ENVIRONMENT=.venv-clients $(UV) sync --frozen --quiet --only-group clients
	@touch $@

setup: .venv/.synced .venv-clients/.synced  ## everything that the other targets need

run: .venv/.synced  ## the whole stack with the demo, until Ctrl-C (ARGS="--port-base 9000")
	@exec $(RUN) lockstep up $(ARGS)

test: setup  ## all tests, with their own servers (ARGS="-k log")
	@$(RUN) pytest -n 2 --dist worksteal $(ARGS)

postgres: setup  ## the services' own tests with every store on a real Postgres, which the tests bring (ARGS="-k races")
	@TEST_STORE=postgres $(RUN) pytest -n 2 --dist worksteal tests/api tests/flow $(ARGS)

bench: setup  ## every figure as a ratio of one run; writes docs/benchmarks.md
	@$(RUN) python -m tests.bench

docs: setup  ## writes the documents that are made from the code: openapi.json, asyncapi.json, topics.md, manager-api.md, settings.md
	@$(RUN) python tools/docs.py

screenshots: setup  ## the console's pages as docs/screenshots/*.png; needs a Chromium
	@$(RUN) python -m tests.console.screenshots

e2e: setup  ## the main job on containers; needs a Docker engine
	@TESTCONTAINERS_RYUK_DISABLED=true $(RUN) pytest -m docker tests/e2e $(ARGS)

chaos: setup  ## real stacks are hurt while masters trade; a line of figures a run (CHAOS_SEED=7 CHAOS_SCALE=10 ARGS="-k redis")
	@$(RUN) pytest -m chaos tests/chaos $(ARGS)

sim: setup  ## 500 quick and 500 usual seeds of the whole system in one process, and twelve planted bugs that they have to find (SIM_SEEDS=5000)
	@SIM_SEEDS=$${SIM_SEEDS:-500} $(RUN) pytest -n 2 -m "sim or not sim" tests/sim $(ARGS)

fuzz: setup  ## 200,000 raw requests and 10,000 made from OpenAPI against the api (FUZZ_SEED=100 for others)
	@FUZZ_REQUESTS=$${FUZZ_REQUESTS:-200000} FUZZ_CASES=$${FUZZ_CASES:-10000} $(RUN) pytest -n 2 --dist worksteal -q tests/api/test_fuzz.py tests/api/test_schema.py $(ARGS)

check: setup  ## lint, format, types, direction of imports, lock file
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) mypy shared/shared cli/lockstep services/*/*/
	@$(RUN) lint-imports
	@$(UV) lock --check --quiet

fmt: setup  ## format, and mend what the linter can mend
	@$(RUN) ruff check --fix .
	@$(RUN) ruff format .
