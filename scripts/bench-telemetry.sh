#!/usr/bin/env bash
# What telemetry costs viewers: three pods at the same time, each with 400 viewers at 50 comments/s, one that pushes nothing,
# one whose collector is a black hole, and one whose collector refuses everything. What disturbs the machine disturbs all
# three alike, so that a round's ratio to the pod that pushes nothing says what pushing costs; a single pod's figures move by
# more than that from round to round. Fresh pods each round, started in turns; every post is traced, and metrics are pushed
# each second. A stream's frames are not gathered (FANFARE_FANOUT_WINDOW=0), since the window would hide a delay. The table
# shows medians and, in brackets, the 95 % interval of the median by ranks. Three minutes with 16 rounds.
set -euo pipefail
cd "$(dirname "$0")/.."

rounds=${ROUNDS:-16}
target=${CARGO_TARGET_DIR:-target}
[ -n "${BUILT:-}" ] || cargo build --release --locked -p fanfare -p loadtest
pod=$target/release/fanfare
tester=$target/release/loadtest
work=$(mktemp -d)
# Processes that stay to the end, and those of a round by their mode: only what still runs, since ids are used again.
others=()
declare -A pod_of load_of

finish() {
  for pid in "${others[@]}" "${pod_of[@]}" "${load_of[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

# start <name> [variable=value …]: a pod on free ports; sets pid and url.
start() {
  local name=$1
  shift
  env FANFARE_LISTEN=127.0.0.1:0 FANFARE_OPS_LISTEN=127.0.0.1:0 FANFARE_SETTLE=0s FANFARE_DRAIN=1s \
    FANFARE_FANOUT_WINDOW=0 FANFARE_READY_CPU_HIGH=1 "$@" taskset -c 0 "$pod" >"$work/$name.out" 2>"$work/$name.log" &
  pid=$!
  for _ in $(seq 100); do
    grep -q '^  ready' "$work/$name.out" && break
    sleep 0.05
  done
  url=ws://$(sed -n 's|^  page   http://\(.*\)/$|\1|p' "$work/$name.out")
}

# Takes connections and never answers: a server that is stopped, while the kernel listens for it.
port=$((20000 + RANDOM % 10000))
redis-server --port $port --save '' >/dev/null &
others+=($!)
sleep 0.5
kill -STOP $!
hole=http://127.0.0.1:$port

# Answers 404 to every push.
start refuser
others+=("$pid")
refuser=${url/ws:/http:}

# figure <file> <name>: the first number of this name in a report; the first quantiles are of deliveries.
figure() {
  sed -n "s/^.*\"$2\": *\([0-9.]*\),*$/\1/p" "$1" | head -n 1
}

pushes=(OTEL_METRIC_EXPORT_INTERVAL=1000 OTEL_BSP_SCHEDULE_DELAY=1000 OTEL_TRACES_SAMPLER=always_on)
modes=(none hole refuser)
figures=(p50_us p99_us cpu_us_per_delivery)

# begin <mode>: a pod and its load; notes both processes.
begin() {
  case $1 in
    none) start "$1" ;;
    hole) start "$1" "${pushes[@]}" OTEL_EXPORTER_OTLP_PROTOCOL=grpc OTEL_EXPORTER_OTLP_ENDPOINT="$hole" ;;
    refuser) start "$1" "${pushes[@]}" OTEL_EXPORTER_OTLP_ENDPOINT="$refuser" ;;
  esac
  pod_of[$1]=$pid
  "$tester" run --url "$url" --viewers 400 --rate 50 --seconds 6 --cpu 1 --pid "$pid" --tolerate "late,late joins" \
    --json "$work/$1.json" >"$work/$1.txt" 2>&1 &
  load_of[$1]=$!
}

for round in $(seq "$rounds"); do
  for turn in 0 1 2; do begin "${modes[$(((round + turn) % 3))]}"; done
  for mode in "${modes[@]}"; do
    wait "${load_of[$mode]}" || { tail -20 "$work/$mode.txt"; exit 1; }
    unset "load_of[$mode]"
    kill -TERM "${pod_of[$mode]}"
    for name in "${figures[@]}"; do
      figure "$work/$mode.json" "$name" >"$work/$mode.$name"
      cat "$work/$mode.$name" >>"$work/all.$mode.$name"
      awk "BEGIN { print $(cat "$work/$mode.$name") / $(cat "$work/none.$name") }" >>"$work/ratio.$mode.$name"
    done
  done
  for mode in "${modes[@]}"; do
    wait "${pod_of[$mode]}" || true
    unset "pod_of[$mode]"
  done
done

# The median, and the ranks between which it lies with 95 % (binomial, by its normal approximation).
median() {
  sort -g "$1" | awk '
  function told(figure) { return sprintf(figure < 100 ? "%.3g" : "%.0f", figure) }
  { f[NR] = $1 }
  END {
    half = 0.98 * sqrt(NR); low = int(NR / 2 - half); high = int(NR / 2 + half + 1.999999)
    if (low < 1) low = 1; if (high > NR) high = NR
    printf "%s (%s to %s)", told((f[int((NR + 1) / 2)] + f[int(NR / 2 + 1)]) / 2), told(f[low]), told(f[high])
  }'
}

echo "$(date -u +%F), $(git rev-parse --short HEAD), three pods at once, 400 viewers × 50/s each, $rounds rounds"
echo
echo "| collector | p50, µs | p99, µs | CPU of a delivery, µs | p50 ÷ none | p99 ÷ none | CPU ÷ none |"
echo "|---|---|---|---|---|---|---|"
for mode in "${modes[@]}"; do
  printf '| %s |' "$mode"
  for name in "${figures[@]}"; do printf ' %s |' "$(median "$work/all.$mode.$name")"; done
  for name in "${figures[@]}"; do
    if [ "$mode" = none ]; then printf ' 1 |'; else printf ' %s |' "$(median "$work/ratio.$mode.$name")"; fi
  done
  echo
done
