#!/usr/bin/env bash
# Resolves the one pinned set from pyproject.toml. The floors that meet here: torch 2.13 and transformers 5.19 are the
# newest pair that the vLLM builds of the same month accept.
set -euo pipefail
{
  echo "# The one pinned set of versions; written by 'make lock' from pyproject.toml."
  printf 'uv==0.13.8\ntorch==2.13.0\n' | "${UV:-uv}" pip compile --quiet --python-version 3.11 --all-extras --no-header \
    --no-annotate --no-emit-package astra-on-kubernetes pyproject.toml -
} > constraints.txt.new
mv constraints.txt.new constraints.txt
