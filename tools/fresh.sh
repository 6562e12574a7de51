#!/usr/bin/env bash
# Proves that a newcomer's machine is enough: clones the committed tree into a temporary folder and runs the two commands
# with an empty home and empty caches. `tools/fresh.sh quickstart` runs one of them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
git clone --quiet "$(git rev-parse --show-toplevel)" "$folder/clone"
mkdir "$folder/home"
for command in "${@:-quickstart test}"; do
  for target in $command; do
    echo "== make $target, empty home and caches"
    start=$(date +%s)
    env -u XDG_CACHE_HOME -u PIP_CACHE_DIR -u UV_CACHE_DIR HOME="$folder/home" make -C "$folder/clone" "$target"
    echo "== make $target took $(($(date +%s) - start)) s"
  done
done
