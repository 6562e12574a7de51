#!/usr/bin/env bash
# Makes .venv with the extras of one set (quickstart or development) at the versions of constraints.txt.
# Needs only Python 3.11 or newer and the package index.
set -euo pipefail
set_name=$1
case $set_name in
  quickstart) extras=synthesis,training,quickstart ;;
  development) extras=development ;;
  *) echo "setup.sh: unknown set '$set_name', use quickstart or development" >&2; exit 2 ;;
esac
python=${ASTRA_PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "setup.sh: $python is $("$python" -V 2>&1), needs Python 3.11 or newer; name one with ASTRA_PYTHON" >&2; exit 1; }
"$python" -c 'import ensurepip' 2>/dev/null || {
  echo "setup.sh: this Python has no ensurepip; on Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }
[ -x .venv/bin/python ] || "$python" -m venv .venv
echo "set-up: installing $extras (once; about 6 GB on disk, most of it torch)"
.venv/bin/python -m pip --quiet --disable-pip-version-check install -c constraints.txt uv
.venv/bin/uv pip install --python .venv/bin/python --constraints constraints.txt --editable ".[$extras]"
touch ".venv/$set_name"
[ "$set_name" = quickstart ] || touch .venv/quickstart
