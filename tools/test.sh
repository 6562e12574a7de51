#!/bin/bash
# Everything that decides if main is green, in three lanes side by side: tests of a control plane mostly wait, others mostly compute. What
# is in which lane is chosen so that they end at about the same time. The two behind, which have a control plane each, are printed when
# they have ended; when a lane fails, those behind it are not waited for. The longest, which mostly waits, goes before the others when it
# has something to do.
set -uo pipefail
cd "$(dirname "$0")/.."

tests() { nice -n "${polite:-5}" .venv/bin/python -m pytest -m "not bench" --durations=25 --durations-min=5 "$@"; }

work=$(mktemp -d)
export ASTRA_TEST_TINY=$work/tiny  # the lane in front runs the tiny pipeline on this machine and tells the others what came of it
faults=(tests/cluster/test_{faults,lives,schema}_*.py tests/conformance/cluster tests/reconcile tests/attacks tests/e2e/{chains,envs,rl}
  tests/e2e/local/test_bad_input.py)
cluster=(tests/cluster tests/conformance/{generation,mcp,sandbox,store})
declare -A behind  # the process groups of the lanes behind
trap 'for lane in "${behind[@]}"; do kill -TERM -- "-$lane" 2>/dev/null; done; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

lane() {  # a lane gets a process group of its own, so that it can be ended with all it started
  set -m
  tests -p no:cacheprovider --color=yes "${@:2}" >"$work/$1" 2>&1 &
  behind[$1]=$!
  set +m
}
polite=0 lane cluster "${cluster[@]}" "${faults[@]/#/--ignore=}"
lane faults "${faults[@]}"

nice -n 5 tools/check.sh || exit 1
tests --ignore tests/unit "${cluster[@]/#/--ignore=}" "${faults[@]/#/--ignore=}" || exit 1
for name in faults cluster; do
  echo "waiting for the tests of the lane \"$name\"; the last line so far: $(tail -n 1 "$work/$name")"
  wait "${behind[$name]}"
  code=$?
  cat "$work/$name"
  ((code == 0)) || exit "$code"
done
