#!/usr/bin/env bash
# Which lines of src the tests of `make test` run, in the tests and in the pods that they start. Prints a table, and leaves
# coverage.lcov in the build folder. It installs cargo-llvm-cov there; LLVM's tools have to be those of the compiler's version.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
version=0.9.1
if ! "$target/coverage-tools/bin/cargo-llvm-cov" llvm-cov --version 2>/dev/null | grep -q " $version$"; then
  cargo install --quiet --locked --root "$target/coverage-tools" "cargo-llvm-cov@$version"
fi
export PATH=$target/coverage-tools/bin:$PATH
# Rustup's component has them where rustup can fetch it; Debian's packages llvm-N are as good.
if ! rustup component add llvm-tools >/dev/null 2>&1; then
  major=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
  export LLVM_COV=/usr/bin/llvm-cov-$major LLVM_PROFDATA=/usr/bin/llvm-profdata-$major
  [ -x "$LLVM_COV" ] || { echo "Install Debian's package llvm-$major, or rustup's component llvm-tools."; exit 1; }
fi
# Pods are killed in many tests: %c keeps the counters in the file all the time, and this option makes that possible.
export RUSTFLAGS='-C llvm-args=-runtime-counter-relocation' LLVM_PROFILE_FILE_NAME='fanfare-%8m%c.profraw'
ours='/(tests|testkit|loadtest|benches)/|_tests\.rs$'
cargo llvm-cov --locked --ignore-filename-regex "$ours" --lcov --output-path "$target/coverage.lcov" "$@"
cargo llvm-cov report --ignore-filename-regex "$ours" --summary-only
