"""The programs on top of the control plane do what they are there for: the webhook refuses, Kueue admits, kwok plays pods."""

import json
import subprocess

from tests.cluster.plane import tools
from tests.cluster.plane.addons import KWOK
from tests.cluster.plane.kueue import make_queue
from tests.patience import patience


def container(name="c", **more):
    return {"name": name, "image": "none", "resources": {"requests": {"cpu": "100m", "memory": "10Mi"}}} | more


def job(namespace, name, labels=None, cpu="100m", **pod):
    one = container(resources={"requests": {"cpu": cpu, "memory": "10Mi"}})
    spec = {"template": {"spec": {"restartPolicy": "Never", "containers": [one]} | pod}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace, "labels": labels or {}},
        "spec": spec,
    }


def training(namespace, name, container_name="pytorch", workers=0):
    def replica(count):
        return {"replicas": count, "restartPolicy": "Never", "template": {"spec": {"containers": [container(container_name)]}}}

    specs = {"Master": replica(1)} | ({"Worker": replica(workers)} if workers else {})
    kind = {"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob", "metadata": {"name": name, "namespace": namespace}}
    return kind | {"spec": {"pytorchReplicaSpecs": specs}}


def test_a_pytorchjob_gets_its_pods_from_the_training_operator(plane):
    namespace = plane.namespace()
    plane.apply(training(namespace, "two", workers=1))
    query = ("get", "pods", "-l", "training.kubeflow.org/job-name=two", "-o", "jsonpath={.items[1].metadata.name}")
    plane.wait_for("master and worker", "-n", namespace, *query)
    worker = plane.kubectl("-n", namespace, "get", "pod", "two-worker-0", "-o", "json").stdout
    assert '"name": "MASTER_ADDR"' in worker
    assert "nslookup two-master-0" in worker, "the operator's own init container"


def test_the_training_operators_webhook_refuses_what_the_schema_lets_pass(plane):
    namespace = plane.namespace()
    plane.apply(training(namespace, "right"))  # the same object but for the container's name
    refused = plane.kubectl("create", "-f", "-", stdin=json.dumps(training(namespace, "wrong", "other")), check=False)
    assert refused.returncode != 0
    assert 'admission webhook "validator.pytorchjob.training-operator.kubeflow.org" denied the request' in refused.stderr
    assert "must have at least one container with name pytorch" in refused.stderr


def test_kueue_admits_by_quota_and_leaves_other_jobs_alone(kueue):
    namespace = kueue.namespace()
    make_queue(kueue, namespace, cpu="1")
    queued = {"kueue.x-k8s.io/queue-name": "team"}
    kueue.apply(job(namespace, "first", queued, cpu="700m"))
    kueue.wait_for("the first Job is admitted", "-n", namespace, "get", "pods", "-l", "job-name=first", "-o", "name")
    kueue.apply(job(namespace, "second", queued, cpu="700m"), job(namespace, "alone", cpu="700m"))
    pending = "jsonpath={range .items[*]}{.status.conditions[?(@.type=='QuotaReserved')].status} {end}"
    found = kueue.wait_for("the second Job waits", "-n", namespace, "get", "workloads", "-o", pending)
    kueue.wait_for("a Job without queue runs", "-n", namespace, "get", "pods", "-l", "job-name=alone", "-o", "name")
    assert found.split().count("True") == 1
    assert kueue.kubectl("-n", namespace, "get", "pods", "-l", "job-name=second", "-o", "name").stdout == ""
    kueue.kubectl("-n", namespace, "delete", "job", "first")
    kueue.wait_for("the second Job is admitted", "-n", namespace, "get", "pods", "-l", "job-name=second", "-o", "name")


def test_kueue_starts_a_suspended_pytorchjob(kueue):
    namespace = kueue.namespace()
    make_queue(kueue, namespace, cpu="1")
    item = training(namespace, "queued")
    item["metadata"]["labels"] = {"kueue.x-k8s.io/queue-name": "team"}
    item["spec"]["runPolicy"] = {"suspend": True}
    kueue.apply(item)
    kueue.wait_for(
        "the master of the PyTorchJob", "-n", namespace, "get", "pods", "-l", "training.kubeflow.org/job-name=queued", "-o", "name"
    )


def test_kwok_ends_a_job_that_tolerates_it_and_no_other(kwok):
    namespace = kwok.namespace()
    toleration = [{"key": KWOK, "operator": "Exists"}]
    kwok.apply(job(namespace, "played", tolerations=toleration), job(namespace, "real"))
    kwok.kubectl("-n", namespace, "wait", "--for=condition=Complete", "job/played", f"--timeout={patience():.0f}s")
    phases = kwok.kubectl("-n", namespace, "get", "pods", "-l", "job-name=real", "-o", "jsonpath={.items[*].status.phase}")
    assert phases.stdout == "Pending"


def test_helm_installs_a_chart(plane, tmp_path):
    namespace = plane.namespace()
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: small\nversion: 1.2.3\n")
    item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}"}, "data": {"word": "{{ .Values.word }}"}}
    (tmp_path / "templates" / "map.yaml").write_text(json.dumps(item))
    command = [str(tools.program("helm")), f"--kubeconfig={plane.kubeconfig}", f"--namespace={namespace}"]
    homes = {f"HELM_{name}_HOME": str(tmp_path / name.lower()) for name in ("CACHE", "CONFIG", "DATA")}
    homes["HOME"] = str(tmp_path)  # without it, what was discovered of the API would be kept in the working folder
    done = subprocess.run([*command, "install", "--set=word=hello", "first", str(tmp_path)], capture_output=True, text=True, env=homes)
    assert done.returncode == 0, done.stderr
    assert plane.kubectl("-n", namespace, "get", "configmap", "first", "-o", "jsonpath={.data.word}").stdout == "hello"
