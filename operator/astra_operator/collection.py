"""``python -m astra_operator.collection --namespace TEAM --out FILE``: write what a namespace's runs refer to, whole or not at all.

It reads the cluster under a service account of its own, which may only list, and knows no store; ``astra-job collect`` reads the file
beside the store and knows no cluster.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from kubernetes.client import ApiClient

from astra_jobs.api.artifact import KINDS
from astra_jobs.api.errors import EXIT_BAD_INPUT, EXIT_TRANSIENT, BadInput
from astra_jobs.api.live import LiveList
from astra_operator.clusters.base import ClusterError, Object, Refused
from astra_operator.clusters.kubernetes_calls import Call, Calls, connect
from astra_operator.clusters.kubernetes_errors import failure
from astra_operator.clusters.kubernetes_resources import RESOURCE_OF, Resource
from astra_operator.live import live_list

_PAGE = 200


def read_live(api: ApiClient, namespace: str) -> LiveList:
    """Read what the runs of a namespace refer to; raises ``ClusterError`` or ``BadInput`` when any of it cannot be read."""
    calls, began = Calls(api, lambda verb, resource, code, seconds: None), time.time()
    pods = list(_listed(calls, RESOURCE_OF["Pod"], namespace))
    configs = list(_listed(calls, RESOURCE_OF["ConfigMap"], namespace))
    runs = [run for kind in KINDS for run in _listed(calls, RESOURCE_OF[kind], namespace)]
    return live_list(namespace, began, pods, configs, runs)


def _listed(calls: Calls, resource: Resource, namespace: str) -> Iterator[Object]:
    query = {"limit": str(_PAGE)} | ({"labelSelector": resource.selector} if resource.selector else {})
    while True:
        answer = calls.send(Call("list", resource.plural, resource.path(namespace), query))
        if not answer.good:
            raise failure(f"list of {resource.plural} in {namespace}", answer)
        for item in answer.body["items"]:
            yield item | {"apiVersion": resource.api_version, "kind": resource.kind}
        following = answer.body["metadata"].get("continue", "")
        if not following:
            return
        query = query | {"continue": following}


def main() -> int:
    """Run the program; return its exit code: 78 when somebody has to change something, 75 when it may work when it is tried again."""
    parser = argparse.ArgumentParser(prog="python -m astra_operator.collection", description="Write what a namespace's runs refer to.")
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--out", required=True, type=Path, help="file to write")
    parser.add_argument("--kubeconfig", type=Path, help="left out, that of the pod's service account")
    options = parser.parse_args()
    try:
        live = read_live(connect(options.kubeconfig, 1), options.namespace)
        temporary = options.out.with_suffix(".tmp")
        temporary.write_text(live.model_dump_json(by_alias=True))
        temporary.replace(options.out)
    except (BadInput, Refused) as error:
        print(error, file=sys.stderr)
        return EXIT_BAD_INPUT
    except (ClusterError, OSError) as error:
        print(error, file=sys.stderr)
        return EXIT_TRANSIENT
    print(f"{len(live.runs)} runs refer to {len(live.artifacts)} artifacts and {len(live.keys)} keys")
    return 0


if __name__ == "__main__":
    sys.exit(main())
