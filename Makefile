# Every target brings what it needs into .venv, without root; a second run finds it there.
#
#   make serve              install, start, print the address      ARGS="--port 9000" is passed on
#   make page               build the page from web/ (serve and test do)
#   make test               the whole suite                        ARGS="tests/unit -k rescue" is passed on
#   make check              the gate: format, lint, types, import contracts, tests
#   make format             what the gate asks for, done
#   make coverage           the suite with branch coverage of core, engine and store
#   make crashtest N=500    the long proofs: kill -9, restart, resume, N times; a crowd; a deploy; prints tables
#   make bench              the benchmark; prints a table   ARGS="--quick ttft tokens" picks rows, and is shorter
#   make requirements       pins and hashes anew, from pyproject.toml    UV_ARGS="--upgrade" moves the pins
#   make clean              removes .venv and everything made

PYTHON ?= python3
WORKERS ?= 2
N ?= 100
ARGS ?=
UV_ARGS ?=

BIN := .venv/bin
BENCH := .venv-bench/bin
UV := $(BIN)/uv
# Spelt out, so that an activated environment elsewhere changes nothing.
INTO := --python $(BIN)/python
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --custom-compile-command 'make requirements' $(UV_ARGS)

.NOTPARALLEL:
.PHONY: help serve page test check format coverage crashtest bench requirements clean

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

serve: .venv/.runtime page
	@exec $(BIN)/legato serve $(ARGS)

test: .venv/.dev page
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

check: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python web/build.py check
	@$(MAKE) --no-print-directory test

format: .venv/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

coverage: .venv/.dev page
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --cov --cov-report=term $(ARGS)

crashtest: .venv/.dev page
	@$(BIN)/python -m tests.process.crashtest --cycles $(N)

bench: .venv-bench/.ready page
	@$(BENCH)/python -m bench $(ARGS)

requirements: .venv/.bootstrap
	$(COMPILE) pyproject.toml -o requirements/runtime.txt
	$(COMPILE) pyproject.toml --group dev -c requirements/runtime.txt -o requirements/dev.txt
	$(COMPILE) pyproject.toml --group bench -c requirements/runtime.txt -c requirements/dev.txt -o requirements/bench.txt
	$(COMPILE) --group bootstrap -c requirements/dev.txt -o requirements/bootstrap.txt
	@! grep -nE '://|^--' requirements/*.txt || { echo 'requirements name where packages come from: see above'; exit 1; }

clean:
	rm -rf .venv .venv-bench build dist .artifacts .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache \
		.ruff_cache test-results tests/upstream_npm/node_modules clients/typescript/node_modules \
		web/node_modules src/legato/web/dist
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.bootstrap: requirements/bootstrap.txt
	@$(PYTHON) -c 'import sys; sys.exit("Legato needs Python 3.11 or newer (make PYTHON=python3.12 …)" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/bootstrap.txt
	@touch $@

.venv/.runtime: requirements/runtime.txt pyproject.toml .venv/.bootstrap
	$(UV) pip install $(INTO) --require-hashes -r $<
	$(UV) pip install $(INTO) --quiet --no-deps --no-build-isolation -e .
	@touch $@

# Looks itself whether anything has changed.
page: .venv/.bootstrap
	@$(BIN)/python web/build.py

# Exactly what is pinned: a leftover plugin of pytest would take part in the tests.
.venv/.dev: requirements/dev.txt pyproject.toml .venv/.bootstrap
	$(UV) pip sync $(INTO) --require-hashes $< requirements/bootstrap.txt
	$(UV) pip install $(INTO) --quiet --no-deps --no-build-isolation -e .
	@touch $@

# Apart from the tests' environment, which holds what is pinned for them and nothing else.
.venv-bench/.ready: requirements/bench.txt pyproject.toml .venv/.bootstrap
	test -x $(BENCH)/python || $(UV) venv --quiet --python $(BIN)/python .venv-bench
	$(UV) pip sync --python $(BENCH)/python --quiet --require-hashes $< requirements/bootstrap.txt
	$(UV) pip install --python $(BENCH)/python --quiet --no-deps --no-build-isolation -e .
	@touch $@
