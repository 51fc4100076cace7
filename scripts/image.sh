#!/usr/bin/env bash
# The image without a container engine: its root, made by deploy/rootfs.sh as deploy/Dockerfile does it, mounted read-only,
# with nothing in it but what an engine adds; the pod in it without rights. As root.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --locked --bin fanfare
target=${CARGO_TARGET_DIR:-target}
work=$(mktemp -d)
pod=
redis=

finish() {
  [ -z "$pod" ] || kill -KILL "$pod" 2>/dev/null || true
  [ -z "$redis" ] || { kill "$redis" && wait "$redis"; } 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

objcopy --strip-debug "$target/release/fanfare" "$work/fanfare"
deploy/rootfs.sh "$work/fanfare" "$work/root"
echo "the image has $(find "$work/root" -type f | wc -l) files and $(du -sm "$work/root" | cut -f1) MB"
# What every engine adds: places for mounts, and its own names.
mkdir -p "$work/root/proc" "$work/root/sys"
echo "127.0.0.1 localhost redis-a" >"$work/root/etc/hosts"

port=$((20000 + RANDOM % 10000))
redis-server --port "$port" --bind 127.0.0.1 --save '' --dir "$work" >/dev/null &
redis=$!

# shellcheck disable=SC2016  # the inner shell expands these
script='mount --bind "$0" "$0" && mount -t proc proc "$0/proc" && mount --rbind /sys "$0/sys" && mount -o remount,bind,ro "$0" &&
  exec env -i PATH="$PATH" FANFARE_SHARDS="$1" FANFARE_POD=image FANFARE_LISTEN=127.0.0.1:0 FANFARE_OPS_LISTEN=127.0.0.1:0 \
    chroot --userspec=65532:65532 "$0" /fanfare'
unshare --mount bash -c "$script" "$work/root" "a=redis://redis-a:$port" >"$work/out" 2>"$work/log" &
pod=$!
for _ in $(seq 100); do
  grep -q '^  ready' "$work/out" && break
  sleep 0.05
done
ops=$(sed -n 's|^  ready  \(http://.*\)$|\1|p' "$work/out")
page=$(sed -n 's|^  page   \(http://.*\)/$|\1|p' "$work/out")
for _ in $(seq 100); do
  curl -s "$ops" | grep -q '"up":true' && break
  sleep 0.05
done
curl -s "$ops" | grep -q '"up":true' || { echo "the shard was not found by its name"; cat "$work/log"; exit 1; }
said=$(curl -s -H 'Content-Type: application/json' -d '{"kind":"comment","body":"from the image"}' "$page/v1/streams/image/comments")
grep -q '"duplicate":false' <<<"$said" || { echo "no post: $said"; exit 1; }
grep -q '^Uid:.65532.65532' "/proc/$pod/status"
grep -q '^CapEff:.0000000000000000$' "/proc/$pod/status"
code=0
kill -TERM "$pod"
wait "$pod" || code=$?
pod=
[ "$code" = 0 ] || { echo "the pod left with $code"; cat "$work/log"; exit 1; }
echo "a pod without rights, on a read-only root, found its shard by name, took a post and left with 0"
