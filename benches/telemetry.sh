#!/usr/bin/env bash
# What telemetry costs viewers: 1,000 of them at 50 comments/s on a pod that pushes nothing, on one whose collector is a
# black hole, and on one whose collector refuses everything. The three are run in turn, round after round; the table
# shows medians and ranges of each round's ratio to the pod that pushes nothing. Every post is traced. Three minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

rounds=${ROUNDS:-5}
target=${CARGO_TARGET_DIR:-target}
[ -n "${BUILT:-}" ] || cargo build --release --workspace --locked
pod=$target/release/fanfare
tester=$target/release/loadtest
work=$(mktemp -d)
pids=()

finish() {
  for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

# start <name> [variable=value …]: a pod on free ports; sets pid and url.
start() {
  local name=$1
  shift
  env FANFARE_LISTEN=127.0.0.1:0 FANFARE_OPS_LISTEN=127.0.0.1:0 FANFARE_SETTLE=0s FANFARE_DRAIN=1s "$@" \
    taskset -c 0 "$pod" >"$work/$name.out" 2>"$work/$name.log" &
  pid=$!
  pids+=("$pid")
  for _ in $(seq 100); do
    grep -q '^  ready' "$work/$name.out" && break
    sleep 0.05
  done
  url=ws://$(sed -n 's|^  page   http://\(.*\)/$|\1|p' "$work/$name.out")
}

# Takes connections and never answers: a server that is stopped, while the kernel listens for it.
port=$((20000 + RANDOM % 10000))
redis-server --port $port --save '' >/dev/null &
pids+=($!)
sleep 0.5
kill -STOP $!
hole=http://127.0.0.1:$port

# Answers 404 to every push.
start refuser
refuser=${url/ws:/http:}

# figure <file> <name>: the first number of this name in a report; the first quantiles are of deliveries.
figure() {
  sed -n "s/^.*\"$2\": *\([0-9.]*\),*$/\1/p" "$1" | head -n 1
}

# run <mode> [variable=value …]: one run; notes its p99 and its CPU time for a delivery.
run() {
  local mode=$1
  shift
  start pod "$@"
  "$tester" run --url "$url" --viewers 1000 --rate 50 --seconds 8 --cpu 1 --pid "$pid" \
    --json "$work/$mode.json" >"$work/run.txt" 2>&1 || { tail -20 "$work/run.txt"; exit 1; }
  kill -TERM "$pid"
  wait "$pid" || true
  for name in p50_us p99_us cpu_us_per_delivery; do
    figure "$work/$mode.json" $name >"$work/$mode.$name"
    cat "$work/$mode.$name" >>"$work/all.$mode.$name"
  done
}

# ratio <mode>: notes this round's figures as shares of the pod's that pushes nothing.
ratio() {
  for name in p50_us p99_us cpu_us_per_delivery; do
    awk "BEGIN { print $(cat "$work/$1.$name") / $(cat "$work/none.$name") }" >>"$work/ratio.$1.$name"
  done
}

median() {
  sort -g "$1" | awk '{ f[NR] = $1 } END { printf "%.4g (%.4g to %.4g)", f[int((NR + 1) / 2)], f[1], f[NR] }'
}

pushes=(OTEL_METRIC_EXPORT_INTERVAL=1000 OTEL_BSP_SCHEDULE_DELAY=1000 OTEL_TRACES_SAMPLER=always_on)
modes=(none hole refuser)
for round in $(seq "$rounds"); do
  for turn in 0 1 2; do
    case ${modes[$(((round + turn) % 3))]} in
      none) run none ;;
      hole) run hole "${pushes[@]}" OTEL_EXPORTER_OTLP_PROTOCOL=grpc OTEL_EXPORTER_OTLP_ENDPOINT="$hole" ;;
      refuser) run refuser "${pushes[@]}" OTEL_EXPORTER_OTLP_ENDPOINT="$refuser" ;;
    esac
  done
  ratio hole
  ratio refuser
done

echo "$(date -u +%F), $(git rev-parse --short HEAD), 1,000 viewers × 50/s, $rounds rounds: medians (ranges)"
echo
echo "| collector | p50, µs | p99, µs | CPU of a delivery, µs | p99 ÷ none | CPU ÷ none |"
echo "|---|---|---|---|---|---|"
for mode in "${modes[@]}"; do
  printf '| %s | %s | %s | %s |' "$mode" "$(median "$work/all.$mode.p50_us")" "$(median "$work/all.$mode.p99_us")" \
    "$(median "$work/all.$mode.cpu_us_per_delivery")"
  if [ "$mode" = none ]; then echo " 1 | 1 |"; else
    echo " $(median "$work/ratio.$mode.p99_us") | $(median "$work/ratio.$mode.cpu_us_per_delivery") |"
  fi
done
