"""What a run may say about its pods: the stage's entry over the run's, and nothing that Kubernetes would refuse."""

from typing import Any

import pytest
from pydantic import ValidationError

from astra_jobs.api.v1alpha1.common import CommonSpec
from astra_jobs.api.v1alpha1.pod import Pod

FULL: dict[str, Any] = {
    "managedBy": "astra.dev/operator",
    "queue": "team.queue",
    "priorityClassName": "high",
    "limits": {"pendingDeadlineSeconds": 600},
    "pod": {
        "image": "registry.example:5000/jobs@sha256:1",
        "resources": {"cpu": "2", "memory": "4Gi"},
        "nodeSelector": {"example.com/pool": "cpu", "zone": ""},
        "tolerations": [{"key": "example.com/spot", "operator": "Exists", "effect": "NoSchedule"}, {"operator": "Exists"}],
        "serviceAccountName": "runs",
        "imagePullSecrets": [{"name": "pull"}],
        "volumes": [{"name": "data", "claimName": "data.0", "mountPath": "/data/store", "readOnly": True}],
        "secretEnv": [{"name": "HF_TOKEN", "secret": "hub", "key": "token"}],
        "stages": [{"stage": "train", "image": "gpu", "nodeSelector": {"pool": "gpu"}, "tolerations": []}],
    },
}


def test_a_full_spec_is_read_and_written_the_same() -> None:
    spec = CommonSpec.model_validate(FULL)
    assert CommonSpec.model_validate(spec.to_dict()) == spec
    assert (spec.queue, spec.managed_by, spec.limits.pending_deadline_seconds) == ("team.queue", "astra.dev/operator", 600)


def test_a_stage_takes_the_runs_settings_where_it_says_nothing() -> None:
    pod = Pod.model_validate(FULL["pod"])
    train, merge = pod.of_stage("train"), pod.of_stage("merge")
    assert (train.image, train.node_selector, train.tolerations) == ("gpu", {"pool": "gpu"}, [])
    assert train.resources == merge.resources == pod.resources
    assert (train.volumes, train.secret_env) == (pod.volumes, pod.secret_env)
    assert merge == pod


@pytest.mark.parametrize(
    "pod",
    [
        {"image": ""},
        {"image": "a b"},
        {"nodeSelector": {"a b": "c"}},
        {"nodeSelector": {"a": "-"}},
        {"nodeSelector": {f"k{number}": "" for number in range(11)}},
        {"tolerations": [{"key": "", "operator": "Exists"}]},
        {"volumes": [{"name": "a", "claimName": "a", "mountPath": "a"}]},
        {"volumes": [{"name": "a", "claimName": "a", "mountPath": "/a/../astra"}]},
        {"volumes": [{"name": "a", "claimName": "a", "mountPath": "/"}]},
        {"secretEnv": [{"name": "A-B", "secret": "a", "key": "a"}]},
        {"secretEnv": [{"name": "ASTRA_PROGRESS_PORT", "secret": "a", "key": "a"}]},
        {"secretEnv": [{"name": "A", "secret": "a", "key": ".."}]},
        {"serviceAccountName": "A"},
        {"stages": [{"stage": "pretrain"}]},
    ],
    ids=str,
)
def test_what_kubernetes_would_refuse_is_refused_here(pod: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Pod.model_validate(pod)
