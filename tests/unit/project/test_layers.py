"""What importing the contract costs, proven in a fresh process."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "networkx", "jsonschema", "numpy", "mcp", "kubernetes", "kubeflow", "fsspec", "ruamel", "rich")


@pytest.mark.parametrize("module", ["astra_jobs.api.v1alpha1", "astra_jobs.api.request", "astra_jobs.api.job", "astra_jobs.api.result"])
def test_the_contract_loads_pydantic_only(module: str) -> None:
    code = f"import {module}, sys; print(sorted(set(sys.modules) & set({HEAVY!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_command_line_starts_without_the_training_stack() -> None:
    code = f"import astra_cli.main, sys; print(sorted(set(sys.modules) & set({HEAVY[:6]!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
