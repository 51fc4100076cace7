#!/usr/bin/env bash
# The benchmarks, in under ten minutes; prints Markdown tables that can be pasted into docs/figures.md.
#
#   scripts/bench.sh                 all parts
#   scripts/bench.sh thousand cold   some of them, each in under four minutes
#
#   tokens      the check of a token beside ring alone (benches/tokens.rs)
#   shards      posts and messages of shards (benches/shards)
#   hub         lanes without sockets, one and two (benches/hub.rs)
#   joins       what a join costs, and how long it takes among many (benches/joins.rs)
#   thousand    1,000 viewers: 50 comments/s without and with the window, 500/s with it
#   cold        10,000 viewers, 5 comments/s; their memory
#   saturation  1,000 viewers, more comments than can be written one by one; without the window
#   small       small streams while a hot one saturates the pod
#
# The socket figures are of a pod on CPU 0, so with one worker, and the tester on CPU 1: medians of three rounds, and
# ratios to a plain loop of `send` of the same round.
set -euo pipefail
cd "$(dirname "$0")/.."

all="tokens shards hub joins thousand cold saturation small"
parts=${*:-$all}
for part in $parts; do
  case " $all " in *" $part "*) ;; *) echo "scripts/bench.sh [$all]" >&2; exit 2 ;; esac
done

# A pod that is measured takes everybody, however hot it is.
export FANFARE_READY_CPU_HIGH=1
rounds=3
seconds=5
cargo build --release --locked -p fanfare -p loadtest
bin=${CARGO_TARGET_DIR:-target}/release
pod=$bin/fanfare
tester=$bin/loadtest
work=$(mktemp -d)
pid=
other=

finish() {
  for process in $pid $other; do kill -KILL "$process" 2>/dev/null || true; done
  rm -rf "$work"
}
trap finish EXIT

# start [window]: starts a pod on free ports; sets pid, url and ready.
start() {
  rm -f "$work/out"
  FANFARE_LISTEN=127.0.0.1:0 FANFARE_OPS_LISTEN=127.0.0.1:0 FANFARE_SETTLE=0s FANFARE_DRAIN=1s \
    FANFARE_FANOUT_WINDOW=${1:-50ms} taskset -c 0 "$pod" >"$work/out" 2>"$work/log" &
  pid=$!
  for _ in $(seq 100); do
    grep -qs '^  ready' "$work/out" && break
    sleep 0.05
  done
  url=ws://$(sed -n 's|^  page   http://\(.*\)/$|\1|p' "$work/out")
  ready=$(sed -n 's|^  ready  ||p' "$work/out")
}

stop() {
  kill -TERM "$pid"
  wait "$pid" || true
  pid=
}

# figure <file> <name>: the first number of this name in a report. Of quantiles the first are those of deliveries, of
# costs the server's stand before the tester's.
figure() {
  sed -n "s/^.*\"$2\": *\([0-9.]*\),*$/\1/p" "$1" | head -n 1
}

# note <name> <number>: one round's figure. calc <expression>: arithmetic.
note() {
  echo "$2" >>"$work/$1"
}

calc() {
  awk "BEGIN { print $1 }"
}

# row <what> <unit> <target> <name>: the median and the range of the rounds.
row() {
  sort -g "$work/$4" | awk -v what="$1" -v unit="$2" -v target="$3" '
    { figures[NR] = $1 }
    END { printf "| %s | %.2f %s (%.2f to %.2f) | %s |\n", what, figures[int((NR + 1) / 2)], unit, figures[1], figures[NR], target }'
}

table() {
  printf '\n| %s, medians of %s rounds (range) | figure | target |\n|---|---|---|\n' "$1" "$rounds"
}

# plain <sockets> <rate>: sets plain to the CPU of a delivery by the plain loop.
plain() {
  "$tester" limit --sockets "$1" --rate "$2" --seconds "$seconds" --json "$work/limit.json" >/dev/null
  plain=$(figure "$work/limit.json" cpu_us_per_delivery)
}

# load <name> <flag>...: a run of the tester against the pod; its report goes to <name>.json.
load() {
  local name=$1
  shift
  "$tester" run --url "$url" --seconds "$seconds" --cpu 1 --pid "$pid" --json "$work/$name.json" "$@" \
    >"$work/$name.txt" 2>&1 || { tail -5 "$work/$name.txt"; echo "$name: not every promise was kept"; } >&2
}

# cost <name> <flag>...: a pod's cost of a delivery, as a ratio to the plain loop of before, and its p99.
cost() {
  local name=$1
  load "$@"
  note "$name.cpu" "$(figure "$work/$name.json" cpu_us_per_delivery)"
  note "$name.ratio" "$(calc "$(figure "$work/$name.json" cpu_us_per_delivery) / $plain")"
  note "$name.p99" "$(calc "$(figure "$work/$name.json" p99_us) / 1000")"
}

