# Run `make` to see the recipes.

# What the tests need from Debian: package names, each with the command or the file that shows it is there.
PACKAGES := redis-server:redis-server openssl:openssl chromium:chromium chromium-driver:chromedriver nodejs:node \
  node-ws:/usr/share/nodejs/ws/package.json python3-websockets:/usr/lib/python3/dist-packages/websockets/__init__.py \
  prometheus:promtool prometheus-alertmanager:prometheus-alertmanager faketime:faketime \
  python3-venv:/usr/share/doc/python3-venv nginx-light:/usr/sbin/nginx libnss-wrapper:/usr/share/doc/libnss-wrapper

CARGO_FLAGS := --workspace --locked
# Every feature of Cargo.toml: each is linted alone, so that a build that few people make does not break unseen.
FEATURES := $(shell sed -n '/^\[features\]/,/^\[dependencies\]/s/^\([a-z-]*\) = .*/\1/p' Cargo.toml)
# Debug information and incremental files cost more than they give in a clean run.
export CARGO_INCREMENTAL := 0
# Most tests wait for servers and clocks: four at a time keep two processors busy.
export RUST_TEST_THREADS ?= 4

.PHONY: help run test quick tools lint unit docs operators verify chaos simulate bench coverage fuzz deny

help: ## List the recipes
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-8s %s\n", $$1, $$2 }'

run: ## Serve on the embedded shard: the page at http://127.0.0.1:8080/
	cargo run --release --locked

test: tools lint docs unit ## Everything that a change must pass, in minutes

# Incremental, and more tests at a time than processors: most of them wait.
quick: export CARGO_INCREMENTAL = 1
quick: export RUST_TEST_THREADS = 16
quick: ## After a small edit: the unit tests, and what viewers and backends are promised on the embedded shard
	cargo test --locked --lib
	cargo test --locked --test suite -- embedded:: layers::

tools: ## Install what the tests need from Debian (as root), or say how
	@missing=; for pair in $(PACKAGES); do \
	  command -v $${pair#*:} >/dev/null || test -e $${pair#*:} || missing="$$missing $${pair%%:*}"; done; \
	if [ -z "$$missing" ]; then :; elif [ "$$(id -u)" = 0 ]; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; \
	else echo "The tests need:$$missing. Install with: sudo apt-get install -y$$missing"; exit 1; fi
	@./scripts/kubectl.sh version --client >/dev/null

lint: ## Formatting and lints, warnings denied
	cargo fmt --all --check
	cargo clippy $(CARGO_FLAGS) --all-targets -- -D warnings
	cargo clippy --locked --test observed --test verify --test bluegreen --test chaos --test runtimes -- -D warnings
	cargo clippy --locked --features simulation --test simulation -- -D warnings
	@for feature in $(FEATURES); do \
	  echo "cargo clippy --locked --lib --bins --features $$feature -- -D warnings"; \
	  cargo clippy --locked --lib --bins --features $$feature -- -D warnings || exit 1; done

unit: ## Unit, property and integration tests
	cargo test $(CARGO_FLAGS)
	SEEDS=300 cargo test --locked --features simulation --test simulation -- --skip planted

docs: ## The documentation builds without a warning
	RUSTDOCFLAGS='-D warnings' cargo doc $(CARGO_FLAGS) --no-deps --document-private-items

operators: tools ## The rules and Alertmanager's configuration under today's promtool and Alertmanager
	./scripts/operators.sh

# Only the longer recipes need these.
verify: PACKAGES += curl:curl npm:npm firefox-esr:firefox-esr maven:mvn
verify: tools ## The release build under load: minutes more
	./scripts/verify.sh
	./scripts/telemetry.sh
	./scripts/image.sh
	./scripts/bluegreen.sh
	./scripts/controlplane.sh
	./scripts/skew.sh
	./scripts/identity.sh
	./scripts/runtimes.sh

chaos: tools ## Faults of every kind on pods and shards: CHAOS_MINUTES (10), CHAOS_SEED (any)
	cargo test --release --locked --test chaos chaos_breaks_no_promise -- --nocapture

simulate: ## Pods, shards and faults in virtual time: SEEDS (1,000) histories from SEED (1) on
	cargo test --profile simulation --locked --features simulation --test simulation -- --nocapture

bench: tools ## How fast it is, as tables: the shards' benchmarks and the socket figures, ten minutes
	./scripts/bench.sh

coverage: tools ## Which lines the tests run: a table, and coverage.lcov in the build folder
	./scripts/coverage.sh

fuzz: ## Each fuzz target for a minute, on a nightly toolchain
	./fuzz/run.sh

deny: ## Licences, bans and sources of everything that is built in
	command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo deny --locked --all-features check --hide-inclusion-graph licenses bans sources
