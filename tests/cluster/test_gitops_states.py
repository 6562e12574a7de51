"""Runs in every state that Argo CD and Flux have to tell apart, made by the real operator: what they look like, and what actions do.

``ASTRA_TEST_RECORD=1`` writes what is seen to ``tests/gitops/recorded.json``, which the tests of the health checks read.
"""

import json
import os

from astra_jobs.api.artifact import KINDS
from tests.cluster.gitops_story import Recorder
from tests.gitops import recorded


def test_what_is_recorded_is_still_true(recorder: Recorder) -> None:
    if os.environ.get("ASTRA_TEST_RECORD"):
        recorded.FILE.write_text(json.dumps(recorder.seen, indent=1, sort_keys=True) + "\n")
    assert recorder.seen == recorded.runs()


def test_every_state_was_seen(recorder: Recorder) -> None:
    states = {key.rpartition(" ")[0] for key in recorder.seen}
    assert states == set(recorded.VERDICTS)
    assert {key.rpartition(" ")[2] for key in recorder.seen if key.startswith("not seen")} == set(KINDS)


def test_the_api_server_takes_what_every_offered_action_makes(recorder: Recorder) -> None:
    assert recorder.refused == []


def test_it_would_say_no_to_what_no_action_may_make(recorder: Recorder) -> None:
    run = recorder.team.run("toolcorpus/tools")
    told = recorder.send(run, run | {"spec": run["spec"] | {"rerun": 7}}, "--dry-run=server")
    assert "spec.rerun" in told


def test_a_rerun_makes_a_new_attempt(recorder: Recorder) -> None:
    assert recorder.team.run("toolcorpus/tools")["status"]["attempt"]["number"] == 1
    recorder.team.operator.start()
    recorder.team.wait("a second attempt", lambda: recorder.team.run("toolcorpus/tools")["status"]["attempt"]["number"] == 2)
