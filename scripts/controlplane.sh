#!/usr/bin/env bash
# The rendered overlays in a real control plane: etcd, kube-apiserver and kube-controller-manager 1.37.2, built from their
# Go modules (tests/controlplane; seven minutes of processor time, once). There is no node and no kubelet: this script
# says of each pod whether it is ready.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
tools=${CARGO_TARGET_DIR:-$root/target}/controlplane-tools
mkdir -p "$tools"
echo "== etcd, kube-apiserver and kube-controller-manager"
go=$root/scripts/go.sh
(cd tests/controlplane && "$go" build -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=v1.37.2" -o "$tools/" \
  k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kube-controller-manager go.etcd.io/etcd/server/v3)

work=$(mktemp -d)
pids=()
end() {
  status=$?
  trap - EXIT
  if [ "$status" != 0 ]; then tail -n 20 "$work"/*.log >&2; fi
  for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
  exit "$status"
}
trap end EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }
# Repeats a command until it succeeds, for a minute at the most.
until_true() {
  for _ in $(seq 120); do if "$@" 2>/dev/null; then return 0; fi; sleep 0.25; done
  fail "never true: $*"
}
start() {
  local name=$1
  shift
  "$@" >"$work/$name.log" 2>&1 &
  pids+=($!)
}
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
mkdir "$work/bin"
printf '#!/bin/sh\nexec "%s" "$@"\n' "$root/scripts/kubectl.sh" >"$work/bin/kubectl"
chmod +x "$work/bin/kubectl"
export PATH=$work/bin:$PATH KUBECONFIG=$work/kubeconfig

etcd=$(port) peer=$(port) api=$(port) metrics=$(port)
openssl genrsa -out "$work/tokens.pem" 2>/dev/null
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
  -keyout "$work/key.pem" -out "$work/certificate.pem" 2>/dev/null
token=$(openssl rand -hex 16)
echo "$token,admin,admin,system:masters" >"$work/tokens"
cat >"$KUBECONFIG" <<YAML
apiVersion: v1
kind: Config
clusters: [{name: here, cluster: {server: "https://127.0.0.1:$api", insecure-skip-tls-verify: true}}]
users: [{name: admin, user: {token: "$token"}}]
contexts: [{name: here, context: {cluster: here, user: admin}}]
current-context: here
YAML
start etcd "$tools/server" --data-dir "$work/etcd" --unsafe-no-fsync --listen-client-urls "http://127.0.0.1:$etcd" \
  --advertise-client-urls "http://127.0.0.1:$etcd" --listen-peer-urls "http://127.0.0.1:$peer" \
  --initial-advertise-peer-urls "http://127.0.0.1:$peer" --initial-cluster "default=http://127.0.0.1:$peer"
start apiserver "$tools/kube-apiserver" --etcd-servers "http://127.0.0.1:$etcd" --bind-address 127.0.0.1 --secure-port "$api" \
  --cert-dir "$work/certs" --token-auth-file "$work/tokens" --authorization-mode RBAC --service-cluster-ip-range 10.96.0.0/16 \
  --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$work/tokens.pem" \
  --service-account-signing-key-file "$work/tokens.pem" --requestheader-client-ca-file "$work/certificate.pem" \
  --proxy-client-cert-file "$work/certificate.pem" --proxy-client-key-file "$work/key.pem"
until_true kubectl get --raw /readyz >/dev/null
start manager "$tools/kube-controller-manager" --kubeconfig "$KUBECONFIG" --service-account-private-key-file "$work/tokens.pem" \
  --secure-port 0 --leader-elect=false --horizontal-pod-autoscaler-sync-period 1s --horizontal-pod-autoscaler-tolerance 0.1
kubectl version | grep Server

echo "== every overlay applies with strict validation and no warning, and a second apply changes nothing"
# The types of Istio and of the Prometheus operator, as their own modules define them.
module() { (cd tests/controlplane && "$go" mod download -json "$1") | sed -nE 's/.*"Dir": "(.*)".*/\1/p'; }
operator=$(module github.com/prometheus-operator/prometheus-operator@v0.85.0)/example/prometheus-operator-crd
istio=$(module istio.io/istio@v0.0.0-20260827124520-eed52ebb66ad)/manifests/charts/base/files
kubectl apply --server-side -f "$istio/crd-all.gen.yaml" -f "$operator/monitoring.coreos.com_servicemonitors.yaml" \
  -f "$operator/monitoring.coreos.com_prometheusrules.yaml" >/dev/null
kubectl wait --for=condition=Established crd --all --timeout=60s >/dev/null
kubectl apply -f k8s/namespace.yaml
for folder in overlays/blue overlays/green overlays/istio monitoring; do
  kubectl kustomize "k8s/$folder" >"$work/rendered.yaml"
  kubectl apply --server-side --validate=strict -f "$work/rendered.yaml" >"$work/applied" 2>"$work/warned"
  [ ! -s "$work/warned" ] || fail "$folder: $(cat "$work/warned")"
  kubectl diff --server-side -f "$work/rendered.yaml" || fail "$folder: a second apply would change something"
  echo "$folder: $(wc -l <"$work/applied") objects"
done

k() { kubectl -n fanfare "$@"; }
pods() { k get pods -l track=blue -o 'jsonpath={range .items[*]}{.metadata.name}{"\n"}{end}'; }
has_pods() { [ "$(pods | wc -l)" = "$1" ]; }
# What a kubelet would say: pods that run, and are ready or not.
ready() {
  local state=$1
  shift
  for pod in "$@"; do
    k patch pod "$pod" --subresource status --type merge -p "{\"status\":{\"phase\":\"Running\",\"startTime\":\"2026-01-01T00:00:00Z\",\"conditions\":[
      {\"type\":\"Ready\",\"status\":\"$state\",\"lastTransitionTime\":\"2026-01-01T00:10:00Z\"},
      {\"type\":\"ContainersReady\",\"status\":\"$state\"}]}}" >/dev/null
  done
}
budget() { k get pdb fanfare-blue -o 'jsonpath={.status.expectedPods} {.status.currentHealthy} {.status.disruptionsAllowed}'; }
budget_is() { [ "$(budget)" = "$*" ]; }
evict() {
  echo "{\"apiVersion\":\"policy/v1\",\"kind\":\"Eviction\",\"metadata\":{\"name\":\"$1\",\"namespace\":\"fanfare\"}}" |
    kubectl create --raw "/api/v1/namespaces/fanfare/pods/$1/eviction" -f - >/dev/null 2>&1
}
# Tries to evict each of these pods, as the drain of their nodes does; shows how many went.
drain() {
  local gone=0
  for pod in "$@"; do if evict "$pod"; then gone=$((gone + 1)); fi; done
  echo "$gone"
}
k delete hpa fanfare-green >/dev/null
k scale deployment fanfare-green --replicas 2 >/dev/null

echo "== a disruption budget counts the pods of its track, hot ones too"
k patch hpa fanfare-blue --type merge -p '{"spec":{"minReplicas":6}}' >/dev/null
for hot in 0 1 2 3; do
  until_true has_pods 6
  mapfile -t names < <(pods)
  ready True "${names[@]}"
  [ "$hot" = 0 ] || ready False "${names[@]:0:$hot}"
  allowed=$((hot < 2 ? 2 - hot : 0))
  until_true budget_is 6 $((6 - hot)) $allowed
  # Ready pods first, so that none of them rides on an eviction of an unready one.
  gone=$(drain "${names[@]:$hot}" "${names[@]:0:$hot}")
  echo "$hot of 6 pods hot: a drain of every node moved $gone pods before their successors were ready"
  [ "$gone" = $((hot < 3 ? 2 : 0)) ] || fail "$gone pods were moved"
done

echo "== the deletion cost of a pod is a plain 32-bit integer"
cost() { k annotate pod "$(pods | head -1)" "controller.kubernetes.io/pod-deletion-cost=$1" --overwrite >/dev/null 2>"$work/refused"; }
for value in -5 0 500 2147483647; do cost "$value" || fail "$value was refused: $(cat "$work/refused")"; done
for value in 12.5 +5 007 3000000000; do
  if cost "$value"; then fail "$value was taken"; fi
  grep -q "pod-deletion-cost" "$work/refused" || fail "$(cat "$work/refused")"
done

echo "== no scale-in while a pod is unready; then one pod at a time"
state() { echo "{\"cpu\": \"$1\", \"viewers\": $2, \"unready\": $3}" >"$work/state.new" && mv "$work/state.new" "$work/state"; }
state 200m 100 1
start metrics python3 tests/controlplane/metrics.py "$metrics" "$work/certificate.pem" "$work/key.pem" "$work/state"
kubectl apply -f - >/dev/null <<YAML
apiVersion: v1
kind: Service
metadata: {name: metrics, namespace: kube-system}
spec: {type: ExternalName, externalName: localhost, ports: [{port: $metrics}]}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1beta1.metrics.k8s.io}
spec: {group: metrics.k8s.io, version: v1beta1, groupPriorityMinimum: 100, versionPriority: 100, insecureSkipTLSVerify: true,
       service: {name: metrics, namespace: kube-system, port: $metrics}}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1beta2.custom.metrics.k8s.io}
spec: {group: custom.metrics.k8s.io, version: v1beta2, groupPriorityMinimum: 100, versionPriority: 100, insecureSkipTLSVerify: true,
       service: {name: metrics, namespace: kube-system, port: $metrics}}
YAML
until_true has_pods 6
mapfile -t names < <(pods)
ready True "${names[@]}"
hot=("${names[@]:0:2}")
ready False "${hot[@]}"
k annotate pod "${hot[0]}" controller.kubernetes.io/pod-deletion-cost=15000 --overwrite >/dev/null
k annotate pod "${hot[1]}" controller.kubernetes.io/pod-deletion-cost=20000 --overwrite >/dev/null
# Ten minutes and two minutes in the manifest; the rest of it stays.
k patch hpa fanfare-blue --type merge -p '{"spec":{"minReplicas":3,"behavior":{"scaleDown":{"stabilizationWindowSeconds":0,
  "policies":[{"type":"Pods","value":1,"periodSeconds":1}]}}}}' >/dev/null
