# Two commands matter: `make demo` shows the product at work, `make test` proves it. Both set themselves up.

# The first Python new enough; 3.12 and 3.11 first, for they bring a bundled Redis on Linux x86-64.
PYTHON ?= $(shell for p in python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
BIN := .venv/bin

.PHONY: demo dev test check format clean

demo: .venv/.installed
	@$(BIN)/orchestrator demo $(ARGS)

dev: .venv/.installed
	@$(BIN)/orchestrator dev $(ARGS)

test: check
	$(BIN)/python -m pytest $(ARGS)

check: .venv/.for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/orchestrator schemas check

format: .venv/.for-tests
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed, and none was found on PATH."; exit 1; }
	@echo "Setting up .venv (once) …"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip

.venv/.installed: .venv/bin/python pyproject.toml Makefile
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[testing]'
	@touch $@

.venv/.for-tests: .venv/bin/python pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ .venv/.installed

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
