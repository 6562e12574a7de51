"""``python -m astra_operator``: read the environment, connect, and serve until SIGTERM. Wrong settings: one line, exit 78."""

import asyncio
import logging
import signal
import sys

from kubernetes.client import ApiClient

from astra_jobs.api.errors import EXIT_BAD_INPUT, BadInput
from astra_operator.clusters.base import ClusterError
from astra_operator.clusters.kubernetes_calls import connect
from astra_operator.logs import start_logging
from astra_operator.process import Process
from astra_operator.settings import ProcessSettings, process_settings


async def serve(settings: ProcessSettings, api: ApiClient) -> None:
    """Run the operator until a signal asks it to stop."""
    process = Process(settings, api)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, process.stop)
    await process.run()


def main() -> int:
    """Run the operator; return its exit code."""
    try:
        settings = process_settings()
        api = connect(settings.kubeconfig, settings.workers + settings.chores)
    except (BadInput, ClusterError) as error:
        print(error, file=sys.stderr)
        return EXIT_BAD_INPUT
    start_logging()
    try:
        asyncio.run(serve(settings, api))
    except OSError as error:
        logging.getLogger("astra_operator").error("ASTRA_PORT %d cannot be served: %s; set another", settings.port, error)
        return EXIT_BAD_INPUT
    return 0


if __name__ == "__main__":
    sys.exit(main())