# The autoscaler's last decision: CPU, viewers of a pod, the metric that holds, and the pods that it wants.
decision() {
  k get hpa fanfare-blue -o 'jsonpath={.status.currentMetrics[0].containerResource.current.averageUtilization} {.status.currentMetrics[1].pods.current.averageValue} {.status.currentMetrics[2].object.current.value} {.status.desiredReplicas}'
}
decided() { [ "$(decision)" = "$*" ]; }
until_true decided 10 100 1 6
echo "two of six pods hot, CPU at 10 % of 60 %: the autoscaler wants 6"
if k wait --for=condition=Ready pod -l track=blue --timeout=1s >/dev/null 2>&1; then fail "the runbook's wait is over though pods are hot"; fi
has_pods 6 || fail "a pod was ended"

ready True "${hot[@]}"
k wait --for=condition=Ready pod -l track=blue --timeout=10s >/dev/null || fail "the runbook's wait does not end"
state 200m 100 0
until_true has_pods 3
for pod in "${hot[@]}"; do k get pod "$pod" >/dev/null || fail "ready pods go by their cost, and $pod has the highest"; done
echo "none hot: the autoscaler goes down to 3, and the two fullest pods stay"

echo "== the reason for it: without that metric a scale-in ends a hot pod first, whatever its cost"
ready False "${hot[1]}"
k patch hpa fanfare-blue --type json -p '[{"op":"remove","path":"/spec/metrics/2"},{"op":"replace","path":"/spec/minReplicas","value":2}]' >/dev/null
until_true has_pods 2
if k get pod "${hot[1]}" >/dev/null 2>&1; then fail "the controller ranks otherwise now: is the metric still needed?"; fi
echo "it ended the hot pod with the cost 20000"
