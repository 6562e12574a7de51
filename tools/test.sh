#!/bin/bash
# Everything that decides if main is green, in two lanes side by side: tests of a control plane mostly wait, the others mostly
# compute; what runs beside the control plane's is chosen so that both lanes end at about the same time. The control plane's lane is printed when it has ended; when the other fails first, it is not waited for.
set -uo pipefail
cd "$(dirname "$0")/.."

tests() { .venv/bin/python -m pytest -m "not bench" --durations=25 --durations-min=5 "$@"; }

log=$(mktemp)
export ASTRA_TEST_TINY=$log.tiny  # the lane in front runs the tiny pipeline on this machine and tells the other what came of it
set -m  # the lane gets a process group of its own, so that it can be ended with all it started
beside=(tests/cluster tests/conformance/cluster tests/reconcile tests/e2e/rl tests/e2e/chains)
tests -p no:cacheprovider --color=yes "${beside[@]}" >"$log" 2>&1 &
lane=$!
set +m
trap 'kill -TERM -- -$lane 2>/dev/null; rm -f "$log" "$log.tiny"' EXIT
trap 'exit 130' INT TERM

tools/check.sh || exit 1
tests --ignore tests/unit "${beside[@]/#/--ignore=}" || exit 1
echo "waiting for the tests of the control plane; the last line so far: $(tail -n 1 "$log")"
wait "$lane"
code=$?
cat "$log"
exit "$code"
