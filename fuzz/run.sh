#!/usr/bin/env bash
# Fuzzes each target for some seconds (60) with a nightly toolchain, from the kept corpus; ends with 0 if none broke.
# What is found stands in fuzz/artifacts. Name targets to run only these.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${FUZZ_SECONDS:-60}
command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
mapfile -t targets < <(if [ $# -gt 0 ]; then printf '%s\n' "$@"; else sed -n 's/^name = "\(.*\)"$/\1/p' fuzz/Cargo.toml | tail -n +2; fi)
# cargo-fuzz knows no --locked.
cargo +nightly metadata --locked --manifest-path fuzz/Cargo.toml --format-version 1 >/dev/null
# There is no unsafe code of ours to watch over: without a sanitizer it runs several times faster.
build=(--sanitizer none)
cargo +nightly fuzz build "${build[@]}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
broken=()
for target in "${targets[@]}"; do
  # What is new goes beside the corpus, which stays small and is what was committed.
  mkdir -p "$work/$target"
  if cargo +nightly fuzz run "${build[@]}" "$target" "$work/$target" "fuzz/corpus/$target" -- \
    -max_total_time="$seconds" -max_len=20000 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 >"$work/$target.log" 2>&1; then
    echo "fuzz: $target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$work/$target.log") inputs in $seconds s, nothing broke"
  else
    broken+=("$target")
    tail -40 "$work/$target.log"
  fi
done
[ ${#broken[@]} = 0 ] || { echo "fuzz: broken: ${broken[*]}"; exit 1; }
