"""SIGTERM: a job that listens keeps its time; one that is stuck where Python hears nothing ends by itself."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.patience import patience

ROOT = Path(__file__).parents[3]
RequestFile = Callable[..., str]

# The job locks a mutex twice: like a connect inside torch it waits in C, without Python's lock, and no signal wakes it.
PROGRAM = """
import ctypes, os, signal, sys, threading, types
from astra_jobs.runtime import jobs, main, stopping

def deaf(request, inputs, out, ctx):
    mutex = ctypes.create_string_buffer(64)
    lock = ctypes.CDLL(None).pthread_mutex_lock
    lock(mutex)
    print("stuck", flush=True)
    lock(mutex)

def deaf_later(request, inputs, out, ctx):
    os.kill(os.getpid(), signal.SIGTERM)
    deaf(request, inputs, out, ctx)

def slow(request, inputs, out, ctx):
    print("busy", flush=True)
    while not ctx.should_stop():
        threading.Event().wait(0.01)
    threading.Event().wait(4 * stopping.STUCK_SECONDS)  # saving a checkpoint takes longer than taking notice
    return {}

stopping.STUCK_SECONDS = 0.3
module = types.ModuleType("astra_jobs.toolcorpus.in_test")
module.collect = globals()[sys.argv[2]]
sys.modules[module.__name__] = module
jobs.JOBS["ToolCorpus", "collect"] = module.__name__ + ":collect"
sys.exit(main.main([sys.argv[1]]))
"""


def stopped(request: str, job: str) -> tuple[int, str, dict[str, object]]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, request, job],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() in {"stuck", "busy"}
    process.send_signal(signal.SIGTERM)
    try:
        _, errors = process.communicate(timeout=patience())
    finally:
        process.kill()
        process.wait()
    return process.returncode, errors, json.loads(Path("result.json").read_text())


def test_a_process_stuck_in_a_library_ends_with_75_and_says_where(request_file: RequestFile) -> None:
    code, errors, result = stopped(request_file(), "deaf")
    assert code == 75
    assert result["exitCode"] == 75
    assert "told to stop, but stuck in a library" in str(result["error"])
    assert "in deaf" in errors, "the stacks tell where it was stuck"
    assert errors.strip().splitlines()[-1].startswith("astra-job: Failed: told to stop, but")


def test_a_job_that_heard_it_keeps_its_time(request_file: RequestFile) -> None:
    code, errors, result = stopped(request_file(), "slow")
    assert (code, errors, result["outcome"]) == (0, "", "Succeeded")


def test_a_process_that_heard_it_and_is_stuck_later_ends_too(request_file: RequestFile) -> None:
    code, _, result = stopped(request_file(), "deaf_later")
    assert (code, result["exitCode"]) == (75, 75)


@pytest.mark.parametrize("turn", range(2))
def test_nothing_of_the_watch_is_left_behind(request_file: RequestFile, turn: int) -> None:
    import threading

    from astra_jobs.runtime import main

    before = signal.getsignal(signal.SIGTERM)
    try:
        assert main.main([request_file(stage="nothing")]) == 78
        assert "stopping" not in {thread.name for thread in threading.enumerate()}
        wakeup = signal.set_wakeup_fd(-1)
        assert wakeup == -1
    finally:
        signal.signal(signal.SIGTERM, before)
