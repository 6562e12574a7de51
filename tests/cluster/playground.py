"""The test control plane to try by hand: API server, training operator, a node of processes, the operator; until Ctrl-C.

``make cluster`` starts it. It is what the tests stand on, and no place to keep anything: everything is gone when it ends.
"""

import contextlib
import signal
import sys
import tempfile
from pathlib import Path

from tests.cluster.node_process import NodeProcess
from tests.cluster.node_team import Team
from tests.cluster.plane import tools
from tests.cluster.plane.plane import start_plane

WELCOME = """
A control plane with the operator is running. In another terminal, from this folder:

  export KUBECONFIG={kubeconfig} PATH="{programs}:$PATH"
  kubectl apply -f manifests/quickstart/
  kubectl get astra
  kubectl astra status
  kubectl describe rlrun

Pods are processes of this machine; artifacts are in {store}. Ctrl-C ends everything and removes it.
"""


def main() -> int:
    """Start everything, say how to reach it, and wait for SIGINT or SIGTERM."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="astra-cluster-") as folder, contextlib.ExitStack() as stack:
        try:
            play(Path(folder), stack)
            signal.pause()
        except tools.ToolError as error:
            print(error, file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("ending", flush=True)
    return 0


def play(folder: Path, stack: contextlib.ExitStack) -> None:
    """Start everything; the stack ends it in reverse order."""
    plane = start_plane(folder / "plane", print)
    stack.callback(plane.stop, keep_logs=False)
    node = NodeProcess(plane, folder / "node", cpu="16", memory="64Gi").start()
    stack.callback(node.stop)
    plane.wait_for("the node is ready", "get", "node", node.name, "--ignore-not-found", "-o", "jsonpath={.status.conditions[0].type}")
    team = Team(node, folder / "operator", "team")
    stack.callback(team.operator.close)
    team.operator.start()
    plane.kubectl("config", "set-context", "--current", f"--namespace={team.namespace}")
    programs = f"{tools.program('kubectl').parent}:{Path(sys.executable).parent}"
    print(WELCOME.format(kubeconfig=plane.kubeconfig, programs=programs, store=plane.store(team.namespace)), flush=True)


if __name__ == "__main__":
    sys.exit(main())
