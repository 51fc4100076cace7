#!/usr/bin/env bash
# Builds the collector of tests/collector, unless that was done before, and prints its path. Some minutes for the first build.
set -euo pipefail
cd "$(dirname "$0")/../tests/collector"
tools=${CARGO_TARGET_DIR:-$PWD/../../target}/collector-tools
mkdir -p "$tools"
exec 9>"$tools/lock"
flock 9
built=$tools/collector-$(cat go.mod main.go | sha256sum | cut -c 1-16)
[ -x "$built" ] || ../../scripts/go.sh build -o "$built" . >&2
echo "$built"
