"""A training pod of the tests: one rank of a tiny RLRun's train stage by the real command (``astra-job``'s stage runner).

train_process.py FOLDER     FOLDER/in/request.json is the request; the result goes to FOLDER/result.json
"""

import os
import sys
from pathlib import Path

from astra_jobs.runtime.main import main

if __name__ == "__main__":
    os.chdir(Path(sys.argv[1]))
    sys.exit(main(["in/request.json"]))
