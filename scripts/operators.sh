#!/usr/bin/env bash
# The files for operators under today's tools: promtool 3.16 and Alertmanager 0.35, built from their Go modules. `make test`
# does the same under Debian's, 2.42 and 0.25. Some minutes for the first build.
set -euo pipefail
cd "$(dirname "$0")/.."
prometheus=v0.316.0 alertmanager=v0.35.0
tools=${CARGO_TARGET_DIR:-$PWD/target}/operators-tools
mkdir -p "$tools"
go=$PWD/scripts/go.sh
if [ ! -x "$tools/promtool-$prometheus" ]; then
  GOBIN="$tools" "$go" install "github.com/prometheus/prometheus/cmd/promtool@$prometheus"
  mv "$tools/promtool" "$tools/promtool-$prometheus"
fi
if [ ! -x "$tools/alertmanager-$alertmanager" ]; then
  # Its module has no built pages, and its program embeds that folder: an empty page takes their place.
  module=github.com/prometheus/alertmanager@$alertmanager
  sources=$("$go" mod download -json "$module" | sed -nE 's/.*"Dir": "(.*)".*/\1/p')
  copy=$(mktemp -d "$tools/sources.XXXXXX")
  trap 'rm -rf "$copy"' EXIT
  cp -r "$sources/." "$copy"
  chmod -R u+w "$copy"
  mkdir -p "$copy/ui/app/dist"
  echo "no pages" >"$copy/ui/app/dist/index.html"
  (cd "$copy" && "$go" build -o "$tools/amtool-$alertmanager" ./cmd/amtool && "$go" build -o "$tools/alertmanager-$alertmanager" ./cmd/alertmanager)
fi
export PROMTOOL=$tools/promtool-$prometheus ALERTMANAGER=$tools/alertmanager-$alertmanager
"$PROMTOOL" --version | head -1
"$ALERTMANAGER" --version | head -1
"$tools/amtool-$alertmanager" check-config deploy/prometheus/alertmanager.yaml
cargo test --locked --test suite deploy:: -- --skip every_query_of_the_dashboard
