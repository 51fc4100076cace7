#!/usr/bin/env bash
# The documented JavaScript client in Node 22 and 24, Deno, Bun, Chromium and Firefox: tests/runtimes. The runtimes come
# from npm (400 MB, kept in the build folder), the browsers from Debian.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=${CARGO_TARGET_DIR:-$PWD/target}/runtimes
case $(uname -m) in
  x86_64) node=x64 deno=x64-glibc bun=x64 ;;
  aarch64) node=arm64 deno=arm64-glibc bun=aarch64 ;;
  *) echo "no runtimes for $(uname -m)"; exit 1 ;;
esac
# The packages of one platform, which are plain files: the ones that choose among them need scripts to install.
pinned="node22@npm:node-linux-$node@22.23.3 node24@npm:node-linux-$node@24.9.0 @deno/linux-$deno@2.9.6 @oven/bun-linux-$bun@1.4.5"
if [ "$(cat "$tools/pinned" 2>/dev/null)" != "$pinned" ]; then
  rm -rf "$tools"
  mkdir -p "$tools"
  # shellcheck disable=SC2086  # words
  npm install --prefix "$tools" --no-audit --no-fund --ignore-scripts --silent $pinned
  echo "$pinned" >"$tools/pinned"
fi
export NODE_22=$tools/node_modules/node22/bin/node NODE_24=$tools/node_modules/node24/bin/node
export DENO=$tools/node_modules/@deno/linux-$deno/deno BUN=$tools/node_modules/@oven/bun-linux-$bun/bin/bun
export DENO_NO_UPDATE_CHECK=1
for runtime in "$NODE_22" "$NODE_24" "$DENO" "$BUN" chromium firefox-esr; do
  echo "$("$runtime" --version 2>/dev/null | head -1), $(basename "$runtime")"
done
cargo test --locked --test runtimes -- --test-threads "${RUST_TEST_THREADS:-4}"
