#!/usr/bin/env bash
# All benchmarks, in under ten minutes; prints Markdown tables that can be pasted into docs/figures.md. The shards' own
# are described in benches/shards.rs. The socket figures are of a pod on CPU 0, so with one worker, and the tester on
# CPU 1: ratios to a plain loop of `send` of the same round, medians of three rounds.
set -euo pipefail
cd "$(dirname "$0")/.."

# A pod that is measured takes everybody, however hot it is.
export FANFARE_READY_CPU_HIGH=1
rounds=3
cargo build --release --workspace --locked
pod=target/release/fanfare
tester=target/release/loadtest
if [ -n "${CARGO_TARGET_DIR:-}" ]; then
  pod=$CARGO_TARGET_DIR/release/fanfare
  tester=$CARGO_TARGET_DIR/release/loadtest
fi
work=$(mktemp -d)
pid=

finish() {
  [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

# Starts a pod on free ports; sets pid and url.
start() {
  FANFARE_LISTEN=127.0.0.1:0 FANFARE_OPS_LISTEN=127.0.0.1:0 FANFARE_SETTLE=0s FANFARE_DRAIN=1s \
    taskset -c 0 "$pod" >"$work/out" 2>"$work/log" &
  pid=$!
  for _ in $(seq 100); do
    grep -q '^  ready' "$work/out" && break
    sleep 0.05
  done
  url=ws://$(sed -n 's|^  page   http://\(.*\)/$|\1|p' "$work/out")
}

stop() {
  kill -TERM "$pid"
  wait "$pid" || true
  pid=
}

# figure <file> <name>: the first number of this name in a report. The server's stands before the tester's.
figure() {
  sed -n "s/^.*\"$2\": *\([0-9.]*\),*$/\1/p" "$1" | head -n 1
}

# note <name> <number>: one round's figure.
note() {
  echo "$2" >>"$work/$1"
}

# row <what> <unit> <target> <name>: the median and the range of the rounds.
row() {
  sort -g "$work/$4" | awk -v what="$1" -v unit="$2" -v target="$3" '
    { figures[NR] = $1 }
    END { printf "| %s | %.2f %s (%.2f to %.2f) | %s |\n", what, figures[int((NR + 1) / 2)], unit, figures[1], figures[NR], target }'
}

# shape <name> <viewers> <rate>: one round of the plain loop and of a pod, with the same frames, viewers and rate.
shape() {
  local name=$1 viewers=$2 rate=$3 plain mine
  "$tester" limit --sockets "$viewers" --rate "$rate" --seconds 8 --json "$work/limit.json" >/dev/null
  start
  "$tester" run --url "$url" --viewers "$viewers" --rate "$rate" --seconds 8 --idle-ms 3000 --cpu 1 --pid "$pid" \
    --json "$work/run.json" >"$work/run.txt" 2>&1 || { tail -20 "$work/run.txt"; echo "not every promise was kept" >&2; }
  stop
  plain=$(figure "$work/limit.json" cpu_us_per_delivery)
  mine=$(figure "$work/run.json" cpu_us_per_delivery)
  note "$name.plain" "$plain"
  note "$name.mine" "$mine"
  note "$name.ratio" "$(awk "BEGIN { print $mine / $plain }")"
  # The first quantiles of a report are of deliveries.
  note "$name.p99" "$(awk "BEGIN { print $(figure "$work/run.json" p99_us) / 1000 }")"
  note "$name.rss" "$(awk "BEGIN { print $(figure "$work/run.json" rss_bytes_per_viewer) / 1024 }")"
}

echo "$(date -u +%F), $(git rev-parse --short HEAD), $(nproc) CPUs, Linux $(uname -r), load before $(cut -d' ' -f1-3 /proc/loadavg)"
echo
cargo bench --quiet --locked --bench shards
echo
for _ in $(seq $rounds); do
  shape hot 1000 50
  shape cold 10000 5
done
echo "| sockets, window 0, medians of $rounds rounds (range) | figure | target |"
echo "|---|---|---|"
row "plain loop, 1,000 × 50/s, CPU of a delivery" µs – hot.plain
row "1,000 viewers × 50/s, CPU of a delivery" µs – hot.mine
row "the same as a ratio to the plain loop" × "≤ 1.1" hot.ratio
row "the same, p99" ms – hot.p99
row "plain loop, 10,000 × 5/s, CPU of a delivery" µs – cold.plain
row "10,000 viewers × 5/s, CPU of a delivery" µs – cold.mine
row "the same as a ratio to the plain loop" × "≤ 1.2" cold.ratio
row "the same, p99" ms – cold.p99
row "idle RSS a viewer at 10,000" KiB "≤ 3" cold.rss
echo
echo "load after $(cut -d' ' -f1-3 /proc/loadavg)"
