# A fresh machine with Python 3.11 or newer needs no other set-up: `make quickstart` or `make test`.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --constraint .ci/constraints.txt --editable
NOTICE := installing zebjax and its tests' tools in .venv: some minutes, about 1.3 GB, silent

.PHONY: quickstart test test-slow chromium browser lint
quickstart: .venv/ready
	$(BIN)/zebjax iterate runs/small --rounds 8

test: .venv/ready
	$(BIN)/python -m pytest

test-slow: .venv/ready
	$(BIN)/python -m pytest -m slow

# For the tests that look at the recap in a browser; they are skipped without one. It needs root and Debian or Ubuntu.
chromium:
	command -v chromium >/dev/null || { timeout 120 apt-get update -qq \
		&& timeout 180 env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; }

browser: .venv/ready chromium
	$(INSTALL) ".[browser]"

lint: .venv/ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "zebjax needs Python 3.11 or newer; set PYTHON, as in: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv .venv

.venv/ready: pyproject.toml .ci/constraints.txt | .venv/bin/python
	@echo "$(NOTICE)"
	$(INSTALL) ".[test]"
	touch $@

# With the linters, and all that `.venv/ready` stands for: one installation instead of two.
.venv/ready-dev: pyproject.toml .ci/constraints.txt | .venv/bin/python
	@echo "$(NOTICE)"
	$(INSTALL) ".[dev]"
	touch .venv/ready $@
