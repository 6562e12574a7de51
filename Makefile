# Every command of the project. `make` lists them.
SHELL := /bin/bash
CACHE := $(HOME)/.cache/astra
PY := .venv/bin/python
export UV_CACHE_DIR ?= $(CACHE)/uv
export OMP_NUM_THREADS := 1
unexport PYTHONDONTWRITEBYTECODE  # where it is set, every process would compile all its libraries anew: seconds each

.DEFAULT_GOAL := help
.PHONY: help quickstart check test tools cluster bench generate generate-check lock fresh clean

help:            ## list the commands
	@grep -hE '^[a-z-]+: .*##' Makefile | sed 's/:[^#]*## /\t/' | expand -t 18

.venv/quickstart: pyproject.toml constraints.txt tools/setup.sh
	@tools/setup.sh quickstart

.venv/development: pyproject.toml constraints.txt tools/setup.sh
	@tools/setup.sh development

quickstart: .venv/quickstart  ## the whole pipeline on this machine: tool documents to a reinforced model and a report
	@.venv/bin/astra run manifests/quickstart/

check: .venv/development  ## lint, types, import rules, sizes, unit tests
	@tools/check.sh

test: .venv/development tools  ## everything that decides if main is green
	@tools/test.sh

tools: .venv/development  ## build Kubernetes and what else the cluster tests run, ahead of `make test`; needs Go
	@$(PY) -m tests.cluster.plane.tools

cluster: .venv/development tools  ## a control plane with the operator to try with kubectl, until Ctrl-C; needs Go
	@$(PY) -m tests.cluster.playground

bench: .venv/development  ## what measures or takes long; raw output under tests/bench/results
	@$(PY) -m pytest -m bench tests

generate: .venv/development  ## write crds/ and what is generated of charts/ from the models
	@$(PY) -m astra_operator.crdgen write
	@$(PY) -m astra_operator.chartgen write
	@$(PY) -m astra_operator.dashgen write

generate-check: .venv/development  ## fail when a generated file differs from what the models say
	@$(PY) -m astra_operator.crdgen check
	@$(PY) -m astra_operator.chartgen check
	@$(PY) -m astra_operator.dashgen check

lock:            ## resolve constraints.txt anew (the one place of versions)
	@tools/lock.sh

fresh:           ## quickstart and test again from a fresh clone with an empty home and caches
	@tools/fresh.sh

clean:           ## remove the virtual environment and the local cluster's state
	rm -rf .venv .astra
