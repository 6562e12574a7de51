"""The control plane itself: without it, every other cluster test fails for a reason that is hard to read."""


def test_every_component_is_healthy_and_of_the_pinned_version(plane):
    assert plane.kubectl("get", "--raw", "/readyz").stdout == "ok"
    assert '"gitVersion": "v1.37.1"' in plane.kubectl("get", "--raw", "/version").stdout


def test_a_job_gets_a_pod(plane):
    namespace = plane.namespace()
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "one", "namespace": namespace},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "none"}]}}},
    }
    plane.apply(job)
    pod = plane.wait_for(
        "a pod of the Job", "-n", namespace, "get", "pods", "-l", "job-name=one", "-o", "jsonpath={.items[*].status.phase}"
    )
    assert pod == "Pending"
