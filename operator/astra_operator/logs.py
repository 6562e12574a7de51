"""Log lines as JSON, one object a line, with the run, its kind and its attempt as fields of their own.

It does not decide what is logged. Fields come from the ``extra`` of a call: kind, namespace, run, attempt, stage, restart, step.
"""

import json
import logging
import sys
from datetime import UTC, datetime

FIELDS = ("kind", "namespace", "run", "attempt", "stage", "restart", "step")
# Kopf logs every event that no handler of its higher levels wanted; only its troubles are of interest here.
_QUIET = {"kopf": logging.WARNING, "kopf._core.reactor.running": logging.ERROR, "urllib3": logging.ERROR, "asyncio": logging.WARNING}


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def start_logging(level: int = logging.INFO) -> None:
    """Send every log line of the process to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(least)
