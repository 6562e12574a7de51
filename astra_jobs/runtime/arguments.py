"""Arguments of ``astra-job``'s subcommands, refused like everything else."""

import argparse
from typing import NoReturn

from astra_jobs.api.errors import BadInput


class Parser(argparse.ArgumentParser):
    """Refuses in one line with exit code 78."""

    def error(self, message: str) -> NoReturn:
        """Raise BadInput instead of leaving with 2."""
        raise BadInput(self.prog, "BadInput", f"{message}; {' '.join(self.format_usage().split())}")
