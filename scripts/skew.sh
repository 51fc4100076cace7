#!/usr/bin/env bash
# A pod of an older build and one of this build serve one stream together. The older build is the last one with other
# functions for Redis (OLDER=commit says otherwise); it is made beside the present one, in ten minutes at the most.
set -euo pipefail
cd "$(dirname "$0")/.."
newest=$(git log -1 --first-parent --format=%h -- deploy/redis/fanfare.lua)
older=${OLDER:-$newest~1}
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
work=$(mktemp -d)
trap 'git worktree remove --force "$work/older" 2>/dev/null; rm -rf "$work"' EXIT
git worktree add --quiet --detach "$work/older" "$older"
echo "== the older build: $(git log -1 --format='%h %s' "$older")"
# Without optimization: it is quicker built, and what it says is the same.
(cd "$work/older" && CARGO_TARGET_DIR=$target/older timeout 600 cargo build --locked --bin fanfare)
OLDER_BUILD=$target/older/debug/fanfare cargo test --release --locked --test verify skew:: -- --nocapture
