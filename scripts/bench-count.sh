#!/usr/bin/env bash
# What a count of viewers costs Redis, by INFO commandstats: the time within Redis of one FCALL of `fanfare_count` by one of
# two pods that watch the same streams, beside a plain XADD of 200 bytes on the same Redis. STREAMS: how many (1,000). Prints
# a table.
set -euo pipefail
cd "$(dirname "$0")/.."
calls=${CALLS:-1000}
watched=${STREAMS:-1000}
streams=200
work=$(mktemp -d)
redis=
trap '[ -z "$redis" ] || kill "$redis" 2>/dev/null; rm -rf "$work"' EXIT
port=$((20000 + RANDOM % 10000))
redis-server --port "$port" --bind 127.0.0.1 --save '' --dir "$work" >/dev/null &
redis=$!
ask() { redis-cli -p "$port" "$@"; }
until [ "$(ask ping 2>/dev/null)" = PONG ]; do sleep 0.05; done
ask -x FUNCTION LOAD <deploy/redis/fanfare.lua >/dev/null

# A count by a pod of some streams, each with so many viewers and these users.
count() { # pod streams viewers users [first stream]
  printf 'FCALL fanfare_count 1 ff:audience %s 600000 0' "$1"
  for ((n = ${5:-0}; n < ${5:-0} + $2; n++)); do printf ' live-%s %s "%s"' "$n" "$3" "$4"; done
  echo
}

# The mean of the calls, in microseconds, of a command whose lines come on the standard input.
measure() { # command
  ask CONFIG RESETSTAT >/dev/null
  ask >"$work/answers"
  ! grep -qE '^(ERR|\(error)' "$work/answers" || { grep -m 1 -E '^(ERR|\(error)' "$work/answers"; exit 1; }
  ask INFO commandstats | tr -d '\r' | sed -n "s/^cmdstat_$1:.*usec_per_call=\([0-9.]*\),.*/\1/p"
}

each() { for ((call = 0; call < calls; call++)); do "$@"; done; }
change() { count one $streams $((call % 2 + 1)) ''; }
come() { count one $streams 1 "$((call * 7919 + 1)) $((call * 104729 + 2))"; }
for pod in two one; do
  for ((first = 0; first < watched; first += streams)); do count $pod $streams 1 '' "$first"; done | measure fcall >/dev/null
done
# Until the peaks of both pods are confirmed.
while [ "$(ask EXISTS ff:peaks)" != 0 ]; do
  for pod in two one; do count $pod 0 0 ''; done | ask >/dev/null
done

echo "| an FCALL of fanfare_count, mean of $calls, $watched streams watched | µs within Redis |"
echo "|---|---|"
echo "| a plain XADD of 200 bytes, the yardstick | $(each echo "XADD yardstick * e $(printf '%0200d' 0)" | measure xadd) |"
echo "| nothing changed | $(each count one 0 1 '' | measure fcall) |"
echo "| $streams streams told again, none changed | $(each count one $streams 1 '' | measure fcall) |"
echo "| $streams streams, each changed, each told to the other pod | $(each change | measure fcall) |"
echo "| $streams streams, two users came to each | $(each come | measure fcall) |"
