#!/usr/bin/env bash
# Starts pods, Redis, Prometheus and load; prints both service levels from Prometheus beside the load tester's own
# measurement; then gives every alert the trouble that it is for. Three minutes. Needs the packages that `make tools` installs.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --locked -p fanfare -p loadtest
cargo test --release --locked --test observed -- --nocapture --test-threads=1
