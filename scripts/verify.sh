#!/usr/bin/env bash
# The release build under load, on the embedded shard. Ends with 0 only if every promise held; prints what it measured.
# Latency is judged where the load is steady: run it on a machine that does nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."

# A pod that is measured takes everybody, however hot it is.
export FANFARE_READY_CPU_HIGH=1
cargo build --release --locked -p fanfare -p loadtest
target=${CARGO_TARGET_DIR:-target}
pod=$target/release/fanfare
tester=$target/release/loadtest
work=$(mktemp -d)
pid=

finish() {
  [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

# Starts a pod on free ports; sets pid, url and ops.
start() {
  FANFARE_LISTEN=127.0.0.1:0 FANFARE_OPS_LISTEN=127.0.0.1:0 FANFARE_SETTLE=1s "$pod" >"$work/out" 2>"$work/log" &
  pid=$!
  for _ in $(seq 100); do
    grep -q '^  ready' "$work/out" && break
    sleep 0.05
  done
  url=ws://$(sed -n 's|^  page   http://\(.*\)/$|\1|p' "$work/out")
}

# Ends the pod with a signal and checks that its exit code is 0.
stop() {
  local code=0
  kill "-$1" "$pid"
  wait "$pid" || code=$?
  pid=
  [ "$code" = 0 ] || { echo "the pod left with $code"; tail -5 "$work/log"; exit 1; }
}

echo "== 1,000 viewers at 50 comments/s for 60 s beside 10 that never read; 1 viewer resumes 100 times"
start
"$tester" run --url "$url" --viewers 1000 --rate 50 --seconds 60 --stuck 10 --resumers 1 --resume-times 100 --pid "$pid"
stuck=$(grep -c '"code":3008' "$work/log" || true)
[ "$stuck" = 10 ] || { echo "closed for 3008: $stuck of 10"; exit 1; }

# Where a person types Ctrl-C, it does not serve for the settle time: tests/exits.rs.
echo "== SIGINT without viewers or a terminal ends within half a second of the settle time, which is one second"
began=$(date +%s%N)
stop INT
took=$((($(date +%s%N) - began) / 1000000))
echo "took $took ms"
[ "$took" -ge 1000 ] && [ "$took" -lt 1500 ]

echo "== 1,000 viewers at 500 comments/s for 10 s"
start
"$tester" run --url "$url" --viewers 1000 --rate 500 --seconds 10 --pid "$pid"
stop TERM

echo "== SIGTERM with 1,000 viewers: each is asked to move, then closed 1001, and the pod leaves with 0"
FANFARE_DRAIN=10s start
"$tester" run --url "$url" --viewers 1000 --rate 1 --seconds 20 \
  --tolerate "dropped,unanswered,errors,refused,late,late joins" \
  --json "$work/drain.json" >"$work/drain.txt" 2>&1 &
load=$!
sleep 5
began=$(date +%s%N)
stop TERM
echo "the pod took $((($(date +%s%N) - began) / 1000000)) ms of 20,000"
# The poster, a viewer too, tries to resume on the pod that has left: the tester calls that a failure, rightly.
wait "$load" || true
grep -oE '"moves": *[0-9]+' "$work/drain.json"
grep -qE '"moves": *1001\b' "$work/drain.json" || { echo "not every viewer was asked to move"; exit 1; }

echo "== memory of 10,000 viewers who only listen"
start
"$tester" run --url "$url" --viewers 10000 --rate 1 --seconds 3 --idle-ms 3000 --pid "$pid" | grep -E 'sockets|RSS|join|verdict'
stop TERM
echo "== requests that schemathesis (PyPI) makes of docs/openapi.yaml, good and bad: every answer is as documented"
python3 -m venv "$work/venv"
"$work/venv/bin/pip" --quiet install schemathesis==4.32.5
start
# Left out: the WebSocket, and the checks for which valid by the schema has to be accepted and invalid refused as a whole:
# the rules for texts are more than a schema can say, and a batch has one result each.
document=$PWD/docs/openapi.yaml
# It leaves files where it runs.
(cd "$work" && venv/bin/st run "$document" --url "http://${url#ws://}" --seed 1 --max-examples 50 --request-timeout 12 \
  --exclude-tag probes --exclude-operation-id watch --exclude-checks positive_data_acceptance,negative_data_rejection)
stop TERM
echo "== readiness, admission and shedding: three pods with a quota of 0.3 processors each (as root), and exact times"
cargo test --release --locked --test verify --no-run
# scripts/skew.sh builds what the tests of skew need. What else runs on the machine should not keep the tests from making pods hot.
nice -n -10 cargo test --release --locked --test verify -- --nocapture --test-threads 1 --skip skew::
echo "verified"
