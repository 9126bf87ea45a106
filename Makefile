# Everything a fresh machine with Python 3.11 or newer needs: `make quickstart` or `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: quickstart test test-slow lint
quickstart: .venv/ready
	$(BIN)/python -m zebjax.train experiments/quickstart.py

test: .venv/ready
	$(BIN)/python -m pytest

test-slow: .venv/ready
	$(BIN)/python -m pytest -m slow

lint: .venv/ready
	$(BIN)/python -m pip install --quiet --constraint .ci/constraints.txt --editable ".[dev]"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/ready: pyproject.toml .ci/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "zebjax needs Python 3.11 or newer; set PYTHON, as in: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint .ci/constraints.txt --editable ".[test]"
	touch $@
