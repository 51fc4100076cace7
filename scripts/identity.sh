#!/usr/bin/env bash
# A million inputs of viewers, in the release build: none yields another kind, author or stream (G13). Two minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
export FANFARE_TEST_INPUTS=1000000
cargo test --release --locked --test suite -- --nocapture --exact \
  identity::forgery::g13_no_input_of_a_viewer_yields_another_kind_author_or_stream
