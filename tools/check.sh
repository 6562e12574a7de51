#!/usr/bin/env bash
# Lint, types, import rules and unit tests: the fast half of `make test`.
set -euo pipefail
export PATH=$PWD/.venv/bin:$PATH
ruff check .
ruff format --check .
mypy
lint-imports
python -m astra_operator.crdgen check
python -m astra_operator.chartgen check
python -m astra_operator.dashgen check
python -m pytest -m "not bench" tests/unit