part_shards() {
  echo
  cargo bench --quiet --locked --bench shards
}

part_tokens() {
  echo
  cargo bench --quiet --locked --bench tokens
}

part_hub() {
  echo
  cargo bench --quiet --locked --bench hub
}

part_joins() {
  echo
  cargo bench --quiet --locked --bench joins
}

part_thousand() {
  for _ in $(seq $rounds); do
    plain 1000 50
    note thousand.plain "$plain"
    start 0
    cost alone --viewers 1000 --rate 50
    stop
    start
    cost window --viewers 1000 --rate 50
    cost busy --viewers 1000 --rate 500
    stop
  done
  table "1,000 viewers"
  row "plain loop, 50/s, CPU of a delivery" µs – thousand.plain
  row "50/s, window 0, CPU of a delivery" µs – alone.cpu
  row "the same as a ratio to the plain loop" × "≤ 1.1" alone.ratio
  row "the same, p99" ms – alone.p99
  row "50/s, default window, CPU of a delivery" µs – window.cpu
  row "the same as a ratio to the plain loop" × "≤ 0.65" window.ratio
  row "the same, p99" ms "≤ 80" window.p99
  row "500/s, default window, CPU of a delivery" µs – busy.cpu
  row "the same as a ratio to the plain loop at 50/s" × "≤ 0.15" busy.ratio
  row "the same, p99" ms "≤ 90" busy.p99
}

part_cold() {
  for _ in $(seq $rounds); do
    plain 10000 5
    note cold.plain "$plain"
    start 0
    cost cold --viewers 10000 --rate 5 --idle-ms 2000
    stop
    note cold.rss "$(calc "$(figure "$work/cold.json" rss_bytes_per_viewer) / 1024")"
  done
  table "10,000 viewers"
  row "plain loop, 5/s, CPU of a delivery" µs – cold.plain
  row "5/s, window 0, CPU of a delivery" µs – cold.cpu
  row "the same as a ratio to the plain loop" × "≤ 1.2" cold.ratio
  row "the same, p99" ms – cold.p99
  row "idle RSS a viewer" KiB "≤ 3" cold.rss
}

part_saturation() {
  for _ in $(seq $rounds); do
    start 0
    load saturation --viewers 1000 --rate 2600 --rest
    stop
    note saturation.rate "$(calc "$(figure "$work/saturation.json" deliveries_per_second) / 1e6")"
    note saturation.p99 "$(calc "$(figure "$work/saturation.json" p99_us) / 1000")"
    note saturation.lost "$(figure "$work/saturation.json" lost)"
    note saturation.cpu "$(figure "$work/saturation.json" cpu_us_per_delivery)"
  done
  table "saturation, 1,000 viewers × 2,600/s, window 0"
  row "deliveries" "million/s" "≥ 2.5" saturation.rate
  row "p99" ms "≤ 50" saturation.p99
  row "lost" deliveries 0 saturation.lost
  row "CPU of a delivery" µs – saturation.cpu
}

part_small() {
  local few="--viewers 400 --streams 20 --rate 1 --stream-prefix small --idle-ms 200"
  for _ in $(seq $rounds); do
    start
    load quiet $few
    "$tester" run --url "$url" --viewers 10000 --rate 100 --seconds $((seconds + 7)) --cpu 1 --idle-ms 0 \
      --stream-prefix hot --json "$work/hot.json" >"$work/hot.txt" 2>&1 &
    other=$!
    # Until the hot one's viewers are in: it posts from then on.
    for _ in $(seq 200); do
      curl -s "$ready" | grep -qE '"viewers":[1-9][0-9]{4}' && break
      sleep 0.1
    done
    load beside $few
    wait "$other" || true
    other=
    stop
    note small.quiet "$(calc "$(figure "$work/quiet.json" p99_us) / 1000")"
    note small.beside "$(calc "$(figure "$work/beside.json" p99_us) / 1000")"
    note small.bound "$(calc "2 * $(figure "$work/quiet.json" p99_us) / 1000 + 10")"
    note small.hot "$(calc "$(figure "$work/hot.json" deliveries_per_second) / 1e6")"
  done
  table "20 streams × 20 viewers × 1/s beside a hot stream of 10,000 viewers × 100/s"
  row "p99 of the small streams alone" ms – small.quiet
  row "p99 of the small streams beside the hot one" ms "≤ the next" small.beside
  row "twice the quiet p99 and 10 ms" ms – small.bound
  row "deliveries of the hot stream meanwhile" "million/s" – small.hot
}

echo "$(date -u +%F), $(git rev-parse --short HEAD), $(nproc) CPUs, Linux $(uname -r), load before $(cut -d' ' -f1-3 /proc/loadavg)"
for part in $parts; do
  "part_$part"
done
echo
echo "load after $(cut -d' ' -f1-3 /proc/loadavg)"
